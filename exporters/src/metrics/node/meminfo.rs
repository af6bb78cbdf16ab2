//! Memory, from `/proc/meminfo`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("meminfo", collect);

/// Bytes of what the file calls kB.
pub(super) const KIB: f64 = 1024.0;

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let path = r.proc("meminfo");
    let text = read::text(&path)?;
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else {
            return Err(Problem::format(
                &path,
                format_args!("{line:?} has no colon"),
            ));
        };
        let mut words = value.split_whitespace();
        let number = words.next().and_then(read::parse);
        let number =
            number.ok_or_else(|| Problem::format(&path, format_args!("{line:?} has no number")))?;
        let mut field = clean(name);
        let mut value = number;
        if words.next() == Some("kB") {
            field.push_str("_bytes");
            value *= KIB;
        }
        out.gauge(
            format!("node_memory_{field}"),
            format!("Memory information field {field}."),
            &[],
            value,
        );
    }
    Ok(())
}

/// A field as part of a metric's name: `Active(anon)` is `Active_anon`.
pub(super) fn clean(name: &str) -> String {
    name.replace('(', "_").replace(')', "")
}
