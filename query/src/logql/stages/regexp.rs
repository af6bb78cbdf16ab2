//! `| regexp "(?P<name>..)"`.

use super::labels::{Category, clean, sanitize};
use super::{Entry, Step, Surroundings};
use crate::logql::parse::ParseError;
use crate::regex::GoRegex;

/// The parser.
pub(super) struct Regexp {
    re: GoRegex,
    /// Number and label of each named group.
    groups: Vec<(usize, String)>,
}

impl Regexp {
    pub(super) fn new(pattern: &str) -> Result<Self, ParseError> {
        let re = GoRegex::new(pattern).map_err(|e| ParseError::new(e.to_string()))?;
        let mut groups: Vec<(usize, String)> = Vec::new();
        for (i, name) in re.group_names() {
            if groups.iter().any(|(_, n)| n == name) {
                return Err(ParseError::new(format!(
                    "duplicate extracted label name '{name}'"
                )));
            }
            groups.push((i, sanitize(name)));
        }
        if groups.is_empty() {
            return Err(ParseError::new(
                "at least one named capture must be supplied",
            ));
        }
        Ok(Self { re, groups })
    }
}

impl Step for Regexp {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        let labels = &mut entry.labels;
        if labels.needs_nothing() {
            return true;
        }
        let Some(found) = self.re.find_submatch(&entry.line) else {
            return true;
        };
        for (i, name) in &self.groups {
            let free = labels.free_name(name);
            if !labels.should_extract(&free) {
                continue;
            }
            labels.set(Category::Parsed, &free, &clean(found.get(*i).unwrap_or("")));
            if labels.all_extracted() {
                break;
            }
        }
        true
    }
}
