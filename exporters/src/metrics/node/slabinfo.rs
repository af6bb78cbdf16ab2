//! The kernel's slabs, from `/proc/slabinfo` (root only).

use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Filter, Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const INCLUDE: Flag = Flag::text(
    "collector.slabinfo.slabs-include",
    ".*",
    "Slabs to show, as a regular expression",
);
const EXCLUDE: Flag = Flag::text(
    "collector.slabinfo.slabs-exclude",
    "",
    "Slabs to leave out, as a regular expression",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("slabinfo", &[INCLUDE, EXCLUDE], build)
    .on_request()
    .whole();

/// Column, metric, help.
const COLUMNS: &[(usize, &str, &str, Kind)] = &[
    (
        1,
        "node_slabinfo_active_objects",
        "The number of objects that are currently active (i.e., in use).",
        Kind::Gauge,
    ),
    (
        2,
        "node_slabinfo_objects",
        "The total number of allocated objects (i.e., objects that are both in use and not in use).",
        Kind::Gauge,
    ),
    (
        3,
        "node_slabinfo_object_size_bytes",
        "The size of objects in this slab, in bytes.",
        Kind::Gauge,
    ),
    (
        4,
        "node_slabinfo_objects_per_slab",
        "The number of objects stored in each slab.",
        Kind::Gauge,
    ),
    (
        5,
        "node_slabinfo_pages_per_slab",
        "The number of pages allocated for each slab.",
        Kind::Gauge,
    ),
];

/// Words of a line: five numbers, three of the tunables, three of the slabs, their headings.
const COLUMNS_OF_A_SLAB: usize = 16;

fn build(s: &Settings) -> Result<Run, String> {
    let (keep, drop) = (
        s.pattern(&INCLUDE)?,
        Filter::excluding(s.pattern(&EXCLUDE)?),
    );
    Ok(Box::new(move |r, out| {
        let shown = |slab: &str| keep.as_ref().is_none_or(|k| k.is_match(slab)) && drop.keeps(slab);
        collect(r, &shown, out)
    }))
}

fn collect(r: &Roots, shown: &dyn Fn(&str) -> bool, out: &mut Sink) -> Outcome {
    let path = r.proc("slabinfo");
    let text = read::text(&path)?;
    // A line with the version and one with names come first.
    for line in text
        .lines()
        .filter(|l| !l.starts_with("slabinfo - ") && !l.starts_with('#'))
    {
        let row: Vec<&str> = line.split_whitespace().collect();
        let (Some(slab), COLUMNS_OF_A_SLAB) = (row.first(), row.len()) else {
            let why = format_args!("{line:?} has not {COLUMNS_OF_A_SLAB} columns");
            return Err(Problem::format(&path, why));
        };
        for (column, name, help, kind) in COLUMNS {
            let v = read::need_signed(&path, &row, *column)?;
            if shown(slab) {
                let family = out.family(*name, *help, *kind);
                out.add(family, &[("slab", slab)], v);
            }
        }
    }
    Ok(())
}
