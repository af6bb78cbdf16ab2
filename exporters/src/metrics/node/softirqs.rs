//! Soft interrupts per processor, from `/proc/softirqs`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("softirqs", collect).on_request().whole();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let path = r.proc("softirqs");
    let text = read::text(&path)?;
    if text.is_empty() {
        return Err(Problem::format(&path, "the file is empty"));
    }
    let mut rows = read::rows(&text);
    let header = rows.next().unwrap_or_default();
    let family = out.family(
        "node_softirqs_functions_total",
        "Softirq counts per CPU.",
        Kind::Counter,
    );
    for row in rows {
        let Some((name, counts)) = row.split_first() else {
            continue;
        };
        let kind = name.trim_end_matches(':');
        for (i, cpu) in header.iter().take(counts.len()).enumerate() {
            let n = read::need(&path, counts, i)?;
            if let Some(cpu) = cpu.strip_prefix("CPU") {
                out.add(family, &[("cpu", cpu), ("type", kind)], n);
            }
        }
    }
    Ok(())
}
