//! Memory zones, from `/proc/zoneinfo`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("zoneinfo", collect).on_request();

/// Field, metric, help, kind.
const FIELDS: &[(&str, &str, &str, Kind)] = &[
    (
        "high",
        "node_zoneinfo_high_pages",
        "Zone watermark pages_high",
        Kind::Gauge,
    ),
    (
        "low",
        "node_zoneinfo_low_pages",
        "Zone watermark pages_low",
        Kind::Gauge,
    ),
    (
        "managed",
        "node_zoneinfo_managed_pages",
        "Present pages managed by the buddy system",
        Kind::Gauge,
    ),
    (
        "min",
        "node_zoneinfo_min_pages",
        "Zone watermark pages_min",
        Kind::Gauge,
    ),
    (
        "nr_active_anon",
        "node_zoneinfo_nr_active_anon_pages",
        "Number of anonymous pages recently more used",
        Kind::Gauge,
    ),
    (
        "nr_active_file",
        "node_zoneinfo_nr_active_file_pages",
        "Number of active pages with file-backing",
        Kind::Gauge,
    ),
    (
        "nr_anon_pages",
        "node_zoneinfo_nr_anon_pages",
        "Number of anonymous pages currently used by the system",
        Kind::Gauge,
    ),
    (
        "nr_anon_transparent_hugepages",
        "node_zoneinfo_nr_anon_transparent_hugepages",
        "Number of anonymous transparent huge pages currently used by the system",
        Kind::Gauge,
    ),
    (
        "nr_dirtied",
        "node_zoneinfo_nr_dirtied_total",
        "Page dirtyings since bootup",
        Kind::Counter,
    ),
    (
        "nr_dirty",
        "node_zoneinfo_nr_dirty_pages",
        "Number of dirty pages",
        Kind::Gauge,
    ),
    (
        "nr_file_pages",
        "node_zoneinfo_nr_file_pages",
        "Number of file pages",
        Kind::Gauge,
    ),
    (
        "nr_free_pages",
        "node_zoneinfo_nr_free_pages",
        "Total number of free pages in the zone",
        Kind::Gauge,
    ),
    (
        "nr_inactive_anon",
        "node_zoneinfo_nr_inactive_anon_pages",
        "Number of anonymous pages recently less used",
        Kind::Gauge,
    ),
    (
        "nr_inactive_file",
        "node_zoneinfo_nr_inactive_file_pages",
        "Number of inactive pages with file-backing",
        Kind::Gauge,
    ),
    (
        "nr_isolated_anon",
        "node_zoneinfo_nr_isolated_anon_pages",
        "Temporary isolated pages from anon lru",
        Kind::Gauge,
    ),
    (
        "nr_isolated_file",
        "node_zoneinfo_nr_isolated_file_pages",
        "Temporary isolated pages from file lru",
        Kind::Gauge,
    ),
    (
        "nr_kernel_stack",
        "node_zoneinfo_nr_kernel_stacks",
        "Number of kernel stacks",
        Kind::Gauge,
    ),
    (
        "nr_mapped",
        "node_zoneinfo_nr_mapped_pages",
        "Number of mapped pages",
        Kind::Gauge,
    ),
    (
        "nr_mlock_stack",
        "node_zoneinfo_nr_mlock_stack_pages",
        "mlock()ed pages found and moved off LRU",
        Kind::Gauge,
    ),
    (
        "nr_shmem",
        "node_zoneinfo_nr_shmem_pages",
        "Number of shmem pages (included tmpfs/GEM pages)",
        Kind::Gauge,
    ),
    (
        "nr_slab_reclaimable",
        "node_zoneinfo_nr_slab_reclaimable_pages",
        "Number of reclaimable slab pages",
        Kind::Gauge,
    ),
    (
        "nr_slab_unreclaimable",
        "node_zoneinfo_nr_slab_unreclaimable_pages",
        "Number of unreclaimable slab pages",
        Kind::Gauge,
    ),
    (
        "nr_unevictable",
        "node_zoneinfo_nr_unevictable_pages",
        "Number of unevictable pages",
        Kind::Gauge,
    ),
    (
        "nr_writeback",
        "node_zoneinfo_nr_writeback_pages",
        "Number of writeback pages",
        Kind::Gauge,
    ),
    (
        "nr_written",
        "node_zoneinfo_nr_written_total",
        "Page writings since bootup",
        Kind::Counter,
    ),
    (
        "numa_foreign",
        "node_zoneinfo_numa_foreign_total",
        "Was intended here, hit elsewhere",
        Kind::Counter,
    ),
    (
        "numa_hit",
        "node_zoneinfo_numa_hit_total",
        "Allocated in intended node",
        Kind::Counter,
    ),
    (
        "numa_interleave",
        "node_zoneinfo_numa_interleave_total",
        "Interleaver preferred this zone",
        Kind::Counter,
    ),
    (
        "numa_local",
        "node_zoneinfo_numa_local_total",
        "Allocation from local node",
        Kind::Counter,
    ),
    (
        "numa_miss",
        "node_zoneinfo_numa_miss_total",
        "Allocated in non intended node",
        Kind::Counter,
    ),
    (
        "numa_other",
        "node_zoneinfo_numa_other_total",
        "Allocation from other node",
        Kind::Counter,
    ),
    (
        "present",
        "node_zoneinfo_present_pages",
        "Physical pages existing within the zone",
        Kind::Gauge,
    ),
    (
        "scanned",
        "node_zoneinfo_scanned_pages",
        "Pages scanned since last reclaim",
        Kind::Gauge,
    ),
    (
        "spanned",
        "node_zoneinfo_spanned_pages",
        "Total pages spanned by the zone, including holes",
        Kind::Gauge,
    ),
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let text = read::text(&r.proc("zoneinfo"))?;
    let (mut node, mut zone) = ("", "");
    for row in read::rows(&text) {
        match row.as_slice() {
            ["Node", n, "zone", z] => (node, zone) = (n.trim_end_matches(','), z),
            // protection: (0, 2039, 31932, 31932, 31932)
            ["protection:", values @ ..] => {
                for (i, v) in values.iter().enumerate() {
                    if let Some(v) = read::parse(v.trim_matches(['(', ')', ','])) {
                        out.gauge(
                            format!("node_zoneinfo_protection_{i}"),
                            format!("Protection array {i}. field"),
                            &[("node", node), ("zone", zone)],
                            v,
                        );
                    }
                }
            }
            [name, value, ..] => {
                if let Some((_, metric, help, kind)) = FIELDS.iter().find(|(f, ..)| f == name)
                    && let Some(v) = read::whole(value)
                {
                    let family = out.family(*metric, *help, *kind);
                    out.add(family, &[("node", node), ("zone", zone)], v);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
