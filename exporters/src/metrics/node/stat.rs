//! Interrupts, context switches, forks, boot time, from `/proc/stat`.

use super::read::{self, Outcome, Roots};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const SOFTIRQ: Flag = Flag::switch(
    "collector.stat.softirq",
    false,
    "Show node_softirqs_total per kind",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("stat", &[SOFTIRQ], build);

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
    let text = read::text(&r.proc("stat"))?;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or("");
        if let Some((_, name, help, kind)) = LINES.iter().find(|(w, ..)| *w == first) {
            if let Some(v) = words.next().and_then(read::parse) {
                let family = out.family(*name, *help, *kind);
                out.add(family, &[], v);
            }
        } else if first == "softirq" && softirq {
            let family = out.family(
                "node_softirqs_total",
                "Number of softirq calls.",
                Kind::Counter,
            );
            for (vector, n) in VECTORS.iter().zip(words.skip(1)) {
                if let Some(v) = read::parse(n) {
                    out.add(family, &[("vector", vector)], v);
                }
            }
        }
    }
    Ok(())
}
