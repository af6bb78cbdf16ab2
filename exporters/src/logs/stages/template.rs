//! `template`: a value made by a Go template.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Build, Now, Simple};
use crate::logs::entry::{Entry, Value};
use crate::logs::language::Template;
use crate::logs::settings::Settings;

/// The stage.
pub(super) struct TemplateStage {
    source: String,
    template: Arc<dyn Template>,
}

impl TemplateStage {
    pub(super) fn new(s: Settings<'_>, b: &Build<'_>) -> Result<Self, String> {
        let template = b.outside.language.template(&s.required("template")?);
        Ok(Self {
            source: s.required("source")?.into_owned(),
            template: template.map_err(|e| format!("template: {e}"))?,
        })
    }
}

/// The extracted values that have a text.
pub(super) fn texts_of(entry: &Entry) -> BTreeMap<String, String> {
    let texts = entry.extracted.iter();
    texts
        .filter_map(|(k, v)| Some((k.clone(), v.text()?.into_owned())))
        .collect()
}

impl Simple for TemplateStage {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        let mut data = texts_of(entry);
        if let Some(v) = entry.text(&self.source) {
            data.insert("Value".into(), v.into_owned());
        }
        data.insert("Entry".into(), entry.line.clone());
        match self.template.run(&data) {
            Ok(t) if t.is_empty() => drop(entry.extracted.remove(&self.source)),
            Ok(t) => drop(entry.extracted.insert(self.source.clone(), Value::Text(t))),
            // PST1
            Err(_) => {}
        }
        true
    }
}
