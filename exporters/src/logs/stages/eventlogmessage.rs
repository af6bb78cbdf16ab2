//! `eventlogmessage`: the `key: value` lines of Windows events.

use super::{Now, Simple, is_label_name};
use crate::logs::entry::{Entry, Value};
use crate::logs::settings::Settings;

/// The stage.
pub(super) struct EventLogMessage {
    source: String,
    drop_invalid: bool,
    overwrite: bool,
}

impl EventLogMessage {
    pub(super) fn new(s: Settings<'_>) -> Result<Self, String> {
        let source = s.source()?.unwrap_or_else(|| "message".to_owned());
        if !is_label_name(&source) {
            return Err(format!("source: {source:?} is not a valid name"));
        }
        Ok(Self {
            source,
            drop_invalid: s.flag("drop_invalid_labels", false)?,
            overwrite: s.flag("overwrite_existing", false)?,
        })
    }
}

/// A name in which everything but letters, digits and `_` has become `_`.
fn sanitised(key: &str) -> String {
    if key.is_empty() {
        return "_".to_owned();
    }
    let each = key.chars().enumerate().map(|(i, c)| match c {
        '0'..='9' if i == 0 => '_',
        c if c.is_ascii_alphanumeric() => c,
        _ => '_',
    });
    each.collect()
}

impl Simple for EventLogMessage {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        let Some(text) = entry.text(&self.source).map(|t| t.into_owned()) else {
            // What is known to be nothing ends the entry, as in the original.
            return !entry.extracted.contains_key(&self.source);
        };
        for line in text.split("\r\n") {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let mut name = sanitised(key);
            if name != key && self.drop_invalid {
                continue;
            }
            if !self.overwrite && entry.extracted.contains_key(&name) {
                name.push_str("_extracted");
            }
            let value = value.trim();
            entry.extracted.insert(name, Value::Text(value.to_owned()));
        }
        true
    }
}
