//! Memory of each NUMA node, from sysfs.

use super::Entry;
use super::meminfo::{KIB, clean};
use super::read::{self, Outcome, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("meminfo_numa", collect).on_request();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("devices/system/node");
    for (name, node) in read::numbered(&folder, "node")? {
        if node.is_empty() || !node.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let folder = folder.join(name);
        let labels = [("node", node.as_str())];
        // Node 0 MemTotal: 134182340 kB
        for row in read::rows(&read::text(&folder.join("meminfo"))?) {
            if let ["Node", _, field, value, unit @ ..] = row.as_slice()
                && let Some(v) = read::parse(value)
            {
                let kib = unit.first() == Some(&"kB");
                let field = clean(field.trim_end_matches(':'));
                let v = if kib { v * KIB } else { v };
                emit(&field, Kind::Gauge, &labels, v, out);
            }
        }
        for row in read::rows(&read::text(&folder.join("numastat"))?) {
            if let [field, value] = row.as_slice()
                && let Some(v) = read::parse(value)
            {
                emit(&format!("{field}_total"), Kind::Counter, &labels, v, out);
            }
        }
    }
    Ok(())
}

/// Sizes of a node are in bytes as well, but nothing in their names says so.
fn emit(field: &str, kind: Kind, labels: &[(&str, &str)], v: f64, out: &mut Sink) {
    let family = out.family(
        format!("node_memory_numa_{field}"),
        format!("Memory information field {field}."),
        kind,
    );
    out.add(family, labels, v);
}
