//! ZFS, from `/proc/spl/kstat/zfs`.

use std::path::Path;

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("zfs", collect);

/// File and the word it has in metric names.
const FILES: &[(&str, &str)] = &[
    ("abdstats", "abd"),
    ("arcstats", "arc"),
    ("dbufstats", "dbuf"),
    ("dmu_tx", "dmu_tx"),
    ("dnodestats", "dnode"),
    ("fm", "fm"),
    ("vdev_cache_stats", "vdev_cache"),
    ("vdev_mirror_stats", "vdev_mirror"),
    ("xuio_stats", "xuio"),
    ("zfetchstats", "zfetch"),
    ("zil", "zil"),
];

/// States a pool may be in.
const STATES: [&str; 7] = [
    "online",
    "degraded",
    "faulted",
    "offline",
    "removed",
    "unavail",
    "suspended",
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.proc("spl/kstat/zfs");
    let entries = read::names(&folder)?;
    for (file, word) in FILES {
        let text = match read::text(&folder.join(file)) {
            // Some came, some went with versions of ZFS.
            Err(Problem::Absent(_)) => continue,
            t => t?,
        };
        for (name, v) in numbers(&text) {
            let family = out.family(
                format!("node_zfs_{word}_{}", name.replace('-', "_")),
                format!("kstat.zfs.misc.{file}.{name}"),
                Kind::Untyped,
            );
            out.add(family, &[], v);
        }
    }
    for pool in entries {
        let folder = folder.join(&pool);
        if folder.is_dir() {
            io(&folder, &pool, out)?;
            datasets(&folder, &pool, out)?;
            state(&folder, &pool, out)?;
        }
    }
    Ok(())
}

/// Name and value of each number of a table with lines `name type data`.
fn numbers(text: &str) -> impl Iterator<Item = (&str, f64)> {
    text.lines().skip(2).filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, kind, data) = (words.next()?, words.next()?, words.next()?);
        // 1 to 4 are whole numbers of 32 and 64 bits; 7 is a text.
        matches!(kind, "1" | "2" | "3" | "4").then_some((name, read::parse(data)?))
    })
}

fn io(folder: &Path, pool: &str, out: &mut Sink) -> Outcome {
    let text = match read::text(&folder.join("io")) {
        Err(Problem::Absent(_)) => return Ok(()),
        t => t?,
    };
    let mut rows = read::rows(&text).skip(1);
    let (names, values) = (
        rows.next().unwrap_or_default(),
        rows.next().unwrap_or_default(),
    );
    for (name, value) in names.iter().zip(values) {
        if let Some(v) = read::parse(value) {
            let family = out.family(
                format!("node_zfs_zpool_{name}"),
                format!("kstat.zfs.misc.io.{name}"),
                Kind::Untyped,
            );
            out.add(family, &[("zpool", pool)], v);
        }
    }
    Ok(())
}

fn datasets(folder: &Path, pool: &str, out: &mut Sink) -> Outcome {
    for (file, _) in read::numbered(folder, "objset-")? {
        let text = match read::text(&folder.join(file)) {
            // A dataset may go while we look.
            Err(Problem::Absent(_)) => continue,
            t => t?,
        };
        // Names may hold blanks.
        let name = text.lines().find_map(|l| {
            let rest = l.strip_prefix("dataset_name")?.trim_start();
            Some(rest.strip_prefix('7')?.trim())
        });
        let labels = [("dataset", name.unwrap_or("")), ("zpool", pool)];
        for (name, v) in numbers(&text) {
            let family = out.family(
                format!("node_zfs_zpool_dataset_{name}"),
                format!("kstat.zfs.misc.objset.{name}"),
                Kind::Untyped,
            );
            out.add(family, &labels, v);
        }
    }
    Ok(())
}

fn state(folder: &Path, pool: &str, out: &mut Sink) -> Outcome {
    let now = match read::word(&folder.join("state")) {
        Err(Problem::Absent(_)) => return Ok(()),
        w => w?.to_lowercase(),
    };
    for s in STATES {
        let is = f64::from(u8::from(s == now));
        out.gauge(
            "node_zfs_zpool_state",
            "kstat.zfs.misc.state",
            &[("state", s), ("zpool", pool)],
            is,
        );
    }
    Ok(())
}
