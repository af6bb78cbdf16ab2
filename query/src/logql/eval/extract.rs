//! Lines to samples: pipeline, unwrap, and the series a sample belongs to.

use std::borrow::Cow;

use engine::logs::{EntryBatch, Glance, LineTest, WantedLines};
use engine::model::Labels;
use hashbrown::HashMap;

use super::{QueryError, pipeline_error};
use crate::logql::ast::{Grouping, RangeAggregation, RangeOp, Stage};
use crate::logql::stages::unwrap::Unwrapper;
use crate::logql::stages::{
    Category, Entry, Hints, LabelSet, Pipeline, PipelineGlance, Surroundings,
};

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
    glance: Option<PipelineGlance>,
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
        let stages = needed(r);
        let pipeline = Pipeline::compile(&stages)?;
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
        let bytes = matches!(r.op, RangeOp::BytesOverTime | RangeOp::BytesRate);
        let glance = match bytes {
            true => None,
            false => PipelineGlance::new(&stages, &hints)?,
        };
        Ok(Self {
            pipeline,
            unwrap,
            keep,
            hints,
            glance,
            bytes,
        })
    }

    pub(super) fn test(&self) -> Option<LineTest> {
        self.pipeline.test()
    }

    /// What of the lines is looked at, if not everything.
    pub(super) fn glance(&self) -> Option<&dyn Glance> {
        self.glance.as_ref().map(|g| g as &dyn Glance)
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
    key: Vec<u8>,
    pairs: Vec<(String, String)>,
}

impl SeriesTable {
    pub(super) fn new() -> Self {
        Self {
            by_key: HashMap::default(),
            labels: Vec::new(),
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

/// What became of an entry.
#[derive(Clone, Copy)]
enum Fate {
    Dropped,
    /// Its series and value.
    Sample(u32, f64),
}

/// More fates of one stream are not remembered.
const FATES_MAX: usize = 1 << 18;

/// Turns entries into samples. Entries of one stream that share metadata and line share their fate.
pub(super) struct Sampler<'x> {
    extractor: &'x Extractor,
    around: &'x Surroundings,
    /// Fates by line and metadata; valid when the number is that of the stretch.
    fates: Vec<(u64, Fate)>,
    /// Stretches of entries of one stream in one batch.
    stretch: u64,
}

impl<'x> Sampler<'x> {
    pub(super) fn new(extractor: &'x Extractor, around: &'x Surroundings) -> Self {
        Self {
            extractor,
            around,
            fates: Vec::new(),
            stretch: 0,
        }
    }

    /// Hands out series, place and value of each entry of the batch whose time has a place.
    pub(super) fn batch<'l, P: Copy>(
        &mut self,
        batch: &EntryBatch,
        stream_labels: impl Fn(usize) -> &'l Labels,
        table: &mut SeriesTable,
        mut place: impl FnMut(i64) -> Option<P>,
        mut visit: impl FnMut(u32, P, i64, f64) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let x = self.extractor;
        let direct = x.is_direct();
        let sets = batch.metadata_sets.len().max(1);
        let mut entry = Entry::new(x.hints.clone());
        let mut stream = None;
        for i in 0..batch.len() {
            let time = batch.times[i];
            let Some(at) = place(time) else { continue };
            if stream != Some(batch.streams[i]) {
                stream = Some(batch.streams[i]);
                self.stretch += 1;
            }
            let line = if direct {
                Some(0)
            } else {
                batch.shared_line(i)
            };
            let set = batch.metadata.get(i).map_or(0, |s| *s as usize);
            let known = line.map(|l| l as usize * sets + set);
            let known = known.filter(|k| *k < FATES_MAX);
            let fate = match known.and_then(|k| self.fates.get(k)) {
                Some((stretch, fate)) if *stretch == self.stretch => *fate,
                _ => {
                    let labels = stream_labels(batch.streams[i] as usize);
                    let fate = self.fate(batch, i, labels, table, &mut entry)?;
                    if let Some(k) = known {
                        if self.fates.len() <= k {
                            self.fates.resize(k + 1, (0, Fate::Dropped));
                        }
                        self.fates[k] = (self.stretch, fate);
                    }
                    fate
                }
            };
            match fate {
                Fate::Dropped => {}
                Fate::Sample(series, _) if direct && x.bytes => {
                    visit(series, at, time, batch.line_len(i) as f64)?;
                }
                Fate::Sample(series, value) => visit(series, at, time, value)?,
            }
        }
        Ok(())
    }

    /// Runs the pipeline over entry `i`.
    fn fate<'b>(
        &self,
        batch: &'b EntryBatch,
        i: usize,
        labels: &Labels,
        table: &mut SeriesTable,
        entry: &mut Entry<'b>,
    ) -> Result<Fate, QueryError> {
        let x = self.extractor;
        let line = if x.is_direct() {
            &b""[..]
        } else {
            batch.line(i)
        };
        entry.take(batch.times[i], line, labels, batch.metadata(i));
        if !x.pipeline.apply(entry, self.around) {
            return Ok(Fate::Dropped);
        }
        let value = match &x.unwrap {
            Some(u) => match u.value(entry) {
                Some(v) => v,
                None => return Ok(Fate::Dropped),
            },
            None if x.bytes => entry.line_len() as f64,
            None => 1.0,
        };
        let series = table.series_of(&x.keep, &entry.labels);
        if entry.labels.has_error() && !entry.labels.preserves_errors() {
            return Err(pipeline_error(&table.labels[series as usize]));
        }
        Ok(Fate::Sample(series, value))
    }
}
