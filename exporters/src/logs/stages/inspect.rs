//! What each stage does to an entry, for people who write pipelines.

use super::Inspect;
use crate::logs::entry::{Entry, Value};

/// Tells what the stage `name` has made of an entry; `None` when it ended there or waits.
pub(super) fn tell(tell: Inspect, name: &str, before: &Entry, after: Option<&Entry>) {
    let mut out = String::new();
    match after {
        None => out.push_str("\nthe entry was dropped, or waits"),
        Some(after) => {
            let values = |e: &Entry| {
                let each = e.extracted.iter();
                each.map(|(k, v)| (k.clone(), shown(v))).collect::<Vec<_>>()
            };
            let labels = |e: &Entry| {
                let each = e.labels.iter();
                each.map(|(k, v)| (k.clone(), v.clone()))
                    .collect::<Vec<_>>()
            };
            pairs(&mut out, "Extracted", &values(before), &values(after));
            pairs(&mut out, "Entry.Labels", &labels(before), &labels(after));
            pairs(
                &mut out,
                "Entry.Entry.StructuredMetadata",
                &before.metadata,
                &after.metadata,
            );
            let time = |e: &Entry| {
                let at = jiff::Timestamp::from_nanosecond(i128::from(e.time_ns));
                at.map(|t| t.to_string()).unwrap_or_default()
            };
            difference(
                &mut out,
                ".Entry.Entry.Timestamp",
                Some(&time(before)),
                Some(&time(after)),
            );
            difference(
                &mut out,
                ".Entry.Entry.Line",
                Some(&before.line),
                Some(&after.line),
            );
        }
    }
    if out.is_empty() {
        out.push_str("none");
    }
    tell(&format!("[inspect: {name} stage]: {out}\n"));
}

fn shown(v: &Value) -> String {
    v.text()
        .map_or_else(|| "<nil>".to_owned(), |t| t.into_owned())
}

/// Differences of two lists of names and values.
fn pairs(out: &mut String, what: &str, before: &[(String, String)], after: &[(String, String)]) {
    let find = |all: &'_ [(String, String)], name: &str| {
        all.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    };
    let added = after.iter().filter(|(n, _)| find(before, n).is_none());
    for (name, _) in before.iter().chain(added) {
        let (was, is) = (find(before, name), find(after, name));
        let place = format!(".{what}[{name:?}]");
        difference(out, &place, was.as_deref(), is.as_deref());
    }
}

fn difference(out: &mut String, place: &str, was: Option<&str>, is: Option<&str>) {
    if was == is {
        return;
    }
    out.push_str(&format!("\n{{stages.Entry}}{place}:"));
    for (mark, text) in [("-", was), ("+", is)] {
        if let Some(text) = text {
            out.push_str(&format!("\n\t{mark}: {text}"));
        }
    }
}
