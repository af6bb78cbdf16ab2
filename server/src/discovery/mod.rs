//! Service discovery: where targets come from.
//!
//! Owns: the discovery kinds (one file each), and the manager that runs them and hands their
//! target groups on.
//! Knows nothing of: what is done with targets, relabelling, scraping.
//!
//! Invariants
//! - A kind that fails keeps what it found before.
//! - A job's groups are handed on at once when they are first known, then at most every five
//!   seconds.
//! - A reload leaves jobs alone whose discovery did not change.

mod answer;
mod consul;
mod dns;
mod docker;
mod file;
mod http;
mod kubernetes;
mod naming;
mod notice;
mod numbers;

pub(crate) use answer::error_text;
pub(crate) use docker::place as docker_place;
pub(crate) use numbers::Numbers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::model::{Labels, LabelsBuilder};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::config::prometheus::{DiscoveryConfigs, StaticConfig};

/// Label that holds a target's address.
pub(crate) const ADDRESS: &str = "__address__";

/// Shortest time between two hand-overs of a job.
const THROTTLE: Duration = Duration::from_secs(5);

/// Targets that were found together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetGroup {
    /// Where: unique within the kind's section.
    pub(crate) source: String,
    /// Labels of each target, with `__address__`.
    pub(crate) targets: Vec<Labels>,
    /// Labels of all of them.
    pub(crate) labels: Labels,
}

impl TargetGroup {
    /// A group of addresses, as configuration and target files write it.
    pub(crate) fn from_static(source: String, c: &StaticConfig, extra: &[(&str, &str)]) -> Self {
        let mut labels = LabelsBuilder::new();
        for (n, v) in c.labels.iter().chain(extra.iter().copied()) {
            labels.set(n, v);
        }
        Self {
            source,
            targets: c
                .targets
                .iter()
                .map(|a| Labels::from_pairs([(ADDRESS, a.as_str())]))
                .collect(),
            labels: labels.build(),
        }
    }
}

/// Receives all groups of a job.
pub(crate) trait GroupSink: Send + Sync + 'static {
    /// `groups` replace what was handed over for `job` before.
    fn update(&self, job: &str, groups: Vec<TargetGroup>);
}

/// What the kinds of one job have found, by section.
#[derive(Default)]
struct Board {
    sections: Mutex<BTreeMap<usize, Vec<TargetGroup>>>,
    /// Rings when a section has changed.
    bell: Notify,
}

/// Where a kind reports to.
#[derive(Clone)]
struct Reporter {
    /// The job, for messages.
    job: Arc<str>,
    kind: &'static str,
    section: usize,
    board: Arc<Board>,
    numbers: Arc<Numbers>,
}

impl Reporter {
    /// Counts what happened to objects of Kubernetes.
    fn events(&self, all: impl IntoIterator<Item = ((&'static str, &'static str), u64)>) {
        self.numbers.events(all);
    }

    /// Counts an attempt that failed.
    fn failed(&self) {
        self.numbers.failed(self.kind, &self.job);
    }

    /// `groups` are all that the kind has found, in place of those before. Only the newest report
    /// waits to be handed on.
    fn report(&self, groups: Vec<TargetGroup>) {
        let mut sections = self.board.sections.lock();
        if sections.get(&self.section) != Some(&groups) {
            sections.insert(self.section, groups);
            self.board.bell.notify_one();
        }
    }
}

/// Ends its tasks when dropped.
#[derive(Default)]
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for t in &self.0 {
            t.abort();
        }
    }
}

struct Job {
    configs: DiscoveryConfigs,
    _tasks: Tasks,
}

/// Runs the discovery of all jobs.
pub(crate) struct Manager {
    sink: Arc<dyn GroupSink>,
    jobs: Mutex<BTreeMap<String, Job>>,
    numbers: Arc<Numbers>,
}

impl Manager {
    /// A manager without jobs.
    pub(crate) fn new(sink: Arc<dyn GroupSink>) -> Self {
        Self {
            sink,
            jobs: Mutex::default(),
            numbers: Arc::default(),
        }
    }

    /// What discovery counts, for the page with our own metrics.
    pub(crate) fn numbers(&self) -> Arc<Numbers> {
        Arc::clone(&self.numbers)
    }

    /// Runs exactly `wanted`. Must be called within a runtime.
    pub(crate) fn apply(&self, wanted: impl IntoIterator<Item = (String, DiscoveryConfigs)>) {
        let wanted: BTreeMap<String, DiscoveryConfigs> = wanted.into_iter().collect();
        let mut jobs = self.jobs.lock();
        jobs.retain(|name, job| {
            let same = wanted.get(name) == Some(&job.configs);
            if !same {
                self.numbers.close(name);
            }
            same
        });
        for (name, configs) in wanted {
            if jobs.contains_key(&name) {
                continue;
            }
            for kind in &configs.unsupported {
                tracing::warn!(job = %name, kind, "this kind of service discovery has no effect");
            }
            let tasks = start(&name, &configs, &self.numbers, Arc::clone(&self.sink));
            jobs.insert(
                name,
                Job {
                    configs,
                    _tasks: tasks,
                },
            );
        }
    }

    /// Ends the discovery of all jobs. What was handed over stays.
    pub(crate) fn stop(&self) {
        self.jobs.lock().clear();
    }
}

fn start(
    job: &str,
    c: &DiscoveryConfigs,
    numbers: &Arc<Numbers>,
    sink: Arc<dyn GroupSink>,
) -> Tasks {
    let board = Arc::new(Board::default());
    let mut tasks = Tasks::default();
    let statics: Vec<TargetGroup> = c
        .static_configs
        .iter()
        .enumerate()
        .map(|(i, s)| TargetGroup::from_static(i.to_string(), s, &[]))
        .collect();
    board.sections.lock().insert(0, statics);
    let job: Arc<str> = job.into();
    let mut section = 0;
    let mut reporter = |kind| {
        section += 1;
        numbers.open(kind, &job);
        Reporter {
            job: Arc::clone(&job),
            kind,
            section,
            board: Arc::clone(&board),
            numbers: Arc::clone(numbers),
        }
    };
    for c in &c.file {
        tasks
            .0
            .push(tokio::spawn(file::run(c.clone(), reporter("file"))));
    }
    for c in &c.http {
        tasks
            .0
            .push(tokio::spawn(http::run(c.clone(), reporter("http"))));
    }
    for c in &c.dns {
        tasks
            .0
            .push(tokio::spawn(dns::run(c.clone(), reporter("dns"))));
    }
    for c in &c.kubernetes {
        let run = kubernetes::run(c.clone(), reporter("kubernetes"));
        tasks.0.push(tokio::spawn(run));
    }
    for c in &c.docker {
        tasks
            .0
            .push(tokio::spawn(docker::run(c.clone(), reporter("docker"))));
    }
    for c in &c.consul {
        tasks
            .0
            .push(tokio::spawn(consul::run(c.clone(), reporter("consul"))));
    }
    tasks.0.push(tokio::spawn(hand_on(job, board, sink)));
    tasks
}

/// Hands what the board shows to the sink: at once, then whenever it has changed, throttled.
async fn hand_on(job: Arc<str>, board: Arc<Board>, sink: Arc<dyn GroupSink>) {
    let mut throttle = Duration::ZERO;
    loop {
        let all = board.sections.lock().values().flatten().cloned().collect();
        sink.update(&job, all);
        tokio::time::sleep(throttle).await;
        throttle = THROTTLE;
        board.bell.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::prometheus::{FileSdConfig, HttpSdConfig};

    #[derive(Default)]
    struct Seen(Mutex<Vec<(String, Vec<TargetGroup>)>>);
    impl GroupSink for Seen {
        fn update(&self, job: &str, groups: Vec<TargetGroup>) {
            self.0.lock().push((job.to_owned(), groups));
        }
    }

    async fn wait_for(seen: &Seen, what: impl Fn(&[TargetGroup]) -> bool) -> Vec<TargetGroup> {
        for _ in 0..2400 {
            if let Some((_, g)) = seen.0.lock().last().filter(|(_, g)| what(g)) {
                return g.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not seen: {:?}", seen.0.lock());
    }

    #[tokio::test]
    async fn static_and_file_targets_are_merged_and_broken_files_keep_theirs() {
        let dir = std::env::temp_dir().join(format!("sextant-sd-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("a.yml");
        std::fs::write(&path, "- targets: ['h:1', 'h:2']\n  labels: {env: x}\n").unwrap();
        let seen = Arc::new(Seen::default());
        let m = Manager::new(seen.clone());
        let configs = DiscoveryConfigs {
            static_configs: vec![StaticConfig {
                targets: vec!["s:1".into()],
                ..StaticConfig::default()
            }],
            file: vec![FileSdConfig {
                files: vec![dir.join("*.yml").display().to_string()],
                ..FileSdConfig::default()
            }],
            ..DiscoveryConfigs::default()
        };
        m.apply([("j".to_owned(), configs.clone())]);
        let groups = wait_for(&seen, |g| g.len() == 2).await;
        assert_eq!(groups[1].targets.len(), 2);
        assert_eq!(groups[1].labels.get("env"), Some("x"));
        assert_eq!(
            groups[1].labels.get("__meta_filepath"),
            Some(path.display().to_string().as_str())
        );
        let updates = seen.0.lock().len();
        std::fs::write(&path, "- targets: [\n").unwrap();
        // An equal configuration changes nothing.
        m.apply([("j".to_owned(), configs)]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(seen.0.lock().len(), updates);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test]
    async fn an_endpoint_is_asked() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/sd", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            while let Ok((mut s, _)) = listener.accept().await {
                let mut buf = [0u8; 4096];
                let n = s.read(&mut buf).await.unwrap();
                let request = String::from_utf8_lossy(&buf[..n]).to_lowercase();
                assert!(request.contains("x-prometheus-refresh-interval-seconds: 60"));
                let body = r#"[{"targets":["h:9"],"labels":{"a":"b"}}]"#;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                s.write_all(head.as_bytes()).await.unwrap();
            }
        });
        let seen = Arc::new(Seen::default());
        let m = Manager::new(seen.clone());
        let yaml: HttpSdConfig = serde_json::from_value(serde_json::json!({ "url": url })).unwrap();
        m.apply([(
            "j".to_owned(),
            DiscoveryConfigs {
                http: vec![yaml],
                ..DiscoveryConfigs::default()
            },
        )]);
        let groups = wait_for(&seen, |g| !g.is_empty()).await;
        assert_eq!(groups[0].targets[0].get(ADDRESS), Some("h:9"));
        assert_eq!(groups[0].labels.get("__meta_url"), Some(url.as_str()));
        server.abort();
    }
}
