//! All destinations as one service: started, changed by reloads, stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::io::Fs;
use engine::metrics::{Db, real_fs};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::gather::Rules;
use super::now_ms;
use super::numbers::Board;
use super::place::{self, Place};
use super::queue::{Order, Queue};
use super::send::Sender;
use crate::config::prometheus::{LoadedConfig, RemoteWriteConfig};
use crate::relabel::Relabel;
use crate::telemetry::Metrics;

/// Copies samples to all destinations.
pub(crate) struct Service {
    db: Arc<Db>,
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    board: Arc<Board>,
    running: Mutex<BTreeMap<String, Running>>,
}

/// What a destination depends on.
#[derive(PartialEq)]
struct Wanted {
    config: RemoteWriteConfig,
    external: Vec<(String, String)>,
}

struct Running {
    wanted: Wanted,
    orders: watch::Sender<Order>,
    task: JoinHandle<()>,
}

/// Destinations that can be run, and those that must not be.
pub(crate) struct Prepared {
    destinations: Vec<Destination>,
    /// Keys of those whose authentication is not supported. They are never sent to without it.
    refused: Vec<String>,
}

/// Why nothing may be sent to the destination of `c`.
fn unsupported(c: &RemoteWriteConfig) -> Option<&'static str> {
    let role = c.sigv4.as_ref().is_some_and(|s| !s.role_arn.is_empty());
    match () {
        () if c.azuread.is_some() => Some("azuread"),
        () if c.google_iam.is_some() => Some("google_iam"),
        () if role => Some("sigv4 role_arn"),
        () => None,
    }
}

struct Destination {
    /// Of its state on disk.
    key: String,
    /// In metrics and logs.
    name: String,
    wanted: Wanted,
    rules: Rules,
    sender: Sender,
    /// Samples from before do not concern a destination that is new.
    begin: i64,
}

/// Key and name of each destination: by its name, otherwise by its URL and its place among those
/// with the same one.
fn identities<'c>(
    configs: impl IntoIterator<Item = &'c RemoteWriteConfig>,
) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    let one = |c: &RemoteWriteConfig| {
        let of = if c.name.is_empty() {
            format!("url {}", c.url.as_str())
        } else {
            format!("name {}", c.name)
        };
        let mut n = 0;
        loop {
            let hash = xxhash_rust::xxh3::xxh3_64_with_seed(of.as_bytes(), n);
            let key = format!("{hash:016x}");
            if seen.insert(key.clone()) {
                let name = if c.name.is_empty() {
                    key[..6].to_owned()
                } else {
                    c.name.clone()
                };
                return (key, name);
            }
            n += 1;
        }
    };
    configs.into_iter().map(one).collect()
}

impl Service {
    /// A service without destinations, which keeps its state in the data directory `data` and
    /// shows its numbers through `metrics`.
    pub(crate) fn new(db: Arc<Db>, data: &Path, metrics: &Metrics) -> Self {
        let board = Arc::new(Board::default());
        metrics.register(board.clone());
        Self {
            db,
            fs: real_fs(false),
            dir: data.join("remote"),
            board,
            running: Mutex::default(),
        }
    }

    /// Checks the destinations of `config`; nothing changes.
    ///
    /// # Errors
    /// When one cannot be used.
    pub(crate) fn prepare(&self, config: &LoadedConfig) -> Result<Prepared, String> {
        let configs: Vec<_> = config.document.remote_write.iter().flatten().collect();
        let pairs = config.document.global.external_labels.iter();
        let external: Vec<_> = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let identities = identities(configs.iter().copied());
        let (mut out, mut refused) = (Vec::new(), Vec::new());
        for (c, (key, name)) in configs.into_iter().zip(identities) {
            let fail = |e: String| format!("remote_write to {}: {e}", c.url);
            if let Some(what) = unsupported(c) {
                tracing::error!(remote = %name, url = %c.url.redacted(), "{what} is not supported: nothing is sent to this destination");
                refused.push(key);
                continue;
            }
            let relabel = Relabel::compile(&c.write_relabel_configs, false);
            out.push(Destination {
                key,
                name,
                rules: Rules {
                    external: external.clone(),
                    relabel: relabel.map_err(|e| fail(e.to_string()))?,
                    histograms: c.send_native_histograms,
                    exemplars: c.send_exemplars,
                },
                sender: Sender::new(c).map_err(fail)?,
                // Jobs that come with the same configuration start after this moment, perhaps
                // within the same millisecond.
                begin: now_ms() - 1,
                wanted: Wanted {
                    config: c.clone(),
                    external: external.clone(),
                },
            });
        }
        Ok(Prepared {
            destinations: out,
            refused,
        })
    }

    /// Copies to exactly the destinations of `prepared`; what did not change is left alone. Must
    /// be called within a runtime.
    pub(crate) fn apply(&self, prepared: Prepared) {
        let mut running = self.running.lock();
        let mut before = std::mem::take(&mut *running);
        let shown = |d: &Destination| (d.name.clone(), d.wanted.config.url.redacted());
        self.board
            .keep(&prepared.destinations.iter().map(shown).collect::<Vec<_>>());
        self.board.refuse(prepared.refused.len());
        if before.is_empty() {
            // A refused destination keeps its mark for the day when it is supported.
            let keys = prepared.destinations.iter().map(|d| &d.key);
            let keys: Vec<&str> = keys.chain(&prepared.refused).map(String::as_str).collect();
            place::sweep(&*self.fs, &self.dir, &keys);
        }
        for d in prepared.destinations {
            let (key, heir) = (d.key.clone(), before.remove(&d.key));
            let next = match heir {
                Some(r) if r.wanted == d.wanted => r,
                heir => self.start(d, heir),
            };
            running.insert(key, next);
        }
        for r in before.into_values() {
            r.orders.send_replace(Order::Forget);
        }
    }

    /// Starts a destination once `heir`, the same under an older configuration, has ended.
    fn start(&self, d: Destination, heir: Option<Running>) -> Running {
        let url = d.wanted.config.url.redacted();
        let (orders, receiver) = watch::channel(Order::Run);
        let queue = Queue {
            numbers: self.board.of(&d.name, &url),
            name: d.name,
            url,
            db: Arc::clone(&self.db),
            config: d.wanted.config.queue_config.clone(),
            rules: Arc::new(d.rules),
            sender: d.sender,
            place: Arc::new(Place::new(Arc::clone(&self.fs), &self.dir, &d.key)),
            begin: d.begin,
            orders: receiver,
        };
        let task = tokio::spawn(async move {
            if let Some(old) = heir {
                old.orders.send_replace(Order::Stop);
                // One that panicked leaves the cursor it wrote last.
                drop(old.task.await);
            }
            queue.run().await;
        });
        Running {
            wanted: d.wanted,
            orders,
            task,
        }
    }

    /// Sends what there is, as far as the other sides take it, and ends.
    pub(crate) async fn stop(&self) {
        let running = std::mem::take(&mut *self.running.lock());
        for r in running.values() {
            r.orders.send_replace(Order::Stop);
        }
        for r in running.into_values() {
            // One that panicked leaves the cursor it wrote last.
            drop(r.task.await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_keep_their_identity() {
        let of = |name: &str, url: &str| RemoteWriteConfig {
            name: name.into(),
            url: url.parse().unwrap(),
            ..RemoteWriteConfig::default()
        };
        let (a, b) = (of("", "http://a/x"), of("n", "http://a/x"));
        let found = identities([&a, &b, &a]);
        let again = identities([&b, &a]);
        assert_eq!((&found[0], &found[1]), (&again[1], &again[0]));
        assert_ne!(found[0], found[2]);
        assert_eq!(found[1].1, "n");
    }
}
