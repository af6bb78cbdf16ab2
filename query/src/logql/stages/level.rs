//! Looking into lines without a query: their level and their fields, by the readers that `json` and
//! `logfmt` use.

use engine::model::Labels;

use super::json_scan::{Kind, Stop, object, unescape};
use super::labels::{Hints, LabelSet, sanitize, sanitize_into};
use super::logfmt::{Pair, Pairs};

/// Objects within objects that are looked into.
const DEPTH_MAX: usize = 2;

/// The value that a line gives for one of `names`: in JSON the first text under such a key, exactly
/// as written; in logfmt the one whose name stands earliest in the list, in any case.
#[must_use]
pub fn scan_level_fields(line: &str, names: &[String], json: bool) -> Option<String> {
    if json {
        let mut found = None;
        fields(line, names, 1, &mut found);
        return found;
    }
    let mut best: Option<(usize, String)> = None;
    for pair in Pairs::new(line) {
        let Pair::Good(key, value) = pair else {
            continue;
        };
        let Some(rank) = names.iter().position(|n| n.eq_ignore_ascii_case(key)) else {
            continue;
        };
        if best.as_ref().is_none_or(|b| rank < b.0) {
            best = Some((rank, value.to_string()));
        }
        if rank == 0 {
            break;
        }
    }
    best.map(|b| b.1)
}

fn fields(text: &str, names: &[String], depth: usize, found: &mut Option<String>) {
    object(text, &mut |key, value, kind| {
        match kind {
            Kind::Text if names.iter().any(|n| n == key) => {
                *found = Some(unescape(value).unwrap_or_default());
            }
            Kind::Object if depth < DEPTH_MAX => fields(value, names, depth + 1, found),
            _ => {}
        }
        if found.is_some() {
            return Err(Stop::Enough);
        }
        Ok(())
    })
    // What stands before a fault counts.
    .unwrap_or_default();
}

/// A field found in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineField {
    /// Name of the label it becomes.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Keys that lead to it in JSON, as written.
    pub path: Vec<String>,
}

/// Fields of a line by the parser that fits: `json`, else `logfmt`. `None` when neither finds any.
#[must_use]
pub fn fields_of_line(
    line: &str,
    stream: &Labels,
    metadata: &Labels,
) -> Option<(&'static str, Vec<LineField>)> {
    let mut labels = LabelSet::new(Hints::default());
    labels.reset(stream, Some(metadata));
    let mut found = Vec::new();
    let read = json_fields(
        line,
        &mut Vec::new(),
        &mut String::new(),
        &labels,
        &mut found,
    );
    if read && !found.is_empty() {
        return Some(("json", found));
    }
    found.clear();
    for pair in Pairs::new(line) {
        if let Pair::Good(key, value) = pair
            && !value.is_empty()
        {
            push_field(&labels, &sanitize(key), &value, Vec::new(), &mut found);
        }
    }
    (!found.is_empty()).then_some(("logfmt", found))
}

fn push_field(
    labels: &LabelSet,
    name: &str,
    value: &str,
    path: Vec<String>,
    out: &mut Vec<LineField>,
) {
    let name = labels.free_name(name).into_owned();
    if !name.is_empty() && !out.iter().any(|f| f.name == name) {
        out.push(LineField {
            name,
            value: value.to_owned(),
            path,
        });
    }
}

/// False when the text is no object.
fn json_fields(
    text: &str,
    path: &mut Vec<String>,
    prefix: &mut String,
    labels: &LabelSet,
    out: &mut Vec<LineField>,
) -> bool {
    let read = object(text, &mut |key, value, kind| {
        let before = prefix.len();
        if before > 0 {
            prefix.push('_');
        }
        sanitize_into(prefix, key, before == 0);
        path.push(key.to_owned());
        match kind {
            Kind::Object if path.len() < 64 => {
                json_fields(value, path, prefix, labels, out);
            }
            Kind::Text => {
                let text = unescape(value).unwrap_or_default();
                push_field(labels, prefix, &text, path.clone(), out);
            }
            Kind::Number | Kind::Bool => push_field(labels, prefix, value, path.clone(), out),
            _ => {}
        }
        path.pop();
        prefix.truncate(before);
        Ok(())
    });
    read.is_ok()
}
