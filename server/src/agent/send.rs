//! Batches of entries on their way to one receiver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::wire::inflate::compress_snappy;
use engine::wire::loki::{SendEntry, put_stream};
use exporters::logs::entry::{Entry, LabelSet, Ticket};
use exporters::logs::positions::Ledger;
use exporters::logs::stages::TENANT_LABEL;
use query::text::quote::quote_into;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use sha2::Digest as _;
use tokio::sync::mpsc;

use super::backoff::Backoff;
use super::read::now_ns;
use super::tally::{Reason, Tally};
use crate::config::LabelMap;
use crate::config::promtail::{ClientConfig, LimitsConfig};
use crate::http::client::{self, ClientLimits, Credentials};

/// Says whose the entries are.
const TENANT_HEADER: HeaderName = HeaderName::from_static("x-scope-orgid");

/// So much of a refusal is logged.
const REASON_BYTES_MAX: usize = 1024;

/// One line as it is sent.
struct Line {
    time_ns: i64,
    text: String,
    metadata: Vec<(String, String)>,
    /// Dropped with the batch (AGT1).
    _ticket: Option<Ticket>,
}

/// Entries of one tenant that are sent together.
struct Batch {
    /// In the order of their first lines.
    streams: Vec<(Arc<LabelSet>, Vec<Line>)>,
    /// Where each stands.
    index: BTreeMap<Arc<LabelSet>, usize>,
    /// The stream of the line before: most lines follow one of theirs.
    last: usize,
    bytes: u64,
    entries: u64,
    since: Instant,
}

impl Batch {
    /// Adds a line to its stream; false when that would be one more than `streams_max`, which is
    /// no bound when it is 0.
    fn put(&mut self, labels: Arc<LabelSet>, line: Line, streams_max: usize) -> bool {
        let last = self.streams.get_mut(self.last);
        if let Some((_, lines)) = last.filter(|(own, _)| Arc::ptr_eq(own, &labels)) {
            lines.push(line);
            return true;
        }
        if let Some(at) = self.index.get(&labels) {
            self.last = *at;
        } else if streams_max > 0 && self.streams.len() >= streams_max {
            return false;
        } else {
            self.last = self.streams.len();
            self.index.insert(labels.clone(), self.last);
            self.streams.push((labels, Vec::new()));
        }
        if let Some((_, lines)) = self.streams.get_mut(self.last) {
            lines.push(line);
        }
        true
    }
}

/// The way to a receiver.
pub(crate) struct Sender {
    config: ClientConfig,
    limits: LimitsConfig,
    client: reqwest::Client,
    credentials: Credentials,
    headers: HeaderMap,
    numbers: Arc<Tally>,
    ledger: Arc<Ledger>,
    batches: BTreeMap<String, Batch>,
}

/// What is sent of labels: an entry's own win, empty ones and inner ones are not sent.
pub(super) fn sent_labels<'a>(
    own: &'a LabelSet,
    external: &'a LabelMap,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let mut all: BTreeMap<&str, &str> = external.iter().collect();
    all.extend(own.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    let all = all.into_iter();
    all.filter(|(n, v)| !v.is_empty() && *n != TENANT_LABEL)
}

/// The same as a selector.
fn selector(labels: &LabelSet, external: &LabelMap) -> String {
    let mut out = String::from("{");
    for (n, v) in sent_labels(labels, external) {
        if out.len() > 1 {
            out.push_str(", ");
        }
        out.push_str(n);
        out.push('=');
        quote_into(&mut out, v);
    }
    out.push('}');
    out
}

/// What a receiver is called: its name, or something short that stays the same.
fn name_of(config: &ClientConfig) -> String {
    if !config.name.is_empty() {
        return config.name.clone();
    }
    let of = format!("{} {}", config.url.as_str(), config.tenant_id);
    let digest = sha2::Sha256::digest(of.as_bytes());
    digest.iter().take(3).map(|b| format!("{b:02x}")).collect()
}

enum Outcome {
    Done,
    /// The receiver may take it later.
    Later(String),
    /// It takes it when it comes more slowly.
    Limited(String),
    Never(String),
}

impl Sender {
    /// The way to the receiver of `config`; what it has taken is noted in `ledger`.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub(crate) fn new(
        config: &ClientConfig,
        (limits, lag_labels): (&LimitsConfig, Vec<String>),
        ledger: Arc<Ledger>,
    ) -> Result<Self, String> {
        let http = config.http_client();
        let timeout = config.timeout.as_std().max(Duration::from_millis(1));
        let bounds = ClientLimits {
            timeout,
            connect_timeout: timeout,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let pair = (
                name.parse::<HeaderName>(),
                HeaderValue::from_str(value.expose()),
            );
            let (Ok(n), Ok(v)) = pair else {
                return Err(format!("header {name:?} is not valid"));
            };
            // What says how the body is to be read, and who sends, is not for the file to say.
            if n != CONTENT_TYPE && n != USER_AGENT {
                headers.insert(n, v);
            }
        }
        let host = config.url.parsed().map(|u| match u.port() {
            Some(p) => format!("{}:{p}", u.host_str().unwrap_or_default()),
            None => u.host_str().unwrap_or_default().to_owned(),
        });
        Ok(Self {
            client: client::build(&http, bounds).map_err(|e| e.to_string())?,
            credentials: Credentials::new(&http, bounds).map_err(|e| e.to_string())?,
            headers,
            numbers: Arc::new(
                Tally::new(host.unwrap_or_default()).with_lags(&name_of(config), lag_labels),
            ),
            config: config.clone(),
            limits: limits.clone(),
            ledger,
            batches: BTreeMap::new(),
        })
    }

    /// Its numbers.
    pub(crate) fn numbers(&self) -> Arc<Tally> {
        self.numbers.clone()
    }

    /// Takes entries until nobody gives any more, then sends what is left.
    pub(crate) async fn run(mut self, mut entries: mpsc::Receiver<Vec<Entry>>) {
        let wait = self.config.batchwait.as_std();
        let every = (wait / 10).max(Duration::from_millis(10));
        loop {
            tokio::select! {
                some = entries.recv() => match some {
                    Some(all) => for e in all { self.add(e).await },
                    None => break,
                },
                () = tokio::time::sleep(every), if !self.batches.is_empty() => {}
            }
            let due = |b: &Batch| b.since.elapsed() >= wait;
            let ready = self.batches.iter().filter(|(_, b)| due(b));
            let ready: Vec<String> = ready.map(|(t, _)| t.clone()).collect();
            for t in ready {
                self.flush(&t).await;
            }
        }
        for t in self.batches.keys().cloned().collect::<Vec<_>>() {
            self.flush(&t).await;
        }
    }

    async fn add(&mut self, mut e: Entry) {
        let tenant = e.labels.get(TENANT_LABEL).unwrap_or(&self.config.tenant_id);
        let tenant = tenant.clone();
        let max = usize::try_from(self.limits.max_line_size.0).unwrap_or(usize::MAX);
        if max > 0 && e.line.len() > max {
            let (reason, length) = (Reason::LineTooLong, e.line.len());
            if !self.limits.max_line_size_truncate {
                return self.numbers.dropped(&tenant, reason, 1, length as u64);
            }
            e.line.truncate(e.line.floor_char_boundary(max));
            let lost = (length - e.line.len()) as u64;
            self.numbers.mutated(&tenant, reason, lost);
        }
        let metadata: usize = e.metadata.iter().map(|(n, v)| n.len() + v.len()).sum();
        let bytes = (e.line.len() + metadata) as u64;
        let full = |b: &Batch| b.bytes + bytes > self.config.batchsize;
        if self.batches.get(&tenant).is_some_and(full) {
            self.flush(&tenant).await;
        }
        let batch = self.batches.entry(tenant.clone()).or_insert_with(|| Batch {
            streams: Vec::new(),
            index: BTreeMap::new(),
            last: 0,
            bytes: 0,
            entries: 0,
            since: Instant::now(),
        });
        let streams_max = usize::try_from(self.limits.max_streams).unwrap_or(0);
        let line = Line {
            time_ns: e.time_ns,
            text: e.line,
            metadata: e.metadata,
            _ticket: e.ticket,
        };
        if batch.put(e.labels, line, streams_max) {
            batch.bytes += bytes;
            batch.entries += 1;
        } else {
            let reason = Reason::StreamLimited;
            self.numbers.dropped(&tenant, reason, 1, bytes);
        }
    }

    /// Sends a batch until it is taken or given up, and notes that (AGT4).
    async fn flush(&mut self, tenant: &str) {
        let Some(batch) = self.batches.remove(tenant) else {
            return;
        };
        self.deliver(tenant, &batch).await;
        // Its tickets end here.
        drop(batch);
        super::note(&self.ledger).await;
    }

    async fn deliver(&self, tenant: &str, batch: &Batch) {
        let mut raw = Vec::with_capacity(usize::try_from(batch.bytes).unwrap_or(0) + 1024);
        for (labels, lines) in &batch.streams {
            let labels = selector(labels, &self.config.external_labels);
            let entries = lines.iter().map(|l| SendEntry {
                time_ns: l.time_ns,
                line: &l.text,
                metadata: &l.metadata,
            });
            put_stream(&mut raw, &labels, entries);
        }
        let mut body = Vec::new();
        compress_snappy(&raw, &mut body);
        drop(raw);
        let body = bytes::Bytes::from(body);
        let sent = body.len() as u64;
        self.numbers.encoded(sent);
        let mut backoff = Backoff::new(&self.config.backoff_config);
        let (error, reason) = loop {
            let (error, limited) = match self.send(tenant, body.clone()).await {
                Outcome::Done => {
                    self.lags(batch);
                    return self.numbers.sent(batch.entries, sent);
                }
                Outcome::Never(error) => break (error, Reason::Refused),
                Outcome::Limited(error) if self.config.drop_rate_limited_batches => {
                    break (error, Reason::RateLimited);
                }
                Outcome::Limited(error) => (error, Reason::RateLimited),
                Outcome::Later(error) => (error, Reason::Refused),
            };
            self.numbers.retried(tenant);
            tracing::warn!(host = %self.numbers.host(), %error, "error sending batch, will retry");
            tokio::time::sleep(backoff.wait()).await;
            if backoff.is_over() {
                break (error, limited);
            }
        };
        tracing::error!(host = %self.numbers.host(), %error, "final error sending batch, it is dropped");
        self.numbers.dropped(tenant, reason, batch.entries, sent);
    }

    /// Notes how far behind each stream of a batch that was taken is.
    fn lags(&self, batch: &Batch) {
        let now = now_ns();
        for (labels, lines) in &batch.streams {
            if let Some(last) = lines.last() {
                let lag = now.saturating_sub(last.time_ns) as f64 / 1e9;
                self.numbers.lags(labels, lag);
            }
        }
    }

    async fn send(&self, tenant: &str, body: bytes::Bytes) -> Outcome {
        let credentials = match self.credentials.headers().await {
            Ok(h) => h,
            Err(e) => return Outcome::Later(e.to_string()),
        };
        let mut request = self
            .client
            .post(self.config.url.as_str())
            .headers(self.headers.clone())
            .headers(credentials)
            .header(CONTENT_TYPE, "application/x-protobuf");
        if !tenant.is_empty() {
            let Ok(value) = HeaderValue::from_str(tenant) else {
                return Outcome::Never(format!("tenant {tenant:?} cannot be sent in a header"));
            };
            // In place of one that the file says.
            request = request.headers(HeaderMap::from_iter([(TENANT_HEADER, value)]));
        }
        let start = Instant::now();
        let answer = request.body(body).send().await;
        let status = answer.as_ref().ok().map(|a| a.status().as_u16());
        self.numbers.requested(status, start.elapsed());
        let mut answer = match answer {
            Ok(a) => a,
            Err(e) => return Outcome::Later(crate::discovery::error_text(&e)),
        };
        let status = answer.status();
        if status.is_success() {
            return Outcome::Done;
        }
        let said = answer.chunk().await.ok().flatten().unwrap_or_default();
        let said = String::from_utf8_lossy(said.get(..REASON_BYTES_MAX).unwrap_or(&said));
        let line = said.lines().next().unwrap_or_default();
        let reason = format!("server returned HTTP status {status}: {line}");
        match status.as_u16() {
            429 => Outcome::Limited(reason),
            500.. => Outcome::Later(reason),
            _ => Outcome::Never(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entrys_own_labels_win_and_inner_ones_stay_here() {
        let pairs = [("a", "1"), (TENANT_LABEL, "t"), ("e", ""), ("q", "x\"y")];
        let own: LabelSet = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let external = [("a", "9"), ("z", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(
            selector(&own, &LabelMap(external.into())),
            r#"{a="1", q="x\"y", z="2"}"#
        );
    }
}
