//! Merging of equal pages, from `/sys/kernel/mm/ksm`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("ksmd", collect).on_request();

/// File, metric, help, kind, factor.
const FILES: &[(&str, &str, &str, Kind, f64)] = &[
    (
        "full_scans",
        "node_ksmd_full_scans_total",
        "How many times all mergeable areas have been scanned.",
        Kind::Counter,
        1.0,
    ),
    (
        "general_profit",
        "node_ksmd_general_profit_bytes",
        "How effective is KSM. ksm_saved_pages * sizeof(page) - (all_rmap_items) * sizeof(rmap_item)",
        Kind::Gauge,
        1.0,
    ),
    (
        "merge_across_nodes",
        "node_ksmd_merge_across_nodes",
        "Specifies if pages from different NUMA nodes can be merged.",
        Kind::Gauge,
        1.0,
    ),
    (
        "pages_shared",
        "node_ksmd_pages_shared",
        "How many shared pages are being used.",
        Kind::Gauge,
        1.0,
    ),
    (
        "pages_sharing",
        "node_ksmd_pages_sharing",
        "How many more sites are sharing them i.e. how much saved.",
        Kind::Gauge,
        1.0,
    ),
    (
        "pages_to_scan",
        "node_ksmd_pages_to_scan",
        "How many pages to scan before ksmd goes to sleep.",
        Kind::Gauge,
        1.0,
    ),
    (
        "pages_unshared",
        "node_ksmd_pages_unshared",
        "How many pages unique but repeatedly checked for merging.",
        Kind::Gauge,
        1.0,
    ),
    (
        "pages_volatile",
        "node_ksmd_pages_volatile",
        "How many pages changing too fast to be placed in a tree.",
        Kind::Gauge,
        1.0,
    ),
    (
        "run",
        "node_ksmd_run",
        "The status of ksmd. stopped = 0, running = 1",
        Kind::Gauge,
        1.0,
    ),
    (
        "sleep_millisecs",
        "node_ksmd_sleep_seconds",
        "How many seconds ksmd should sleep before next scan.",
        Kind::Gauge,
        1e-3,
    ),
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("kernel/mm/ksm");
    for (file, name, help, kind, factor) in FILES {
        let n = match read::number(&folder.join(file)) {
            // Newer than some kernels.
            Err(p) if p.is_absent() && *file == "general_profit" => continue,
            n => n?,
        };
        let family = out.family(*name, *help, *kind);
        out.add(family, &[], n * factor);
    }
    Ok(())
}
