//! Memory, from `/proc/meminfo`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("meminfo", collect).whole();

/// Bytes of what the file calls kB.
pub(super) const KIB: f64 = 1024.0;

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let path = r.proc("meminfo");
    let text = read::text(&path)?;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (name, value) = (words.next(), words.next().map(str::parse::<u64>));
        let (Some(name), Some(Ok(value))) = (name, value) else {
            return Err(Problem::format(
                &path,
                format_args!("{line:?} has no number"),
            ));
        };
        let mut field = clean(name.trim_end_matches(':'));
        let value = match (words.next(), words.next()) {
            (None, _) => value,
            (Some("kB"), None) => {
                field.push_str("_bytes");
                value.wrapping_mul(KIB as u64)
            }
            _ => {
                let why = format_args!("{line:?} has another unit than kB");
                return Err(Problem::format(&path, why));
            }
        };
        out.gauge(
            format!("node_memory_{field}"),
            format!("Memory information field {field}."),
            &[],
            value as f64,
        );
    }
    Ok(())
}

/// A field as part of a metric's name: `Active(anon)` is `Active_anon`.
pub(super) fn clean(name: &str) -> String {
    name.replace('(', "_").replace(')', "")
}
