//! label_replace and label_join.

use engine::model::{Labels, METRIC_NAME};

use super::context::{Context, merge_same_labels};
use super::plan::CallNode;
use super::series::{Grid, Series};
use super::{EResult, QueryError};
use crate::regex::GoRegex;
use crate::text::quote::is_label_name;

impl Context<'_> {
    pub(super) fn label_replace(&self, c: &CallNode, grid: &Grid) -> EResult<Vec<Series>> {
        let (dst, template) = (self.string_arg(c, 1)?, self.string_arg(c, 2)?);
        let (src, pattern) = (self.string_arg(c, 3)?, self.string_arg(c, 4)?);
        let fail = |text: String| Err(QueryError::Execution(text));
        let Ok(re) = GoRegex::anchored(pattern) else {
            return fail(format!(
                "invalid regular expression in label_replace(): {pattern}"
            ));
        };
        if !is_label_name(dst) {
            return fail(format!(
                "invalid destination label name in label_replace(): {dst}"
            ));
        }
        let mut series = self.vector(self.arg(c, 0)?, grid)?;
        let mut value = String::new();
        for s in &mut series {
            self.check()?;
            let source = s.labels.get(src).unwrap_or("");
            let Some(captures) = re.find_submatch(source) else {
                continue;
            };
            value.clear();
            re.expand(template, &captures, &mut value);
            check_length(&value)?;
            self.charge_label(value.len())?;
            let labels = s.labels.with(dst, &value);
            set_label(s, dst, labels);
        }
        merge_same_labels(series)
    }

    pub(super) fn label_join(&self, c: &CallNode, grid: &Grid) -> EResult<Vec<Series>> {
        let (dst, separator) = (self.string_arg(c, 1)?, self.string_arg(c, 2)?);
        let sources = (3..c.args.len())
            .map(|i| self.string_arg(c, i))
            .collect::<EResult<Vec<_>>>()?;
        if sources.iter().any(|s| !is_label_name(s)) {
            return Err(QueryError::Execution(
                "invalid source label name in label_join(): ".to_owned(),
            ));
        }
        if !is_label_name(dst) {
            return Err(QueryError::Execution(
                "invalid destination label name in label_join(): ".to_owned(),
            ));
        }
        let mut series = self.vector(self.arg(c, 0)?, grid)?;
        for s in &mut series {
            self.check()?;
            let values: Vec<&str> = sources
                .iter()
                .map(|n| s.labels.get(n).unwrap_or(""))
                .collect();
            let value = values.join(separator);
            check_length(&value)?;
            self.charge_label(value.len())?;
            let labels = s.labels.with(dst, &value);
            set_label(s, dst, labels);
        }
        merge_same_labels(series)
    }
}

/// Longest label value a query may make. A template can name a group thousands of times.
const LABEL_VALUE_BYTES_MAX: usize = 1 << 20;

fn check_length(value: &str) -> EResult<()> {
    if value.len() > LABEL_VALUE_BYTES_MAX {
        let text = format!("label value is longer than {LABEL_VALUE_BYTES_MAX} bytes");
        return Err(QueryError::Execution(text));
    }
    Ok(())
}

/// A name that was just given is not to be dropped.
fn set_label(s: &mut Series, dst: &str, labels: Labels) {
    s.labels = labels;
    if dst == METRIC_NAME {
        s.drop_name = false;
    }
}
