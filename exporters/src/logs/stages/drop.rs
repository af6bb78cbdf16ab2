//! `drop`: entries end here when all conditions hold.

use std::sync::Arc;

use super::{Build, Now, Simple};
use crate::logs::entry::Entry;
use crate::logs::language::Pattern;
use crate::logs::settings::{Settings, size};

/// What the text must be.
enum Test {
    Expression(Arc<dyn Pattern>),
    Value(String),
}

/// The stage.
pub(super) struct Drop {
    /// All of them have to be there; an empty list holds always.
    sources: Option<Vec<String>>,
    separator: String,
    test: Option<Test>,
    older_than_ns: Option<i64>,
    longer_than: Option<u64>,
    reason: String,
}

impl Drop {
    pub(super) fn new(s: Settings<'_>, b: &Build<'_>) -> Result<Self, String> {
        let s = s.weak();
        let sources = s.texts("source")?;
        let test = match (s.text("expression")?, s.text("value")?) {
            (Some(_), Some(_)) => return Err("value and expression exclude each other".into()),
            (None, Some(_)) if sources.is_none() => return Err("value needs a source".into()),
            (None, Some(v)) => Some(Test::Value(v.into_owned())),
            (Some(e), None) => Some(Test::Expression(b.pattern("expression", &e)?)),
            (None, None) => None,
        };
        let older = s.text("older_than")?;
        let older_than_ns = older.map(|t| b.duration("older_than", &t)).transpose()?;
        let longer = s.text("longer_than")?;
        let longer = longer.map(|t| size(&t).map_err(|e| format!("longer_than: {e}")));
        let longer_than = longer.transpose()?;
        let none = test.is_none() && older_than_ns.is_none() && longer_than.is_none();
        if sources.is_none() && none {
            return Err(
                "at least one of source, expression, older_than, longer_than is required".into(),
            );
        }
        let reason = s.text("drop_counter_reason")?.filter(|r| !r.is_empty());
        Ok(Self {
            sources,
            separator: s.text("separator")?.unwrap_or(";".into()).into_owned(),
            test,
            older_than_ns,
            longer_than,
            reason: reason.unwrap_or("drop_stage".into()).into_owned(),
        })
    }

    fn holds(&self, entry: &Entry, now_ns: i64) -> bool {
        let long = |max: u64| entry.line.len() as u64 > max;
        let old = |ns: i64| now_ns.saturating_sub(entry.time_ns) > ns;
        if !self.longer_than.is_none_or(long) || !self.older_than_ns.is_none_or(old) {
            return false;
        }
        match (&self.test, &self.sources) {
            (None, None) => true,
            (None, Some(all)) => all.iter().all(|s| entry.extracted.contains_key(s)),
            (Some(test), None) => test.holds(&entry.line),
            (Some(test), Some(all)) => {
                let joined = self.joined(all, entry);
                joined.is_some_and(|t| test.holds(&t))
            }
        }
    }

    /// Texts of the sources that exist; none when one of them has no text.
    fn joined(&self, sources: &[String], entry: &Entry) -> Option<String> {
        let mut out = String::new();
        let mut first = true;
        for v in sources.iter().filter_map(|s| entry.extracted.get(s)) {
            if !first {
                out.push_str(&self.separator);
            }
            first = false;
            out.push_str(&v.text()?);
        }
        Some(out)
    }
}

impl Test {
    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Expression(p) => p.is_match(text),
            Self::Value(v) => v == text,
        }
    }
}

impl Simple for Drop {
    fn apply(&mut self, entry: &mut Entry, now: Now<'_>) -> bool {
        let ends = self.holds(entry, now.ns);
        if ends {
            now.numbers.dropped(&self.reason);
        }
        !ends
    }
}
