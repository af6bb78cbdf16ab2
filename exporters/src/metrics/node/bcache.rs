//! Block caches, from `/sys/fs/bcache`.

use std::path::Path;

use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const PRIORITY: Flag = Flag::switch(
    "collector.bcache.priorityStats",
    false,
    "Show priority statistics, which the kernel counts anew for every reader",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("bcache", &[PRIORITY], build);

type Row = (&'static str, &'static str, &'static str, Kind);

/// Files of the whole set.
const SET: &[Row] = &[
    (
        "average_key_size",
        "node_bcache_average_key_size_sectors",
        "Average data per key in the btree (sectors).",
        Kind::Gauge,
    ),
    (
        "btree_cache_size",
        "node_bcache_btree_cache_size_bytes",
        "Amount of memory currently used by the btree cache.",
        Kind::Gauge,
    ),
    (
        "cache_available_percent",
        "node_bcache_cache_available_percent",
        "Percentage of cache device without dirty data, usable for writeback (may contain clean cached data).",
        Kind::Gauge,
    ),
    (
        "congested",
        "node_bcache_congested",
        "Congestion.",
        Kind::Gauge,
    ),
    (
        "root_usage_percent",
        "node_bcache_root_usage_percent",
        "Percentage of the root btree node in use (tree depth increases if too high).",
        Kind::Gauge,
    ),
    (
        "tree_depth",
        "node_bcache_tree_depth",
        "Depth of the btree.",
        Kind::Gauge,
    ),
    (
        "internal/active_journal_entries",
        "node_bcache_active_journal_entries",
        "Number of journal entries that are newer than the index.",
        Kind::Gauge,
    ),
    (
        "internal/btree_nodes",
        "node_bcache_btree_nodes",
        "Total nodes in the btree.",
        Kind::Gauge,
    ),
    (
        "internal/btree_read_average_duration_us",
        "node_bcache_btree_read_average_duration_seconds",
        "Average btree read duration.",
        Kind::Gauge,
    ),
    (
        "internal/cache_read_races",
        "node_bcache_cache_read_races_total",
        "Counts instances where while data was being read from the cache, the bucket was reused and invalidated - i.e. where the pointer was stale after the read completed.",
        Kind::Counter,
    ),
];

/// Files of a backing device.
const BACKING: &[Row] = &[
    (
        "dirty_data",
        "node_bcache_dirty_data_bytes",
        "Amount of dirty data for this backing device in the cache.",
        Kind::Gauge,
    ),
    (
        "stats_total/bypassed",
        "node_bcache_bypassed_bytes_total",
        "Amount of IO (both reads and writes) that has bypassed the cache.",
        Kind::Counter,
    ),
    (
        "stats_total/cache_bypass_hits",
        "node_bcache_cache_bypass_hits_total",
        "Hits for IO intended to skip the cache.",
        Kind::Counter,
    ),
    (
        "stats_total/cache_bypass_misses",
        "node_bcache_cache_bypass_misses_total",
        "Misses for IO intended to skip the cache.",
        Kind::Counter,
    ),
    (
        "stats_total/cache_hits",
        "node_bcache_cache_hits_total",
        "Hits counted per individual IO as bcache sees them.",
        Kind::Counter,
    ),
    (
        "stats_total/cache_miss_collisions",
        "node_bcache_cache_miss_collisions_total",
        "Instances where data insertion from cache miss raced with write (data already present).",
        Kind::Counter,
    ),
    (
        "stats_total/cache_misses",
        "node_bcache_cache_misses_total",
        "Misses counted per individual IO as bcache sees them.",
        Kind::Counter,
    ),
    (
        "stats_total/cache_readaheads",
        "node_bcache_cache_readaheads_total",
        "Count of times readahead occurred.",
        Kind::Counter,
    ),
];

/// Lines of a backing device's `writeback_rate_debug`.
const WRITEBACK: &[Row] = &[
    (
        "rate",
        "node_bcache_writeback_rate",
        "Current writeback rate for this backing device in bytes.",
        Kind::Gauge,
    ),
    (
        "target",
        "node_bcache_dirty_target_bytes",
        "Current dirty data target threshold for this backing device in bytes.",
        Kind::Gauge,
    ),
    (
        "proportional",
        "node_bcache_writeback_rate_proportional_term",
        "Current result of proportional controller, part of writeback rate",
        Kind::Gauge,
    ),
    (
        "integral",
        "node_bcache_writeback_rate_integral_term",
        "Current result of integral controller, part of writeback rate",
        Kind::Gauge,
    ),
    (
        "change",
        "node_bcache_writeback_change",
        "Last writeback rate change step for this backing device.",
        Kind::Gauge,
    ),
];

/// Files of a cache device.
const CACHE: &[Row] = &[
    (
        "io_errors",
        "node_bcache_io_errors",
        "Number of errors that have occurred, decayed by io_error_halflife.",
        Kind::Gauge,
    ),
    (
        "metadata_written",
        "node_bcache_metadata_written_bytes_total",
        "Sum of all non data writes (btree writes and all other metadata).",
        Kind::Counter,
    ),
    (
        "written",
        "node_bcache_written_bytes_total",
        "Sum of all data that has been written to the cache.",
        Kind::Counter,
    ),
];

/// Lines of a cache device's `priority_stats`.
const PRIORITIES: &[Row] = &[
    (
        "Unused",
        "node_bcache_priority_stats_unused_percent",
        "The percentage of the cache that doesn't contain any data.",
        Kind::Gauge,
    ),
    (
        "Metadata",
        "node_bcache_priority_stats_metadata_percent",
        "Bcache's metadata overhead.",
        Kind::Gauge,
    ),
];

fn build(s: &Settings) -> Result<Run, String> {
    let priority = s.on(&PRIORITY);
    Ok(Box::new(move |r, out| collect(r, priority, out)))
}

fn collect(r: &Roots, priority: bool, out: &mut Sink) -> Outcome {
    let folder = r.sys("fs/bcache");
    for uuid in read::names(&folder)? {
        let folder = folder.join(&uuid);
        // Beside the sets there are files to register devices with.
        let Ok(entries) = read::names(&folder) else {
            continue;
        };
        let set = [("uuid", uuid.as_str())];
        files(&folder, SET, &set, out)?;
        for name in entries {
            let device = folder.join(&name);
            if name.starts_with("bdev") {
                let labels = [("backing_device", name.as_str()), ("uuid", &uuid)];
                files(&device, BACKING, &labels, out)?;
                lines(
                    &device.join("writeback_rate_debug"),
                    WRITEBACK,
                    &labels,
                    out,
                )?;
            } else if is_cache(&name) {
                let labels = [("cache_device", name.as_str()), ("uuid", &uuid)];
                files(&device, CACHE, &labels, out)?;
                if priority {
                    lines(&device.join("priority_stats"), PRIORITIES, &labels, out)?;
                }
            }
        }
    }
    Ok(())
}

/// `cache0`, not `cache_available_percent`.
fn is_cache(name: &str) -> bool {
    let number = name.strip_prefix("cache").unwrap_or("");
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

fn files(folder: &Path, rows: &[Row], labels: &[(&str, &str)], out: &mut Sink) -> Outcome {
    for (file, name, help, kind) in rows {
        let path = folder.join(file);
        let word = match read::word(&path) {
            // Files come and go with kernels.
            Err(Problem::Absent(_)) => continue,
            w => w?,
        };
        let v = size(&word)
            .ok_or_else(|| Problem::format(&path, format_args!("{word:?} is no size")))?;
        // The file counts nanoseconds, whatever its name says.
        let v = if file.ends_with("_us") { v / 1e9 } else { v };
        let family = out.family(*name, *help, *kind);
        out.add(family, labels, v);
    }
    Ok(())
}

fn lines(path: &Path, rows: &[Row], labels: &[(&str, &str)], out: &mut Sink) -> Outcome {
    let text = match read::text(path) {
        Err(Problem::Absent(_)) => return Ok(()),
        t => t?,
    };
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let Some((_, name, help, kind)) = rows.iter().find(|(k, ..)| *k == key) else {
            continue;
        };
        let value = value.trim();
        let value = value.strip_suffix("/sec").unwrap_or(value);
        if let Some(v) = size(value.trim_end_matches('%')) {
            let family = out.family(*name, *help, *kind);
            out.add(family, labels, v);
        }
    }
    Ok(())
}

/// A size as bcache prints it. `20.4G` is 20 times 1024^3 and 4 times 100 times 1024^2: what
/// stands behind the point counts hundreds of the next smaller unit.
fn size(text: &str) -> Option<f64> {
    let unit = text.chars().last()?;
    let Some(power) = "kMGTPEZY".find(unit) else {
        return read::parse(text);
    };
    let number = text.get(..text.len() - 1)?;
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let negative = whole.starts_with('-');
    let power = i32::try_from(power).ok()?;
    let v = read::parse(whole)?.abs() * 1024f64.powi(power + 1)
        + read::parse(tenths)? * 100.0 * 1024f64.powi(power);
    Some(if negative { -v } else { v })
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_those_of_the_kernel() {
        for (text, v) in [
            ("0", 0.0),
            ("512", 512.0),
            ("1.1M", 1_150_976.0),
            ("427.5k", 437_748.0),
            ("20.4G", 21_894_266_880.0),
            ("-321.5k", -329_204.0),
        ] {
            assert_eq!(size(text), Some(v), "{text}");
        }
        assert_eq!(size("x"), None);
    }
}
