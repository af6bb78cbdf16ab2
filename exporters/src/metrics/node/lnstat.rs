//! Statistics of the kernel's network caches, from `/proc/net/stat`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("lnstat", collect).on_request().whole();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.proc("net/stat");
    // A kernel without such caches has no folder.
    let files = match read::names(&folder) {
        Err(p) if p.is_absent() => return Ok(()),
        files => files?,
    };
    for file in files {
        let path = folder.join(&file);
        let text = read::text(&path)?;
        let mut rows = read::rows(&text);
        let header = rows.next().unwrap_or_default();
        let lines = rows.filter(|row| !row.is_empty());
        for (cpu, row) in lines.enumerate() {
            let cpu = cpu.to_string();
            for (column, value) in header.iter().zip(&row) {
                let v = u64::from_str_radix(value, 16);
                let v = v.map_err(|_| {
                    Problem::format(&path, format_args!("{value:?} is not hexadecimal"))
                })?;
                out.counter(
                    format!("node_lnstat_{column}_total"),
                    "linux network cache stats",
                    &[("cpu", &cpu), ("subsystem", &file)],
                    v as f64,
                );
            }
        }
    }
    Ok(())
}
