//! Statistics of the kernel's network caches, from `/proc/net/stat`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("lnstat", collect).on_request();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.proc("net/stat");
    for file in read::names(&folder)? {
        let text = read::text(&folder.join(&file))?;
        let mut rows = read::rows(&text);
        let header = rows.next().unwrap_or_default();
        for (cpu, row) in rows.enumerate() {
            let cpu = cpu.to_string();
            for (column, value) in header.iter().zip(&row) {
                if let Some(v) = read::parse_hex(value) {
                    out.counter(
                        format!("node_lnstat_{column}_total"),
                        "linux network cache stats",
                        &[("cpu", &cpu), ("subsystem", &file)],
                        v as f64,
                    );
                }
            }
        }
    }
    Ok(())
}
