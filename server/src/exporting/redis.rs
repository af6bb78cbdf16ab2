//! The Redis exporter: its own server, or whichever a request names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use exporters::emit::{Kind, Sink, Suffix};
use exporters::metrics::redis::{Encrypt, KeyList, Options, Target, cluster_nodes, scrape};
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
    /// File with passwords of servers by address; empty for none.
    pub(crate) password_file: String,
    /// Name that certificates are for, when that is not the server's host.
    pub(crate) server_name: String,
    /// Whether requests may name servers.
    pub(crate) targets: bool,
    /// Whether nodes of a cluster are told by their host names.
    pub(crate) hostnames: bool,
    /// Whether the exporter's build is shown.
    pub(crate) build: bool,
    /// What encrypts connections.
    pub(crate) encrypt: Option<Encrypt>,
    /// What a scrape does.
    pub(crate) scrape: Options,
}

/// An exporter of Redis servers.
pub(crate) struct RedisExporter {
    options: RedisOptions,
    /// Passwords of servers by address.
    passwords: Mutex<BTreeMap<String, String>>,
    scrapes: AtomicU64,
    request_errors: AtomicU64,
    nanoseconds: AtomicU64,
    /// Why the usual server was down when it was last asked.
    told: Mutex<Option<String>>,
}

impl RedisExporter {
    /// An exporter.
    ///
    /// # Errors
    /// When the file with passwords cannot be used.
    pub(crate) fn new(options: RedisOptions) -> Result<Self, String> {
        // A password of the command line is for all servers.
        let passwords = match options.password.as_str() {
            "" => passwords(&options.password_file)?,
            _ => BTreeMap::new(),
        };
        Ok(Self {
            options,
            passwords: Mutex::new(passwords),
            scrapes: AtomicU64::new(0),
            request_errors: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            told: Mutex::default(),
        })
    }

    /// The server at `address`, with all that is known about it.
    fn target(&self, address: &str) -> Result<Target, String> {
        let mut target = Target::parse(address)?;
        if target.user.is_empty() {
            target.user.clone_from(&self.options.user);
        }
        if target.password.is_empty() {
            // As it is written, with a scheme, or with the user as well.
            let shown = target.shown();
            let with_user = shown.replacen("://", &format!("://{}@", target.user), 1);
            let passwords = self.passwords.lock();
            let known = [address, &*with_user, &*shown];
            let known = known.iter().find_map(|a| passwords.get(*a));
            target.password = known.unwrap_or(&self.options.password).clone();
        }
        target.encrypt.clone_from(&self.options.encrypt);
        target.server_name.clone_from(&self.options.server_name);
        Ok(target)
    }

    /// Asks the server at `address` for what a request wants.
    async fn ask(self: Arc<Self>, address: String, asked: Asked) -> Scraped {
        let bad = |e: String| (StatusCode::BAD_REQUEST, e);
        let target = self.target(&address);
        let mut target = target.map_err(|e| bad(format!("invalid target: {e}")))?;
        if let Some(name) = asked.server_name {
            target.server_name = name;
        }
        let options = asked.options.unwrap_or_else(|| self.options.scrape.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let started = std::time::Instant::now();
            let mut sink = Sink::new();
            let outcome = scrape(&target, &options, &mut sink);
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
        if self.options.build {
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
        }
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

/// Reads `{"redis://host:port": "password"}`.
fn passwords(file: &str) -> Result<BTreeMap<String, String>, String> {
    if file.is_empty() {
        return Ok(BTreeMap::new());
    }
    let wrong = |e: &dyn std::fmt::Display| format!("--redis.password-file {file:?}: {e}");
    let text = std::fs::read_to_string(file).map_err(|e| wrong(&e))?;
    // The parser's own message would repeat a password.
    let parsed = serde_json::from_str(&text);
    parsed.map_err(|e| wrong(&format!("line {}: no JSON object of texts", e.line())))
}

/// What a request wants otherwise than the command line.
#[derive(Default)]
struct Asked {
    options: Option<Options>,
    server_name: Option<String>,
}

impl Asked {
    fn new(params: &Params, usual: &Options) -> Result<Self, String> {
        let mut options = usual.clone();
        let keys = &mut options.keys;
        for (name, list) in [
            ("check-keys", &mut keys.patterns),
            ("check-single-keys", &mut keys.single),
            ("check-streams", &mut keys.streams),
            ("check-single-streams", &mut keys.single_streams),
            ("count-keys", &mut keys.count),
        ] {
            let text = params.get(name);
            if !text.is_empty() {
                let read = KeyList::parse(text);
                *list = read.map_err(|e| format!("couldn't parse {name}: {e}"))?;
            }
        }
        let names = ["tls_server_name", "tls-server-name"].map(|n| params.get(n));
        let name = names.into_iter().find(|n| !n.is_empty());
        Ok(Self {
            options: Some(options),
            server_name: name.map(str::to_owned),
        })
    }
}

/// The nodes of the cluster, in the form of a file of targets.
async fn nodes(State(s): State<Arc<RedisExporter>>) -> Response {
    if !s.options.scrape.cluster {
        let why = "The discovery endpoint is only available on a redis cluster\n";
        return plain(StatusCode::BAD_REQUEST, why);
    }
    let found = tokio::task::spawn_blocking(move || {
        let target = s.target(&s.options.address)?;
        let nodes = cluster_nodes(&target, &s.options.scrape, s.options.hostnames)?;
        let scheme = match target.shown().starts_with("rediss://") {
            true => "rediss",
            false => "redis",
        };
        let nodes = nodes.iter().map(|n| format!("{scheme}://{n}"));
        Ok(nodes.collect::<Vec<_>>())
    });
    let found: Result<_, String> = found.await.unwrap_or_else(|e| Err(e.to_string()));
    match found {
        Ok(targets) => {
            axum::Json(serde_json::json!([{ "targets": targets, "labels": {} }])).into_response()
        }
        Err(e) => {
            let why = format!("Failed to fetch cluster nodes: {e}\n");
            plain(StatusCode::INTERNAL_SERVER_ERROR, why)
        }
    }
}

/// Reads the file with passwords again.
async fn reload(State(s): State<Arc<RedisExporter>>) -> Response {
    if s.options.password_file.is_empty() {
        return plain(StatusCode::BAD_REQUEST, "There is no pwd file specified\n");
    }
    match passwords(&s.options.password_file) {
        Ok(p) => {
            *s.passwords.lock() = p;
            plain(StatusCode::OK, "ok")
        }
        Err(e) => {
            let why = format!("failed to reload passwords file: {e}\n");
            plain(StatusCode::INTERNAL_SERVER_ERROR, why)
        }
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
        match Asked::new(&params, &s.options.scrape) {
            Ok(asked) => s.clone().ask(target, asked).await,
            Err(why) => Err((StatusCode::BAD_REQUEST, why)),
        }
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
            self.ask(address, Asked::default()).await
        })
    }

    fn routes(self: Arc<Self>) -> Router {
        let mut routes = Router::new()
            .route("/health", get(|| async { "ok" }))
            .route("/discover-cluster-nodes", get(nodes))
            .route("/-/reload", any(reload));
        if self.options.targets {
            routes = routes.route("/scrape", get(scrape_target));
        }
        routes.with_state(self)
    }
}
