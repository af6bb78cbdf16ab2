//! The agent's pages: readiness, numbers, configuration, targets.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use exporters::emit::{CONTENT_TYPE, Kind, Sink};
use exporters::logs::numbers::Numbers;
use hyper::StatusCode;
use hyper::header;
use parking_lot::Mutex;

use super::read::{View, now_ns};
use super::sources::SourceNumbers;
use super::tally::Tally;
use crate::config::promtail::PromtailConfig;
use crate::http::plain;

/// What pages show.
pub(crate) struct Pages {
    config: String,
    wants_target: bool,
    numbers: Arc<Numbers>,
    sources: Arc<SourceNumbers>,
    sent: Vec<Arc<Tally>>,
    view: Arc<Mutex<View>>,
}

impl Pages {
    pub(super) fn new(
        config: &PromtailConfig,
        (numbers, sources, sent): (Arc<Numbers>, Arc<SourceNumbers>, Vec<Arc<Tally>>),
        view: Arc<Mutex<View>>,
    ) -> Self {
        Self {
            config: crate::config::render_yaml(config),
            wants_target: config.server.health_check_target.unwrap_or(true),
            numbers,
            sources,
            sent,
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

    fn metrics(&self) -> String {
        let mut out = Sink::new();
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
pub(crate) fn router(pages: Arc<Pages>) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/targets", get(targets))
        .with_state(pages)
}

async fn ready(State(p): State<Arc<Pages>>) -> Response {
    let none = p.view.lock().files.is_empty() && p.sources.active.load(Relaxed) == 0;
    if p.wants_target && none {
        return plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "Not ready: Unable to find any logs to tail. Please verify permissions, volumes, scrape_config, etc.\n",
        );
    }
    plain(StatusCode::OK, "Ready\n")
}

async fn metrics(State(p): State<Arc<Pages>>) -> Response {
    let mut r = plain(StatusCode::OK, p.metrics());
    let kind = header::HeaderValue::from_static(CONTENT_TYPE);
    r.headers_mut().insert(header::CONTENT_TYPE, kind);
    r
}

async fn config(State(p): State<Arc<Pages>>) -> Response {
    plain(StatusCode::OK, p.config.clone())
}

async fn targets(State(p): State<Arc<Pages>>) -> Response {
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
}
