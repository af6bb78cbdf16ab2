//! Alerts to Alertmanagers: each has its own queue.
//!
//! Owns: labels on the way out, discovery of receivers, queues, requests.
//! Knows nothing of: rules, why an alert fires.
//!
//! There is no second attempt: alerts that fire are sent again by their rule, and what is late is
//! worth less than what is new. A full queue drops its oldest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use engine::model::Labels;
use hyper::header::CONTENT_TYPE;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;
use url::Url;

use super::alert::{Annotations, Outgoing};
use super::numbers::{Board, ReceiverNumbers};
use crate::config::prometheus::{AlertingConfig, AlertmanagerConfig, LoadedConfig};
use crate::discovery::{self, ADDRESS, GroupSink, TargetGroup, error_text};
use crate::http::client::{self, ClientLimits, Credentials};
use crate::http::sigv4::Signer;
use crate::relabel::Relabel;

const SCHEME: &str = "__scheme__";
const PATH: &str = "__alerts_path__";

/// An alert as receivers get it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sent {
    /// Identity.
    pub(crate) labels: Labels,
    /// Texts.
    pub(crate) annotations: Annotations,
    /// Since when it fires, ms.
    pub(crate) starts_at: i64,
    /// When it stopped, or until when it may be believed to fire, ms.
    pub(crate) ends_at: i64,
    /// Where its expression can be looked at.
    pub(crate) generator_url: String,
}

/// Where the expression of an alert can be looked at.
#[derive(Debug, Clone)]
pub(crate) enum Links {
    /// The graph page of the server at this URL.
    Graph(String),
    /// The explore page of the dashboards at this URL, with the data source of this name.
    Explore {
        /// URL of the dashboards.
        url: String,
        /// Identity of the data source there.
        source: String,
    },
}

impl Links {
    fn to(&self, text: &str) -> String {
        match self {
            Self::Graph(url) => {
                let link = query::template::prometheus::graph_link(text, 1);
                format!("{}{link}", url.trim_end_matches('/'))
            }
            Self::Explore { url, source } => {
                let asked = json!({
                    "expr": text,
                    "queryType": "range",
                    "datasource": {"type": "loki", "uid": source},
                });
                let asked: String =
                    url::form_urlencoded::byte_serialize(asked.to_string().as_bytes()).collect();
                let url = url.trim_end_matches('/');
                format!("{url}/explore?left={{\"queries\":[{asked}]}}")
            }
        }
    }
}

/// An Alertmanager in this process.
pub(crate) trait Local: Send + Sync + 'static {
    /// Takes alerts; must not wait.
    fn put(&self, alerts: &[Sent]);
}

/// How alerts are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SendOptions {
    /// Alerts that wait for one receiver.
    pub(crate) capacity: usize,
    /// Alerts of a request.
    pub(crate) batch: usize,
    /// Whether what waits is sent before the process ends.
    pub(crate) drain: bool,
}

/// Sends alerts to all receivers.
pub(crate) struct Notifier {
    links: Links,
    options: SendOptions,
    board: Arc<Board>,
    local: Mutex<Option<Arc<dyn Local>>>,
    common: ArcSwap<Common>,
    sets: Arc<Sets>,
    discovery: discovery::Manager,
}

/// What holds for all receivers.
#[derive(Default)]
struct Common {
    external: Vec<(String, String)>,
    relabel: Relabel,
}

/// Sets of receivers by the name that discovery knows them by.
#[derive(Default)]
struct Sets(Mutex<BTreeMap<String, Arc<Set>>>);

/// One entry of `alertmanagers`.
struct Set {
    config: AlertmanagerConfig,
    targets: Relabel,
    alerts: Relabel,
    client: reqwest::Client,
    credentials: Credentials,
    signer: Option<Signer>,
    options: SendOptions,
    board: Arc<Board>,
    /// By URL.
    active: Mutex<BTreeMap<String, Receiver>>,
    /// URLs that rules dropped.
    dropped: Mutex<Vec<String>>,
}

/// A receiver; its task ends with it.
struct Receiver {
    queue: Arc<Queue>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<Json>>,
    /// A request is under way.
    busy: Mutex<bool>,
    wake: Notify,
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.waiting.lock().is_empty() && !*self.busy.lock()
    }
}

/// Receivers that can be put in force.
pub(crate) struct Prepared {
    common: Common,
    sets: Vec<(String, Set)>,
}

impl Notifier {
    /// A notifier without receivers.
    pub(super) fn new(links: Links, options: SendOptions, board: Arc<Board>) -> Self {
        let sets = Arc::new(Sets::default());
        Self {
            links,
            options,
            board,
            local: Mutex::default(),
            common: ArcSwap::default(),
            discovery: discovery::Manager::new(Arc::clone(&sets) as Arc<dyn GroupSink>),
            sets,
        }
    }

    /// From now on alerts also go to `local`.
    pub(super) fn set_local(&self, local: Arc<dyn Local>) {
        *self.local.lock() = Some(local);
    }

    /// Looks whether the receivers of `config` can be used.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn prepare(&self, config: &LoadedConfig) -> Result<Prepared, String> {
        let global = &config.document.global;
        let AlertingConfig {
            alert_relabel_configs,
            alertmanagers,
            ..
        } = &config.document.alerting;
        let sets = alertmanagers.iter().enumerate().map(|(i, c)| {
            let name = format!("config-{i}");
            let set = self.set(c).map_err(|e| format!("alertmanagers {i}: {e}"))?;
            Ok((name, set))
        });
        let external = global.external_labels.iter();
        Ok(Prepared {
            common: Common {
                external: external
                    .map(|(n, v)| (n.to_owned(), v.to_owned()))
                    .collect(),
                relabel: Relabel::compile(alert_relabel_configs, false)
                    .map_err(|e| format!("alert_relabel_configs: {e}"))?,
            },
            sets: sets.collect::<Result<_, String>>()?,
        })
    }

    fn set(&self, c: &AlertmanagerConfig) -> Result<Set, String> {
        let limits = ClientLimits {
            timeout: c.timeout.as_std(),
            connect_timeout: c.timeout.as_std(),
        };
        let http = c.http_client();
        Ok(Set {
            targets: Relabel::compile(&c.relabel_configs, false).map_err(|e| e.to_string())?,
            alerts: Relabel::compile(&c.alert_relabel_configs, false).map_err(|e| e.to_string())?,
            client: client::build(&http, limits).map_err(|e| e.to_string())?,
            credentials: Credentials::new(&http, limits).map_err(|e| e.to_string())?,
            signer: c.sigv4.as_ref().map(Signer::new).transpose()?,
            config: c.clone(),
            options: self.options,
            board: Arc::clone(&self.board),
            active: Mutex::default(),
            dropped: Mutex::default(),
        })
    }

    /// Puts receivers in force; those that did not change keep their queues. Must be called within
    /// a runtime.
    pub(super) fn apply(&self, p: Prepared) {
        self.common.store(Arc::new(p.common));
        let discovery: Vec<_> = p
            .sets
            .iter()
            .map(|(name, s)| (name.clone(), s.config.discovery()))
            .collect();
        let mut changed = Vec::new();
        {
            let mut sets = self.sets.0.lock();
            let mut old = std::mem::take(&mut *sets);
            for (name, set) in p.sets {
                let kept = old.remove(&name).filter(|o| o.config == set.config);
                if kept.is_none() {
                    changed.push(name.clone());
                }
                sets.insert(name, kept.unwrap_or_else(|| Arc::new(set)));
            }
        }
        // Targets of a set that was changed are handed over anew.
        let unchanged = discovery
            .iter()
            .filter(|d| !changed.contains(&d.0))
            .cloned();
        self.discovery.apply(unchanged.collect::<Vec<_>>());
        self.discovery.apply(discovery);
    }

    /// Sends alerts that the expression `text` raised.
    pub(super) fn send(&self, text: &str, alerts: Vec<Outgoing>) {
        let common = self.common.load();
        let generator_url = self.links.to(text);
        let mut out = Vec::with_capacity(alerts.len());
        for a in alerts {
            let mut b = a.labels.to_builder();
            for (n, v) in &common.external {
                if b.get(n).is_none_or(str::is_empty) {
                    b.set(n, v);
                }
            }
            if !common.relabel.apply(&mut b) {
                continue;
            }
            out.push(Sent {
                labels: b.build(),
                annotations: a.annotations,
                starts_at: a.starts_at,
                ends_at: a.ends_at,
                generator_url: generator_url.clone(),
            });
        }
        if out.is_empty() {
            return;
        }
        let sets: Vec<Arc<Set>> = self.sets.0.lock().values().cloned().collect();
        for set in sets {
            set.put(&out);
        }
        let local = self.local.lock().clone();
        if let Some(l) = local {
            l.put(&out);
        }
    }

    /// URLs of receivers in use, and of those that rules dropped.
    pub(super) fn receivers(&self) -> (Vec<String>, Vec<String>) {
        let sets: Vec<Arc<Set>> = self.sets.0.lock().values().cloned().collect();
        let mut active = Vec::new();
        let mut dropped = Vec::new();
        for s in sets {
            active.extend(s.active.lock().keys().cloned());
            dropped.extend(s.dropped.lock().iter().cloned());
        }
        (active, dropped)
    }

    /// Ends everything, after what waits was sent, at most `patience` later.
    pub(super) async fn stop(&self, patience: Duration) {
        self.discovery.stop();
        let deadline = Instant::now() + patience;
        while self.options.drain && Instant::now() < deadline {
            let sets: Vec<Arc<Set>> = self.sets.0.lock().values().cloned().collect();
            let idle = |s: &Arc<Set>| s.active.lock().values().all(|r| r.queue.is_idle());
            if sets.iter().all(idle) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.sets.0.lock().clear();
    }
}

impl GroupSink for Sets {
    fn update(&self, job: &str, groups: Vec<TargetGroup>) {
        let set = self.0.lock().get(job).cloned();
        if let Some(set) = set {
            Set::retarget(&set, &groups);
        }
    }
}

impl Set {
    /// Where alerts of a discovered target go; `Err` when rules drop it.
    fn url(&self, labels: &Labels) -> Option<Result<String, String>> {
        let mut b = labels.to_builder();
        b.set(SCHEME, &self.config.scheme);
        let prefix = self.config.path_prefix.trim_matches('/');
        let path = match prefix {
            "" => "/api/v2/alerts".to_owned(),
            p => format!("/{p}/api/v2/alerts"),
        };
        b.set(PATH, &path);
        let url = |b: &engine::model::LabelsBuilder| {
            let scheme = b.get(SCHEME).unwrap_or("http").to_owned();
            let address = b.get(ADDRESS).filter(|a| !a.is_empty())?;
            let port = match scheme.as_str() {
                _ if has_port(address) => "",
                "https" => ":443",
                _ => ":80",
            };
            let path = b.get(PATH).unwrap_or("/");
            Some(format!("{scheme}://{address}{port}{path}"))
        };
        let before = url(&b)?;
        if !self.targets.apply(&mut b) {
            return Some(Err(before));
        }
        Some(Ok(url(&b)?))
    }

    fn retarget(self: &Arc<Self>, groups: &[TargetGroup]) {
        let mut wanted = Vec::new();
        let mut dropped = Vec::new();
        for g in groups {
            for t in &g.targets {
                let mut b = g.labels.to_builder();
                for (n, v) in t.iter() {
                    b.set(n, v);
                }
                match self.url(&b.build()) {
                    Some(Ok(u)) => wanted.push(u),
                    Some(Err(u)) => dropped.push(u),
                    None => tracing::warn!(target = %t, "an Alertmanager without an address"),
                }
            }
        }
        *self.dropped.lock() = dropped;
        let mut active = self.active.lock();
        let mut receivers = self.board.receivers.lock();
        active.retain(|url, _| {
            let keep = wanted.contains(url);
            if !keep {
                receivers.remove(url);
            }
            keep
        });
        for url in wanted {
            if active.contains_key(&url) {
                continue;
            }
            let parsed = match Url::parse(&url) {
                Ok(u) => u,
                Err(e) => {
                    tracing::warn!(url, error = %e, "an Alertmanager's URL cannot be used");
                    continue;
                }
            };
            let queue = Arc::new(Queue::default());
            let numbers = ReceiverNumbers {
                capacity: self.options.capacity as u64,
                ..ReceiverNumbers::default()
            };
            receivers.insert(url.clone(), numbers);
            let work = deliver(Arc::clone(self), Arc::clone(&queue), parsed, url.clone());
            let task = tokio::spawn(work);
            active.insert(url, Receiver { queue, task });
        }
    }

    /// Queues alerts for every receiver of the set.
    fn put(&self, alerts: &[Sent]) {
        let bodies: Vec<Json> = alerts
            .iter()
            .filter_map(|a| {
                let mut b = a.labels.to_builder();
                self.alerts.apply(&mut b).then(|| body(a, &b.build()))
            })
            .collect();
        if bodies.is_empty() {
            return;
        }
        for (url, receiver) in &*self.active.lock() {
            let mut waiting = receiver.queue.waiting.lock();
            waiting.extend(bodies.iter().cloned());
            let over = waiting.len().saturating_sub(self.options.capacity);
            waiting.drain(..over);
            let queued = waiting.len() as u64;
            drop(waiting);
            self.count(url, |n| {
                n.dropped += over as u64;
                n.queued = queued;
            });
            if over > 0 {
                tracing::warn!(url, dropped = over, "the queue of alerts is full");
            }
            receiver.queue.wake.notify_one();
        }
    }

    fn count(&self, url: &str, add: impl FnOnce(&mut ReceiverNumbers)) {
        if let Some(n) = self.board.receivers.lock().get_mut(url) {
            add(n);
        }
    }

    async fn post(&self, url: &Url, body: Vec<u8>) -> Result<(), String> {
        let mut headers = self
            .credentials
            .headers()
            .await
            .map_err(|e| e.to_string())?;
        if let Some(s) = &self.signer {
            let signed = s.sign("POST", url, &body, Timestamp::now());
            headers.extend(signed.map_err(|e| e.to_string())?);
        }
        let request = self
            .client
            .post(url.clone())
            .headers(headers)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let answer = request.send().await.map_err(|e| error_text(&e))?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(format!("bad response status {}", answer.status()))
        }
    }
}

/// Sends what waits, batch by batch, for ever.
async fn deliver(set: Arc<Set>, queue: Arc<Queue>, url: Url, name: String) {
    loop {
        let batch: Vec<Json> = {
            let mut busy = queue.busy.lock();
            let mut waiting = queue.waiting.lock();
            let n = waiting.len().min(set.options.batch.max(1));
            *busy = n > 0;
            waiting.drain(..n).collect()
        };
        if batch.is_empty() {
            queue.wake.notified().await;
            continue;
        }
        let alerts = batch.len() as u64;
        let body = Json::Array(batch).to_string().into_bytes();
        let begun = Instant::now();
        let result = set.post(&url, body).await;
        let took = begun.elapsed().as_secs_f64();
        if let Err(e) = &result {
            tracing::error!(alertmanager = %name, alerts, error = %e, "sending alerts failed");
        }
        let queued = queue.waiting.lock().len() as u64;
        set.count(&name, |n| {
            n.sent += alerts;
            n.latency.0 += took;
            n.latency.1 += 1;
            n.queued = queued;
            if result.is_err() {
                n.errors += alerts;
                n.dropped += alerts;
            }
        });
        *queue.busy.lock() = false;
    }
}

/// Whether an address ends in a port.
fn has_port(address: &str) -> bool {
    match address.rsplit_once(':') {
        Some((host, port)) => {
            port.bytes().all(|b| b.is_ascii_digit())
                && !port.is_empty()
                && (!host.contains(':') || host.ends_with(']'))
        }
        None => false,
    }
}

/// Ms since 1970 as RFC 3339 in UTC with milliseconds.
fn time(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(t) => t.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => String::new(),
    }
}

fn body(a: &Sent, labels: &Labels) -> Json {
    let labels: BTreeMap<&str, &str> = labels.iter().collect();
    let mut out = json!({
        "labels": labels,
        "startsAt": time(a.starts_at),
        "endsAt": time(a.ends_at),
        "generatorURL": a.generator_url,
    });
    if !a.annotations.is_empty() {
        out["annotations"] = json!(a.annotations);
    }
    out
}
