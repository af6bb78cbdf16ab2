//! Interrupts, context switches, forks, boot time, from `/proc/stat`.

use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const SOFTIRQ: Flag = Flag::switch(
    "collector.stat.softirq",
    false,
    "Show node_softirqs_total per kind",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("stat", &[SOFTIRQ], build).whole();

/// First word of the line, metric, help, kind.
const LINES: &[(&str, &str, &str, Kind)] = &[
    (
        "intr",
        "node_intr_total",
        "Total number of interrupts serviced.",
        Kind::Counter,
    ),
    (
        "ctxt",
        "node_context_switches_total",
        "Total number of context switches.",
        Kind::Counter,
    ),
    (
        "processes",
        "node_forks_total",
        "Total number of forks.",
        Kind::Counter,
    ),
    (
        "btime",
        "node_boot_time_seconds",
        "Node boot time, in unixtime.",
        Kind::Gauge,
    ),
    (
        "procs_running",
        "node_procs_running",
        "Number of processes in runnable state.",
        Kind::Gauge,
    ),
    (
        "procs_blocked",
        "node_procs_blocked",
        "Number of processes blocked waiting for I/O to complete.",
        Kind::Gauge,
    ),
];

/// Kinds of soft interrupts in the order of the line, after the sum.
const VECTORS: [&str; 10] = [
    "hi",
    "timer",
    "net_tx",
    "net_rx",
    "block",
    "block_iopoll",
    "tasklet",
    "sched",
    "hrtimer",
    "rcu",
];

fn build(s: &Settings) -> Result<Run, String> {
    let softirq = s.on(&SOFTIRQ);
    Ok(Box::new(move |r, out| collect(r, softirq, out)))
}

fn collect(r: &Roots, softirq: bool, out: &mut Sink) -> Outcome {
    let path = r.proc("stat");
    let text = read::text(&path)?;
    let mut values = [0.0; LINES.len()];
    let mut vectors = [0.0; VECTORS.len()];
    for line in text.lines() {
        let row: Vec<&str> = line.split_whitespace().collect();
        let Some(first) = row.first().filter(|_| row.len() > 1) else {
            continue;
        };
        if let Some(i) = LINES.iter().position(|(w, ..)| w == first) {
            if let Some(place) = values.get_mut(i) {
                *place = read::need(&path, &row, 1)?;
            }
        } else if *first == "softirq" {
            // The sum comes first.
            for (i, v) in vectors.iter_mut().enumerate() {
                *v = read::need(&path, &row, i + 2)?;
            }
        } else if first.starts_with("cpu") && !row.iter().skip(1).all(|f| read::parse(f).is_some())
        {
            return Err(Problem::format(
                &path,
                format_args!("{line:?} is not understood"),
            ));
        }
    }
    // What this kernel does not count has not happened.
    for ((_, name, help, kind), v) in LINES.iter().zip(values) {
        let family = out.family(*name, *help, *kind);
        out.add(family, &[], v);
    }
    if softirq {
        let family = out.family(
            "node_softirqs_total",
            "Number of softirq calls.",
            Kind::Counter,
        );
        for (vector, v) in VECTORS.iter().zip(vectors) {
            out.add(family, &[("vector", vector)], v);
        }
    }
    Ok(())
}
