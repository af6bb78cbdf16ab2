//! Lines to samples: pipeline, unwrap, and the series a sample belongs to.

use std::borrow::Cow;

use engine::logs::{EntryBatch, LineTest, WantedLines};
use engine::model::Labels;
use hashbrown::HashMap;

use super::{QueryError, pipeline_error};
use crate::logql::ast::{Grouping, RangeAggregation, RangeOp, Stage};
use crate::logql::stages::unwrap::Unwrapper;
use crate::logql::stages::{Category, Entry, Hints, LabelSet, Pipeline, Surroundings};

/// Which labels a sample's series has.
enum Keep {
    /// All, without these.
    Without(Vec<String>),
    /// Only these.
    By(Vec<String>),
    /// None.
    Nothing,
}

/// What one range aggregation needs of each entry.
pub(super) struct Extractor {
    pipeline: Pipeline,
    unwrap: Option<Unwrapper>,
    keep: Keep,
    hints: Hints,
    bytes: bool,
}

/// `line_format` stages that nothing later reads are left out, as in the original.
fn needed(r: &RangeAggregation) -> Cow<'_, [Stage]> {
    let stages = &r.log.stages;
    let counts_bytes = matches!(r.op, RangeOp::BytesOverTime | RangeOp::BytesRate);
    let last_reader = stages.iter().rposition(Stage::reads_line).unwrap_or(0);
    let useless = |i: usize, s: &Stage| {
        matches!(s, Stage::LineFormat(_)) && i >= last_reader && !counts_bytes
    };
    if !stages.iter().enumerate().any(|(i, s)| useless(i, s)) {
        return Cow::Borrowed(stages);
    }
    let kept = stages
        .iter()
        .enumerate()
        .filter(|(i, s)| !useless(*i, s))
        .map(|(_, s)| s.clone());
    Cow::Owned(kept.collect())
}

impl Extractor {
    /// `outer`: grouping of the aggregation around, when it may be pushed in.
    pub(super) fn new(
        r: &RangeAggregation,
        outer: Option<&Option<Grouping>>,
    ) -> Result<Self, QueryError> {
        let pipeline = Pipeline::compile(&needed(r))?;
        let unwrap = r.unwrap.as_ref().map(Unwrapper::new).transpose()?;
        let everything = Grouping {
            labels: Vec::new(),
            without: true,
        };
        let nothing = Grouping {
            labels: Vec::new(),
            without: false,
        };
        let grouping = match (&r.grouping, outer) {
            _ if r.op == RangeOp::AbsentOverTime => &nothing,
            (Some(g), _) => g,
            (None, Some(Some(g))) => g,
            (None, Some(None)) => &nothing,
            (None, None) => &everything,
        };
        let unlabelled = !grouping.without && grouping.labels.is_empty();
        let mut required = pipeline.required();
        let mut groups = grouping.labels.clone();
        let mut without = grouping.without;
        if let Some(u) = &unwrap {
            required.extend(u.required());
            required.push(u.label().to_owned());
            if groups.is_empty() || without {
                without = true;
                groups.push(u.label().to_owned());
            }
        }
        let hints = Hints::new(required, &groups, without, unlabelled);
        let keep = if unlabelled {
            Keep::Nothing
        } else if without {
            Keep::Without(groups)
        } else {
            Keep::By(groups)
        };
        Ok(Self {
            pipeline,
            unwrap,
            keep,
            hints,
            bytes: matches!(r.op, RangeOp::BytesOverTime | RangeOp::BytesRate),
        })
    }

    pub(super) fn test(&self) -> Option<LineTest> {
        self.pipeline.test()
    }

    fn is_direct(&self) -> bool {
        self.pipeline.is_empty() && self.unwrap.is_none()
    }

    /// How much of each line is needed.
    pub(super) fn wanted(&self) -> WantedLines {
        match (self.is_direct(), self.bytes) {
            (true, false) => WantedLines::Nothing,
            (true, true) => WantedLines::Lengths,
            _ => WantedLines::Bytes,
        }
    }

    /// Whether structured metadata is needed.
    pub(super) fn metadata(&self) -> bool {
        !(self.is_direct() && matches!(self.keep, Keep::Nothing))
    }
}

/// The samples' series, numbered as they are met.
pub(super) struct SeriesTable {
    by_key: HashMap<Vec<u8>, u32, foldhash::fast::RandomState>,
    pub(super) labels: Vec<Labels>,
    /// Series of streams whose labels were not touched.
    plain: Vec<Option<u32>>,
    key: Vec<u8>,
    pairs: Vec<(String, String)>,
}

impl SeriesTable {
    pub(super) fn new() -> Self {
        Self {
            by_key: HashMap::default(),
            labels: Vec::new(),
            plain: Vec::new(),
            key: Vec::new(),
            pairs: Vec::new(),
        }
    }

    fn find(&mut self) -> u32 {
        self.pairs.sort_unstable();
        self.key.clear();
        for (n, v) in &self.pairs {
            for s in [n, v] {
                let len = u32::try_from(s.len()).unwrap_or(u32::MAX);
                self.key.extend_from_slice(&len.to_le_bytes());
                self.key.extend_from_slice(s.as_bytes());
            }
        }
        if let Some(i) = self.by_key.get(&self.key) {
            return *i;
        }
        let i = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
        let pairs: Vec<(&str, &str)> = self
            .pairs
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        self.labels.push(Labels::from_sorted(&pairs));
        self.by_key.insert(self.key.clone(), i);
        i
    }

    fn series_of(&mut self, keep: &Keep, labels: &LabelSet) -> u32 {
        self.pairs.clear();
        let all = labels.has_error();
        labels.visit(&mut |n, v, _: Category| {
            let wanted = all
                || match keep {
                    Keep::Nothing => false,
                    Keep::By(g) => g.iter().any(|x| x == n),
                    Keep::Without(g) => !g.iter().any(|x| x == n),
                };
            if wanted {
                self.pairs.push((n.to_owned(), v.to_owned()));
            }
        });
        self.find()
    }
}

/// Turns entries into samples; one for each scan.
pub(super) struct Sampler<'x> {
    extractor: &'x Extractor,
    around: &'x Surroundings,
}

impl<'x> Sampler<'x> {
    pub(super) fn new(extractor: &'x Extractor, around: &'x Surroundings) -> Self {
        Self { extractor, around }
    }

    /// Hands out series and value of each entry of the batch for which `wanted` holds.
    pub(super) fn batch<'b>(
        &mut self,
        batch: &'b EntryBatch,
        stream_labels: &dyn Fn(usize) -> Labels,
        table: &mut SeriesTable,
        entry: &mut Entry<'b>,
        wanted: &dyn Fn(i64) -> bool,
        visit: &mut dyn FnMut(u32, i64, f64) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let x = self.extractor;
        let direct = x.is_direct();
        let mut current: Option<(u32, Labels)> = None;
        for i in 0..batch.len() {
            let time = batch.times[i];
            if !wanted(time) {
                continue;
            }
            let stream = batch.streams[i];
            let metadata = batch.metadata(i);
            if direct
                && metadata.is_none()
                && let Some(Some(series)) = table.plain.get(stream as usize)
            {
                let v = if x.bytes {
                    batch.line_len(i) as f64
                } else {
                    1.0
                };
                visit(*series, time, v)?;
                continue;
            }
            if current.as_ref().is_none_or(|(s, _)| *s != stream) {
                current = Some((stream, stream_labels(stream as usize)));
            }
            let Some((_, labels)) = &current else {
                continue;
            };
            let line = if direct { &b""[..] } else { batch.line(i) };
            entry.take(time, line, labels, metadata);
            if !x.pipeline.apply(entry, self.around) {
                continue;
            }
            let value = match &x.unwrap {
                Some(u) => match u.value(entry) {
                    Some(v) => v,
                    None => continue,
                },
                None if !x.bytes => 1.0,
                None if direct => batch.line_len(i) as f64,
                None => entry.line_len() as f64,
            };
            let series = table.series_of(&x.keep, &entry.labels);
            if entry.labels.has_error() && !entry.labels.preserves_errors() {
                return Err(pipeline_error(&table.labels[series as usize]));
            }
            if direct && metadata.is_none() {
                let at = stream as usize;
                if table.plain.len() <= at {
                    table.plain.resize(at + 1, None);
                }
                table.plain[at] = Some(series);
            }
            visit(series, time, value)?;
        }
        Ok(())
    }

    /// An entry to work on.
    pub(super) fn entry<'b>(&self) -> Entry<'b> {
        Entry::new(self.extractor.hints.clone())
    }
}
