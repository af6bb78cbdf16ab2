//! Devices and files that memory is swapped to, from `/proc/swaps`.

use super::Entry;
use super::meminfo::KIB;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("swap", collect).on_request().whole();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let path = r.proc("swaps");
    let text = read::text(&path)?;
    // The first line has the names of the columns.
    for row in read::rows(&text).skip(1) {
        let [device, kind, ..] = row.as_slice() else {
            let line = row.join(" ");
            return Err(Problem::format(
                &path,
                format_args!("{line:?} names no device"),
            ));
        };
        let labels = [("device", *device), ("swap_type", *kind)];
        for (column, factor, name, help) in [
            (2, KIB, "node_swap_size_bytes", "Swap device size in bytes."),
            (3, KIB, "node_swap_used_bytes", "Swap device used in bytes."),
            (4, 1.0, "node_swap_priority", "Swap device priority."),
        ] {
            let v = read::need_signed(&path, &row, column)?;
            out.gauge(name, help, &labels, v * factor);
        }
    }
    Ok(())
}
