//! A source in memory: labels to columns, with start timestamps and native histograms. Series that
//! have the same timestamps share them, as a store's would.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use engine::budget::Watch;
use engine::metrics::SelectError;
use engine::model::{Column, FloatHistogram, HistogramSample, Labels, Matcher};
use query::source::{SelectHints, SeriesReader, SeriesSet, Source, stored_hint};

/// A sample to be stored.
#[derive(Debug, Clone)]
pub struct Point {
    pub t: i64,
    pub start_t: i64,
    pub value: PointValue,
}

/// Its value.
#[derive(Debug, Clone)]
pub enum PointValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

#[derive(Debug, Default)]
struct Stored {
    ts: Option<Arc<[i64]>>,
    times: Vec<i64>,
    vals: Vec<f64>,
    starts: Vec<i64>,
    hists: Vec<HistogramSample>,
    last: Option<i64>,
}

/// The source.
#[derive(Debug, Default)]
pub struct MemorySource {
    series: BTreeMap<Labels, Arc<Stored>>,
}

impl MemorySource {
    /// Appends points in time order. A point that is not after the last one is an error, unless it
    /// repeats it.
    pub fn append(&mut self, labels: &Labels, points: &[Point]) -> Result<(), String> {
        let slot = self.series.entry(labels.clone()).or_default();
        let s = Arc::get_mut(slot).ok_or("series is being read")?;
        for p in points {
            if s.last.is_some_and(|l| p.t <= l) {
                let repeated = matches!(&p.value, PointValue::Float(v)
                    if s.times.last() == Some(&p.t) && s.vals.last().map(|x| x.to_bits()) == Some(v.to_bits()));
                if repeated {
                    continue;
                }
                return Err(format!("out of order sample at {} in {labels}", p.t));
            }
            s.last = Some(p.t);
            match &p.value {
                PointValue::Float(v) => {
                    s.times.push(p.t);
                    s.vals.push(*v);
                    s.starts.push(p.start_t);
                }
                PointValue::Histogram(h) => {
                    let after_float = s.times.last() > s.hists.last().map(|h| &h.t);
                    let before = s.hists.last().filter(|_| !after_float).map(|p| &*p.h);
                    let h = FloatHistogram {
                        hint: stored_hint(h, before),
                        ..(**h).clone()
                    };
                    let h = Arc::new(h);
                    s.hists.push(HistogramSample {
                        t: p.t,
                        start_t: p.start_t,
                        h,
                    });
                }
            }
        }
        Ok(())
    }

    /// Shares equal timestamp columns. Call after the last append.
    pub fn seal(&mut self) {
        let mut shared: HashMap<Vec<i64>, Arc<[i64]>> = HashMap::new();
        for slot in self.series.values_mut() {
            if let Some(s) = Arc::get_mut(slot) {
                let ts = shared
                    .entry(s.times.clone())
                    .or_insert_with(|| s.times.as_slice().into());
                s.ts = Some(ts.clone());
            }
        }
    }
}

struct Found {
    series: Vec<(Labels, Arc<Stored>)>,
    /// Visiting order: series with shared timestamps together.
    order: Vec<usize>,
}

impl Source for MemorySource {
    fn select(
        &self,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
        _hints: &SelectHints,
        _watch: &dyn Watch,
    ) -> Result<Box<dyn SeriesSet>, SelectError> {
        let within = |t: i64| t >= min_t && t <= max_t;
        let series: Vec<(Labels, Arc<Stored>)> = self
            .series
            .iter()
            .filter(|(l, s)| {
                Matcher::all_match(matchers, l)
                    && (s.times.iter().any(|t| within(*t)) || s.hists.iter().any(|h| within(h.t)))
            })
            .map(|(l, s)| (l.clone(), s.clone()))
            .collect();
        let mut first: HashMap<*const i64, usize> = HashMap::new();
        let mut keyed: Vec<(usize, usize)> = Vec::new();
        for (i, (_, s)) in series.iter().enumerate() {
            let key = s.ts.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
            keyed.push((*first.entry(key).or_insert(i), i));
        }
        keyed.sort_unstable();
        Ok(Box::new(Found {
            series,
            order: keyed.into_iter().map(|(_, i)| i).collect(),
        }))
    }
}

impl SeriesSet for Found {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.series[i].0.clone()
    }

    fn order(&self) -> Vec<u32> {
        self.order.iter().map(|i| *i as u32).collect()
    }

    fn reader(&self) -> Box<dyn SeriesReader + '_> {
        Box::new(self)
    }
}

impl SeriesReader for &Found {
    fn read(
        &mut self,
        series: &[u32],
        visit: &mut dyn FnMut(usize, Column<'_>) -> ControlFlow<()>,
    ) -> Result<(), SelectError> {
        for i in series.iter().map(|i| *i as usize) {
            let s = &self.series[i].1;
            let fresh;
            let ts = match &s.ts {
                Some(ts) => ts,
                None => {
                    fresh = Arc::from(s.times.as_slice());
                    &fresh
                }
            };
            let column = Column {
                ts,
                values: &s.vals,
                start_ts: &s.starts,
                histograms: &s.hists,
            };
            if visit(i, column).is_break() {
                break;
            }
        }
        Ok(())
    }
}
