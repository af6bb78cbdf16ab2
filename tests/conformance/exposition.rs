//! Scrape conformance: bodies, status codes and content types of a corpus through the real scrape
//! code, from a local HTTP server to the store, compared with what the reference server stored.
//!
//! Compiled into the server's unit tests (`server/src/scrape/mod.rs`): a binary crate has no other
//! way in. The corpus is `conformance/http-api/exposition-cases.json` below `$SEXTANT_SHARED`, or
//! below `../shared` beside the repository. Without a corpus the test says so and passes, except
//! in CI.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use engine::metrics::{AppendError, Appended};
use engine::model::{Labels, LabelsSource, METRIC_NAME, WriteBatch};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::shared::shared;

use super::{Appender, Health, Scraper};
use crate::config::prometheus::PrometheusConfig;
use crate::discovery::{GroupSink, TargetGroup};

#[derive(Deserialize)]
struct Corpus {
    cases: Vec<Case>,
}

#[derive(Deserialize, Clone)]
struct Case {
    name: String,
    content_type: Option<String>,
    status: u16,
    #[serde(default)]
    body: String,
    #[serde(default)]
    body_base64: String,
    up: u8,
    #[serde(default)]
    error: String,
    series: Vec<(BTreeMap<String, String>, String)>,
}

impl Case {
    fn body(&self) -> Vec<u8> {
        if self.body_base64.is_empty() {
            return self.body.clone().into_bytes();
        }
        base64::engine::general_purpose::STANDARD
            .decode(&self.body_base64)
            .expect("the corpus holds valid base64")
    }
}

/// Values by labels; the first value of a time counts, as in a store.
#[derive(Default)]
struct Store(Mutex<BTreeMap<Labels, BTreeMap<i64, f64>>>);

impl Appender for Store {
    fn key_secret(&self) -> u64 {
        1
    }
    fn append(
        &self,
        batch: &WriteBatch,
        labels: &dyn LabelsSource,
        _: i64,
    ) -> Result<Appended, AppendError> {
        let mut series = self.0.lock();
        for s in &batch.series {
            let mut pairs = Vec::new();
            labels.collect(s.labels, &mut pairs).expect("UTF-8 labels");
            let points = series.entry(Labels::from_pairs(pairs)).or_default();
            for p in batch.samples_of(s) {
                points.entry(p.t).or_insert(p.v);
            }
        }
        Ok(Appended::default())
    }
}

fn corpus() -> Option<Corpus> {
    let path = shared("conformance/http-api/exposition-cases.json")?;
    let text = std::fs::read(path).expect("a readable corpus");
    Some(serde_json::from_slice(&text).expect("the corpus is JSON"))
}

async fn answer(mut s: TcpStream, cases: Arc<Vec<Case>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        let mut buf = [0u8; 2048];
        let n = s.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buf[..n]);
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let name = text
        .split(' ')
        .nth(1)
        .and_then(|p| p.strip_prefix("/case/"))
        .unwrap_or("");
    let case = cases.iter().find(|c| c.name == name).expect("a known case");
    let body = case.body();
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", case.status);
    if let Some(t) = &case.content_type {
        head += &format!("Content-Type: {t}\r\n");
    }
    if case.status != 204 {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    head += "\r\n";
    s.write_all(head.as_bytes()).await?;
    s.write_all(&body).await?;
    s.shutdown().await
}

/// What differs, or nothing.
fn compare(case: &Case, up: Option<f64>, got: &BTreeMap<Labels, f64>) -> Option<String> {
    if up != Some(f64::from(case.up)) {
        return Some(format!("up is {up:?}, expected {}", case.up));
    }
    let number = |s: &str| -> u64 {
        match s {
            "+Inf" => f64::INFINITY.to_bits(),
            "-Inf" => f64::NEG_INFINITY.to_bits(),
            "NaN" => engine::model::NORMAL_NAN_BITS,
            s => s.parse::<f64>().expect("a number").to_bits(),
        }
    };
    let want: BTreeMap<Labels, u64> = case
        .series
        .iter()
        .map(|(l, v)| (Labels::from_pairs(l), number(v)))
        .collect();
    let got: BTreeMap<Labels, u64> = got.iter().map(|(l, v)| (l.clone(), v.to_bits())).collect();
    (want != got).then(|| format!("stored {got:?}, expected {want:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_corpus_is_scraped_as_by_the_reference_server() {
    let Some(corpus) = corpus() else { return };
    let cases = Arc::new(corpus.cases);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let served = Arc::clone(&cases);
    let server = tokio::spawn(async move {
        while let Ok((s, _)) = listener.accept().await {
            tokio::spawn(answer(s, Arc::clone(&served)));
        }
    });

    let text = "scrape_configs: [{job_name: j, scrape_interval: 1s, scrape_timeout: 1s}]";
    let config: PrometheusConfig =
        crate::config::parse_yaml(std::path::Path::new("test"), text).expect("valid");
    let store = Arc::new(Store::default());
    let scraper = Scraper::new(store.clone(), 7);
    scraper.apply(config.jobs()).expect("valid");
    let groups = cases.iter().map(|c| TargetGroup {
        source: c.name.clone(),
        targets: vec![Labels::from_pairs([("__address__", address.as_str())])],
        labels: Labels::from_pairs([
            ("case", c.name.as_str()),
            ("__metrics_path__", &format!("/case/{}", c.name)),
        ]),
    });
    scraper.update("j", groups.collect());
    for _ in 0..2400 {
        let targets = scraper.targets();
        assert_eq!(targets.len(), cases.len());
        if targets.iter().all(|t| t.health != Health::Unknown) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let errors: BTreeMap<String, String> = scraper
        .targets()
        .into_iter()
        .map(|t| (t.labels.get("case").unwrap_or("").to_owned(), t.last_error))
        .collect();
    scraper.stop().await;
    server.abort();

    let stored = store.0.lock();
    let (mut passed, mut failed, mut same_text, mut texts) = (0, 0, 0, 0);
    for case in cases.iter() {
        let mut up = None;
        let mut got = BTreeMap::new();
        for (labels, points) in stored.iter() {
            if labels.get("case") != Some(&case.name) {
                continue;
            }
            let first = points.values().next().copied().unwrap_or(f64::NAN);
            match labels.get(METRIC_NAME) {
                Some("up") => up = Some(first),
                Some(n) if n.starts_with("scrape_") => {}
                _ => {
                    got.insert(labels.without(&["case", "job", "instance"]), first);
                }
            }
        }
        match compare(case, up, &got) {
            None => passed += 1,
            Some(difference) => {
                failed += 1;
                println!("{}: {difference}", case.name);
            }
        }
        if !case.error.is_empty() {
            texts += 1;
            let ours = errors.get(&case.name).map_or("", String::as_str);
            if ours == case.error {
                same_text += 1;
            } else {
                println!("{}: text {ours:?}, reference {:?}", case.name, case.error);
            }
        }
    }
    println!("{same_text} of {texts} error texts are the reference's");
    println!("{passed} passed, {failed} failed");
    assert_eq!(failed, 0);
}
