//! Whole lives of the store on a simulated disk, against a plain list of entries.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::io::Fs;
use crate::io::sim::SimFs;
use crate::model::{Labels, Matcher, TenantId};
use crate::wal::WalOptions;

const T: TenantId = TenantId::DEFAULT;
const DAY: i64 = 86_400_000_000_000;

fn open(fs: &Arc<SimFs>) -> Db {
    let opts = DbOptions {
        fs: Arc::clone(fs) as Arc<dyn Fs>,
        background: false,
        ..DbOptions::default()
    };
    let wal = WalOptions {
        commit_thread: false,
        ..WalOptions::default()
    };
    Db::open(Path::new("/s"), opts, wal).expect("opens")
}

fn labels(stream: u8) -> Labels {
    Labels::from_pairs([("app", format!("a{stream}")), ("env", "test".to_owned())])
}

/// Stream, time, line, metadata.
type Entry = (u8, i64, Vec<u8>, u8);

fn metadata(n: u8) -> Labels {
    if n == 0 {
        return Labels::empty();
    }
    Labels::from_pairs([("trace", format!("t{n}"))])
}

fn push(s: &Db, entries: &[Entry]) {
    let mut b = PushBatch::new();
    for (stream, t, line, m) in entries {
        b.stream(labels(*stream));
        assert!(b.entry(*t, line, &metadata(*m)));
    }
    let end = s.push(T, b).expect("pushed");
    s.wait_durable(end).expect("durable");
}

fn read(s: &Db, from: i64, to: i64, options: &ScanOptions<'_>) -> Vec<Entry> {
    let sel = s.select(T, &[], from, to);
    let mut out = Vec::new();
    let mut seen_past = None;
    sel.scan(options, &mut |b| {
        for i in 0..b.len() {
            let app = sel.labels(b.streams[i] as usize).get("app").unwrap_or("a0");
            let stream: u8 = app[1..].parse().expect("a number");
            let m = b.metadata(i).and_then(|m| m.get("trace"));
            let m = m.map_or(0, |m| m[1..].parse().expect("a number"));
            out.push((stream, b.times[i], b.line(i).to_vec(), m));
            if let Some(f) = seen_past {
                let in_order = match options.direction {
                    Direction::Backward => b.times[i] <= f,
                    Direction::Forward => b.times[i] >= f,
                };
                assert!(in_order, "{} beyond the frontier {f}", b.times[i]);
            }
        }
        seen_past = Some(b.frontier);
        ControlFlow::Continue(())
    })
    .expect("read");
    out.sort();
    out
}

fn contains(needle: &[u8]) -> LineTest {
    let n = needle.to_vec();
    LineTest {
        needs: Needs::Substring(needle.to_vec()),
        exact: true,
        matches: Arc::new(move |l| memchr::memmem::find(l, &n).is_some()),
    }
}

#[derive(Debug, Clone)]
enum Op {
    Push(Vec<Entry>),
    Flush,
    Maintain,
    Reopen,
    Kill,
    Read {
        from: i64,
        to: i64,
        needle: Vec<u8>,
        forward: bool,
    },
    Delete {
        stream: u8,
        from: i64,
        to: i64,
        needle: Vec<u8>,
    },
    Purge,
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ab]{0,6}".prop_map(String::into_bytes),
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..12),
    ]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        0..40i64,
        (0..40i64).prop_map(|t| t * 1_000_000),
        (DAY - 3..DAY + 3),
        any::<i64>().prop_map(|t| t / 2),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let entry = (0..4u8, time(), line(), 0..3u8);
    let range = || (time(), time()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        6 => prop::collection::vec(entry, 1..20).prop_map(Op::Push),
        2 => Just(Op::Flush),
        1 => Just(Op::Maintain),
        1 => Just(Op::Reopen),
        1 => Just(Op::Kill),
        4 => (range(), "[ab]{0,3}", any::<bool>()).prop_map(|((from, to), n, forward)| {
            Op::Read { from, to, needle: n.into_bytes(), forward }
        }),
        1 => (0..4u8, range(), "[ab]{0,2}").prop_map(|(stream, (from, to), n)| {
            Op::Delete { stream, from, to, needle: n.into_bytes() }
        }),
        1 => Just(Op::Purge),
    ]
}

fn check_life(ops: &[Op]) {
    let mut fs = Arc::new(SimFs::new());
    let mut s = open(&fs);
    let mut all: BTreeSet<Entry> = BTreeSet::new();
    let mut deletions: Vec<Deletion> = Vec::new();
    for op in ops {
        match op {
            Op::Push(entries) => {
                push(&s, entries);
                let deleted = |e: &&Entry| {
                    let hit = |d: &Deletion| {
                        Matcher::all_match(&d.matchers, &labels(e.0)) && d.deletes(e.1, &e.2)
                    };
                    deletions.iter().any(hit)
                };
                all.extend(entries.iter().filter(|e| !deleted(e)).cloned());
            }
            Op::Flush => s.flush().expect("flushed"),
            Op::Maintain => s.maintain().expect("maintained"),
            Op::Reopen => {
                s.close().expect("closed");
                s = open(&fs);
                s.set_deletions(T, deletions.clone());
            }
            Op::Kill => {
                fs = Arc::new(fs.crash(all.len() as u64));
                s = open(&fs);
                s.set_deletions(T, deletions.clone());
            }
            Op::Delete {
                stream,
                from,
                to,
                needle,
            } => {
                let d = Deletion {
                    matchers: vec![Matcher::equal("app", format!("a{stream}"))],
                    from: *from,
                    to: *to,
                    test: (!needle.is_empty()).then(|| contains(needle)),
                    is_final: to % 2 == 0,
                };
                all.retain(|e| e.0 != *stream || !d.deletes(e.1, &e.2));
                deletions.push(d);
                s.set_deletions(T, deletions.clone());
            }
            Op::Purge => {
                s.purge(T).expect("purged");
            }
            Op::Read {
                from,
                to,
                needle,
                forward,
            } => {
                let options = ScanOptions {
                    direction: if *forward {
                        Direction::Forward
                    } else {
                        Direction::Backward
                    },
                    test: (!needle.is_empty()).then(|| contains(needle)),
                    metadata: true,
                    threads: all.len() % 4,
                    ..ScanOptions::default()
                };
                let want: Vec<Entry> = all
                    .iter()
                    .filter(|e| (*from..*to).contains(&e.1))
                    .filter(|e| memchr::memmem::find(&e.2, needle).is_some())
                    .cloned()
                    .collect();
                assert_eq!(read(&s, *from, *to, &options), want);
            }
        }
    }
    assert_eq!(s.verify(), Vec::<String>::new());
    let options = ScanOptions {
        metadata: true,
        ..ScanOptions::default()
    };
    let all: Vec<Entry> = all.into_iter().collect();
    assert_eq!(read(&s, i64::MIN, i64::MAX, &options), all);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn lives_equal_a_list(ops in prop::collection::vec(op(), 1..30)) {
        check_life(&ops);
    }

    #[test]
    fn records_and_footers_read_anything(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(record::decode(&bytes));
        let fs = SimFs::new();
        let path = Path::new("/p.sxl");
        fs.tamper(path, bytes);
        assert!(part::Part::open(&fs, path).is_err());
    }
}

#[test]
fn many_small_parts_become_one() {
    let fs = Arc::new(SimFs::new());
    let s = open(&fs);
    let mut want = Vec::new();
    for i in 0..20i64 {
        let e = vec![((i % 3) as u8, i / 2, format!("line {i}").into_bytes(), 0)];
        push(&s, &e);
        want.extend(e);
        s.flush().expect("flushed");
    }
    assert!(s.stats().parts < 8, "{:?}", s.stats());
    want.sort();
    assert_eq!(read(&s, 0, 100, &ScanOptions::default()), want);
}

#[test]
fn every_flipped_byte_of_a_part_is_noticed() {
    let fs = Arc::new(SimFs::new());
    let s = open(&fs);
    let entries: Vec<Entry> = (0..60i64)
        .map(|i| {
            (
                (i % 3) as u8,
                i,
                format!("some line {i}").into_bytes(),
                (i % 2) as u8,
            )
        })
        .collect();
    push(&s, &entries);
    s.close().expect("closed");
    let (path, bytes) = fs
        .files()
        .into_iter()
        .find(|f| f.0.extension().is_some_and(|e| e == "sxl"))
        .expect("a part");
    let options = ScanOptions {
        metadata: true,
        ..ScanOptions::default()
    };
    let mut want = entries.clone();
    want.sort();
    let check = |bad: Vec<u8>, what: &str| {
        let copy = Arc::new(fs.kill());
        copy.tamper(&path, bad);
        let opts = DbOptions {
            fs: Arc::clone(&copy) as Arc<dyn Fs>,
            background: false,
            ..DbOptions::default()
        };
        let wal = WalOptions {
            commit_thread: false,
            ..WalOptions::default()
        };
        let again = Db::open(Path::new("/s"), opts, wal);
        // A later version is refused.
        let Ok(db) = again else { return };
        let noticed = db.recovery().corruptions() > 0 || !db.verify().is_empty();
        if !noticed {
            let sel = db.select(T, &[], i64::MIN, i64::MAX);
            let mut n = 0;
            sel.scan(&options, &mut |b| {
                n += b.len();
                ControlFlow::Continue(())
            })
            .expect("read");
            assert_eq!(n, want.len(), "{what} was not noticed");
        }
    };
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        check(bad, &format!("a flip of byte {at}"));
        check(bytes[..at].to_vec(), &format!("a cut at {at}"));
    }
}

#[test]
fn deletions_that_may_be_taken_back_leave_the_lines_on_disk() {
    let fs = Arc::new(SimFs::new());
    let s = open(&fs);
    let line = |n: i64| (0, n, format!("line {n}").into_bytes(), 0);
    push(&s, &[line(1), line(2), line(3)]);
    s.flush().expect("flushed");
    let hide = |n: i64, is_final| Deletion {
        matchers: vec![Matcher::equal("app", "a0")],
        from: n,
        to: n,
        test: None,
        is_final,
    };
    s.set_deletions(T, vec![hide(1, false), hide(2, true)]);
    let seen = || read(&s, 0, 10, &ScanOptions::default());
    assert_eq!(seen(), [line(3)]);
    assert_eq!(s.purge(T).expect("purged"), 1);
    // Merges leave hidden lines alone, too.
    for n in 4..20 {
        push(&s, &[line(n)]);
        s.flush().expect("flushed");
    }
    assert!(s.stats().merges > 0, "{:?}", s.stats());
    s.set_deletions(T, Vec::new());
    let want: Vec<Entry> = [1, 3].into_iter().map(line).collect();
    assert_eq!(seen()[..2], want);
}

#[test]
fn streams_are_kept_as_long_as_their_rule_says() {
    let fs = Arc::new(SimFs::new());
    let s = open(&fs);
    let clock = crate::io::Clock::now_ms(&crate::io::SystemClock) * 1_000_000;
    let old = clock - 3 * DAY;
    let entry = |stream, time| (stream, time, b"x".to_vec(), 0);
    push(
        &s,
        &[
            entry(0, old),
            entry(1, old),
            entry(0, clock),
            entry(1, clock),
        ],
    );
    s.flush().expect("flushed");
    let all = || read(&s, i64::MIN, i64::MAX, &ScanOptions::default());
    assert_eq!(all().len(), 4);
    let rule = RetentionRule {
        matchers: vec![Matcher::equal("app", "a1")],
        priority: 1,
        period_ms: DAY / 1_000_000,
    };
    s.set_retention(Retentions {
        default: Retention {
            period_ms: 0,
            rules: vec![rule],
        },
        ..Retentions::default()
    });
    s.maintain().expect("maintained");
    let want = vec![entry(0, old), entry(0, clock), entry(1, clock)];
    assert_eq!(all(), want);
    let tenants = [(TenantId(9), Retention::of(1))].into_iter().collect();
    s.set_retention(Retentions {
        default: Retention::default(),
        tenants,
    });
    s.maintain().expect("maintained");
    assert_eq!(all(), want, "the retention of another tenant");
    s.set_retention(Retentions {
        default: Retention::of(DAY / 1_000_000),
        ..Retentions::default()
    });
    s.maintain().expect("maintained");
    assert_eq!(all(), [entry(0, clock), entry(1, clock)]);
}

#[test]
fn streams_in_memory_are_counted() {
    let fs = Arc::new(SimFs::new());
    let s = open(&fs);
    let asked = [labels(0), labels(1)];
    assert_eq!(s.active_streams(T, &asked), (0, vec![true, true]));
    push(&s, &[(0, 1, b"x".to_vec(), 0)]);
    assert_eq!(s.active_streams(T, &asked), (1, vec![false, true]));
    s.flush().expect("flushed");
    assert_eq!(s.active_streams(T, &asked), (0, vec![true, true]));
}

/// Counting once took the locks the other way round, and a push that met it never came back.
#[test]
fn streams_are_counted_while_others_push_and_flush() {
    let fs = Arc::new(SimFs::new());
    let s = open(&fs);
    let asked = [labels(0), labels(1)];
    std::thread::scope(|t| {
        for k in 0..2u8 {
            let s = &s;
            t.spawn(move || {
                for n in 0..4000 {
                    push(s, &[(k, (n * 2 + i64::from(k)) * 1000, b"x".to_vec(), 0)]);
                }
            });
        }
        t.spawn(|| (0..40).for_each(|_| s.flush().expect("flushed")));
        t.spawn(|| (0..8000).for_each(|_| drop(s.active_streams(T, &asked))));
    });
    s.flush().expect("flushed");
    assert_eq!(s.active_streams(T, &asked), (0, vec![true, true]));
}

/// A sender that gives all its lines one time once cost the square of their number, when they were
/// pushed, written, merged and read.
#[test]
fn many_lines_at_one_time_cost_what_others_do() {
    const N: usize = 300_000;
    let s = open(&Arc::new(SimFs::new()));
    let batch = |from: usize| {
        let mut b = PushBatch::new();
        b.stream(labels(1));
        for i in 0..N {
            assert!(b.entry(7, format!("{}", from + i).as_bytes(), &metadata(0)));
        }
        // A late one, so that what comes after it has to be sorted.
        assert!(b.entry(5, b"late", &metadata(0)));
        b
    };
    let count = |s: &Db| {
        let sel = s.select(T, &[], 0, 10);
        let mut n = 0;
        sel.scan(&ScanOptions::default(), &mut |b| {
            n += b.len();
            ControlFlow::Continue(())
        })
        .expect("read");
        n
    };
    // Half of the second batch is in the first.
    for from in [0, N / 2] {
        let end = s.push(T, batch(from)).expect("pushed");
        s.wait_durable(end).expect("durable");
    }
    assert_eq!(count(&s), N + N / 2 + 1, "in memory");
    s.flush().expect("flushed");
    let end = s.push(T, batch(N)).expect("pushed");
    s.wait_durable(end).expect("durable");
    assert_eq!(count(&s), 2 * N + 1, "in a part and in memory");
    for i in 0..10i64 {
        push(&s, &[(2, i, b"x".to_vec(), 0)]);
        s.flush().expect("flushed");
    }
    s.purge(T).expect("purged");
    assert_eq!(count(&s), 2 * N + 11, "in parts");
}
