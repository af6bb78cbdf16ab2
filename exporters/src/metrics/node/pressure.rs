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
    let mut found = false;
    for resource in ["cpu", "io", "memory", "irq"] {
        let path = r.proc("pressure").join(resource);
        let text = match read::text(&path) {
            // Not every kernel counts all of them.
            Err(p) if p.is_absent() => continue,
            // Compiled in and switched off.
            Err(p) => return Err(Problem::Absent(p.to_string())),
            Ok(t) => t,
        };
        let mut totals = Vec::new();
        for (_, line, name, help) in TOTALS.iter().filter(|(f, ..)| *f == resource) {
            let found = text.lines().find(|l| l.split(' ').next() == Some(line));
            let wrong = || Problem::format(&path, format_args!("no total of {line:?}"));
            let total = found.ok_or_else(wrong)?.split_once("total=");
            let total = total.and_then(|(_, t)| t.split_whitespace().next()?.parse::<u64>().ok());
            let micros = total.ok_or_else(wrong)?;
            totals.push((*name, *help, micros as f64 / MICROS));
        }
        for (name, help, seconds) in totals {
            out.counter(name, help, &[], seconds);
        }
        found = true;
    }
    if found {
        Ok(())
    } else {
        Err(Problem::Absent("no pressure in procfs".into()))
    }
}
