//! `| label_format a=b, c="{{.d}}"`.

use super::functions::{self, LineHost};
use super::labels::Category;
use super::line_format::{TEMPLATE_ERROR, template};
use super::{Entry, Step, Surroundings};
use crate::logql::ast::LabelFormat;
use crate::logql::parse::ParseError;
use crate::template::Template;

enum Term {
    Rename { to: String, from: String },
    Template { to: String, template: Template },
}

/// The stage.
pub(super) struct LabelFormatter(Vec<Term>);

impl LabelFormatter {
    pub(super) fn new(terms: &[LabelFormat]) -> Result<Self, ParseError> {
        let mut out = Vec::with_capacity(terms.len());
        for (i, t) in terms.iter().enumerate() {
            if t.target == super::ERROR {
                return Err(ParseError::new(format!(
                    "{} cannot be formatted",
                    super::ERROR
                )));
            }
            if terms[..i].iter().any(|o| o.target == t.target) {
                return Err(ParseError::new(format!(
                    "multiple label name '{}' not allowed in a single format operation",
                    t.target
                )));
            }
            let to = t.target.clone();
            out.push(if t.rename {
                Term::Rename {
                    to,
                    from: t.source.clone(),
                }
            } else {
                let template = template("label", &t.source).map_err(|e| {
                    ParseError::new(format!("invalid template for label '{to}': {e}"))
                })?;
                Term::Template { to, template }
            });
        }
        Ok(Self(out))
    }
}

impl Step for LabelFormatter {
    fn apply(&self, entry: &mut Entry<'_>, around: &Surroundings) -> bool {
        // Templates of one stage see the labels as the first of them found them.
        let mut data = None;
        for term in &self.0 {
            match term {
                Term::Rename { to, from } => {
                    if let Some(value) = entry.labels.get(from).map(str::to_owned) {
                        entry.labels.set(Category::Parsed, to, &value);
                        if to != from {
                            entry.labels.delete(from);
                        }
                    }
                }
                Term::Template { to, template } => {
                    let data = data.get_or_insert_with(|| functions::data(&entry.labels, None));
                    let mut host = LineHost {
                        time: entry.time,
                        line: &entry.line,
                        around,
                    };
                    let mut out = String::new();
                    let done = template.execute(data, &mut host, functions::BUDGET, &mut out);
                    match done {
                        Ok(()) => entry.labels.set(Category::Parsed, to, &out),
                        Err(e) => entry.labels.fail(TEMPLATE_ERROR, &e.to_string()),
                    }
                }
            }
        }
        true
    }

    fn required(&self) -> Vec<String> {
        let named = self.0.iter().map(|t| match t {
            Term::Rename { from, .. } => vec![from.clone()],
            Term::Template { template, .. } => template.named_fields(),
        });
        named.flatten().collect()
    }
}
