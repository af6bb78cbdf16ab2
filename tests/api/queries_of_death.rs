//! Queries that are meant to bring the server down: each is answered or refused in bounded memory
//! while samples keep being acknowledged, and what ran when the process died is told.
//!
//! `SEXTANT_DEATH_SERIES` sets the number of series (the default keeps the test short).

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Answer, Server, client, now_ms, until};
use crate::wire::{Series, labels, store, write};

/// Ceiling of the resident memory, in KiB, whatever is asked (of up to a million series).
const RSS_KIB_MAX: u64 = 512 * 1024;
/// Series that the test makes unless told otherwise.
const SERIES_DEFAULT: usize = 20_000;
/// Series of one request.
const BATCH: usize = 5_000;

fn series_count() -> usize {
    std::env::var("SEXTANT_DEATH_SERIES")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(SERIES_DEFAULT)
}

/// `s{i, half}`, one sample each, at the time that is returned.
fn fill(s: &Server, n: usize) -> i64 {
    let t = now_ms() - 30_000;
    let all: Vec<usize> = (0..n).collect();
    for batch in all.chunks(BATCH) {
        let series: Vec<Series> = batch
            .iter()
            .map(|i| {
                let pairs = [
                    ("__name__", "s"),
                    ("half", if i % 2 == 0 { "even" } else { "odd" }),
                    ("i", &format!("{i:07}")),
                ];
                (labels(&pairs), vec![(t, *i as f64)])
            })
            .collect();
        store(s, &series);
    }
    t
}

/// A field of `/proc/PID/status`, in KiB.
fn memory_kib(s: &Server, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", s.id())).expect("its status");
    let line = status.lines().find(|l| l.starts_with(field));
    let text = line.and_then(|l| l.split_whitespace().nth(1));
    text.and_then(|t| t.parse().ok()).expect("a number of KiB")
}

fn post(s: &Server, path: &str, form: &[(&str, &str)]) -> Answer {
    s.request("POST", path).form(form).send()
}

/// Queries with the statuses that are right for them.
fn deadly() -> Vec<(String, &'static [u16])> {
    let nested = |n: usize| format!("{}s{}", "(".repeat(n), ")".repeat(n));
    let calls = |n: usize| format!("{}s{}", "abs(".repeat(n), ")".repeat(n));
    let mut doubled = "s{i=\"0000001\"}".to_owned();
    for _ in 0..40 {
        doubled = format!("label_replace({doubled}, \"i\", \"$1$1\", \"i\", \"(.*)\")");
    }
    let many = vec!["s"; 5_000].join(" + ");
    let copies = format!(
        "label_replace(s, \"x\", \"{}\", \"i\", \"(.*)\")",
        "$1".repeat(15_000)
    );
    vec![
        ("{__name__=~\".+\"}".into(), &[200]),
        (
            "count by (i) ({__name__=~\".*s.*\",i=~\".*[0-9].*\"})".into(),
            &[200],
        ),
        ("s * on (i) s".into(), &[200]),
        ("s * on (half) group_left s".into(), &[422]),
        ("s * on () s".into(), &[422]),
        ("s and on () s".into(), &[200]),
        (
            "count(s{half=\"odd\"} * on (i) group_left (half) s)".into(),
            &[200],
        ),
        ("count_values(\"v\", s)".into(), &[200]),
        ("count(count_values(\"v\", s * time()))".into(), &[200]),
        ("quantile(0.5, s)".into(), &[200]),
        ("topk(1e9, s)".into(), &[200]),
        ("topk(1e300, s)".into(), &[422]),
        ("max_over_time(sum(s)[30d:1s])".into(), &[422, 503]),
        ("max_over_time(s[30d:1s])".into(), &[422, 503]),
        (
            "sum(max_over_time(max_over_time(s[1d:1s])[1d:1s]))".into(),
            &[422, 503],
        ),
        ("count_over_time(vector(1)[10y:1ms])".into(), &[422, 503]),
        (nested(90), &[200]),
        (nested(10_000), &[400]),
        (calls(10_000), &[400]),
        ("-".repeat(20_000) + "1", &[400]),
        (many, &[400]),
        (format!("\"{}\"", "x".repeat(3 << 20)), &[400]),
        (format!("s{{i=\"{}\"}}", "x".repeat(3 << 20)), &[400]),
        ("s{i=~\"((((.*)*)*)*)*\"}".into(), &[200]),
        ("s{i=~\"(a{1000}){1000}\"}".into(), &[400]),
        ("s{i=~\"(x|y|z|.{1,900}){1,900}\"}".into(), &[400]),
        (format!("s{{i=~\"{}\"}}", "(a|b)*c".repeat(8_000)), &[400]),
        (doubled, &[422]),
        (copies, &[422]),
        ("sort_desc(s * 2 ^ 1023 * 2 ^ 1023)".into(), &[200]),
    ]
}

#[test]
fn deadly_queries_are_survived_while_samples_are_acknowledged() {
    let s = Server::start(&[
        "--web.enable-remote-write-receiver",
        "--query.timeout=5s",
        "--query.max-samples=2000000",
    ]);
    let n = series_count();
    fill(&s, n);
    let stop = AtomicBool::new(false);
    let acknowledged = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let l = labels(&[("__name__", "alive")]);
            while !stop.load(Ordering::Relaxed) {
                let a = write(&s, &[(l.clone(), vec![(now_ms(), 1.0)])]);
                assert_eq!(a.status, 204, "{}", a.text());
                acknowledged.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        // The writer must end even when a check below does not hold.
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut wrong = Vec::new();
            for (query, expected) in deadly() {
                let shown: String = query.chars().take(80).collect();
                let before = acknowledged.load(Ordering::Relaxed);
                let begin = Instant::now();
                let a = post(&s, "/api/v1/query", &[("query", &query)]);
                let body = a.text();
                // With many more series the budget or the time runs out where it would not.
                let refused = n > SERIES_DEFAULT && matches!(a.status, 422 | 503);
                if !expected.contains(&a.status) && !refused {
                    let start: String = body.chars().take(300).collect();
                    wrong.push(format!("{shown}: {} {start}", a.status));
                }
                if a.status != 200 {
                    let (_, kind, text) = a.error();
                    assert!(!kind.is_empty() && !text.is_empty(), "{shown}");
                    assert!(
                        text.len() < 4096,
                        "{shown}: an error of {} bytes",
                        text.len()
                    );
                }
                let peak = memory_kib(&s, "VmHWM:");
                println!(
                    "{:?} {} {:?} peak {} MiB",
                    begin.elapsed(),
                    a.status,
                    shown,
                    peak / 1024
                );
                assert!(peak < RSS_KIB_MAX, "{shown}: {peak} KiB");
                until("an acknowledgement", || {
                    (acknowledged.load(Ordering::Relaxed) > before).then_some(())
                });
            }
            assert!(wrong.is_empty(), "{wrong:#?}");
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(e) = checked {
            std::panic::resume_unwind(e);
        }
    });
    let a = post(&s, "/api/v1/query", &[("query", "count(s)")]);
    assert_eq!(a.data()["result"][0]["value"][1], n.to_string());
}

/// A query that runs until it is stopped.
const ENDLESS: &str = "sum(count_over_time(max_over_time(s[1h:1s])[1h:1s]))";

/// Sends [`ENDLESS`] on a connection that stays open, and waits until it is being evaluated.
fn ask_endless(s: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(&s.address).expect("a listening server");
    let target = client::query(&[("query", ENDLESS)]);
    let head = format!("GET /api/v1/query?{target} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream
        .write_all(head.as_bytes())
        .expect("a request is sent");
    until("the query to run", || (running(s) == 1.0).then_some(()));
    stream
}

/// How many queries are being executed.
fn running(s: &Server) -> f64 {
    let metrics = s.get("/metrics").text();
    let line = metrics
        .lines()
        .find(|l| l.starts_with("prometheus_engine_queries "));
    let value = line.and_then(|l| l.split(' ').nth(1));
    value.and_then(|v| v.parse().ok()).expect("the gauge")
}

#[test]
fn a_client_that_leaves_stops_its_query() {
    let s = Server::start(&[
        "--web.enable-remote-write-receiver",
        "--query.timeout=10m",
        "--query.max-samples=2000000000",
    ]);
    fill(&s, 2_000);
    let stream = ask_endless(&s);
    let begin = Instant::now();
    drop(stream);
    until("the query to be stopped", || {
        (running(&s) == 0.0).then_some(())
    });
    println!("stopped after {:?}", begin.elapsed());
}

#[test]
fn queries_that_did_not_finish_are_told_at_the_next_start() {
    let flags = [
        "--web.enable-remote-write-receiver",
        "--query.timeout=10m",
        "--query.max-samples=2000000000",
    ];
    let mut s = Server::start(&flags);
    fill(&s, 2_000);
    // One that ended leaves no trace.
    assert_eq!(
        post(&s, "/api/v1/query", &[("query", "count(s)")]).status,
        200
    );
    let stream = ask_endless(&s);
    s.signal("KILL");
    s.wait();
    drop(stream);
    let dir = std::mem::take(&mut s.dir);
    let again = Server::launch(dir, &flags);
    again.wait_ready();
    let log = again.log();
    let told: Vec<&String> = log
        .iter()
        .filter(|l| l.contains("this query did not finish in the last run"))
        .collect();
    assert_eq!(told.len(), 1, "{log:#?}");
    assert!(told[0].contains(ENDLESS), "{told:?}");
    let (_, dir) = again.stop();
    let third = Server::launch(dir, &flags);
    third.wait_ready();
    assert!(!third.log().iter().any(|l| l.contains("did not finish")));
}

/// The value of a metric of the server itself.
fn own_metric(s: &Server, name: &str) -> f64 {
    let metrics = s.get("/metrics").text();
    let line = metrics.lines().find(|l| l.split(' ').next() == Some(name));
    let value = line.and_then(|l| l.split(' ').nth(1));
    value.and_then(|v| v.parse().ok()).expect(name)
}

#[test]
fn queries_that_need_too_much_memory_are_refused_and_give_back_what_they_had() {
    let s = Server::start(&[
        "--web.enable-remote-write-receiver",
        "--query.max-memory=4MB",
    ]);
    fill(&s, 20_000);
    let mut refused = 0.0;
    for (query, fits) in [
        ("count(s{i=~\"00000.*\"})", true),
        ("s{i=~\"0000.*\"}", true),
        ("s", false),
        ("s * on (i) s", false),
        ("count_values(\"v\", s)", false),
        ("count by (i) (s)", false),
        ("label_replace(s, \"x\", \"$1\", \"i\", \"(.*)\")", false),
        ("count(s{i=~\"00000.*\"})", true),
    ] {
        let a = post(&s, "/api/v1/query", &[("query", query)]);
        if fits {
            assert_eq!(a.status, 200, "{query}: {}", a.text());
        } else {
            let (status, kind, text) = a.error();
            assert_eq!(
                (status, kind.as_str()),
                (422, "execution"),
                "{query}: {text}"
            );
            assert!(text.contains("3145728 bytes of memory"), "{text}");
            assert!(text.contains("--query.max-memory"), "{text}");
            refused += 1.0;
        }
    }
    // Other reads of the store have the same limit.
    let series = s.get("/api/v1/series?match[]=s");
    assert_eq!(series.error().0, 422, "{}", series.text());
    let few = post(&s, "/api/v1/series", &[("match[]", "s{i=~\"0000.*\"}")]);
    assert_eq!(few.status, 200, "{}", few.text());
    assert_eq!(s.get("/federate?match[]=s").status, 422);
    refused += 2.0;
    assert_eq!(
        own_metric(&s, "sextant_query_memory_refused_total"),
        refused
    );
    until("the memory to be given back", || {
        (own_metric(&s, "sextant_query_memory_bytes").abs() < 1.0).then_some(())
    });
}
