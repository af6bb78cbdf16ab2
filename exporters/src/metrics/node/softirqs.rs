//! Soft interrupts per processor, from `/proc/softirqs`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("softirqs", collect).on_request();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let text = read::text(&r.proc("softirqs"))?;
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
        for (cpu, n) in header.iter().zip(counts) {
            if let (Some(cpu), Some(n)) = (cpu.strip_prefix("CPU"), read::parse(n)) {
                out.add(family, &[("cpu", cpu), ("type", kind)], n);
            }
        }
    }
    Ok(())
}
