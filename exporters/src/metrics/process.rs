//! `process_*`: what the operating system says about this process.

use crate::emit::Kind;

/// Clock ticks per second in `/proc/PID/stat`: fixed by the Linux ABI.
const TICKS_PER_SECOND: f64 = 100.0;

/// One number: name, help, kind, value.
pub type Number = (&'static str, &'static str, Kind, f64);

/// The numbers; those that cannot be read are left out. `start_seconds` is the start time in Unix
/// seconds.
#[must_use]
pub fn numbers(start_seconds: f64) -> Vec<Number> {
    let read = |f: &str| std::fs::read_to_string(f).unwrap_or_default();
    let mut out = vec![(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        Kind::Gauge,
        start_seconds,
    )];
    let mut add = |name, help, kind, value: Option<f64>| {
        out.extend(value.map(|v| (name, help, kind, v)));
    };
    let stat = read("/proc/self/stat");
    // The command name may hold blanks; the fields after its closing parenthesis do not.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or(Vec::new(), |(_, r)| r.split_whitespace().collect());
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok());
    add(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
        Kind::Counter,
        ticks(11)
            .zip(ticks(12))
            .map(|(u, s)| (u + s) / TICKS_PER_SECOND),
    );
    add(
        "process_threads",
        "Number of OS threads in the process.",
        Kind::Gauge,
        ticks(17),
    );
    let status = read("/proc/self/status");
    let kib = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        line.split_whitespace()
            .next()?
            .parse::<f64>()
            .ok()
            .map(|k| k * 1024.0)
    };
    add(
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        Kind::Gauge,
        kib("VmRSS:"),
    );
    add(
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
        Kind::Gauge,
        kib("VmSize:"),
    );
    add(
        "process_open_fds",
        "Number of open file descriptors.",
        Kind::Gauge,
        std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|d| d.count() as f64),
    );
    let limits = read("/proc/self/limits");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|l| l.strip_prefix(name))?;
        match line.split_whitespace().next()? {
            // The largest number of the system call.
            "unlimited" => Some(u64::MAX as f64),
            n => n.parse().ok(),
        }
    };
    add(
        "process_max_fds",
        "Maximum number of open file descriptors.",
        Kind::Gauge,
        limit("Max open files"),
    );
    add(
        "process_virtual_memory_max_bytes",
        "Maximum amount of virtual memory available in bytes.",
        Kind::Gauge,
        limit("Max address space"),
    );
    out
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn every_number_of_this_process_is_there() {
        let all = numbers(1.0);
        assert_eq!(all.len(), 8, "{all:?}");
        // A young process has used less than a tick of time.
        assert!(all.iter().all(|(.., v)| *v >= 0.0), "{all:?}");
    }
}
