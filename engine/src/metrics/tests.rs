//! Whole lives of a store on a simulated disk, against a map.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::budget::Unwatched;
use crate::io::sim::{Fault, SimFs};
use crate::io::{ManualClock, Rng};
use crate::model::{
    BatchExtra, CounterResetHint, Counts, Exemplar, Histogram, HistogramPoint, Labels, Matcher,
    SeriesKey, Span, TenantId, WriteBatch, stale_nan,
};
use crate::wal::WalOptions;

const T: TenantId = TenantId(0);

fn options(fs: &SimFs, window: i64) -> DbOptions {
    let plain = DbOptions::without_threads(Arc::new(fs.clone()));
    DbOptions {
        clock: Arc::new(ManualClock::new(1_700_000_000_000)),
        wal: WalOptions {
            segment_bytes: 8192,
            ..plain.wal
        },
        block_range_ms: 60_000,
        retention_ms: 0,
        out_of_order_ms: window,
        checkpoint_bytes: 20_000,
        ..plain
    }
}

fn open(fs: &SimFs, window: i64) -> Result<Db, OpenError> {
    Db::open(Path::new("/db"), options(fs, window))
}

fn labels(i: u64) -> Labels {
    Labels::from_pairs([
        ("__name__".to_owned(), format!("m{}", i % 3)),
        ("job".to_owned(), format!("j{}", i % 5)),
        ("i".to_owned(), i.to_string()),
    ])
}

/// A point as bits: float, or histogram by its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Float(u64),
    Hist(u64),
}

type Store = BTreeMap<Labels, BTreeMap<i64, Point>>;

fn read_all(db: &Db) -> Store {
    let sel = db.select(T, &[], i64::MIN, i64::MAX).expect("select");
    let mut out = Store::new();
    for i in 1..sel.len() {
        assert!(sel.labels(i - 1) < sel.labels(i), "label order");
    }
    let mut seen = vec![0; sel.len()];
    let mid = sel.len() / 2;
    for range in [0..mid, mid..sel.len()] {
        sel.scan(range, &mut |i, c| {
            seen[i] += 1;
            assert_eq!(c.ts.len(), c.values.len());
            assert!(c.ts.windows(2).all(|w| w[0] < w[1]), "ascending");
            let series = out.entry(sel.labels(i)).or_default();
            for (t, v) in c.ts.iter().zip(c.values) {
                series.insert(*t, Point::Float(v.to_bits()));
            }
            for h in c.histograms {
                let old = series.insert(h.t, Point::Hist(h.h.count as u64));
                assert_eq!(old, None, "float and histogram at one time");
            }
            ControlFlow::Continue(())
        })
        .expect("scan");
    }
    assert!(seen.iter().all(|n| *n == 1), "each series once");
    out.retain(|_, p| !p.is_empty());
    out
}

fn histogram(count: u64) -> Histogram {
    Histogram {
        hint: CounterResetHint::Unknown,
        schema: 1,
        zero_threshold: 0.001,
        sum: count as f64 / 3.0,
        positive_spans: vec![Span {
            offset: 0,
            length: 2,
        }],
        negative_spans: vec![],
        custom_values: vec![],
        counts: Counts::Integer {
            count,
            zero: 0,
            positive: vec![count as i64, 0],
            negative: vec![],
        },
    }
}

/// The naive store and what is known about durability.
#[derive(Default)]
struct Oracle {
    /// What a reader must see now.
    live: Store,
    /// What survives anything.
    acked: Store,
    /// Everything that was ever accepted or sent: nothing else may appear.
    sent: HashMap<(Labels, i64), Vec<Point>>,
    deletes: Vec<(u64, i64, i64)>,
}

impl Oracle {
    fn check(&self, got: &Store, what: &str) {
        for (l, points) in &self.acked {
            for (t, p) in points {
                let g = got.get(l).and_then(|s| s.get(t));
                assert_eq!(g, Some(p), "{what}: acknowledged sample lost: {l} at {t}");
            }
        }
        for (l, points) in got {
            for (t, p) in points {
                let ok = self
                    .sent
                    .get(&(l.clone(), *t))
                    .is_some_and(|v| v.contains(p));
                assert!(ok, "{what}: invented sample: {l} at {t}: {p:?}");
            }
        }
    }
}

struct Life {
    rng: Rng,
    now: i64,
    window: i64,
    oracle: Oracle,
    appends: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let window = if rng.chance(1, 2) { 40_000 } else { 0 };
        Self {
            rng,
            now: 1_000_000,
            window,
            oracle: Oracle::default(),
            appends: 0,
        }
    }

    /// One operation; `Err` when the disk is gone.
    fn step(&mut self, db: &Db) -> Result<(), ()> {
        match self.rng.below(40) {
            0 => db.maintain().map_err(|_| ()),
            1 => db.flush().map_err(|_| ()),
            2 => self.delete(db),
            3 => db.clean_tombstones().map_err(|_| ()),
            _ => self.append(db),
        }
    }

    fn value(&mut self) -> f64 {
        match self.rng.below(12) {
            0 => f64::from_bits(self.rng.next_u64()),
            1 => stale_nan(),
            2 => -0.0,
            3 => self.rng.below(1000) as f64 / 100.0,
            _ => self.rng.below(100_000) as f64,
        }
    }

    fn append(&mut self, db: &Db) -> Result<(), ()> {
        self.appends += 1;
        let mut batch = WriteBatch::default();
        let mut sets: Vec<Labels> = Vec::new();
        let mut points: Vec<(Labels, i64, Point)> = Vec::new();
        self.now += 500 + self.rng.below(3000) as i64;
        // Most batches are a scrape: many series, one timestamp.
        let first = self.rng.below(4) * 10;
        let n = 1 + self.rng.below(10);
        let late = self.rng.chance(1, 6);
        for k in 0..n {
            let id = first + k;
            let mut t = self.now;
            if late {
                t -= self.rng.below(60_000) as i64;
            } else if self.rng.chance(1, 12) {
                t -= self.rng.below(900) as i64; // its own clock
            }
            // Whether a deleted point can be sent again is not defined: its time may be taken.
            if self
                .oracle
                .deletes
                .iter()
                .any(|d| d.0 == id && d.1 <= t && t <= d.2)
            {
                continue;
            }
            let l = labels(id);
            let handle = sets.len() as u64;
            let key = SeriesKey::of_labels(db.key_secret(), &l);
            sets.push(l.clone());
            if id == 7 && self.rng.chance(2, 3) {
                let count = self.rng.below(1000);
                let extra = BatchExtra {
                    histograms: vec![HistogramPoint {
                        t,
                        start_t: 0,
                        h: histogram(count),
                    }],
                    exemplars: vec![Exemplar {
                        labels: Labels::from_pairs([("trace_id", "x")]),
                        value: 1.0,
                        t,
                    }],
                    ..BatchExtra::default()
                };
                batch.push_series(key, handle, batch.samples.len(), Some(extra));
                points.push((l, t, Point::Hist(count)));
            } else {
                let v = self.value();
                batch.push_sample(key, handle, t, v);
                points.push((l, t, Point::Float(v.to_bits())));
            }
        }
        for (l, t, p) in &points {
            self.oracle
                .sent
                .entry((l.clone(), *t))
                .or_default()
                .push(*p);
        }
        let opts = AppendOptions::new(AppendMode::Partial, i64::MAX / 2);
        let Ok(out) = db.append(T, &batch, &sets, &opts) else {
            return Err(());
        };
        assert!(out.rejected.total as usize == out.rejected.first.len());
        let mut accepted = Vec::new();
        for (i, (l, t, p)) in points.into_iter().enumerate() {
            let refused =
                |r: &Rejection| r.series == i && r.reason != RejectReason::ExemplarOutOfOrder;
            if out.rejected.first.iter().any(refused) {
                continue;
            }
            // The first value at a time stays.
            let series = self.oracle.live.entry(l.clone()).or_default();
            if let std::collections::btree_map::Entry::Vacant(e) = series.entry(t) {
                e.insert(p);
                accepted.push((l, t, p));
            }
        }
        if self.rng.chance(2, 3) {
            if db.wait_durable(out.position).is_err() {
                return Err(());
            }
            self.oracle.acked = self.oracle.live.clone();
        }
        Ok(())
    }

    fn delete(&mut self, db: &Db) -> Result<(), ()> {
        let id = self.rng.below(40);
        let to = self.now - self.rng.below(30_000) as i64;
        let from = to - self.rng.below(30_000) as i64;
        let l = labels(id);
        let m = [Matcher::equal("i", id.to_string())];
        // While a delete is under way either outcome is right.
        if let Some(p) = self.oracle.acked.get_mut(&l) {
            p.retain(|t, _| *t < from || *t > to);
        }
        self.oracle.deletes.push((id, from, to));
        db.delete_series(T, &m, from, to).map_err(|_| ())?;
        for store in [&mut self.oracle.live, &mut self.oracle.acked] {
            if let Some(p) = store.get_mut(&l) {
                p.retain(|t, _| *t < from || *t > to);
            }
        }
        Ok(())
    }

    /// Takes what survived as the truth of the next life.
    fn adopt(&mut self, got: Store) {
        self.oracle.live = got.clone();
        self.oracle.acked = got;
    }
}

fn compare(life: &Life, db: &Db, what: &str) {
    let got = read_all(db);
    let mut want = life.oracle.live.clone();
    want.retain(|_, p| !p.is_empty());
    for (l, p) in &want {
        assert_eq!(Some(p), got.get(l), "{what}: {l}");
    }
    assert_eq!(want.len(), got.len(), "{what}: series");
}

#[test]
fn select_equals_a_map_through_cuts_merges_and_restarts() {
    for seed in 0..40 {
        let fs = SimFs::new();
        let mut life = Life::new(seed);
        let mut db = open(&fs, life.window).expect("open");
        for round in 0..6 {
            for _ in 0..60 {
                life.step(&db).expect("no faults");
            }
            compare(&life, &db, &format!("seed {seed} round {round}"));
            let killed = round % 2 == 0;
            if killed {
                // As kill -9: everything written is there, nothing is closed.
                let after = fs.kill();
                let again = open(&after, life.window).expect("open");
                life.oracle.check(
                    &read_all(&again),
                    &format!("seed {seed} round {round} killed"),
                );
            }
            drop(db);
            db = open(&fs, life.window).expect("reopen");
            assert_eq!(db.recovery().corruptions(), 0, "seed {seed} round {round}");
            compare(&life, &db, &format!("seed {seed} round {round} reopened"));
        }
        assert!(db.verify().is_empty());
        assert!(db.stats().blocks > 0, "seed {seed}: no block was ever cut");
    }
}

#[test]
fn power_cuts_lose_nothing_acknowledged_and_invent_nothing() {
    let lives = std::env::var("SEXTANT_SIM_LIVES")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(60);
    let mut states = 0;
    for seed in 0..lives {
        let mut life = Life::new(seed * 977 + 5);
        let mut fs = SimFs::new();
        for crash in 0..6u64 {
            let at = fs.ops() + 20 + life.rng.below(400);
            fs.fail_at(at, Fault::PowerCut);
            if let Ok(db) = open(&fs, life.window) {
                assert_eq!(db.recovery().corruptions(), 0, "seed {seed} crash {crash}");
                while life.step(&db).is_ok() {}
            }
            // Several disks may come out of one cut; one of them goes on.
            for variant in 0..5 {
                let after = fs.crash(seed ^ crash << 8 ^ variant << 16);
                let db = open(&after, life.window).expect("recovers");
                let what = format!("seed {seed} crash {crash} variant {variant}");
                assert_eq!(
                    db.recovery().corruptions(),
                    0,
                    "{what}: {:?}",
                    db.recovery()
                );
                let got = read_all(&db);
                life.oracle.check(&got, &what);
                states += 1;
                if variant == 4 {
                    life.adopt(got);
                    drop(db);
                    fs = after;
                    break;
                }
            }
        }
    }
    println!("{states} power-cut states: 0 lost, 0 invented");
}

#[test]
fn duplicate_rules_are_those_of_prometheus() {
    let db = Db::in_memory();
    let put = |t: i64, v: f64| {
        let sets = vec![labels(1)];
        let mut b = WriteBatch::default();
        b.push_sample(db.key_of(&sets[0]), 0, t, v);
        match db.append(
            T,
            &b,
            &sets,
            &AppendOptions::new(AppendMode::Atomic, 10_000_000),
        ) {
            Ok(_) => None,
            Err(AppendError::Rejected(r)) => Some(r.first[0].reason.clone()),
            Err(e) => panic!("{e}"),
        }
    };
    assert_eq!(put(5_000_000, 1.0), None);
    assert_eq!(put(5_000_000, 1.0), None);
    assert_eq!(
        put(5_000_000, 2.0),
        Some(RejectReason::Duplicate {
            existing: 1.0,
            new: 2.0
        })
    );
    assert_eq!(put(4_999_000, 2.0), Some(RejectReason::OutOfOrder));
    assert_eq!(
        put(5_000_000 - 3_600_001, 2.0),
        Some(RejectReason::OutOfBounds)
    );
    assert_eq!(put(10_600_001, 2.0), Some(RejectReason::TooFarInFuture));
    assert_eq!(put(10_600_000, 2.0), None);
}

#[test]
fn ages_between_samples_cost_nothing() {
    let db = Db::in_memory();
    let times = [
        -9_000_000_000_000_000,
        0,
        7_200_000,
        1_700_000_000_000,
        1_700_010_000_000,
    ];
    for t in times {
        let sets = vec![labels(1)];
        let mut b = WriteBatch::default();
        b.push_sample(db.key_of(&sets[0]), 0, t, t as f64);
        let o = AppendOptions::new(AppendMode::Atomic, 1_700_010_000_000);
        db.append(T, &b, &sets, &o).expect("stored");
    }
    // A block range is two hours: there are billions of them between these samples.
    for _ in 0..3 {
        db.maintain().expect("maintained");
    }
    assert!(db.stats().cuts <= 5, "{:?}", db.stats());
    let got = read_all(&db);
    // What is beyond the retention went.
    assert!(got[&labels(1)].len() >= 2, "{got:?}");
    assert!(got[&labels(1)].contains_key(&1_700_010_000_000));
}

/// Reads everything that can be read; `None` when the store says that a file is damaged.
fn try_read(db: &Db) -> Option<Store> {
    let sel = db.select(T, &[], i64::MIN, i64::MAX).ok()?;
    let mut out = Store::new();
    sel.scan(0..sel.len(), &mut |i, c| {
        let series = out.entry(sel.labels(i)).or_default();
        for (t, v) in c.ts.iter().zip(c.values) {
            series.insert(*t, Point::Float(v.to_bits()));
        }
        for h in c.histograms {
            series.insert(h.t, Point::Hist(h.h.count as u64));
        }
        ControlFlow::Continue(())
    })
    .ok()?;
    out.retain(|_, p| !p.is_empty());
    Some(out)
}

/// A flipped bit in every `SEXTANT_FLIP_STEP`th byte (7 by default) of every kind of file, and cuts
/// at many lengths: what is damaged is noticed, and what is served is right.
#[test]
fn flips_and_cuts_are_noticed_and_never_served() {
    let fs = SimFs::new();
    let mut life = Life::new(3);
    let db = open(&fs, life.window).expect("open");
    for _ in 0..90 {
        life.append(&db).expect("append");
    }
    life.delete(&db).expect("delete");
    db.flush().expect("flush");
    // A deletion in a block makes a sidecar.
    let (min, max) = (1_000_000, 1_100_000);
    db.delete_series(T, &[Matcher::equal("i", "12")], min, max)
        .expect("delete");
    for _ in 0..20 {
        life.append(&db).expect("append");
    }
    let truth = read_all(&db);
    db.close().expect("close");
    drop(db);
    let files = fs.files();
    let kinds = [".sxb", ".tomb", ".ckp", "MANIFEST", "/wal/"];
    for k in kinds {
        assert!(
            files.iter().any(|f| f.0.to_string_lossy().contains(k)),
            "no file of kind {k}"
        );
    }
    let step: usize = std::env::var("SEXTANT_FLIP_STEP")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(7);
    let mut totals: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for (path, bytes) in &files {
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
        let name = path.to_string_lossy();
        let kind = kinds.into_iter().find(|k| name.contains(k));
        let total = totals.entry(kind.unwrap_or("other")).or_default();
        for at in (0..used).step_by(step) {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            total[0] += 1;
            total[1] += usize::from(damaged(&fs, path, bad, &truth, &format!("flip at {at}")));
        }
        // With a step of 1 every length is tried.
        let stride = if step == 1 { 1 } else { step * 5 };
        for len in (0..used).step_by(stride) {
            let cut = bytes[..len].to_vec();
            total[2] += 1;
            total[3] += usize::from(damaged(&fs, path, cut, &truth, &format!("cut to {len}")));
        }
    }
    for (kind, [flips, flips_noticed, cuts, cuts_noticed]) in totals {
        println!(
            "{kind}: {flips} flips, {flips_noticed} noticed; {cuts} cuts, {cuts_noticed} noticed; the rest harmless"
        );
    }
}

/// Opens a copy with one damaged file. True when the damage was noticed.
fn damaged(fs: &SimFs, path: &Path, bytes: Vec<u8>, truth: &Store, what: &str) -> bool {
    let copy = fs.kill();
    copy.tamper(path, bytes);
    let what = format!("{} {what}", path.display());
    let db = match open(&copy, 0) {
        Ok(db) => db,
        Err(OpenError::Version(_) | OpenError::Wal(_)) => return true,
        Err(e) => panic!("{what}: start failed: {e}"),
    };
    let r = db.recovery();
    let noticed = r.corruptions() > 0 || r.wal.torn_bytes > 0;
    let Some(got) = try_read(&db) else {
        return true;
    };
    let mut complete = true;
    for (l, points) in truth {
        for (t, p) in points {
            match got.get(l).and_then(|s| s.get(t)) {
                Some(g) => assert_eq!(g, p, "{what}: wrong value served: {l} at {t}"),
                None => complete = false,
            }
        }
    }
    assert!(complete || noticed, "{what}: data lost silently");
    if !noticed {
        let extra = got.iter().any(|(l, s)| {
            s.keys()
                .any(|t| !truth.get(l).is_some_and(|x| x.contains_key(t)))
        });
        assert!(!extra, "{what}: deleted or unknown data served silently");
    }
    noticed
}

#[test]
fn export_and_import_keep_every_sample() {
    let fs = SimFs::new();
    let mut life = Life::new(11);
    let db = open(&fs, life.window).expect("open");
    for _ in 0..150 {
        life.step(&db).expect("no faults");
    }
    let want = read_all(&db);
    let out = Path::new("/export");
    let done = db
        .export(T, out, &[], i64::MIN, i64::MAX, &mut |_| {})
        .expect("export");
    assert_eq!(
        done.samples as usize,
        want.values().map(BTreeMap::len).sum::<usize>()
    );
    let copy = Db::open(Path::new("/db2"), options(&fs, 0)).expect("open");
    let taken = copy.import(T, out, &mut |_| {}).expect("import");
    assert_eq!(taken.samples, done.samples);
    assert_eq!(read_all(&copy), want);
    copy.maintain().expect("merges overlapping blocks");
    assert_eq!(read_all(&copy), want);
}

/// Numbers of blocks once had 16 bits: the 65,537th block was read as the first one.
#[test]
fn more_than_65536_blocks_are_told_apart() {
    // A store with one block about series `i`.
    let block_of = |i: u64| {
        let db = open(&SimFs::new(), 0).expect("open");
        for step in 0..2 {
            let (sets, mut batch) = (vec![labels(i)], WriteBatch::default());
            let key = SeriesKey::of_labels(db.key_secret(), &sets[0]);
            // Far enough apart for a cut between them.
            let t = 1_000_000 + step * 600_000;
            batch.push_sample(key, 0, t, i as f64);
            let opts = AppendOptions::new(AppendMode::Atomic, t);
            db.append(T, &batch, &sets, &opts).expect("append");
        }
        db.flush().expect("flush");
        let view = Arc::clone(&db.inner().view.read());
        assert_eq!(view.blocks.len(), 1);
        Arc::clone(&view.blocks[0])
    };
    let mut many = vec![block_of(0); 1 << 16];
    many.push(block_of(1));
    let second = [Matcher::equal("i", "1")];
    const ALL: (i64, i64) = (i64::MIN, i64::MAX);
    let sel = Selection::new(None, i64::MIN, many, &second, ALL, &Unwatched).expect("select");
    let mut seen = Vec::new();
    sel.scan(0..sel.len(), &mut |_, c| {
        seen.extend(c.ts.iter().zip(c.values).map(|(t, v)| (*t, *v)));
        ControlFlow::Continue(())
    })
    .expect("scan");
    assert_eq!(seen, [(1_000_000, 1.0)]);
}
