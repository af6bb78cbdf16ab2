//! Pipelines: what happens to a line and its labels between the store and the answer.
//!
//! Owns: every stage (one file each), the labels of a line, template functions of the language.
//! Knows nothing of: stores, steps, aggregation.
//!
//! Invariants
//! - STG1  A stage never fails a query: what cannot be done is said in `__error__`.
//! - STG2  Filters that may run before everything else are handed to the store ([`Pipeline::test`])
//!   and give the same answer there.

mod decolorize;
mod drop_keep;
mod entry_test;
mod functions;
mod glance;
pub(crate) mod ip;
mod json;
mod json_expression;
mod json_scan;
mod label_filter;
mod label_format;
mod labels;
mod level;
mod line_filter;
mod line_format;
mod logfmt;
mod pattern;
mod regexp;
mod required;
mod text_test;
mod unpack;
pub(crate) mod unwrap;

use std::borrow::Cow;

use engine::logs::LineTest;
use engine::model::{Labels, lossy_text};
use jiff::tz::TimeZone;

pub use decolorize::decolorized;
pub use entry_test::EntryTest;
pub use functions::{LineHost, TABLE as FUNCTIONS};
pub(crate) use glance::PipelineGlance;
pub use labels::{Category, sanitize};
pub(crate) use labels::{ERROR, ERROR_DETAILS, Hints, LabelSet};
pub use level::{LineField, fields_of_line, scan_level_fields};

use super::ast::Stage;
use super::parse::ParseError;

/// What templates may know of the outside.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The time of the query, ns.
    pub now: i64,
    /// The zone in which times are printed.
    pub zone: TimeZone,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            now: 0,
            zone: TimeZone::UTC,
        }
    }
}

/// A line on its way.
#[derive(Debug)]
pub(crate) struct Entry<'l> {
    /// Its time, ns.
    pub(crate) time: i64,
    /// The line as it is now; what was not UTF-8 is replaced. Changed by [`Entry::set_line`].
    pub(crate) line: Cow<'l, str>,
    /// Bytes of the line as it was stored, while no stage has changed it.
    stored_len: Option<usize>,
    /// Its labels.
    pub(crate) labels: LabelSet,
}

impl<'l> Entry<'l> {
    pub(crate) fn new(hints: Hints) -> Self {
        Self {
            time: 0,
            line: Cow::Borrowed(""),
            stored_len: None,
            labels: LabelSet::new(hints),
        }
    }

    /// A stage has made another line.
    pub(crate) fn set_line(&mut self, line: String) {
        self.line = Cow::Owned(line);
        self.stored_len = None;
    }

    /// Bytes of the line: of a line that no stage changed, those that were pushed, UTF-8 or not.
    pub(crate) fn line_len(&self) -> usize {
        self.stored_len.unwrap_or(self.line.len())
    }

    /// Takes the next line.
    pub(crate) fn take(
        &mut self,
        time: i64,
        line: &'l [u8],
        stream: &Labels,
        metadata: Option<&Labels>,
    ) {
        self.time = time;
        self.line = lossy_text(line);
        self.stored_len = Some(line.len());
        self.labels.reset(stream, metadata);
    }
}

/// A compiled stage; false drops the line.
pub(crate) trait Step: Send + Sync {
    /// Does its work.
    fn apply(&self, entry: &mut Entry<'_>, around: &Surroundings) -> bool;
    /// Labels it reads.
    fn required(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Compiled stages.
pub(crate) struct Pipeline {
    steps: Vec<Box<dyn Step>>,
    /// Filters that the store applies.
    test: Option<LineTest>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("steps", &self.steps.len())
            .field("test", &self.test)
            .finish()
    }
}

impl Pipeline {
    /// Compiles stages. Line filters before anything that changes the line go to the store.
    ///
    /// # Errors
    /// A pattern or template that is none.
    pub(crate) fn compile(stages: &[Stage]) -> Result<Self, ParseError> {
        let mut steps: Vec<Box<dyn Step>> = Vec::with_capacity(stages.len());
        let mut filters = Vec::new();
        let mut line_changed = false;
        for s in stages {
            match s {
                Stage::Line(op, alternatives) => {
                    let filter = line_filter::LineFilter::new(*op, alternatives)?;
                    if line_changed {
                        steps.push(Box::new(filter));
                    } else {
                        filters.push(filter);
                    }
                }
                Stage::Json(e) if e.is_empty() => steps.push(Box::new(json::Json)),
                Stage::Json(e) => steps.push(Box::new(json_expression::JsonExpressions::new(e)?)),
                Stage::Logfmt {
                    strict,
                    keep_empty,
                    expressions,
                } => steps.push(logfmt::stage(*strict, *keep_empty, expressions)?),
                Stage::Regexp(re) => steps.push(Box::new(regexp::Regexp::new(re)?)),
                Stage::Pattern(p) => steps.push(Box::new(pattern::PatternParser::new(p)?)),
                Stage::Unpack => {
                    line_changed = true;
                    steps.push(Box::new(unpack::Unpack));
                }
                Stage::Decolorize => {
                    line_changed = true;
                    steps.push(Box::new(decolorize::Decolorize));
                }
                Stage::Label(f) => steps.push(Box::new(label_filter::Filter::new(f)?)),
                Stage::LineFormat(t) => {
                    line_changed = true;
                    steps.push(Box::new(line_format::LineFormat::new(t)?));
                }
                Stage::LabelFormat(terms) => {
                    steps.push(Box::new(label_format::LabelFormatter::new(terms)?));
                }
                Stage::Drop(picks) => steps.push(Box::new(drop_keep::Drop(picks.clone()))),
                Stage::Keep(picks) => steps.push(Box::new(drop_keep::Keep(picks.clone()))),
            }
        }
        let test = line_filter::test(filters);
        Ok(Self { steps, test })
    }

    /// The filters that the store applies.
    pub(crate) fn test(&self) -> Option<LineTest> {
        self.test.clone()
    }

    /// Whether there is anything to do after the store.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Labels that stages read.
    pub(crate) fn required(&self) -> Vec<String> {
        self.steps.iter().flat_map(|s| s.required()).collect()
    }

    /// Runs the stages; false when the line is dropped.
    pub(crate) fn apply(&self, entry: &mut Entry<'_>, around: &Surroundings) -> bool {
        self.steps.iter().all(|s| s.apply(entry, around))
    }
}

/// The test on lines that a delete request means: line filters only.
///
/// # Errors
/// When there are other stages.
pub fn deletion_test(stages: &[Stage]) -> Result<Option<LineTest>, ParseError> {
    if stages.iter().any(|s| !matches!(s, Stage::Line(..))) {
        return Err(ParseError::new("only line filters are supported"));
    }
    Ok(Pipeline::compile(stages)?.test())
}

#[cfg(test)]
mod tests;
