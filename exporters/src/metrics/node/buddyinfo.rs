//! Free blocks of memory by size, from `/proc/buddyinfo`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("buddyinfo", collect).on_request().whole();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let path = r.proc("buddyinfo");
    let text = read::text(&path)?;
    let blocks = out.family(
        "node_buddyinfo_blocks",
        "Count of free blocks according to size.",
        Kind::Gauge,
    );
    let mut width = None;
    for row in read::rows(&text) {
        // Node 0, zone DMA 1 0 2 ...
        let [_, node, _, zone, counts @ ..] = row.as_slice() else {
            let line = row.join(" ");
            return Err(Problem::format(
                &path,
                format_args!("{line:?} names no zone"),
            ));
        };
        if *width.get_or_insert(counts.len()) != counts.len() {
            return Err(Problem::format(
                &path,
                "zones differ in their number of sizes",
            ));
        }
        let node = node.trim_end_matches(',');
        for order in 0..counts.len() {
            let n = read::need_signed(&path, counts, order)?;
            let size = order.to_string();
            let labels = [("node", node), ("size", &*size), ("zone", zone)];
            out.add(blocks, &labels, n);
        }
    }
    Ok(())
}
