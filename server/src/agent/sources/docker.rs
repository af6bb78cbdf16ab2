//! Containers of a Docker engine, read through its API.
//!
//! Owns: one task for each container that discovery finds, where it goes on after a break, labels
//! of its lines.
//! Knows nothing of: how containers are found, the format of the stream (`exporters::logs::docker`).
//!
//! Invariants
//! - DCK1  A container's place is the time of its last line that was delivered, with the number of
//!   lines that have exactly this time: the engine is asked from there on and what is known already
//!   is passed over.
//! - DCK2  A container that has left the list is read to the end of its stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::model::LabelsBuilder;
use exporters::logs::cursors::Cursor;
use exporters::logs::docker::{Line, Output, Stream};
use exporters::logs::entry::{Entry, LabelSet};
use exporters::logs::positions::{CONTAINER, Known};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use super::{Active, Common, count, unless_stopped};
use crate::agent::read::now_ns;
use crate::agent::targets::each;
use crate::config::LabelMap;
use crate::config::prometheus::{DiscoveryConfigs, DockerSdConfig, TlsConfig};
use crate::discovery::{GroupSink, Manager, TargetGroup, docker_place, error_text};
use crate::http::client::{self, ClientLimits, Credentials};

/// Label of the container's id.
const ID: &str = "__meta_docker_container_id";
/// Label that says which output a line was written to.
const STREAM: &str = "__meta_docker_container_log_stream";
/// Containers that are read at a time.
const CONTAINERS_MAX: usize = 4096;
/// First and longest pause before a stream is asked for again.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long the engine may take to connect and to answer questions.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long one stream may be: it follows the container, so for ever.
const FOLLOW: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Largest answer to a question.
const ANSWER_BYTES_MAX: usize = 4 << 20;
const NS: i64 = 1_000_000_000;

/// The way to an engine.
#[derive(Clone)]
struct Engine {
    base: Url,
    client: reqwest::Client,
    credentials: Credentials,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Inspected {
    config: InspectedConfig,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct InspectedConfig {
    tty: bool,
}

impl Engine {
    fn open(c: &DockerSdConfig) -> Result<Self, String> {
        let plain = c.http_client().tls_config == TlsConfig::default();
        let (base, socket) = docker_place(&c.host, plain)?;
        let limits = ClientLimits {
            timeout: TIMEOUT,
            connect_timeout: TIMEOUT,
        };
        let http = c.http_client();
        let client = match socket {
            Some(path) => client::build_for_socket(&http, limits, &path),
            None => client::build(&http, limits),
        };
        Ok(Self {
            base,
            client: client.map_err(|e| e.to_string())?,
            credentials: Credentials::new(&http, limits).map_err(|e| e.to_string())?,
        })
    }

    async fn ask(
        &self,
        id: &str,
        what: &str,
        query: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<reqwest::Response, String> {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}/containers/{id}/{what}"));
        url.query_pairs_mut().extend_pairs(query);
        let headers = self.credentials.headers().await;
        let request = self.client.get(url).timeout(timeout);
        let request = request.headers(headers.map_err(|e| e.to_string())?);
        let answer = request.send().await.map_err(|e| error_text(&e))?;
        match answer.status() {
            s if s.is_success() => Ok(answer),
            s => Err(format!("/containers/{id}/{what}: {s}")),
        }
    }

    async fn has_terminal(&self, id: &str) -> Result<bool, String> {
        let mut answer = self.ask(id, "json", &[], TIMEOUT).await?;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|e| error_text(&e))? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(format!(
                    "/containers/{id}/json: more than {ANSWER_BYTES_MAX} bytes"
                ));
            }
            body.extend_from_slice(&piece);
        }
        let read = serde_json::from_slice(&body).map(|i: Inspected| i.config.tty);
        read.map_err(|e| format!("/containers/{id}/json: {e}"))
    }
}

/// Labels of a container's lines, by output; none when they are dropped.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    stdout: Option<Arc<LabelSet>>,
    stderr: Option<Arc<LabelSet>>,
}

impl Shown {
    fn of(&self, output: Output) -> Option<&Arc<LabelSet>> {
        match output {
            Output::Stdout => self.stdout.as_ref(),
            Output::Stderr => self.stderr.as_ref(),
        }
    }
}

/// Hands what discovery finds to the task that reads.
struct Inbox(watch::Sender<Vec<TargetGroup>>);

impl GroupSink for Inbox {
    fn update(&self, _job: &str, groups: Vec<TargetGroup>) {
        self.0.send_replace(groups);
    }
}

/// Looks for containers of one engine and reads them until told to stop.
///
/// # Errors
/// When the engine's address makes no sense.
pub(super) fn start(
    c: &DockerSdConfig,
    common: Common,
    known: Known,
) -> Result<(Manager, impl Future<Output = ()> + use<>), String> {
    let engine = Engine::open(c)?;
    let (inbox, found) = watch::channel(Vec::new());
    let manager = Manager::new(Arc::new(Inbox(inbox)));
    let configs = DiscoveryConfigs {
        docker: vec![c.clone()],
        ..DiscoveryConfigs::default()
    };
    manager.apply([(common.feed.job.clone(), configs)]);
    let reader = Reader {
        engine,
        common,
        known,
        listed: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    Ok((manager, reader.run(found)))
}

struct Reader {
    engine: Engine,
    common: Common,
    known: Known,
    /// Containers that are listed now, or are read to their end.
    listed: BTreeMap<String, watch::Sender<Listed>>,
    tasks: JoinSet<String>,
}

/// What the list says of a container.
#[derive(Debug, Clone, Default)]
struct Listed {
    here: bool,
    shown: Arc<Shown>,
}

impl Reader {
    async fn run(mut self, mut found: watch::Receiver<Vec<TargetGroup>>) {
        let mut stop = self.common.stop.clone();
        loop {
            let next = async {
                tokio::select! {
                    changed = found.changed() => changed.is_ok().then_some(None),
                    Some(ended) = self.tasks.join_next() => Some(ended.ok()),
                }
            };
            match unless_stopped(&mut stop, next).await.flatten() {
                None => break,
                Some(Some(ended)) => drop(self.listed.remove(&ended)),
                Some(None) => {}
            }
            let groups = found.borrow_and_update().clone();
            self.reconcile(&groups);
        }
        while self.tasks.join_next().await.is_some() {}
    }

    fn shown(&self, labels: &LabelsBuilder) -> Shown {
        let of = |output: Output| {
            let mut all: LabelSet = labels
                .iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect();
            all.insert(STREAM.into(), output.name().into());
            self.common.feed.labels(&LabelMap::default(), &all)
        };
        Shown {
            stdout: of(Output::Stdout),
            stderr: of(Output::Stderr),
        }
    }

    /// Begins to read containers that are new; those that are gone end with their stream (DCK2).
    fn reconcile(&mut self, groups: &[TargetGroup]) {
        // One with several ports is several targets: the first stands for it.
        let mut wanted: BTreeMap<String, Arc<Shown>> = BTreeMap::new();
        for labels in groups
            .iter()
            .filter(|g| !g.targets.is_empty())
            .flat_map(each)
        {
            let Some(id) = labels.get(ID).filter(|id| !wanted.contains_key(*id)) else {
                continue;
            };
            let (id, shown) = (id.to_owned(), self.shown(&labels));
            if shown != Shown::default() {
                wanted.insert(id, Arc::new(shown));
            }
        }
        for (id, told) in &self.listed {
            told.send_if_modified(|l| {
                let shown = wanted.get(id);
                let changed = l.here != shown.is_some() || shown.is_some_and(|s| *s != l.shown);
                l.here = shown.is_some();
                if let Some(s) = shown {
                    l.shown = s.clone();
                }
                changed
            });
        }
        for (id, shown) in wanted {
            if self.listed.contains_key(&id) || self.listed.len() >= CONTAINERS_MAX {
                continue;
            }
            let (told, listed) = watch::channel(Listed { here: true, shown });
            let key = format!("{CONTAINER}{id}");
            let saved = self.known.place(&key);
            let cursor = self.common.cursors.open(&key, saved);
            let container = Container {
                place: Place::parse(cursor.done().as_deref()),
                id: id.clone(),
                engine: self.engine.clone(),
                common: self.common.clone(),
                cursor,
                listed,
            };
            self.listed.insert(id, told);
            self.tasks.spawn(container.run());
        }
    }
}

/// Where reading goes on (DCK1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    /// Time of the last line, ns.
    time_ns: i64,
    /// Lines with this time that are known.
    same: u64,
}

impl Place {
    /// Reads `seconds` or `seconds.nanoseconds`; of the latter one line is known.
    fn parse(text: Option<&str>) -> Self {
        let text = text.unwrap_or_default();
        let (seconds, rest) = text.split_once('.').unwrap_or((text, ""));
        let seconds = seconds.parse::<i64>().unwrap_or(0);
        Self {
            time_ns: seconds
                .saturating_mul(NS)
                .saturating_add(rest.parse::<i64>().unwrap_or(0)),
            same: u64::from(!rest.is_empty()),
        }
    }

    fn text(self) -> String {
        format!(
            "{}.{:09}",
            self.time_ns.div_euclid(NS),
            self.time_ns.rem_euclid(NS)
        )
    }

    /// Notes a line.
    fn note(&mut self, time_ns: i64) {
        match time_ns == self.time_ns {
            true => self.same += 1,
            false => (self.time_ns, self.same) = (time_ns, 1),
        }
    }
}

/// One container that is read.
struct Container {
    id: String,
    engine: Engine,
    common: Common,
    cursor: Arc<Cursor>,
    listed: watch::Receiver<Listed>,
    place: Place,
}

impl Container {
    async fn run(mut self) -> String {
        let _active = Active::new(&self.common.numbers);
        tracing::info!(container = %self.id, "started to read the container");
        let mut stop = self.common.stop.clone();
        let mut pause = PAUSE_MIN;
        loop {
            let before = self.place;
            if let Err(e) = self.follow(&mut stop).await {
                count(&self.common.numbers.docker_errors, 1);
                tracing::warn!(container = %self.id, error = %e, "the container's stream broke off");
            }
            // It has ended; whether the container is gone too the list will say.
            if !self.listed.borrow().here {
                break;
            }
            pause = match before == self.place {
                true => (pause * 2).min(PAUSE_MAX),
                false => PAUSE_MIN,
            };
            if unless_stopped(&mut stop, tokio::time::sleep(pause))
                .await
                .is_none()
            {
                break;
            }
        }
        tracing::info!(container = %self.id, "stopped to read the container");
        self.id
    }

    /// Reads the stream to its end, or until told to stop. Lines that were read are handed on even
    /// then.
    async fn follow(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), String> {
        let since = self.place.text();
        let query = [
            ("follow", "1"),
            ("stdout", "1"),
            ("stderr", "1"),
            ("timestamps", "1"),
            ("since", since.as_str()),
        ];
        let open = async {
            let terminal = self.engine.has_terminal(&self.id).await?;
            let answer = self.engine.ask(&self.id, "logs", &query, FOLLOW).await?;
            Ok::<_, String>((terminal, answer))
        };
        let Some(opened) = unless_stopped(stop, open).await else {
            return Ok(());
        };
        let (terminal, mut answer) = opened?;
        let mut stream = Stream::new(terminal);
        let mut known = self.place;
        loop {
            let piece = unless_stopped(stop, answer.chunk()).await;
            let mut lines = Vec::new();
            let more = match piece {
                Some(Ok(Some(bytes))) => {
                    let pushed = stream.push(&bytes, &mut |l| lines.push(l));
                    pushed.map(|()| true).map_err(|e| e.to_string())
                }
                Some(Ok(None)) | None => Ok(false),
                Some(Err(e)) => Err(error_text(&e)),
            };
            if !matches!(more, Ok(true)) {
                // A line that was cut off is better than none.
                stream.finish(&mut |l| lines.push(l));
            }
            let waiting = stream.waiting_since();
            let entries = lines
                .into_iter()
                .filter_map(|l| self.entry(l, &mut known, waiting));
            let entries = entries.collect();
            self.common.feed.take(entries).await;
            if !more? {
                return Ok(());
            }
        }
    }

    /// The entry of a line; none when it is `known` already or dropped. `waiting` is the time of a
    /// line that has begun and not ended: it is not done.
    fn entry(&mut self, line: Line, known: &mut Place, waiting: Option<i64>) -> Option<Entry> {
        let time = line.time_ns.unwrap_or_else(now_ns);
        if time < known.time_ns {
            return None;
        }
        if time == known.time_ns && known.same > 0 {
            known.same -= 1;
            return None;
        }
        self.place.note(time);
        // What is dropped is done as well.
        let place = match waiting.filter(|w| *w <= time) {
            None => self.place,
            Some(w) => Place {
                time_ns: w - 1,
                same: 0,
            },
        };
        let ticket = self.cursor.hand_out(place.text());
        let labels = self.listed.borrow().shown.of(line.output).cloned()?;
        count(&self.common.numbers.docker_entries, 1);
        let mut entry = Entry::new(time, line.text, labels);
        entry.ticket = ticket;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_seconds_with_a_fraction() {
        assert_eq!(Place::parse(None), Place::default());
        let whole = Place::parse(Some("17"));
        assert_eq!((whole.time_ns, whole.same), (17 * NS, 0));
        let mut p = Place::parse(Some("17.000000005"));
        assert_eq!(
            (p.time_ns, p.same, p.text()),
            (17 * NS + 5, 1, "17.000000005".into())
        );
        p.note(17 * NS + 5);
        assert_eq!(p.same, 2);
        p.note(18 * NS);
        assert_eq!((p.same, p.text()), (1, "18.000000000".into()));
    }
}
