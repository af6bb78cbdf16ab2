//! `replace`: groups of matches become what a template makes of them.

use std::sync::Arc;

use super::template::texts_of;
use super::{Build, Now, Simple};
use crate::logs::entry::{Entry, Value};
use crate::logs::language::{Pattern, Template};
use crate::logs::settings::Settings;

/// The stage.
pub(super) struct Replace {
    pattern: Arc<dyn Pattern>,
    source: Option<String>,
    template: Arc<dyn Template>,
}

impl Replace {
    pub(super) fn new(s: Settings<'_>, b: &Build<'_>) -> Result<Self, String> {
        let template = s.text("replace")?.unwrap_or_default();
        let template = b.outside.language.template(&template);
        Ok(Self {
            pattern: b.pattern("expression", &s.required("expression")?)?,
            source: s.source()?,
            template: template.map_err(|e| format!("replace: {e}"))?,
        })
    }
}

impl Simple for Replace {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        let Some(text) = entry.input(self.source.as_deref()) else {
            return true;
        };
        let matches = self.pattern.find_all(&text);
        if matches.is_empty() {
            return true;
        }
        let mut data = texts_of(entry);
        let mut out = String::with_capacity(text.len());
        let mut named = Vec::new();
        let mut done = 0;
        for (n, groups) in matches.iter().enumerate() {
            for (i, range) in groups.iter().enumerate().skip(1) {
                let Some(range) = range else { continue };
                let captured = text.get(range.clone()).unwrap_or("");
                data.insert("Value".into(), captured.to_owned());
                let Ok(new) = self.template.run(&data) else {
                    return true;
                };
                // A group inside one that is replaced already is found, but not put anywhere.
                if range.start >= done {
                    out.push_str(text.get(done..range.start).unwrap_or(""));
                    out.push_str(&new);
                    done = range.end;
                }
                if n == 0
                    && let Some((_, name)) = self.pattern.names().iter().find(|(g, _)| *g == i)
                {
                    named.push((name.clone(), Value::Text(new)));
                }
            }
        }
        out.push_str(text.get(done..).unwrap_or(""));
        match &self.source {
            None => entry.line = out,
            Some(s) => drop(entry.extracted.insert(s.clone(), Value::Text(out))),
        }
        entry.extracted.extend(named);
        true
    }
}
