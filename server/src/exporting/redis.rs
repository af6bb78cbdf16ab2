//! The Redis exporter: its own server, or whichever a request names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use exporters::emit::{Kind, Sink, Suffix};
use exporters::metrics::redis::{Encrypt, Options, Target, scrape};
use hyper::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use super::{BODY_TIMEOUT, Exporter, Scraped, Scraping};
use crate::http::{Params, plain};

/// What the command line says.
pub(crate) struct RedisOptions {
    /// The server of the usual path; none when only requests name servers.
    pub(crate) address: String,
    /// Its user; the address may name another.
    pub(crate) user: String,
    /// Its password; the address may have another.
    pub(crate) password: String,
    /// Passwords of other servers by address.
    pub(crate) passwords: BTreeMap<String, String>,
    /// What encrypts connections.
    pub(crate) encrypt: Option<Encrypt>,
    /// What a scrape does.
    pub(crate) scrape: Options,
}

/// An exporter of Redis servers.
pub(crate) struct RedisExporter {
    options: RedisOptions,
    scrapes: AtomicU64,
    request_errors: AtomicU64,
    nanoseconds: AtomicU64,
    /// Why the usual server was down when it was last asked.
    told: Mutex<Option<String>>,
}

impl RedisExporter {
    /// An exporter.
    pub(crate) fn new(options: RedisOptions) -> Self {
        Self {
            options,
            scrapes: AtomicU64::new(0),
            request_errors: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            told: Mutex::default(),
        }
    }

    /// Asks the server at `address`.
    async fn ask(self: Arc<Self>, address: String) -> Scraped {
        let mut target = Target::parse(&address)
            .map_err(|e| (StatusCode::BAD_REQUEST, format!("invalid target: {e}")))?;
        if target.password.is_empty() {
            let known = self.options.passwords.get(&address);
            target.password = known.unwrap_or(&self.options.password).clone();
        }
        if target.user.is_empty() {
            target.user.clone_from(&self.options.user);
        }
        target.encrypt.clone_from(&self.options.encrypt);
        let asked = tokio::task::spawn_blocking(move || {
            let started = std::time::Instant::now();
            let mut sink = Sink::new();
            let outcome = scrape(&target, &self.options.scrape, &mut sink);
            let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.nanoseconds.fetch_add(took, Relaxed);
            self.scrapes.fetch_add(1, Relaxed);
            self.tell(&address, outcome.error);
            self.about(&mut sink);
            sink
        });
        asked
            .await
            .map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
    }

    /// Tells of a server that went down or changed its reason, once.
    fn tell(&self, address: &str, error: Option<String>) {
        let mut told = self.told.lock();
        if *told == error {
            return;
        }
        // Addresses may hold passwords; what stands before the last @ is left out.
        let address = address.rsplit_once('@').map_or(address, |(_, a)| a);
        match &error {
            Some(e) => tracing::warn!(address, error = %e, "redis cannot be asked"),
            None => tracing::info!(address, "redis answers again"),
        }
        *told = error;
    }

    /// What the exporter says about itself.
    fn about(&self, out: &mut Sink) {
        let named = |name: &str| format!("{}_{name}", self.options.scrape.namespace);
        out.gauge(
            named("exporter_build_info"),
            "redis exporter build_info",
            &[
                ("build_date", ""),
                ("commit_sha", ""),
                ("golang_version", ""),
                ("version", super::VERSION),
            ],
            1.0,
        );
        let scrapes = self.scrapes.load(Relaxed) as f64;
        out.counter(
            named("exporter_scrapes_total"),
            "Current total redis scrapes.",
            &[],
            scrapes,
        );
        let duration = out.family(
            named("exporter_scrape_duration_seconds"),
            "Durations of scrapes by the exporter",
            Kind::Summary,
        );
        let seconds = self.nanoseconds.load(Relaxed) as f64 / 1e9;
        out.add_suffixed(duration, Suffix::Sum, &[], seconds);
        out.add_suffixed(duration, Suffix::Count, &[], scrapes);
        out.counter(
            named("target_scrape_request_errors_total"),
            "Errors in requests to the exporter",
            &[],
            self.request_errors.load(Relaxed) as f64,
        );
    }
}

async fn scrape_target(
    State(s): State<Arc<RedisExporter>>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let params = Params::read(&parts.method, &parts.uri, &headers, body, BODY_TIMEOUT).await;
    let params = match params {
        Ok(p) => p,
        Err(refusal) => return refusal,
    };
    let target = params.get("target").to_owned();
    let scraped = if target.is_empty() {
        let why = "'target' parameter must be specified";
        Err((StatusCode::BAD_REQUEST, why.to_owned()))
    } else {
        s.clone().ask(target).await
    };
    match scraped {
        Ok(sink) => super::text(&sink, &headers),
        Err((status, why)) => {
            s.request_errors.fetch_add(1, Relaxed);
            plain(status, format!("{why}\n"))
        }
    }
}

impl Exporter for RedisExporter {
    fn name(&self) -> &'static str {
        "redis_exporter"
    }

    fn title(&self) -> &'static str {
        "Redis Exporter"
    }

    fn scrape(self: Arc<Self>, _params: Params) -> Scraping {
        Box::pin(async move {
            let address = self.options.address.clone();
            if address.is_empty() {
                let mut sink = Sink::new();
                self.about(&mut sink);
                return Ok(sink);
            }
            self.ask(address).await
        })
    }

    fn routes(self: Arc<Self>) -> Router {
        Router::new()
            .route("/scrape", get(scrape_target))
            .route("/health", get(|| async { "ok" }))
            .with_state(self)
    }
}
