//! PostgreSQL servers: one scrape of one server, under the names of the PostgreSQL exporter.
//!
//! Owns: which statements are sent, what of their answers is shown.
//! Knows nothing of: HTTP, flags, files of configuration.
//!
//! Statements are a table (`queries`). One that a server refuses costs its collector, not the
//! scrape; only a connection that cannot be had makes the server down.
//!
//! Invariants
//! - PG1  A scrape ends at its deadline, whatever the server does.
//! - PG2  A scrape changes nothing: the session is read-only.
//!
//! Read next: `queries`, `settings.rs`.

mod custom;
mod dsn;
mod idle;
mod queries;
mod settings;
mod statements;
mod tls;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use crate::emit::{FamilyId, Kind, Sink, Suffix};
pub use custom::{Column, CustomQuery, Usage, Versions};
pub use dsn::{Proof, Source};
use queries::Query;
pub use statements::Statements;

/// The other databases of a server that can be connected to.
const DATABASES: &str = "SELECT datname FROM pg_database \
    WHERE datallowconn AND NOT datistemplate AND datname <> current_database()";
/// Most rows of an answer that are shown.
const ROWS_MAX: usize = 100_000;

/// What one scrape does.
#[derive(Debug, Clone)]
pub struct Options {
    /// First word of all names.
    pub prefix: String,
    /// How long everything together may take.
    pub timeout: Duration,
    /// Collectors that run.
    pub collectors: BTreeSet<&'static str>,
    /// The collector of single statements.
    pub statements: Statements,
    /// Statements of the user.
    pub custom: Vec<CustomQuery>,
    /// Labels of what tells its server in any case, and of what is told about scrapes.
    pub constant: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "pg".into(),
            timeout: Duration::from_secs(60),
            collectors: collectors().filter(|c| c.1).map(|c| c.0).collect(),
            statements: Statements::default(),
            custom: Vec::new(),
            constant: Vec::new(),
        }
    }
}

/// Every collector: its name and whether it runs by default.
pub fn collectors() -> impl Iterator<Item = (&'static str, bool)> {
    let mut seen = BTreeSet::new();
    let rows = queries::all().map(|q| (q.collector, q.by_default));
    let own = [
        (idle::NAME, false),
        (statements::NAME, false),
        (settings::NAME, true),
    ];
    rows.chain(own).filter(move |(name, _)| seen.insert(*name))
}

/// A family that a collector may show.
#[derive(Debug)]
pub struct Family {
    /// The collector.
    pub collector: &'static str,
    /// The name with the usual prefix.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: Vec<&'static str>,
}

/// Families of the table of statements, for those who write about them or check them. Those of
/// the settings depend on the server.
pub fn families() -> impl Iterator<Item = Family> {
    let tables = queries::all().flat_map(|q| {
        q.values.iter().map(|(name, _, kind, _)| Family {
            collector: q.collector,
            name,
            kind: *kind,
            labels: q.labels.iter().map(|l| l.0).collect(),
        })
    });
    tables.chain(statements::families()).chain([idle::family()])
}

/// A sink that adds the same labels to everything.
pub(crate) struct Labelled<'a> {
    sink: &'a mut Sink,
    server: Option<&'a str>,
    /// The server's address, for what names it in any case.
    address: String,
    /// What else stands there.
    constant: &'a [(String, String)],
}

impl Labelled<'_> {
    fn add(&mut self, name: String, help: String, kind: Kind, labels: &[(&str, &str)], v: f64) {
        let family = self.sink.family(name, help, kind);
        self.put(family, Suffix::None, labels, v);
    }

    /// A sample that tells its server even when only one is asked.
    fn add_named(
        &mut self,
        name: String,
        help: String,
        kind: Kind,
        labels: &[(&str, &str)],
        v: f64,
    ) {
        self.put_named(name, help, kind, Suffix::None, labels.iter().copied(), v);
    }

    fn put_named<'l>(
        &mut self,
        name: String,
        help: String,
        kind: Kind,
        suffix: Suffix,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        v: f64,
    ) {
        let family = self.sink.family(name, help, kind);
        let labels = labels.map(|(n, v)| (n.to_owned(), v.to_owned()));
        let own = [("server".to_owned(), self.address.clone())];
        let labels: Vec<_> = labels
            .chain(own)
            .chain(self.constant.iter().cloned())
            .collect();
        let labels = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        self.sink.put(family, suffix, labels, v);
    }

    fn put(&mut self, family: FamilyId, suffix: Suffix, labels: &[(&str, &str)], v: f64) {
        let server = self.server.map(|s| ("server", s));
        let labels = labels.iter().copied().chain(server);
        self.sink.put(family, suffix, labels, v);
    }
}

/// What a scrape found, besides families.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Why the server is down, if it is.
    pub error: Option<String>,
    /// Collectors and statements of the user that failed, and why.
    pub failed: Vec<(String, String)>,
    /// Whether a statement of the user is among them.
    pub custom_failed: bool,
}

/// A server with the connection that the last scrape left.
pub struct Server {
    source: Source,
    encrypt: Option<Arc<rustls::ClientConfig>>,
    session: tokio::sync::Mutex<Option<Session>>,
    /// A database that was found beside the one that is named: only statements of the user are
    /// for it.
    found: bool,
    /// Answers that are still good, with their time.
    kept: tokio::sync::Mutex<HashMap<String, (Instant, custom::Answer)>>,
}

struct Session {
    client: Client,
    version: u32,
}

impl Server {
    /// A server that is not connected yet. `encrypt` is how connections are encrypted; without it
    /// they are not.
    #[must_use]
    pub fn new(source: Source, encrypt: Option<Arc<rustls::ClientConfig>>) -> Self {
        Self {
            source,
            encrypt,
            session: tokio::sync::Mutex::default(),
            found: false,
            kept: tokio::sync::Mutex::default(),
        }
    }

    /// Another database of this server, that is not connected yet.
    #[must_use]
    pub fn database(&self, name: &str) -> Self {
        let mut source = self.source.clone();
        source.config.dbname(name);
        Self {
            found: true,
            ..Self::new(source, self.encrypt.clone())
        }
    }

    /// Names of the other databases of this server. Cost: a statement over the connection that the
    /// last scrape has left, or that is made now; at most `timeout`.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn databases(&self, timeout: Duration) -> Result<Vec<String>, String> {
        let asked = async {
            let mut kept = self.session.lock().await;
            if kept.as_ref().is_none_or(|s| s.client.is_closed()) {
                *kept = Some(self.connect().await?);
            }
            match kept.as_ref() {
                Some(s) => rows(&s.client, DATABASES).await,
                None => Err("no connection".into()),
            }
        };
        let found = tokio::time::timeout(timeout, asked).await;
        let found = found.map_err(|_| "the server did not answer in time".to_owned())??;
        let names = found.iter().filter_map(|r| r.get(0).map(str::to_owned));
        Ok(names.collect())
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.source.address()
    }

    /// Asks the server and adds its families to `sink`, with the label `server` if one is given.
    /// Scrapes of one server come one after the other. Cost: at most `options.timeout` (PG1).
    pub async fn scrape(&self, options: &Options, label: Option<&str>, sink: &mut Sink) -> Outcome {
        let mark = sink.mark();
        let mut outcome = Outcome::default();
        let mut out = Labelled {
            sink,
            server: label,
            address: self.address(),
            constant: &options.constant,
        };
        let asked = self.ask(options, &mut out, &mut outcome);
        let asked = tokio::time::timeout(options.timeout, asked).await;
        let error = match asked {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(e),
            Err(_) => Some("the server did not answer in time".into()),
        };
        if error.is_some() {
            // Half of a server's metrics are worse than none; its connection is not to be trusted.
            out.sink.rewind(mark);
            outcome.failed.clear();
            outcome.custom_failed = false;
            if let Ok(mut session) = self.session.try_lock() {
                *session = None;
            }
        }
        if !self.found {
            let constant = options.constant.iter();
            let labels: Vec<_> = constant.map(|(n, v)| (n.as_str(), v.as_str())).collect();
            out.add(
                format!("{}_up", options.prefix),
                "Whether the last scrape of metrics from PostgreSQL was able to connect to the server (1 for yes, 0 for no).".into(),
                Kind::Gauge,
                &labels,
                f64::from(u8::from(error.is_none())),
            );
        }
        outcome.error = error;
        outcome
    }

    async fn connect(&self) -> Result<Session, String> {
        let mut config = self.source.config.clone();
        // PG2; what somebody else has set for the session stays.
        let kept = config.get_options().unwrap_or("").to_owned();
        config.options(format!("{kept} -c default_transaction_read_only=on"));
        let client = match &self.encrypt {
            Some(encrypt) => {
                let connected = config.connect(tls::Tls(encrypt.clone())).await;
                let (client, connection) = connected.map_err(|e| reason(&e))?;
                // Ends with the client.
                drop(tokio::spawn(connection));
                client
            }
            None => {
                config.ssl_mode(SslMode::Disable);
                let (client, connection) = config.connect(NoTls).await.map_err(|e| reason(&e))?;
                drop(tokio::spawn(connection));
                client
            }
        };
        let rows = rows(&client, "SHOW server_version_num").await?;
        let version = rows.first().and_then(|r| r.get(0)?.parse().ok());
        let version = version.ok_or("the server does not tell its version")?;
        Ok(Session { client, version })
    }

    async fn ask(
        &self,
        options: &Options,
        out: &mut Labelled<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let mut kept = self.session.lock().await;
        if kept.as_ref().is_none_or(|s| s.client.is_closed()) {
            *kept = Some(self.connect().await?);
        }
        let Some(session) = kept.as_ref() else {
            return Err("no connection".into());
        };
        // A connection that broke meanwhile is noticed here, and made anew once.
        let version = match rows(&session.client, "SELECT version()").await {
            Ok(v) => v,
            Err(_) => {
                let fresh = self.connect().await?;
                let answer = rows(&fresh.client, "SELECT version()").await?;
                *kept = Some(fresh);
                answer
            }
        };
        let Some(session) = kept.as_ref() else {
            return Err("no connection".into());
        };
        if !self.found {
            let text = version.first().and_then(|r| r.get(0)).unwrap_or("");
            let (major, minor) = (session.version / 10_000, session.version % 10_000);
            out.add_named(
                format!("{}_static", options.prefix),
                "Version string as reported by postgres".into(),
                Kind::Untyped,
                &[
                    ("version", text),
                    ("short_version", &format!("{major}.{minor}.0")),
                ],
                1.0,
            );
            session.collect(options, out, outcome).await?;
        }
        self.custom(session, options, out, outcome).await
    }
}

impl Server {
    /// Statements of the user.
    async fn custom(
        &self,
        session: &Session,
        options: &Options,
        out: &mut Labelled<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let mut kept = self.kept.lock().await;
        for q in &options.custom {
            if (q.named_only && self.found) || !q.versions.holds(session.version) {
                continue;
            }
            let good = kept.get(&q.name).filter(|(at, _)| at.elapsed() <= q.keep);
            let answer = match good.filter(|_| !q.keep.is_zero()) {
                Some((_, answer)) => answer.clone(),
                None => match q.ask(&session.client, &options.prefix).await {
                    Ok(answer) => {
                        if !q.keep.is_zero() {
                            kept.insert(q.name.clone(), (Instant::now(), answer.clone()));
                        }
                        answer
                    }
                    Err(e) if session.client.is_closed() => return Err(e),
                    Err(e) => {
                        outcome.failed.push((q.name.clone(), e));
                        outcome.custom_failed = true;
                        continue;
                    }
                },
            };
            if let Some(odd) = answer.odd.first() {
                outcome.failed.push((q.name.clone(), odd.clone()));
            }
            for s in answer.samples {
                let labels = s.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
                out.put_named(s.name, s.help, s.kind, s.suffix, labels, s.value);
            }
        }
        Ok(())
    }
}

/// What is wrong with a connection, without its password.
fn reason(e: &tokio_postgres::Error) -> String {
    match (e.as_db_error(), std::error::Error::source(e)) {
        (Some(db), _) => db.message().to_owned(),
        (None, Some(cause)) => format!("{e}: {cause}"),
        (None, None) => e.to_string(),
    }
}

async fn rows(client: &Client, sql: &str) -> Result<Vec<SimpleQueryRow>, String> {
    let answer = client.simple_query(sql).await.map_err(|e| reason(&e))?;
    let rows = answer.into_iter().filter_map(|m| match m {
        SimpleQueryMessage::Row(r) => Some(r),
        _ => None,
    });
    Ok(rows.take(ROWS_MAX).collect())
}

/// A value as a number: `t` and `f` are switches.
fn number(text: &str) -> Option<f64> {
    match text {
        "t" => Some(1.0),
        "f" => Some(0.0),
        t => t.parse().ok(),
    }
}

/// The name of a table with `prefix` instead of `pg`.
fn named(prefix: &str, name: &str) -> String {
    format!("{prefix}{}", name.strip_prefix("pg").unwrap_or(name))
}

impl Session {
    async fn collect(
        &self,
        options: &Options,
        out: &mut Labelled<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        for (collector, _) in collectors() {
            let replaced = |q: &CustomQuery| q.name.strip_prefix("pg_") == Some(collector);
            if !options.collectors.contains(collector) || options.custom.iter().any(replaced) {
                continue;
            }
            let started = Instant::now();
            let mut result = match collector {
                statements::NAME => self.statements(options, out).await,
                idle::NAME => self.idle(&options.prefix, out).await,
                settings::NAME => self.settings(&options.prefix, out).await,
                _ => Ok(()),
            };
            for q in queries::all().filter(|q| q.collector == collector) {
                if q.suits(self.version) {
                    let one = self.query(q, &options.prefix, out).await;
                    result = result.and(one);
                }
            }
            let labels = [("collector", collector)];
            out.add(
                format!("{}_scrape_collector_duration_seconds", options.prefix),
                "postgres_exporter: Duration of a collector scrape.".into(),
                Kind::Gauge,
                &labels,
                started.elapsed().as_secs_f64(),
            );
            out.add(
                format!("{}_scrape_collector_success", options.prefix),
                "postgres_exporter: Whether a collector succeeded.".into(),
                Kind::Gauge,
                &labels,
                f64::from(u8::from(result.is_ok())),
            );
            if let Err(e) = result {
                if self.client.is_closed() {
                    return Err(e);
                }
                outcome.failed.push((collector.to_owned(), e));
            }
        }
        Ok(())
    }

    async fn idle(&self, prefix: &str, out: &mut Labelled<'_>) -> Result<(), String> {
        for row in rows(&self.client, &idle::sql()).await? {
            idle::emit(&row, prefix, out);
        }
        Ok(())
    }

    async fn settings(&self, prefix: &str, out: &mut Labelled<'_>) -> Result<(), String> {
        for row in rows(&self.client, settings::SQL).await? {
            let fields: Vec<Option<&str>> = (0..row.len()).map(|i| row.get(i)).collect();
            settings::emit(&fields, prefix, out);
        }
        Ok(())
    }

    async fn query(&self, q: &Query, prefix: &str, out: &mut Labelled<'_>) -> Result<(), String> {
        for row in rows(&self.client, &q.sql()).await? {
            let labels: Vec<(&str, &str)> = q
                .labels
                .iter()
                .enumerate()
                .map(|(i, (name, _))| (*name, row.get(i).unwrap_or("")))
                .collect();
            for (i, (name, help, kind, _)) in q.values.iter().enumerate() {
                let v = row.get(q.labels.len() + i).and_then(number);
                let v = match v {
                    Some(v) => v,
                    None if q.shows_null => f64::NAN,
                    None => continue,
                };
                let (name, help) = (named(prefix, name), (*help).into());
                if q.names_server {
                    out.add_named(name, help, *kind, &labels, v);
                } else {
                    out.add(name, help, *kind, &labels, v);
                }
            }
        }
        Ok(())
    }

    async fn statements(&self, options: &Options, out: &mut Labelled<'_>) -> Result<(), String> {
        let prefix = &options.prefix;
        let sql = options.statements.sql(self.version);
        let mut shown = BTreeSet::new();
        for row in rows(&self.client, &sql).await? {
            let of = |i: usize| row.get(i).unwrap_or("");
            let [user, database, id] = statements::LABELS;
            let labels = [(user, of(0)), (database, of(1)), (id, of(2))];
            for (i, (name, help)) in statements::VALUES.iter().enumerate() {
                if let Some(v) = number(of(4 + i)) {
                    let (name, help) = (named(prefix, name), (*help).into());
                    out.add(name, help, Kind::Counter, &labels, v);
                }
            }
            if options.statements.text && shown.insert(of(2).to_owned()) {
                let (name, help) = statements::TEXT;
                let [id, text] = statements::TEXT_LABELS;
                let labels = [(id, of(2)), (text, of(3))];
                let name = named(prefix, name);
                out.add(name, help.into(), Kind::Counter, &labels, 1.0);
            }
        }
        Ok(())
    }
}
