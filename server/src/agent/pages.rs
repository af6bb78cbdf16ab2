//! The agent's pages: readiness, numbers, configuration, targets, what discovery has found, reload.
//!
//! Owns: what they say, which agent's they are while one takes over from another.
//! Knows nothing of: how a configuration is put in force.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{any, get};
use exporters::emit::{CONTENT_TYPE, Kind, Sink};
use exporters::logs::numbers::Numbers;
use hyper::StatusCode;
use hyper::header;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::read::{View, now_ns};
use super::sources::SourceNumbers;
use super::tally::Tally;
use super::targets::Found;
use crate::config::promtail::PromtailConfig;
use crate::http::plain;

/// Asks for the configuration to be read again; the answer says why it was not.
pub(crate) type Reload = oneshot::Sender<Result<(), String>>;

/// What requests come in by: the pages of the agent in force, and its reloading.
#[derive(Default)]
pub(crate) struct Door {
    pages: ArcSwapOption<Pages>,
    reload: Option<mpsc::Sender<Reload>>,
    reloaded: AtomicU64,
    failed: AtomicU64,
}

impl Door {
    /// A door without pages yet. With `reload`, `/reload` asks there.
    pub(crate) fn new(reload: Option<mpsc::Sender<Reload>>) -> Self {
        Self {
            reload,
            ..Self::default()
        }
    }

    /// Shows these pages from now on.
    pub(crate) fn show(&self, pages: Arc<Pages>) {
        self.pages.store(Some(pages));
    }

    /// Counts an attempt to read the configuration again.
    pub(crate) fn count(&self, done: &Result<(), String>) {
        let which = if done.is_ok() {
            &self.reloaded
        } else {
            &self.failed
        };
        which.fetch_add(1, Relaxed);
    }
}

/// What pages show.
pub(crate) struct Pages {
    config: String,
    wants_target: bool,
    numbers: Arc<Numbers>,
    sources: Arc<SourceNumbers>,
    sent: Vec<Arc<Tally>>,
    found: Arc<Found>,
    view: Arc<Mutex<View>>,
}

impl Pages {
    pub(super) fn new(
        config: &PromtailConfig,
        (numbers, sources, sent): (Arc<Numbers>, Arc<SourceNumbers>, Vec<Arc<Tally>>),
        (view, found): (Arc<Mutex<View>>, Arc<Found>),
    ) -> Self {
        Self {
            config: crate::config::render_yaml(config),
            wants_target: config.server.health_check_target.unwrap_or(true),
            numbers,
            sources,
            sent,
            found,
            view,
        }
    }

    /// What sources count. Names of sources that nobody configured are absent, as long as they are
    /// zero.
    fn sources(&self, out: &mut Sink) {
        let s = &self.sources;
        for (name, help, n) in [
            (
                "promtail_syslog_target_entries_total",
                "Total number of successful entries sent to the syslog target",
                &s.syslog_entries,
            ),
            (
                "promtail_syslog_target_parsing_errors_total",
                "Total number of parsing errors while receiving syslog messages",
                &s.syslog_errors,
            ),
            (
                "promtail_syslog_empty_messages_total",
                "Total number of empty messages receiving from syslog",
                &s.syslog_empty,
            ),
            (
                "promtail_docker_target_entries_total",
                "Total number of successful entries sent to the Docker target",
                &s.docker_entries,
            ),
            (
                "promtail_docker_target_parsing_errors_total",
                "Total number of parsing errors while receiving Docker messages",
                &s.docker_errors,
            ),
            (
                "promtail_push_target_entries_total",
                "Number of entries that came through the push API.",
                &s.push_entries,
            ),
            (
                "promtail_journal_target_lines_total",
                "Total number of successful journal lines read",
                &s.journal_entries,
            ),
            (
                "promtail_journal_target_parsing_errors_total",
                "Total number of parsing errors while reading journal messages",
                &s.journal_errors,
            ),
        ] {
            let n = n.load(Relaxed);
            if n > 0 {
                out.counter(name, help, &[], n as f64);
            }
        }
    }

    fn metrics(&self, door: &Door) -> String {
        let mut out = Sink::new();
        for (name, help, n) in [
            (
                "promtail_config_reload_success_total",
                "Number of reload success times.",
                &door.reloaded,
            ),
            (
                "promtail_config_reload_fail_total",
                "Number of reload fail times.",
                &door.failed,
            ),
        ] {
            out.counter(name, help, &[], n.load(Relaxed) as f64);
        }
        self.numbers.collect(&mut out, now_ns());
        let files = &self.view.lock().files;
        for (path, n) in files {
            let path = path.to_string_lossy();
            let labels = [("path", path.as_ref())];
            for (name, help, kind, v) in [
                (
                    "promtail_read_lines_total",
                    "Number of lines read.",
                    Kind::Counter,
                    n.lines,
                ),
                (
                    "promtail_read_bytes_total",
                    "Number of bytes read.",
                    Kind::Gauge,
                    n.read_bytes,
                ),
                (
                    "promtail_file_bytes_total",
                    "Number of bytes total.",
                    Kind::Gauge,
                    n.file_bytes,
                ),
            ] {
                let family = out.family(name, help, kind);
                out.add(family, &labels, v as f64);
            }
        }
        let active = files.len() as f64;
        out.gauge(
            "promtail_files_active_total",
            "Number of active files.",
            &[],
            active,
        );
        out.gauge(
            "promtail_targets_active_total",
            "Number of active total.",
            &[],
            active + self.sources.active.load(Relaxed) as f64,
        );
        self.sources(&mut out);
        Tally::collect(&self.sent, &mut out);
        out.text()
    }
}

/// The routes.
pub(crate) fn router(door: Arc<Door>) -> Router {
    let mut routes = Router::new()
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/targets", get(targets))
        .route("/service-discovery", get(found));
    if door.reload.is_some() {
        routes = routes.route("/reload", any(reload));
    }
    routes.with_state(door)
}

/// What `show` makes of the pages in force; nothing is ready before there are any.
fn shown(door: &Door, show: impl FnOnce(&Pages) -> Response) -> Response {
    match door.pages.load_full() {
        Some(pages) => show(&pages),
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "Not ready: starting\n"),
    }
}

async fn ready(State(door): State<Arc<Door>>) -> Response {
    shown(&door, |p| {
        let none = p.view.lock().files.is_empty() && p.sources.active.load(Relaxed) == 0;
        if p.wants_target && none {
            return plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "Not ready: Unable to find any logs to tail. Please verify permissions, volumes, scrape_config, etc.\n",
            );
        }
        plain(StatusCode::OK, "Ready\n")
    })
}

async fn metrics(State(door): State<Arc<Door>>) -> Response {
    shown(&door, |p| {
        let mut r = plain(StatusCode::OK, p.metrics(&door));
        let kind = header::HeaderValue::from_static(CONTENT_TYPE);
        r.headers_mut().insert(header::CONTENT_TYPE, kind);
        r
    })
}

async fn config(State(door): State<Arc<Door>>) -> Response {
    shown(&door, |p| plain(StatusCode::OK, p.config.clone()))
}

async fn targets(State(door): State<Arc<Door>>) -> Response {
    shown(&door, |p| {
        let mut out = String::new();
        for (path, n) in &p.view.lock().files {
            out.push_str(&format!(
                "{} {} of {} bytes\n",
                path.display(),
                n.read_bytes,
                n.file_bytes
            ));
        }
        plain(StatusCode::OK, out)
    })
}

async fn found(State(door): State<Arc<Door>>) -> Response {
    shown(&door, |p| plain(StatusCode::OK, p.found.text()))
}

async fn reload(State(door): State<Arc<Door>>) -> Response {
    let (answer, answered) = oneshot::channel();
    let asked = match &door.reload {
        Some(way) => way.send(answer).await.is_ok(),
        None => false,
    };
    let stopping = Err("the agent is stopping".to_owned());
    let done = if asked {
        answered.await
    } else {
        Ok(stopping.clone())
    };
    match done.unwrap_or(stopping) {
        Ok(()) => plain(StatusCode::OK, ""),
        Err(e) => {
            let said = format!("failed to reload config: {e}\n");
            plain(StatusCode::INTERNAL_SERVER_ERROR, said)
        }
    }
}
