//! The PostgreSQL exporter: its own servers, or whichever a request names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use exporters::emit::{Kind, Sink};
use exporters::metrics::postgres::{CustomQuery, Options, Outcome, Proof, Server, Source};
use hyper::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use sha2::Digest as _;

use super::{BODY_TIMEOUT, Exporter, Scraped, Scraping};
use crate::config::postgres_exporter::{AuthModule, PostgresExporterConfig};
use crate::config::prometheus::TlsConfig;
use crate::config::{postgres_queries, yaml};
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
    /// File with statements of the user; empty for none.
    pub(crate) queries: PathBuf,
    /// Which other databases of the servers are asked, if any.
    pub(crate) discover: Option<Databases>,
}

/// Which databases are asked that nobody has named.
#[derive(Debug, Default)]
pub(crate) struct Databases {
    /// Those to ask; empty for all.
    pub(crate) include: Vec<String>,
    /// Those to leave out.
    pub(crate) exclude: Vec<String>,
}

impl Databases {
    fn keeps(&self, name: &String) -> bool {
        !self.exclude.contains(name) && (self.include.is_empty() || self.include.contains(name))
    }
}

/// The file with statements of the user, as it was read at the start.
struct Queries {
    file: String,
    hash: String,
    wrong: bool,
}

impl Queries {
    /// Reads the file; what is wrong with it is told, and later shown in a metric.
    fn read(file: &Path) -> (Self, Vec<CustomQuery>) {
        let mut q = Self {
            file: file.display().to_string(),
            hash: String::new(),
            wrong: false,
        };
        let text = yaml::read(file);
        if let Ok(t) = &text {
            let digest = sha2::Sha256::digest(t.as_bytes());
            q.hash = digest.iter().map(|b| format!("{b:02x}")).collect();
        }
        let read = text.and_then(|t| postgres_queries::parse(file, &t));
        let all = read.unwrap_or_else(|e| {
            tracing::error!(error = %e, "statements of the user cannot be used");
            q.wrong = true;
            Vec::new()
        });
        (q, all)
    }
}

/// An exporter of PostgreSQL servers.
pub(crate) struct PostgresExporter {
    servers: Vec<Server>,
    config: Option<PathBuf>,
    options: Options,
    queries: Option<Queries>,
    discover: Option<Databases>,
    /// Databases that were found, by the place of their server and by name.
    found: Mutex<BTreeMap<(usize, String), Arc<Server>>>,
    scrapes: AtomicU64,
    /// What was wrong when it was last told, by server and collector.
    told: Mutex<BTreeMap<(String, String), String>>,
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
        let mut scrape = options.scrape;
        let queries = (!options.queries.as_os_str().is_empty()).then(|| {
            let (queries, all) = Queries::read(&options.queries);
            scrape.custom = all;
            queries
        });
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            config: options.config,
            options: scrape,
            queries,
            discover: options.discover,
            found: Mutex::default(),
            scrapes: AtomicU64::new(0),
            told: Mutex::default(),
        })
    }

    /// Tells what went wrong and what is right again, once each.
    fn tell(&self, server: &str, outcome: &Outcome) {
        let mut told = self.told.lock();
        let mut now = BTreeMap::new();
        let down = outcome.error.iter().map(|e| ("", e));
        let failed = outcome.failed.iter().map(|(c, e)| (c.as_str(), e));
        for (collector, e) in down.chain(failed) {
            let key = (server.to_owned(), collector.to_owned());
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
        let constant = self.options.constant.iter();
        let constant: Vec<_> = constant.map(|(n, v)| (n.as_str(), v.as_str())).collect();
        out.gauge(
            format!("{prefix}_exporter_last_scrape_duration_seconds"),
            "Duration of the last scrape of metrics from PostgreSQL.",
            &constant,
            started.elapsed().as_secs_f64(),
        );
        out.gauge(
            format!("{prefix}_exporter_last_scrape_error"),
            "Whether the last scrape of metrics from PostgreSQL resulted in an error (1 for error, 0 for success).",
            &constant,
            f64::from(u8::from(failed)),
        );
        let total = self.scrapes.fetch_add(1, Relaxed) + 1;
        let family = out.family(
            format!("{prefix}_exporter_scrapes_total"),
            "Total number of times PostgreSQL was scraped for metrics.",
            Kind::Counter,
        );
        out.add(family, &constant, total as f64);
        if let Some(q) = &self.queries {
            let own = [("filename", q.file.as_str()), ("hashsum", q.hash.as_str())];
            let labels = own.into_iter().chain(constant).collect::<Vec<_>>();
            out.gauge(
                format!("{prefix}_exporter_user_queries_load_error"),
                "Whether the user queries file was loaded and parsed successfully (1 for error, 0 for success).",
                &labels,
                f64::from(u8::from(q.wrong)),
            );
        }
    }

    /// Asks a server; says whether something went wrong that counts as an error of the scrape.
    async fn ask(&self, server: &Server, label: Option<&str>, name: &str, out: &mut Sink) -> bool {
        let outcome = server.scrape(&self.options, label, out).await;
        self.tell(name, &outcome);
        outcome.error.is_some() || outcome.custom_failed
    }

    /// Asks the other databases of the server at `place`, as far as they are wanted.
    async fn ask_found(&self, place: usize, server: &Server, out: &mut Sink) -> bool {
        let Some(wanted) = &self.discover else {
            return false;
        };
        let names = match server.databases(self.options.timeout).await {
            Ok(names) => names,
            // The server itself has told what is wrong.
            Err(_) => return true,
        };
        // Connections to databases that are gone are let go.
        self.found
            .lock()
            .retain(|(p, name), _| *p != place || names.contains(name));
        let mut failed = false;
        for name in names.into_iter().filter(|n| wanted.keeps(n)) {
            let database = {
                let mut found = self.found.lock();
                let known = found.entry((place, name.clone()));
                known
                    .or_insert_with(|| Arc::new(server.database(&name)))
                    .clone()
            };
            let shown = format!("{}/{name}", server.address());
            failed |= self.ask(&database, None, &shown, out).await;
        }
        failed
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
        let address = server.address();
        let failed = self.ask(&server, None, &address, &mut sink).await;
        self.about(started, failed, &mut sink);
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
            for (place, server) in self.servers.iter().enumerate() {
                let address = server.address();
                let label = several.then_some(address.as_str());
                failed |= self.ask(server, label, &address, &mut sink).await;
                failed |= self.ask_found(place, server, &mut sink).await;
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
