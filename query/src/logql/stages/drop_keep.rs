//! `| drop a, b="x"` and `| keep a, b=~"y"`.

use super::labels::{ERROR, ERROR_DETAILS};
use super::{Entry, LabelSet, Step, Surroundings};
use crate::logql::ast::LabelPick;

/// Removes what is listed.
pub(super) struct Drop(pub(super) Vec<LabelPick>);

fn picked(pick: &LabelPick, name: &str, labels: &LabelSet) -> bool {
    match pick {
        LabelPick::Name(n) => n == name,
        LabelPick::Match(m) => m.name == name && m.matches(labels.get(name).unwrap_or("")),
    }
}

impl Step for Drop {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        let labels = &mut entry.labels;
        for pick in &self.0 {
            let (name, matcher) = match pick {
                LabelPick::Name(n) => (n.as_str(), None),
                LabelPick::Match(m) => (m.name.as_str(), Some(m)),
            };
            let value = match name {
                ERROR => labels.error(),
                ERROR_DETAILS => labels.details(),
                n => labels.get(n).unwrap_or(""),
            };
            if matcher.is_some_and(|m| !m.matches(value)) {
                continue;
            }
            match name {
                ERROR => labels.clear_error(),
                ERROR_DETAILS => labels.clear_details(),
                n => labels.delete(n),
            }
        }
        true
    }
}

/// Removes what is not listed; errors stay.
pub(super) struct Keep(pub(super) Vec<LabelPick>);

impl Step for Keep {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        let labels = &mut entry.labels;
        for name in labels.names() {
            if !self.0.iter().any(|p| picked(p, &name, labels)) {
                labels.delete(&name);
            }
        }
        true
    }
}
