//! Tasks that the kernel found hung.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("kernel_hung", collect);

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let n = read::count_in(&r.proc("sys/kernel/hung_task_detect_count"))?;
    out.counter(
        "node_kernel_hung_tasks_total",
        "Total number of tasks that have been detected as hung since the system booted.",
        &[],
        n,
    );
    Ok(())
}
