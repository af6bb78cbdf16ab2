//! Load averages, from `/proc/loadavg`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("loadavg", collect);

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let path = r.proc("loadavg");
    let text = read::text(&path)?;
    let fields: Vec<&str> = text.split_whitespace().collect();
    for (i, (name, help)) in [
        ("node_load1", "1m load average."),
        ("node_load5", "5m load average."),
        ("node_load15", "15m load average."),
    ]
    .into_iter()
    .enumerate()
    {
        let load = read::field(&fields, i)
            .ok_or_else(|| Problem::format(&path, format_args!("{text:?} has no three loads")))?;
        out.gauge(name, help, &[], load);
    }
    Ok(())
}
