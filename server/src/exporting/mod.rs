//! Exporters as servers: one scrape in, one text out.
//!
//! Owns: the routes that every exporter has, how many scrapes run at a time, the exporter's
//! numbers about itself.
//! Knows nothing of: what the collectors read, the command line.
//!
//! Invariants
//! - EXP1  A scrape that finds nothing is still an answer: problems are told in metrics and in the
//!   log, never by a broken page.
//! - EXP2  Scrapes run beside the sockets, on threads that may block; only so many at a time.
//!
//! Read next: `node.rs`, `redis.rs`.

mod login;
mod node;
mod postgres;
mod redis;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use exporters::emit::{CONTENT_TYPE, Kind, Sink};
use exporters::metrics::process;
use hyper::header;
use hyper::{HeaderMap, StatusCode};
use tokio::sync::Semaphore;

pub(crate) use login::Login;
pub(crate) use node::NodeExporter;
pub(crate) use postgres::{Databases, PostgresExporter, PostgresOptions};
pub(crate) use redis::{RedisExporter, RedisOptions};

use crate::http::{Coding, Params, finish, plain};
use crate::telemetry::{emit, let_go_of_text, runtime_families};

/// How long the body of a request may take; scrapes have none.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Status codes of a scrape that are counted.
const CODES: [u16; 3] = [200, 500, 503];

/// Our version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What became of a scrape: the families, or the status and text of a refusal.
pub(crate) type Scraped = Result<Sink, (StatusCode, String)>;
/// A scrape in progress.
pub(crate) type Scraping = Pin<Box<dyn Future<Output = Scraped> + Send>>;

/// Something that can be scraped.
pub(crate) trait Exporter: Send + Sync + 'static {
    /// The name in metrics: `node_exporter`.
    fn name(&self) -> &'static str;

    /// The title of the first page.
    fn title(&self) -> &'static str;

    /// One scrape of the usual path.
    fn scrape(self: Arc<Self>, params: Params) -> Scraping;

    /// Routes beside the usual ones.
    fn routes(self: Arc<Self>) -> Router {
        Router::new()
    }
}

/// What the command line says about an exporter's pages.
#[derive(Clone)]
pub(crate) struct WebOptions {
    /// The path of the metrics.
    pub(crate) telemetry_path: String,
    /// Scrapes at a time; 0 for any number.
    pub(crate) requests_max: usize,
    /// Whether numbers of the exporter itself are shown.
    pub(crate) own_metrics: bool,
    /// Who may see the pages; without one everybody may.
    pub(crate) login: Option<Arc<Login>>,
}

/// An exporter behind its routes.
struct Served {
    exporter: Arc<dyn Exporter>,
    options: WebOptions,
    permits: Semaphore,
    in_flight: AtomicU64,
    answered: [AtomicU64; CODES.len()],
    started_seconds: f64,
    /// Whether anything was answered yet.
    settled: AtomicBool,
}

/// The routes of an exporter.
pub(crate) fn router(exporter: Arc<dyn Exporter>, options: WebOptions) -> Router {
    let permits = match options.requests_max {
        0 => Semaphore::MAX_PERMITS,
        n => n.min(Semaphore::MAX_PERMITS),
    };
    let path = options.telemetry_path.clone();
    let more = exporter.clone().routes();
    let login = options.login.clone();
    let served = Arc::new(Served {
        exporter,
        options,
        permits: Semaphore::new(permits),
        in_flight: AtomicU64::new(0),
        answered: Default::default(),
        started_seconds: jiff::Timestamp::now().as_millisecond() as f64 / 1000.0,
        settled: AtomicBool::new(false),
    });
    let mut routes = Router::new().route(&path, get(metrics));
    if path != "/" {
        routes = routes.route("/", get(first_page));
    }
    let routes = routes.with_state(served).merge(more);
    match login {
        Some(login) => routes.layer(axum::middleware::from_fn_with_state(login, login::check)),
        None => routes,
    }
}

async fn first_page(State(s): State<Arc<Served>>) -> Response {
    let (title, path) = (s.exporter.title(), &s.options.telemetry_path);
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\
         <body><h1>{title}</h1><p><a href=\"{path}\">Metrics</a></p></body></html>\n"
    );
    let mut r = Response::new(Body::from(page));
    let html = header::HeaderValue::from_static("text/html; charset=utf-8");
    r.headers_mut().insert(header::CONTENT_TYPE, html);
    r
}

async fn metrics(State(s): State<Arc<Served>>, headers: HeaderMap, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let params = Params::read(&parts.method, &parts.uri, &headers, body, BODY_TIMEOUT).await;
    let params = match params {
        Ok(p) => p,
        Err(refusal) => return refusal,
    };
    let Ok(_permit) = s.permits.try_acquire() else {
        s.count(503);
        let n = s.options.requests_max;
        let text = format!("Limit of concurrent requests reached ({n}), try again later.\n");
        return plain(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    s.in_flight.fetch_add(1, Relaxed);
    let scraped = s.exporter.clone().scrape(params).await;
    let answer = match scraped {
        Ok(mut sink) => {
            if s.options.own_metrics {
                s.own(&mut sink);
            }
            s.count(200);
            text(&sink, &headers)
        }
        Err((status, why)) => {
            s.count(status.as_u16());
            plain(status, format!("{why}\n"))
        }
    };
    s.in_flight.fetch_sub(1, Relaxed);
    if !s.settled.swap(true, Relaxed) {
        // What comes from now on is the same again and again.
        let_go_of_text();
    }
    answer
}

/// The build of the exporter `name`, in the family's words.
fn build_info(name: &str, out: &mut Sink) {
    out.gauge(
        format!("{name}_build_info"),
        format!(
            "A metric with a constant '1' value labeled by version, revision, branch, goversion from which {name} was built, and the goos and goarch for the build."
        ),
        &[
            ("branch", ""),
            ("goarch", std::env::consts::ARCH),
            ("goos", std::env::consts::OS),
            ("goversion", ""),
            ("revision", ""),
            ("tags", ""),
            ("version", VERSION),
        ],
        1.0,
    );
}

/// The text of a scrape, compressed as the scraper likes it.
fn text(sink: &Sink, headers: &HeaderMap) -> Response {
    let text = sink.text();
    let size = text.len();
    let coding = Coding::accepted(headers);
    finish(Box::new(text.into_bytes()), size, CONTENT_TYPE, coding)
}

impl Served {
    fn count(&self, code: u16) {
        if let Some(i) = CODES.iter().position(|c| *c == code) {
            self.answered[i].fetch_add(1, Relaxed);
        }
    }

    /// Numbers of the exporter itself.
    fn own(&self, out: &mut Sink) {
        for (name, help, kind, v) in process::numbers(self.started_seconds) {
            let family = out.family(name, help, kind);
            out.add(family, &[], v);
        }
        emit(&runtime_families(), out);
        out.gauge(
            "promhttp_metric_handler_requests_in_flight",
            "Current number of scrapes being served.",
            &[],
            self.in_flight.load(Relaxed) as f64,
        );
        let total = out.family(
            "promhttp_metric_handler_requests_total",
            "Total number of scrapes by HTTP status code.",
            Kind::Counter,
        );
        for (code, n) in CODES.iter().zip(&self.answered) {
            out.add(
                total,
                &[("code", &code.to_string())],
                n.load(Relaxed) as f64,
            );
        }
    }
}
