//! The PostgreSQL exporter: its own servers, or whichever a request names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use exporters::emit::{Kind, Sink};
use exporters::metrics::postgres::{Options, Outcome, Proof, Server, Source};
use hyper::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use super::{BODY_TIMEOUT, Exporter, Scraped, Scraping};
use crate::config::postgres_exporter::{AuthModule, PostgresExporterConfig};
use crate::config::prometheus::TlsConfig;
use crate::http::tls_client::client_config;
use crate::http::{Params, plain};

/// What the command line says.
pub(crate) struct PostgresOptions {
    /// Servers of the usual path.
    pub(crate) sources: Vec<Source>,
    /// File with credentials for servers that requests name.
    pub(crate) config: Option<PathBuf>,
    /// What a scrape does.
    pub(crate) scrape: Options,
}

/// An exporter of PostgreSQL servers.
pub(crate) struct PostgresExporter {
    servers: Vec<Server>,
    config: Option<PathBuf>,
    options: Options,
    scrapes: AtomicU64,
    /// What was wrong when it was last told, by server and collector.
    told: Mutex<BTreeMap<(String, &'static str), String>>,
}

/// A server that is not connected yet, encrypted as its name asks for.
fn server(source: Source) -> Result<Server, String> {
    let encrypt = match source.proof {
        Proof::None => None,
        proof => Some(client_config(&TlsConfig {
            ca_file: source.authorities.clone(),
            cert_file: source.certificate.clone(),
            key_file: source.key.clone(),
            insecure_skip_verify: proof == Proof::Any && source.authorities.is_empty(),
            ..TlsConfig::default()
        })?),
    };
    Ok(Server::new(source, encrypt))
}

impl PostgresExporter {
    /// An exporter.
    ///
    /// # Errors
    /// When a file about encryption cannot be used.
    pub(crate) fn new(options: PostgresOptions) -> Result<Self, String> {
        let servers = options.sources.into_iter().map(server);
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            config: options.config,
            options: options.scrape,
            scrapes: AtomicU64::new(0),
            told: Mutex::default(),
        })
    }

    /// Tells what went wrong and what is right again, once each.
    fn tell(&self, server: &str, outcome: &Outcome) {
        let mut told = self.told.lock();
        let mut now = BTreeMap::new();
        let down = outcome.error.iter().map(|e| ("", e));
        let failed = outcome.failed.iter().map(|(c, e)| (*c, e));
        for (collector, e) in down.chain(failed) {
            let key = (server.to_owned(), collector);
            if told.get(&key) != Some(e) {
                if collector.is_empty() {
                    tracing::warn!(server, error = %e, "postgres cannot be asked");
                } else {
                    tracing::warn!(server, collector, error = %e, "collector failed");
                }
            }
            now.insert(key, e.clone());
        }
        told.retain(|(s, _), _| s != server);
        told.append(&mut now);
    }

    /// What the exporter says about a scrape.
    fn about(&self, started: Instant, failed: bool, out: &mut Sink) {
        let prefix = &self.options.prefix;
        out.gauge(
            format!("{prefix}_exporter_last_scrape_duration_seconds"),
            "Duration of the last scrape of metrics from PostgreSQL.",
            &[],
            started.elapsed().as_secs_f64(),
        );
        out.gauge(
            format!("{prefix}_exporter_last_scrape_error"),
            "Whether the last scrape of metrics from PostgreSQL resulted in an error (1 for error, 0 for success).",
            &[],
            f64::from(u8::from(failed)),
        );
        let total = self.scrapes.fetch_add(1, Relaxed) + 1;
        let family = out.family(
            format!("{prefix}_exporter_scrapes_total"),
            "Total number of times PostgreSQL was scraped for metrics.",
            Kind::Counter,
        );
        out.add(family, &[], total as f64);
    }

    /// Asks the server that a request names.
    async fn probe(&self, params: &Params) -> Scraped {
        let bad = |why: String| (StatusCode::BAD_REQUEST, why);
        let target = params.get("target");
        if target.is_empty() {
            return Err(bad("target is required".into()));
        }
        let module = params.get("auth_module");
        let module = if module.is_empty() {
            AuthModule::default()
        } else {
            let modules = match &self.config {
                // Read for every request, so that new credentials need no restart.
                Some(f) => PostgresExporterConfig::load(f).map_err(|e| bad(e.to_string()))?,
                None => PostgresExporterConfig::default(),
            };
            let found = modules.auth_modules.get(module).cloned();
            found.ok_or_else(|| bad(format!("auth_module {module} not found")))?
        };
        let name = if target.contains("://") || target.contains('=') {
            target.to_owned()
        } else {
            format!("postgresql://{target}")
        };
        let options: Vec<String> = module
            .options
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        let name = match (options.is_empty(), name.contains('?')) {
            (true, _) => name,
            (false, true) => format!("{name}&{}", options.join("&")),
            (false, false) => format!("{name}?{}", options.join("&")),
        };
        let mut source = Source::parse(&name).map_err(bad)?;
        if !module.userpass.username.is_empty() {
            let password = module.userpass.password.expose();
            source.credentials(&module.userpass.username, password);
        }
        let server = server(source).map_err(bad)?;
        let started = Instant::now();
        let mut sink = Sink::new();
        let outcome = server.scrape(&self.options, None, &mut sink).await;
        self.about(started, outcome.error.is_some(), &mut sink);
        self.tell(&server.address(), &outcome);
        Ok(sink)
    }
}

async fn probe(
    State(s): State<Arc<PostgresExporter>>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let params = Params::read(&parts.method, &parts.uri, &headers, body, BODY_TIMEOUT).await;
    let params = match params {
        Ok(p) => p,
        Err(refusal) => return refusal,
    };
    match s.probe(&params).await {
        Ok(sink) => super::text(&sink, &headers),
        Err((status, why)) => plain(status, format!("{why}\n")),
    }
}

impl Exporter for PostgresExporter {
    fn name(&self) -> &'static str {
        "postgres_exporter"
    }

    fn title(&self) -> &'static str {
        "Postgres Exporter"
    }

    fn scrape(self: Arc<Self>, _params: Params) -> Scraping {
        Box::pin(async move {
            let started = Instant::now();
            let mut sink = Sink::new();
            let mut failed = false;
            let several = self.servers.len() > 1;
            for server in &self.servers {
                let address = server.address();
                let label = several.then_some(address.as_str());
                let outcome = server.scrape(&self.options, label, &mut sink).await;
                failed |= outcome.error.is_some();
                self.tell(&address, &outcome);
            }
            self.about(started, failed, &mut sink);
            super::build_info("postgres_exporter", &mut sink);
            Ok(sink)
        })
    }

    fn routes(self: Arc<Self>) -> Router {
        Router::new().route("/probe", get(probe)).with_state(self)
    }
}
