//! The head: one tenant's recent samples, in memory, backed by the log.
//!
//! Owns: series of the recent past, groups of rows, out-of-order samples, histograms, exemplars,
//! Prometheus' acceptance rules, the head's log records and checkpoint.
//! Knows nothing of: blocks (it is told from when on it is responsible), files.
//!
//! Invariants
//! - H1  One writer at a time (`writer`); readers never wait for a whole append, only for single
//!   rows (`Group`).
//! - H2  What was logged and what is applied agree: a batch is checked first, then logged, then
//!   applied; nothing is applied that the log refused.
//! - H3  Applying a record twice changes nothing.
//! - H4  Locks are taken in the order `writer`, `index`, a group, `side`.
//!
//! Read next: `append.rs` (check, log), `accept.rs` (rules), `apply.rs`, `group.rs`, `read.rs`.

mod accept;
mod append;
mod apply;
mod checkpoint;
mod group;
mod read;
mod record;
mod replay;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};

pub(super) use accept::Limits;
use group::{Group, Scratch};
pub(super) use read::{HeadSeries, ReadCache};
pub(super) use record::KIND_DELETE;

use crate::index::LabelTable;
use crate::model::{Exemplar, Histogram, MetricMetadata, SeriesKey};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A histogram sample in the head.
#[derive(Debug, Clone)]
pub(super) struct HistPoint {
    pub(super) t: i64,
    pub(super) start_t: i64,
    pub(super) h: Arc<Histogram>,
}

/// Series table of the head.
#[derive(Default)]
pub(super) struct Index {
    pub(super) table: LabelTable,
    /// Group and slot of each series.
    loc: Vec<(u32, u16)>,
    groups: Vec<Arc<Mutex<Group>>>,
    /// Earlier places of series that changed groups.
    moved: Map<u32, Vec<(u32, u16)>>,
}

/// What does not fit into rows, by series.
#[derive(Default)]
struct Side {
    /// Out-of-order samples, sorted by time.
    sparse: Map<u32, Vec<(i64, f64)>>,
    histograms: Map<u32, Vec<HistPoint>>,
    /// The same, while they are being written to a block.
    sparse_cut: Map<u32, Vec<(i64, f64)>>,
    histograms_cut: Map<u32, Vec<HistPoint>>,
    /// Start timestamps: from which sample time on.
    starts: Map<u32, Vec<(i64, i64)>>,
    /// Deleted ranges, inclusive.
    tombstones: Map<u32, Vec<(i64, i64)>>,
    exemplars: VecDeque<(u32, Exemplar)>,
    metadata: BTreeMap<String, MetricMetadata>,
    /// Log position up to which side records are applied.
    applied: u64,
}

struct Alias {
    key: [u32; 4],
    sid: u32,
}

/// State of the one writer.
#[derive(Default)]
struct Writer {
    alias: HashTable<Alias>,
    next_sid: u32,
    /// Definitions that are not in the log yet.
    pairs_out: Vec<u8>,
    series_out: Vec<u8>,
    /// Samples in time order that found their row sealed, by series: too many move the series.
    strays: Map<u32, u32>,
    /// Newest exemplar per series.
    exemplar_last: Map<u32, i64>,
    scratch: Scratch,
    plan: append::Plan,
}

/// One tenant's head.
pub(super) struct Head {
    writer: Mutex<Writer>,
    pub(super) index: RwLock<Index>,
    side: RwLock<Side>,
    min_t: AtomicI64,
    max_t: AtomicI64,
    /// Samples before this are in blocks; in-order ones are refused.
    min_valid: AtomicI64,
    pub(super) samples: AtomicU64,
    exemplars_max: usize,
}

impl Head {
    pub(super) fn new(exemplars_max: usize) -> Self {
        Self {
            writer: Mutex::default(),
            index: RwLock::default(),
            side: RwLock::default(),
            min_t: AtomicI64::new(i64::MAX),
            max_t: AtomicI64::new(i64::MIN),
            min_valid: AtomicI64::new(i64::MIN),
            samples: AtomicU64::new(0),
            exemplars_max,
        }
    }

    /// Oldest sample, `i64::MAX` when empty.
    pub(super) fn min_t(&self) -> i64 {
        self.min_t.load(Ordering::Relaxed)
    }

    /// Newest sample, `i64::MIN` when empty.
    pub(super) fn max_t(&self) -> i64 {
        self.max_t.load(Ordering::Relaxed)
    }

    /// From when on the head is responsible.
    pub(super) fn min_valid(&self) -> i64 {
        self.min_valid.load(Ordering::Relaxed)
    }

    pub(super) fn set_min_valid(&self, t: i64) {
        self.min_valid.fetch_max(t, Ordering::Relaxed);
    }

    fn saw(&self, t: i64) {
        self.min_t.fetch_min(t, Ordering::Relaxed);
        self.max_t.fetch_max(t, Ordering::Relaxed);
    }

    /// Number of series.
    pub(super) fn series_count(&self) -> u64 {
        self.index.read().table.live()
    }

    /// Number of encoded runs plus open ones.
    pub(super) fn chunk_count(&self) -> u64 {
        let idx = self.index.read();
        idx.groups
            .iter()
            .map(|g| {
                let g = g.lock();
                g.slots() as u64 * (g.sealed.len() as u64 + u64::from(!g.ts.is_empty()))
            })
            .sum()
    }

    pub(super) fn metadata(&self) -> Vec<(String, MetricMetadata)> {
        self.side
            .read()
            .metadata
            .iter()
            .map(|(n, m)| (n.clone(), m.clone()))
            .collect()
    }

    /// Time of the first sample at or after `from`, side data included. Samples may be years apart,
    /// so whoever walks over ranges of time asks where the next one is.
    /// Cost: the timestamps of groups that reach across `from` are decoded.
    pub(super) fn next_t(&self, from: i64) -> Option<i64> {
        let mut least = self.side.read().next_t(from);
        let mut see = |t: i64| least = Some(least.map_or(t, |l| l.min(t)));
        let (mut times, mut scratch) = (Vec::new(), Scratch::default());
        for g in &self.index.read().groups {
            let g = g.lock();
            if let Some(t) = g.ts.get(g.ts.partition_point(|t| *t < from)) {
                see(*t);
            }
            for run in g.sealed.iter().filter(|s| s.max_t >= from) {
                if run.min_t >= from {
                    see(run.min_t);
                    continue;
                }
                times.clear();
                match run.timestamps(&mut times, &mut scratch) {
                    Ok(()) => times.iter().filter(|t| **t >= from).for_each(|t| see(*t)),
                    // A run that cannot be decoded is reported when the block is written.
                    Err(_) => see(from),
                }
            }
        }
        least
    }

    /// Oldest side data (out-of-order samples and histograms), if any.
    pub(super) fn side_min_t(&self) -> Option<i64> {
        self.side.read().next_t(i64::MIN)
    }

    /// Sets side data before `end` apart for a block; what comes later stays for the next one.
    pub(super) fn begin_cut(&self, end: i64) {
        let mut guard = self.side.write();
        let side = &mut *guard;
        for (sid, list) in &mut side.sparse {
            let n = list.partition_point(|p| p.0 < end);
            if n > 0 {
                let old = side.sparse_cut.entry(*sid).or_default();
                old.extend(list.drain(..n));
                old.sort_by_key(|p| p.0);
                old.dedup_by_key(|p| p.0);
            }
        }
        side.sparse.retain(|_, l| !l.is_empty());
        for (sid, list) in &mut side.histograms {
            let n = list.partition_point(|p| p.t < end);
            if n > 0 {
                let old = side.histograms_cut.entry(*sid).or_default();
                old.extend(list.drain(..n));
                old.sort_by_key(|p| p.t);
                old.dedup_by_key(|p| p.t);
            }
        }
        side.histograms.retain(|_, l| !l.is_empty());
    }

    /// Drops what blocks hold now: rows older than `t` and the side data set apart for them.
    /// Series without points left are forgotten.
    pub(super) fn truncate(&self, t: i64) {
        let mut w = self.writer.lock();
        self.set_min_valid(t);
        let mut idx = self.index.write();
        let mut side = self.side.write();
        side.sparse_cut = Map::default();
        side.histograms_cut = Map::default();
        side.tombstones.retain(|_, v| {
            v.retain(|r| r.1 >= t);
            !v.is_empty()
        });
        side.exemplars.retain(|e| e.1.t >= t);
        let mut min_t = i64::MAX;
        let mut dead: Vec<u32> = Vec::new();
        for (gid, g) in idx.groups.iter().enumerate() {
            let mut g = g.lock();
            g.drop_before(t);
            if let Some((a, _)) = g.bounds() {
                min_t = min_t.min(a.max(t));
            }
            for (slot, (sid, last)) in g.sids.iter().zip(&g.last).enumerate() {
                let here = idx.loc.get(*sid as usize) == Some(&(gid as u32, slot as u16));
                if here && *last < t {
                    dead.push(*sid);
                }
            }
        }
        let kept = |s: &u32| side.sparse.contains_key(s) || side.histograms.contains_key(s);
        dead.retain(|s| !kept(s));
        if !dead.is_empty() {
            let gone: std::collections::HashSet<u32, foldhash::fast::RandomState> =
                dead.iter().copied().collect();
            for s in &dead {
                idx.table.remove_series(*s);
                side.starts.remove(s);
                w.strays.remove(s);
                w.exemplar_last.remove(s);
            }
            w.alias.retain(|a| !gone.contains(&a.sid));
            side.exemplars.retain(|e| !gone.contains(&e.0));
        }
        let table = &idx.table;
        let live: Vec<bool> = (0..idx.loc.len() as u32)
            .map(|s| !table.ids(s).is_empty())
            .collect();
        idx.moved
            .retain(|s, _| live.get(*s as usize) == Some(&true));
        // Groups without points and without living series free their memory.
        for g in &idx.groups {
            let mut g = g.lock();
            if g.is_empty() && !g.sids.iter().any(|s| live.get(*s as usize) == Some(&true)) {
                g.reset();
            }
        }
        let side_min = side.next_t(i64::MIN).unwrap_or(i64::MAX);
        self.min_t.store(min_t.min(side_min), Ordering::Relaxed);
    }
}

impl Side {
    /// First out-of-order sample or histogram at or after `from`.
    fn next_t(&self, from: i64) -> Option<i64> {
        let sparse = self.sparse.values().chain(self.sparse_cut.values());
        let hist = self.histograms.values().chain(self.histograms_cut.values());
        let sparse = sparse.filter_map(|v| Some(v.get(v.partition_point(|p| p.0 < from))?.0));
        sparse
            .chain(hist.filter_map(|v| Some(v.get(v.partition_point(|p| p.t < from))?.t)))
            .min()
    }
}

fn alias_key(k: SeriesKey) -> [u32; 4] {
    let b = k.0.to_le_bytes();
    let w = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
    [w(0), w(4), w(8), w(12)]
}

fn alias_hash(k: [u32; 4]) -> u64 {
    u64::from(k[0]) | u64::from(k[1]) << 32
}
