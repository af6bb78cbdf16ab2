//! The scheduler's counters per processor, from `/proc/schedstat`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("schedstat", collect);

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let text = read::text(&r.proc("schedstat"))?;
    for row in read::rows(&text) {
        let Some(cpu) = row.first().and_then(|n| n.strip_prefix("cpu")) else {
            continue;
        };
        let labels = [("cpu", cpu)];
        let (running, waiting, slices) = (
            read::field(&row, 7),
            read::field(&row, 8),
            read::field(&row, 9),
        );
        if let (Some(running), Some(waiting), Some(slices)) = (running, waiting, slices) {
            out.counter(
                "node_schedstat_running_seconds_total",
                "Number of seconds CPU spent running a process.",
                &labels,
                running / 1e9,
            );
            out.counter(
                "node_schedstat_waiting_seconds_total",
                "Number of seconds spent by processing waiting for this CPU.",
                &labels,
                waiting / 1e9,
            );
            out.counter(
                "node_schedstat_timeslices_total",
                "Number of timeslices executed by CPU.",
                &labels,
                slices,
            );
        }
    }
    Ok(())
}
