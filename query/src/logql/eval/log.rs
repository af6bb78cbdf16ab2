//! Log queries: the newest or oldest lines that pass.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use engine::logs::{Direction, EntryBatch, ScanOptions, WantedLines};
use engine::model::Labels;
use hashbrown::HashMap;

use super::{Control, QueryError};
use crate::logql::ast::LogExpr;
use crate::logql::source::LogSource;
use crate::logql::stages::{Category, Entry, Hints, LabelSet, Pipeline};

/// Least distance between two entries of an answer, ns.
pub type Interval = i64;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct LogQuery {
    /// First time, ns.
    pub start: i64,
    /// Time after the last, ns.
    pub end: i64,
    /// Entries of the answer.
    pub limit: usize,
    /// Newest or oldest.
    pub direction: Direction,
    /// 0 = none.
    pub interval: Interval,
    /// Metadata and parsed labels are told apart from the stream's.
    pub categorize: bool,
}

/// An entry of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct OutEntry {
    /// Its time, ns.
    pub time: i64,
    /// The line.
    pub line: Box<str>,
    /// Structured metadata, when categorized.
    pub metadata: Labels,
    /// Parsed labels, when categorized.
    pub parsed: Labels,
}

/// Entries of equal labels.
#[derive(Debug, Clone, PartialEq)]
pub struct OutStream {
    /// The labels.
    pub labels: Labels,
    /// In the order of the direction.
    pub entries: Vec<OutEntry>,
}

/// The answer to a log query.
pub type LogAnswer = Vec<OutStream>;

/// An entry that may become part of the answer.
struct Candidate {
    /// Smaller is wanted more.
    rank: i64,
    /// Arrival, for equal times.
    seq: u64,
    stream: usize,
    entry: OutEntry,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Candidate {}
impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.rank, self.seq).cmp(&(other.rank, other.seq))
    }
}

/// Gathers the best entries.
struct Gather<'q> {
    query: &'q LogQuery,
    control: &'q Control<'q>,
    pipeline: &'q Pipeline,
    heap: BinaryHeap<Candidate>,
    seq: u64,
    held_bytes: u64,
    streams: Vec<Labels>,
    index: HashMap<Labels, usize, foldhash::fast::RandomState>,
    /// Answer stream of input streams whose labels were not touched.
    plain: HashMap<u32, usize, foldhash::fast::RandomState>,
}

/// Runs a log query.
///
/// # Errors
/// See [`QueryError`].
pub fn run_log(
    source: &dyn LogSource,
    expr: &LogExpr,
    query: &LogQuery,
    control: &Control<'_>,
) -> Result<LogAnswer, QueryError> {
    if query.limit == 0 || query.start >= query.end {
        return Ok(Vec::new());
    }
    let pipeline = Pipeline::compile(&expr.stages)?;
    let set = source.select(&expr.matchers, query.start, query.end)?;
    let options = ScanOptions {
        direction: query.direction,
        test: pipeline.test(),
        want: WantedLines::Bytes,
        glance: None,
        metadata: true,
        threads: super::scan_threads(),
        cancel: Some(control.cancel),
        stats: Some(control.stats),
    };
    let mut gather = Gather {
        query,
        control,
        pipeline: &pipeline,
        heap: BinaryHeap::new(),
        seq: 0,
        held_bytes: 0,
        streams: Vec::new(),
        index: HashMap::default(),
        plain: HashMap::default(),
    };
    let mut failed = None;
    set.scan(
        &options,
        &mut |batch| match gather.batch(batch, &|i| set.labels(i)) {
            Ok(flow) => flow,
            Err(e) => {
                failed = Some(e);
                ControlFlow::Break(())
            }
        },
    )?;
    match failed {
        Some(e) => Err(e),
        None => Ok(gather.finish()),
    }
}

impl Gather<'_> {
    fn rank(&self, time: i64) -> i64 {
        match self.query.direction {
            Direction::Forward => time,
            Direction::Backward => time.saturating_neg(),
        }
    }

    /// With an interval every entry may decide about later ones.
    fn is_full(&self) -> bool {
        self.query.interval == 0 && self.heap.len() >= self.query.limit
    }

    fn worst(&self) -> i64 {
        self.heap.peek().map_or(i64::MAX, |c| c.rank)
    }

    fn batch<'s>(
        &mut self,
        batch: &EntryBatch,
        labels: &dyn Fn(usize) -> &'s Labels,
    ) -> Result<ControlFlow<()>, QueryError> {
        self.control.check()?;
        let mut entry = Entry::new(Hints::default());
        for row in 0..batch.len() {
            let i = match self.query.direction {
                Direction::Forward => row,
                Direction::Backward => batch.len() - 1 - row,
            };
            let time = batch.times[i];
            let rank = self.rank(time);
            if self.is_full() && rank >= self.worst() {
                continue;
            }
            let stream = batch.streams[i];
            let metadata = batch.metadata(i);
            entry.take(time, batch.line(i), labels(stream as usize), metadata);
            if !self.pipeline.apply(&mut entry, &self.control.around) {
                continue;
            }
            let (stream, metadata, parsed) = self.place(stream, &entry.labels);
            self.held_bytes += entry.line.len() as u64;
            let max = self.control.limits.bytes_max;
            if max > 0 && self.held_bytes > max {
                return Err(QueryError::Limit(format!(
                    "the query would hold more than {max} bytes in memory; narrow the selector or \
                     lower the limit (exceeds the limit)"
                )));
            }
            self.seq += 1;
            self.heap.push(Candidate {
                rank,
                seq: self.seq,
                stream,
                entry: OutEntry {
                    time,
                    line: entry.line.as_ref().into(),
                    metadata,
                    parsed,
                },
            });
            if self.query.interval == 0
                && self.heap.len() > self.query.limit
                && let Some(gone) = self.heap.pop()
            {
                self.held_bytes -= gone.entry.line.len() as u64;
            }
        }
        let done = self.is_full() && self.rank(batch.frontier) > self.worst();
        Ok(if done {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    /// The answer's stream for a line, and its categorized labels.
    fn place(&mut self, stream: u32, labels: &LabelSet) -> (usize, Labels, Labels) {
        let plain = labels.is_plain();
        if plain && let Some(i) = self.plain.get(&stream) {
            return (*i, Labels::empty(), Labels::empty());
        }
        let mut lists: [Vec<(String, String)>; 3] = Default::default();
        labels.visit(&mut |n, v, category| {
            let list = match category {
                Category::Metadata if self.query.categorize => 1,
                Category::Parsed if self.query.categorize => 2,
                _ => 0,
            };
            lists[list].push((n.to_owned(), v.to_owned()));
        });
        let [own, metadata, parsed] = lists.map(|mut pairs| {
            pairs.sort_unstable();
            let pairs: Vec<(&str, &str)> = pairs
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            Labels::from_sorted(&pairs)
        });
        let next = self.streams.len();
        let at = *self.index.entry(own.clone()).or_insert(next);
        if at == next {
            self.streams.push(own);
        }
        if plain {
            self.plain.insert(stream, at);
        }
        (at, metadata, parsed)
    }

    fn finish(self) -> LogAnswer {
        let ordered = self.heap.into_sorted_vec();
        let mut out: Vec<OutStream> = self
            .streams
            .into_iter()
            .map(|labels| OutStream {
                labels,
                entries: Vec::new(),
            })
            .collect();
        let mut last: Option<i64> = None;
        let mut taken = 0;
        for c in ordered {
            if self.query.interval > 0
                && last.is_some_and(|l| c.rank < l.saturating_add(self.query.interval))
            {
                continue;
            }
            last = Some(c.rank);
            taken += 1;
            if taken > self.query.limit {
                break;
            }
            out[c.stream].entries.push(c.entry);
        }
        out.retain(|s| !s.entries.is_empty());
        out.sort_by(|a, b| a.labels.cmp(&b.labels));
        out
    }
}
