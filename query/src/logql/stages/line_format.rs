//! `| line_format "{{.a}}"`.

use super::functions::{self, LineHost};
use super::{Entry, Step, Surroundings};
use crate::logql::parse::ParseError;
use crate::template::{MissingKey, Template};

/// The error of a template that fails.
pub(super) const TEMPLATE_ERROR: &str = "TemplateFormatErr";

/// The stage.
pub(super) struct LineFormat {
    template: Template,
    single: Option<String>,
    fields: Option<Vec<String>>,
}

/// A template over a line's labels.
pub(super) fn template(name: &str, text: &str) -> Result<Template, crate::template::TemplateError> {
    let mut t = Template::parse(name, text, &[functions::TABLE])?;
    t.missing = MissingKey::Zero;
    Ok(t)
}

impl LineFormat {
    pub(super) fn new(text: &str) -> Result<Self, ParseError> {
        let template = template("line", text)
            .map_err(|e| ParseError::new(format!("invalid line template: {e}")))?;
        Ok(Self {
            single: template.single_field().map(str::to_owned),
            fields: template.fields(),
            template,
        })
    }
}

impl Step for LineFormat {
    fn apply(&self, entry: &mut Entry<'_>, around: &Surroundings) -> bool {
        if let Some(name) = &self.single
            && name != super::ERROR
            && name != super::ERROR_DETAILS
        {
            let line = entry.labels.get(name).unwrap_or("").to_owned();
            entry.set_line(line);
            return true;
        }
        let data = functions::data(&entry.labels, self.fields.as_deref());
        let mut host = LineHost {
            time: entry.time,
            line: &entry.line,
            around,
        };
        let mut out = String::with_capacity(entry.line.len());
        let done = self
            .template
            .execute(&data, &mut host, functions::BUDGET, &mut out);
        match done {
            Ok(()) => entry.set_line(out),
            Err(e) => entry.labels.fail(TEMPLATE_ERROR, &e.to_string()),
        }
        true
    }

    fn required(&self) -> Vec<String> {
        self.template.named_fields()
    }
}
