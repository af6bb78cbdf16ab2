//! btrfs file systems, from `/sys/fs/btrfs`.

use std::path::Path;

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("btrfs", collect);

/// Bytes of the unit in which the kernel tells sizes.
const SECTOR: f64 = 512.0;
/// Milliseconds of a second.
const MILLI: f64 = 1000.0;

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("fs/btrfs");
    for uuid in read::names(&folder)? {
        let folder = folder.join(&uuid);
        // Beside the file systems there are features of the kernel.
        if !folder.join("allocation").is_dir() {
            continue;
        }
        filesystem(&folder, &uuid, out)?;
    }
    Ok(())
}

fn filesystem(folder: &Path, uuid: &str, out: &mut Sink) -> Outcome {
    let fs = ("uuid", uuid);
    let label = read::word_or_empty(&folder.join("label"));
    out.gauge(
        "node_btrfs_info",
        "Filesystem information",
        &[("label", &label), fs],
        1.0,
    );
    let reserve = read::number(&folder.join("allocation/global_rsv_size"))?;
    out.gauge(
        "node_btrfs_global_rsv_size_bytes",
        "Size of global reserve.",
        &[fs],
        reserve,
    );
    let devices = read::names(&folder.join("devices"))?;
    for device in &devices {
        let sectors = read::number(&folder.join("devices").join(device).join("size"))?;
        out.gauge(
            "node_btrfs_device_size_bytes",
            "Size of a device that is part of the filesystem.",
            &[("device", device), fs],
            sectors * SECTOR,
        );
    }
    for kind in ["data", "metadata", "system"] {
        group(
            &folder.join("allocation").join(kind),
            kind,
            fs,
            devices.len(),
            out,
        )?;
    }
    commits(folder, fs, out)
}

fn group(folder: &Path, kind: &str, fs: (&str, &str), devices: usize, out: &mut Sink) -> Outcome {
    let group = ("block_group_type", kind);
    let reserved = match read::number(&folder.join("bytes_reserved")) {
        Err(Problem::Absent(_)) => return Ok(()),
        n => n?,
    };
    out.gauge(
        "node_btrfs_reserved_bytes",
        "Amount of space reserved for a data type",
        &[group, fs],
        reserved,
    );
    for mode in read::names(folder)? {
        let folder = folder.join(&mode);
        // Only the folders among the files are layouts.
        let (Some(size), Some(used)) = (
            read::number_if(&folder.join("total_bytes")),
            read::number_if(&folder.join("used_bytes")),
        ) else {
            continue;
        };
        let labels = [group, ("mode", mode.as_str()), fs];
        out.gauge(
            "node_btrfs_used_bytes",
            "Amount of used space by a layout/data type",
            &labels,
            used,
        );
        out.gauge(
            "node_btrfs_size_bytes",
            "Amount of space allocated for a layout/data type",
            &labels,
            size,
        );
        out.gauge(
            "node_btrfs_allocation_ratio",
            "Data allocation ratio for a layout/data type",
            &labels,
            ratio(&mode, devices as f64),
        );
    }
    Ok(())
}

/// How many bytes of disk a byte of data takes.
fn ratio(mode: &str, devices: f64) -> f64 {
    match mode {
        "dup" | "raid1" | "raid10" => 2.0,
        "raid1c3" => 3.0,
        "raid1c4" => 4.0,
        "raid5" => devices / (devices - 1.0),
        "raid6" => devices / (devices - 2.0),
        _ => 1.0,
    }
}

fn commits(folder: &Path, fs: (&str, &str), out: &mut Sink) -> Outcome {
    let text = match read::text(&folder.join("commit_stats")) {
        // Older kernels do not count, which looks like none.
        Err(Problem::Absent(_)) => String::new(),
        t => t?,
    };
    let of = |key: &str| {
        let mut rows = read::rows(&text);
        let row = rows.find(|r| r.first() == Some(&key));
        row.and_then(|r| read::field(&r, 1)).unwrap_or(0.0)
    };
    out.counter(
        "node_btrfs_commits_total",
        "The total number of commits that have occurred.",
        &[fs],
        of("commits"),
    );
    out.gauge(
        "node_btrfs_last_commit_seconds",
        "Duration of the most recent commit, in seconds.",
        &[fs],
        of("last_commit_ms") / MILLI,
    );
    out.gauge(
        "node_btrfs_max_commit_seconds",
        "Duration of the slowest commit, in seconds.",
        &[fs],
        of("max_commit_ms") / MILLI,
    );
    out.counter(
        "node_btrfs_commit_seconds_total",
        "Sum of the duration of all commits, in seconds.",
        &[fs],
        of("total_commit_ms") / MILLI,
    );
    Ok(())
}
