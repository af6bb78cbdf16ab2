//! Bodies through the ingest, with a store that writes down what it is given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use engine::metrics::{AppendError, Appended};
use engine::model::{Labels, LabelsSource, WriteBatch, is_stale};
use engine::wire::exposition::{Format, Options, format_float};
use parking_lot::Mutex;

use super::Appender;
use super::ingest::{Body, Ingest, Limits, Outcomes};
use super::labels::Rules;
use super::{Health, Scraper};
use crate::config::prometheus::PrometheusConfig;
use crate::discovery::{GroupSink, TargetGroup};
use crate::relabel::Relabel;

#[derive(Default)]
struct Store(Mutex<Vec<String>>, AtomicBool);

impl Appender for Store {
    fn key_secret(&self) -> u64 {
        3
    }
    fn append(
        &self,
        batch: &WriteBatch,
        labels: &dyn LabelsSource,
        _: i64,
    ) -> Result<Appended, AppendError> {
        if self.1.load(Relaxed) {
            return Err(AppendError::NoSpace { free_bytes: 0 });
        }
        let mut out = self.0.lock();
        for s in &batch.series {
            let mut pairs = Vec::new();
            labels.collect(s.labels, &mut pairs).unwrap();
            let l = Labels::from_pairs(pairs);
            let name = l.metric_name().unwrap_or("").to_owned();
            for p in batch.samples_of(s) {
                let v = if is_stale(p.v) {
                    "stale".to_owned()
                } else {
                    format_float(p.v)
                };
                if name != "scrape_duration_seconds" {
                    out.push(format!("{name} {v} @{}", p.t));
                }
            }
            for h in batch.extra_of(s).map_or(&[][..], |e| &e.histograms) {
                let stale = if h.h.is_stale() { " stale" } else { "" };
                out.push(format!("{name} histogram{stale} @{}", h.t));
            }
        }
        Ok(Appended::default())
    }
}

fn limits() -> Limits {
    Limits {
        honor_timestamps: true,
        track_timestamps_staleness: false,
        sample_limit: 0,
        bucket_limit: 0,
        max_schema: 8,
        options: Options::default(),
        extra_reports: false,
        timeout_seconds: 10.0,
    }
}

fn ingest(limits: Limits) -> Ingest {
    let rules = Rules {
        target: Labels::from_pairs([("job", "j")]),
        honor_labels: false,
        relabel: Relabel::default(),
        legacy_names: false,
        label_limit: 0,
        name_length_limit: 0,
        value_length_limit: 0,
    };
    Ingest::new(rules, limits, 3)
}

fn scrape(i: &mut Ingest, store: &Store, body: Result<&str, &str>, t: i64) -> Outcomes {
    let body = body
        .map(|b| Body {
            format: Format::Text,
            bytes: b.as_bytes(),
        })
        .map_err(str::to_owned);
    i.scrape(body, 0.0, t, &mut BTreeMap::new(), store, || 0.5)
        .unwrap()
}

/// What was stored since the last call, report series left out.
fn taken(store: &Store) -> Vec<String> {
    let all = std::mem::take(&mut *store.0.lock());
    all.into_iter()
        .filter(|l| !l.starts_with("scrape_"))
        .collect()
}

#[test]
fn a_series_that_vanishes_is_marked_once() {
    let (store, mut i) = (Store::default(), ingest(limits()));
    scrape(&mut i, &store, Ok("a 1\nb 2\n"), 10);
    assert_eq!(taken(&store), ["a 1 @10", "b 2 @10", "up 1 @10"]);
    scrape(&mut i, &store, Ok("a 3\n"), 20);
    assert_eq!(taken(&store), ["a 3 @20", "b stale @20", "up 1 @20"]);
    scrape(&mut i, &store, Ok("a 3\n"), 30);
    assert_eq!(taken(&store), ["a 3 @30", "up 1 @30"]);
    // It may come back, in another order.
    scrape(&mut i, &store, Ok("b 1\na 4\n"), 40);
    assert_eq!(taken(&store), ["b 1 @40", "a 4 @40", "up 1 @40"]);
    assert_eq!(i.cached(), 2);
}

#[test]
fn a_failed_scrape_ends_everything_and_stores_nothing() {
    let (store, mut i) = (Store::default(), ingest(limits()));
    scrape(&mut i, &store, Ok("a 1\n"), 10);
    taken(&store);
    let o = scrape(&mut i, &store, Ok("a 2\nnew 1\nbroken\n"), 20);
    assert!(o.error.is_some());
    assert_eq!(taken(&store), ["a stale @20", "up 0 @20"]);
    scrape(&mut i, &store, Err("connection refused"), 30);
    assert_eq!(taken(&store), ["up 0 @30"]);
    scrape(&mut i, &store, Ok("a 5\n"), 40);
    assert_eq!(taken(&store), ["a 5 @40", "up 1 @40"]);
}

#[test]
fn stated_timestamps_are_kept_and_not_tracked() {
    let (store, mut i) = (Store::default(), ingest(limits()));
    scrape(&mut i, &store, Ok("a 1 5\n"), 10);
    assert_eq!(taken(&store), ["a 1 @5", "up 1 @10"]);
    scrape(&mut i, &store, Ok(""), 20);
    assert_eq!(taken(&store), ["up 1 @20"]);
    let mut l = limits();
    l.track_timestamps_staleness = true;
    let mut i = ingest(l);
    scrape(&mut i, &store, Ok("a 1 5\n"), 10);
    taken(&store);
    scrape(&mut i, &store, Ok(""), 20);
    assert_eq!(taken(&store), ["a stale @20", "up 1 @20"]);
    let mut l = limits();
    l.honor_timestamps = false;
    let mut i = ingest(l);
    scrape(&mut i, &store, Ok("a 1 5\n"), 10);
    assert_eq!(taken(&store), ["a 1 @10", "up 1 @10"]);
}

#[test]
fn the_sample_limit_counts_everything_and_stores_nothing() {
    let mut l = limits();
    l.sample_limit = 2;
    let (store, mut i) = (Store::default(), ingest(l));
    let o = scrape(&mut i, &store, Ok("a 1\nb 2\nc 3\nd 4\n"), 10);
    assert_eq!(o.error.as_deref(), Some("sample limit exceeded"));
    assert_eq!(o.scraped, 4);
    assert_eq!(taken(&store), ["up 0 @10"]);
    let o = scrape(&mut i, &store, Ok("a 1\nb 2\n"), 20);
    assert_eq!(o.error, None);
    assert_eq!(taken(&store), ["a 1 @20", "b 2 @20", "up 1 @20"]);
}

#[test]
fn duplicates_keep_the_first_value() {
    let (store, mut i) = (Store::default(), ingest(limits()));
    scrape(&mut i, &store, Ok("a 1\na 2\n"), 10);
    assert_eq!(taken(&store), ["a 1 @10", "up 1 @10"]);
}

#[test]
fn a_target_that_is_gone_ends_its_reports_too() {
    let (store, mut i) = (Store::default(), ingest(limits()));
    scrape(&mut i, &store, Ok("a 1\n"), 10);
    taken(&store);
    i.end(20, &store).unwrap();
    assert_eq!(taken(&store), ["a stale @20", "up stale @20"]);
}

#[test]
fn converted_histograms_end_as_histograms() {
    let mut l = limits();
    l.options.convert_to_nhcb = true;
    let (store, mut i) = (Store::default(), ingest(l));
    let body =
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n";
    scrape(&mut i, &store, Ok(body), 10);
    assert_eq!(taken(&store), ["h histogram @10", "up 1 @10"]);
    scrape(&mut i, &store, Ok(""), 20);
    assert_eq!(taken(&store), ["h histogram stale @20", "up 1 @20"]);
}

#[test]
fn entries_that_died_are_swept() {
    let (store, mut i) = (Store::default(), ingest(limits()));
    for round in 0..20 {
        let body: String = (0..200)
            .map(|n| format!("m{{a=\"{round}_{n}\"}} 1\n"))
            .collect();
        scrape(&mut i, &store, Ok(&body), round);
    }
    assert!(i.cached() <= 1600, "{}", i.cached());
    taken(&store);
    scrape(&mut i, &store, Ok(""), 100);
    let stale = taken(&store).iter().filter(|l| l.contains("stale")).count();
    assert_eq!(stale, 200);
}

#[test]
fn markers_that_could_not_be_stored_come_later() {
    let (store, mut i) = (Store::default(), ingest(limits()));
    scrape(&mut i, &store, Ok("a 1\nb 1\n"), 10);
    taken(&store);
    store.1.store(true, Relaxed);
    let body = Body {
        format: Format::Text,
        bytes: b"a 2\n",
    };
    let full = i.scrape(Ok(body), 0.0, 20, &mut BTreeMap::new(), &store, || 0.5);
    assert!(full.is_err());
    store.1.store(false, Relaxed);
    scrape(&mut i, &store, Ok("a 3\n"), 30);
    assert_eq!(taken(&store), ["a 3 @30", "b stale @30", "up 1 @30"]);
}

/// Answers every request with one sample, counting nothing.
async fn serve() -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut s, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buf = [0u8; 4096];
                while s.read(&mut buf).await.is_ok_and(|n| n > 0) {
                    let body = "# TYPE a gauge\na 1\n";
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if s.write_all(head.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

fn job(more: &str) -> PrometheusConfig {
    let text = format!(
        "scrape_configs: [{{job_name: j, scrape_interval: 400ms, scrape_timeout: 400ms{more}}}]"
    );
    crate::config::parse_yaml(std::path::Path::new("test"), &text).unwrap()
}

fn group(address: &str) -> Vec<TargetGroup> {
    vec![TargetGroup {
        source: "s".into(),
        targets: vec![Labels::from_pairs([("__address__", address)])],
        labels: Labels::empty(),
    }]
}

/// Waits until `done`, however slow the machine is.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain for {what}");
}

async fn until_up(scraper: &Scraper) {
    until("targets that are up", || {
        let targets = scraper.targets();
        !targets.is_empty() && targets.iter().all(|t| t.health == Health::Up)
    })
    .await;
}

#[tokio::test]
async fn a_reload_keeps_what_did_not_change_and_a_lost_target_ends() {
    let address = serve().await;
    let store = Arc::new(Store::default());
    let scraper = Scraper::new(store.clone(), 1);
    // Groups may come before the configuration.
    scraper.update("j", group(&address));
    scraper.apply(job("").jobs()).unwrap();
    until_up(&scraper).await;
    let mut families = 0;
    scraper.visit_metadata(&mut |_, family, _| families += usize::from(family == "a"));
    assert_eq!(families, 1);
    // Another limit: the loop is replaced, its series live on.
    scraper.apply(job(", sample_limit: 100").jobs()).unwrap();
    assert_eq!(scraper.targets()[0].health, Health::Up);
    let known = scraper.targets()[0].last_scrape_ms;
    until("a scrape by the new loop", || {
        scraper.targets()[0].last_scrape_ms > known
    })
    .await;
    assert!(!taken(&store).iter().any(|l| l.contains("stale")));
    // A limit on targets fails all of them.
    scraper.apply(job(", target_limit: 1").jobs()).unwrap();
    let mut two = group(&address);
    two[0].targets.push(Labels::from_pairs([
        ("__address__", address.as_str()),
        ("instance", "second"),
    ]));
    scraper.update("j", two);
    let limit = "target_limit exceeded (number of targets: 2, limit: 1)";
    until("both targets to fail", || {
        let targets = scraper.targets();
        targets.len() == 2 && targets.iter().all(|t| t.last_error == limit)
    })
    .await;
    scraper.update("j", group(&address));
    until("one target", || scraper.targets().len() == 1).await;
    until_up(&scraper).await;
    taken(&store);
    scraper.update("j", Vec::new());
    assert!(scraper.targets().is_empty());
    let mut lines = Vec::new();
    until("the end of its series", || {
        lines.extend(taken(&store));
        let end = lines.iter().filter(|l| l.contains("stale"));
        end.clone().count() >= 2 && end.clone().any(|l| l.starts_with("a stale"))
    })
    .await;
    scraper.stop().await;
}

#[tokio::test]
async fn the_service_scrapes_static_targets() {
    let address = serve().await;
    let store = Arc::new(Store::default());
    let service = super::Service::new(store.clone(), 1);
    let more = format!(", static_configs: [{{targets: ['{address}'], labels: {{env: x}}}}]");
    let jobs: Vec<_> = job(&more).jobs().cloned().collect();
    service.apply(&jobs).unwrap();
    until_up(&service.scraper()).await;
    let targets = service.scraper().targets();
    assert_eq!(targets[0].labels.get("env"), Some("x"));
    assert_eq!(targets[0].url, format!("http://{address}/metrics"));
    // The same again is no change.
    service.apply(&jobs).unwrap();
    assert_eq!(service.scraper().targets()[0].health, Health::Up);
    service.stop().await;
    assert!(service.scraper().targets().is_empty());
    assert!(!taken(&store).iter().any(|l| l.contains("stale")));
}
