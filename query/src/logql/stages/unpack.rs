//! `| unpack`: what a sender packed into one JSON object becomes line and labels again.

use super::json::JSON_ERROR;
use super::json_scan::{Kind, Stop, object, unescape};
use super::labels::{Category, clean};
use super::{Entry, Step, Surroundings};

/// The key of the line.
const LINE_KEY: &str = "_entry";

/// The stage.
pub(super) struct Unpack;

impl Step for Unpack {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        let labels = &mut entry.labels;
        if entry.line.is_empty() || labels.needs_nothing() {
            return true;
        }
        if !entry.line.starts_with('{') {
            labels.fail(JSON_ERROR, "expecting json object(6), but it is not");
            return true;
        }
        let mut line = None;
        let mut found: Vec<(String, String)> = Vec::new();
        let walked = object(&entry.line, &mut |key, value, kind| {
            if kind != Kind::Text {
                return Ok(());
            }
            let text = unescape(value).unwrap_or_default();
            if key == LINE_KEY {
                line = Some(text);
                return Ok(());
            }
            let free = labels.free_name(key);
            if labels.should_extract(&free) {
                found.push((free.into_owned(), clean(&text).into_owned()));
            }
            Ok(())
        });
        if let Err(Stop::Fault(why)) = walked {
            labels.fail(JSON_ERROR, why);
            return true;
        }
        if let Some(line) = line {
            for (name, value) in &found {
                labels.set(Category::Parsed, name, value);
            }
            entry.set_line(line);
        }
        true
    }
}
