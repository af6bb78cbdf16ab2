//! Pressure stall information, from `/proc/pressure`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("pressure", collect);

/// File, line, metric, help.
const TOTALS: &[(&str, &str, &str, &str)] = &[
    (
        "cpu",
        "some",
        "node_pressure_cpu_waiting_seconds_total",
        "Total time in seconds that processes have waited for CPU time",
    ),
    (
        "io",
        "some",
        "node_pressure_io_waiting_seconds_total",
        "Total time in seconds that processes have waited due to IO congestion",
    ),
    (
        "io",
        "full",
        "node_pressure_io_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IO congestion",
    ),
    (
        "memory",
        "some",
        "node_pressure_memory_waiting_seconds_total",
        "Total time in seconds that processes have waited for memory",
    ),
    (
        "memory",
        "full",
        "node_pressure_memory_stalled_seconds_total",
        "Total time in seconds no process could make progress due to memory congestion",
    ),
    (
        "irq",
        "full",
        "node_pressure_irq_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IRQ congestion",
    ),
];

/// The kernel counts microseconds.
const MICROS: f64 = 1e6;

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let mut last = ("", String::new());
    for (file, line, name, help) in TOTALS {
        if last.0 != *file {
            let path = r.proc("pressure").join(file);
            let text = match read::text(&path) {
                // Not every kernel counts interrupts.
                Err(p) if p.is_absent() && *file == "irq" => String::new(),
                Err(p) if p.is_absent() => return Err(p),
                // Compiled in and switched off.
                Err(p) => return Err(Problem::Absent(p.to_string())),
                Ok(t) => t,
            };
            last = (file, text);
        }
        let total = last
            .1
            .lines()
            .filter_map(|l| l.strip_prefix(line))
            .find_map(|l| l.split_once("total=")?.1.trim().parse::<u64>().ok());
        if let Some(micros) = total {
            out.counter(*name, *help, &[], micros as f64 / MICROS);
        }
    }
    Ok(())
}
