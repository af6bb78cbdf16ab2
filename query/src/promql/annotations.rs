//! Warnings and infos of an evaluation, each with the place in the query it is about.
//!
//! Equal texts are kept once; two of them carry details that grow with repetition.

use std::collections::BTreeMap;

use super::ast::Span;
use crate::text::float;
use crate::text::quote::quote;

/// How serious an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The result may be wrong.
    Warning,
    /// Worth knowing.
    Info,
}

#[derive(Debug, Clone, PartialEq)]
enum Detail {
    None,
    /// Classic histogram buckets that were lifted.
    Monotonicity {
        min_t: i64,
        max_t: i64,
        min_bucket: f64,
        max_bucket: f64,
        max_diff: f64,
        count: u64,
    },
    /// Number of repetitions.
    Count(u64),
}

/// One warning or info.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Severity.
    pub level: Level,
    /// What it is about.
    pub span: Span,
    text: String,
    detail: Detail,
}

impl Annotation {
    /// A warning; `text` without the prefix.
    pub(crate) fn warning(span: Span, text: impl std::fmt::Display) -> Self {
        let text = format!("PromQL warning: {text}");
        Self {
            level: Level::Warning,
            span,
            text,
            detail: Detail::None,
        }
    }

    /// An info; `text` without the prefix.
    pub(crate) fn info(span: Span, text: impl std::fmt::Display) -> Self {
        let text = format!("PromQL info: {text}");
        Self {
            level: Level::Info,
            span,
            text,
            detail: Detail::None,
        }
    }

    /// The text as the API gives it, ending in ` (line:column)` within `query`.
    #[must_use]
    pub fn render(&self, query: &str) -> String {
        let at = self.span.position_in(query);
        match &self.detail {
            Detail::Monotonicity {
                min_t,
                max_t,
                min_bucket,
                max_bucket,
                max_diff,
                count,
            } => format!(
                "{}, from buckets {} to {}, with a max diff of {}, over {count} samples from {} to {} ({at})",
                self.text,
                float::general(*min_bucket),
                float::general(*max_bucket),
                float::general_rounded(*max_diff, 2),
                rfc3339(*min_t),
                rfc3339(*max_t),
            ),
            Detail::Count(n) if *n > 1 => format!("{} ({n} occurrences) ({at})", self.text),
            _ => format!("{} ({at})", self.text),
        }
    }
}

/// Whole seconds in UTC.
fn rfc3339(t_ms: i64) -> String {
    jiff::Timestamp::from_second(t_ms / 1000)
        .map_or_else(|_| format!("{}", t_ms / 1000), |t| t.to_string())
}

/// The annotations of a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Annotations {
    by_text: BTreeMap<String, Annotation>,
}

impl Annotations {
    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_text.is_empty()
    }

    /// All of them, ordered by text.
    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.by_text.values()
    }

    /// Texts of the warnings and of the infos; of more than `max` of a kind (0: no limit) the rest
    /// is summed up in one line.
    #[must_use]
    pub fn render(&self, query: &str, max: usize) -> (Vec<String>, Vec<String>) {
        let texts = |level: Level, word: &str| {
            let all: Vec<&Annotation> = self.iter().filter(|a| a.level == level).collect();
            let keep = if max == 0 {
                all.len()
            } else {
                all.len().min(max)
            };
            let mut out: Vec<String> = all[..keep].iter().map(|a| a.render(query)).collect();
            if keep < all.len() {
                out.push(format!(
                    "{} more {word} annotations omitted",
                    all.len() - keep
                ));
            }
            out
        };
        (texts(Level::Warning, "warning"), texts(Level::Info, "info"))
    }

    pub(crate) fn add(&mut self, mut new: Annotation) {
        if let Some(old) = self.by_text.get_mut(&new.text) {
            match (&mut new.detail, &old.detail) {
                (
                    Detail::Monotonicity {
                        min_t,
                        max_t,
                        min_bucket,
                        max_bucket,
                        max_diff,
                        count,
                    },
                    Detail::Monotonicity {
                        min_t: a,
                        max_t: b,
                        min_bucket: c,
                        max_bucket: d,
                        max_diff: e,
                        count: n,
                    },
                ) => {
                    *min_t = (*min_t).min(*a);
                    *max_t = (*max_t).max(*b);
                    *min_bucket = min_bucket.min(*c);
                    *max_bucket = max_bucket.max(*d);
                    *max_diff = max_diff.max(*e);
                    *count += n;
                }
                (Detail::Count(n), Detail::Count(m)) => *n += m,
                _ => {}
            }
            *old = new;
            return;
        }
        self.by_text.insert(new.text.clone(), new);
    }

    /// Adds all of `other`, which were noted after ours.
    pub(crate) fn absorb(&mut self, other: Self) {
        for a in other.by_text.into_values() {
            self.add(a);
        }
    }

    pub(crate) fn warn(&mut self, span: Span, text: impl std::fmt::Display) {
        self.add(Annotation::warning(span, text));
    }

    pub(crate) fn info(&mut self, span: Span, text: impl std::fmt::Display) {
        self.add(Annotation::info(span, text));
    }

    pub(crate) fn mixed_floats_histograms(&mut self, metric: &str, span: Span) {
        let name = quote(metric);
        self.warn(
            span,
            format_args!("encountered a mix of histograms and floats for metric name {name}"),
        );
    }

    pub(crate) fn mixed_schemas(&mut self, metric: &str, span: Span) {
        let name = quote(metric);
        self.warn(
            span,
            format_args!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {name}"
            ),
        );
    }

    pub(crate) fn not_counter(&mut self, metric: &str, span: Span) {
        self.warn(
            span,
            format_args!(
                "this native histogram metric is not a counter: {}",
                quote(metric)
            ),
        );
    }

    pub(crate) fn not_gauge(&mut self, metric: &str, span: Span) {
        self.warn(
            span,
            format_args!(
                "this native histogram metric is not a gauge: {}",
                quote(metric)
            ),
        );
    }

    /// `operation` is `addition`, `subtraction` or `aggregation`.
    pub(crate) fn bounds_reconciled(&mut self, operation: &str, span: Span) {
        self.info(
            span,
            format_args!("mismatched custom buckets were reconciled during {operation}"),
        );
    }

    pub(crate) fn reset_collision(&mut self, operation: &str, span: Span) {
        self.warn(
            span,
            format_args!("conflicting counter resets during histogram {operation}"),
        );
    }

    pub(crate) fn histograms_in_mixed_range(&mut self, metric: &str, span: Span) {
        let name = quote(metric);
        self.info(
            span,
            format_args!(
                "ignored histograms in a range containing both floats and histograms for metric name {name}"
            ),
        );
    }

    pub(crate) fn histogram_ignored(&mut self, aggregation: &str, span: Span) {
        self.info(
            span,
            format_args!("ignored histogram in {aggregation} aggregation"),
        );
    }

    pub(crate) fn invalid_quantile(&mut self, q: f64, span: Span) {
        let q = float::general(q);
        self.warn(
            span,
            format_args!("quantile value should be between 0 and 1, got {q}"),
        );
    }

    pub(crate) fn start_time_overlap(&mut self, metric: &str, span: Span) {
        let name = quote(metric);
        let mut a = Annotation::warning(
            span,
            format_args!(
                "sample has start time that overlaps with previous sample timestamp for metric {name}"
            ),
        );
        a.detail = Detail::Count(1);
        self.add(a);
    }

    /// `metric` may be empty.
    pub(crate) fn forced_monotonicity(
        &mut self,
        metric: &str,
        span: Span,
        t: i64,
        f: super::histogram::ForcedMonotonicity,
    ) {
        let mut a = Annotation::info(
            span,
            format_args!(
                "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
                for_metric(metric)
            ),
        );
        a.detail = Detail::Monotonicity {
            min_t: t,
            max_t: t,
            min_bucket: f.min_bucket,
            max_bucket: f.max_bucket,
            max_diff: f.max_diff,
            count: 1,
        };
        self.add(a);
    }
}

/// ` for metric name "m"`, or nothing when the name is not known.
pub(crate) fn for_metric(metric: &str) -> String {
    if metric.is_empty() {
        String::new()
    } else {
        format!(" for metric name {}", quote(metric))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_kept_once_and_long_lists_are_cut() {
        let mut a = Annotations::default();
        let span = Span { start: 4, end: 5 };
        for i in 0..12 {
            a.warn(span, format_args!("w{:02}", i % 11));
            a.info(span, "same");
        }
        let (warnings, infos) = a.render("a +\nb", 10);
        assert_eq!(infos, ["PromQL info: same (2:1)"]);
        assert_eq!(warnings.len(), 11);
        assert_eq!(warnings[0], "PromQL warning: w00 (2:1)");
        assert_eq!(warnings[10], "1 more warning annotations omitted");
    }

    #[test]
    fn details_grow_with_repetition() {
        use super::super::histogram::ForcedMonotonicity;
        let mut a = Annotations::default();
        for (t, diff) in [(60_000, 1.0), (0, 12.34)] {
            let f = ForcedMonotonicity {
                min_bucket: 0.5,
                max_bucket: 2.0,
                max_diff: diff,
            };
            a.forced_monotonicity("m", Span::default(), t, f);
            a.start_time_overlap("m", Span::default());
        }
        let (warnings, infos) = a.render("x", 0);
        assert!(infos[0].ends_with(
            "for metric name \"m\", from buckets 0.5 to 2, with a max diff of 12, over 2 samples from 1970-01-01T00:00:00Z to 1970-01-01T00:01:00Z (1:1)"
        ), "{infos:?}");
        assert!(
            warnings[0].ends_with("for metric \"m\" (2 occurrences) (1:1)"),
            "{warnings:?}"
        );
    }
}
