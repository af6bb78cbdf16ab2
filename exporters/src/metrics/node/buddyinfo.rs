//! Free blocks of memory by size, from `/proc/buddyinfo`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("buddyinfo", collect).on_request();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let text = read::text(&r.proc("buddyinfo"))?;
    let blocks = out.family(
        "node_buddyinfo_blocks",
        "Count of free blocks according to size.",
        Kind::Gauge,
    );
    for row in read::rows(&text) {
        // Node 0, zone DMA 1 0 2 ...
        let ["Node", node, "zone", zone, counts @ ..] = row.as_slice() else {
            continue;
        };
        let node = node.trim_end_matches(',');
        for (order, n) in counts.iter().enumerate() {
            if let Some(n) = read::parse(n) {
                let size = order.to_string();
                out.add(
                    blocks,
                    &[("node", node), ("size", &size), ("zone", zone)],
                    n,
                );
            }
        }
    }
    Ok(())
}
