//! `| json`: every value of an object as a label, nested keys joined by underscores.

use super::json_scan::{Kind, Stop, object, unescape};
use super::labels::{Category, LabelSet, clean, sanitize_into};
use super::{Entry, Step, Surroundings};

/// The error of a line that is no JSON object.
pub(super) const JSON_ERROR: &str = "JSONParserErr";

/// Deepest nesting that is followed; no log line is deeper, and the stack is finite.
const DEPTH_MAX: usize = 128;

/// The stage.
pub(super) struct Json;

impl Step for Json {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        let labels = &mut entry.labels;
        if labels.needs_nothing() {
            return true;
        }
        let mut prefix = String::new();
        if let Err(Stop::Fault(why)) = members(&entry.line, &mut prefix, labels, 0) {
            labels.fail(JSON_ERROR, why);
        }
        true
    }
}

/// Appends a key to the name of the object it is in.
pub(super) fn join(prefix: &mut String, key: &str) {
    if key.trim().is_empty() {
        return;
    }
    let first = prefix.is_empty();
    if !first {
        prefix.push('_');
    }
    sanitize_into(prefix, key, first);
}

fn members(
    text: &str,
    prefix: &mut String,
    labels: &mut LabelSet,
    depth: usize,
) -> Result<(), Stop> {
    object(text, &mut |key, value, kind| {
        let before = prefix.len();
        join(prefix, key);
        let done = match kind {
            Kind::Object if depth < DEPTH_MAX && labels.should_extract_prefix(prefix) => {
                members(value, prefix, labels, depth + 1)
            }
            Kind::Text | Kind::Number | Kind::Bool if !prefix.is_empty() => {
                set(prefix, value, kind, labels)
            }
            _ => Ok(()),
        };
        prefix.truncate(before);
        done
    })
}

fn set(name: &str, value: &str, kind: Kind, labels: &mut LabelSet) -> Result<(), Stop> {
    let free = labels.free_name(name);
    if !labels.should_extract(&free) {
        return Ok(());
    }
    if kind == Kind::Text && value.contains('\\') {
        let text = unescape(value).unwrap_or_default();
        labels.set(Category::Parsed, &free, &clean(&text));
    } else {
        labels.set(Category::Parsed, &free, &clean(value));
    }
    if labels.all_extracted() {
        return Err(Stop::Enough);
    }
    Ok(())
}
