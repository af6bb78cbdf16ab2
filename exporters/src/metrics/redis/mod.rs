//! Redis servers: one scrape of one server, under the names of the Redis exporter.
//!
//! Owns: which commands are sent, what of their replies is shown.
//! Knows nothing of: HTTP, flags, how connections are encrypted.
//!
//! A scrape is a connection, some ten commands, and families of the replies. Keys, streams, scripts
//! and clients cost more and are asked about on request only. Commands that a
//! server does not know or does not allow leave their families out; only a connection that cannot
//! be had or breaks makes the server down.
//!
//! Read next: `info.rs` (most of it), `resp.rs` (the wire).

mod clients;
mod cluster;
mod config;
mod fields;
mod info;
mod keys;
mod latency;
mod modules;
mod resp;
mod scripts;
mod sentinel;
mod streams;
mod target;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::emit::{FamilyId, Kind, Sink, Suffix};
use config::Config;
use info::Info;
pub use keys::{KeyList, KeyOptions};
pub use modules::IndexNames;
use resp::{CommandError, Connection, Reply};
pub use resp::{Encrypt, Stream};
pub use scripts::Script;
pub use target::{Place, Target};

/// What one scrape does.
#[derive(Debug, Clone)]
pub struct Options {
    /// First word of all names.
    pub namespace: String,
    /// How long everything together may take.
    pub timeout: Duration,
    /// The command that shows the configuration; `-` for none.
    pub config_command: String,
    /// Whether the connection gets a name.
    pub set_client_name: bool,
    /// Whether the whole configuration is shown.
    pub config_metrics: bool,
    /// Whether databases without keys are shown.
    pub empty_databases: bool,
    /// Whether the machine's memory is shown.
    pub system_metrics: bool,
    /// Whether `CLUSTER INFO` is asked for.
    pub cluster: bool,
    /// Whether the role becomes a label of every metric of the server.
    pub role_label: bool,
    /// What is asked about keys.
    pub keys: KeyOptions,
    /// Scripts of the user.
    pub scripts: Vec<Script>,
    /// Whether the server is told that scripts change nothing.
    pub scripts_read_only: bool,
    /// Whether every client is shown, and whether with its port.
    pub clients: Option<bool>,
    /// Whether secrets of the configuration are hidden.
    pub redact_config: bool,
    /// Whether latencies are shown.
    pub latencies: bool,
    /// Whether the time of an empty command is shown.
    pub ping: bool,
    /// Whether the size of the server's dump is shown, out of the files of this host.
    pub rdb_size: bool,
    /// Whether what modules tell is shown.
    pub modules: bool,
    /// Names of the search indexes that are shown, if any.
    pub indexes: Option<IndexNames>,
    /// Whether each sentinel beside the one that is asked is shown.
    pub sentinel_peers: bool,
    /// Whether the server is Tile38.
    pub tile38: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: "redis".into(),
            timeout: Duration::from_secs(15),
            config_command: "CONFIG".into(),
            set_client_name: true,
            config_metrics: false,
            empty_databases: true,
            system_metrics: false,
            cluster: false,
            role_label: false,
            keys: KeyOptions::default(),
            scripts: Vec::new(),
            scripts_read_only: false,
            clients: None,
            redact_config: true,
            latencies: true,
            ping: false,
            rdb_size: false,
            modules: false,
            indexes: None,
            sentinel_peers: false,
            tile38: false,
        }
    }
}

/// What became of a scrape.
#[derive(Debug)]
pub struct Outcome {
    /// Why the server is down, if it is.
    pub error: Option<String>,
}

/// A sink under a namespace.
struct Named<'a> {
    sink: &'a mut Sink,
    namespace: &'a str,
    /// The role that every metric of the server tells, if it does.
    role: Option<String>,
}

impl Named<'_> {
    fn family(&mut self, name: &str, help: &str, kind: Kind) -> FamilyId {
        let name = format!("{}_{name}", self.namespace);
        self.sink.family(name, help.to_owned(), kind)
    }

    fn put(&mut self, family: FamilyId, suffix: Suffix, labels: &[(&str, &str)], v: f64) {
        let role = self.role.as_deref().map(|r| ("instance_role", r));
        let labels = labels.iter().copied().chain(role);
        self.sink.put(family, suffix, labels, v);
    }

    fn add(&mut self, name: &str, help: &str, kind: Kind, labels: &[(&str, &str)], v: f64) {
        let family = self.family(name, help, kind);
        self.put(family, Suffix::None, labels, v);
    }

    fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], v: f64) {
        self.add(name, help, Kind::Gauge, labels, v);
    }
}

/// Asks `target` and adds its families to `sink`. Cost: a connection, at most `options.timeout`.
pub fn scrape(target: &Target, options: &Options, sink: &mut Sink) -> Outcome {
    let started = Instant::now();
    let mark = sink.mark();
    let mut out = Named {
        sink,
        namespace: &options.namespace,
        role: options.role_label.then(String::new),
    };
    let mut connected = Duration::ZERO;
    let asked = ask(target, options, started, &mut connected, &mut out);
    let error = match asked {
        Ok(()) => None,
        Err(e) => {
            // Half of a server's metrics are worse than none.
            out.sink.rewind(mark);
            Some(e)
        }
    };
    out.gauge(
        "up",
        "Information about the Redis instance",
        &[],
        f64::from(u8::from(error.is_none())),
    );
    out.gauge(
        "exporter_last_scrape_error",
        "The last scrape error status.",
        &[("err", error.as_deref().unwrap_or(""))],
        f64::from(u8::from(error.is_some())),
    );
    out.gauge(
        "exporter_last_scrape_connect_time_seconds",
        "exporter_last_scrape_connect_time_seconds metric",
        &[],
        connected.as_secs_f64(),
    );
    out.gauge(
        "exporter_last_scrape_duration_seconds",
        "exporter_last_scrape_duration_seconds metric",
        &[],
        started.elapsed().as_secs_f64(),
    );
    Outcome { error }
}

/// Most nodes of a cluster that one scrape talks to.
const NODES_MAX: usize = 128;

/// A connection of which commands may be refused. In a cluster, commands about a key go to the node
/// that has it.
struct Asked {
    connection: Connection,
    /// How other nodes are reached, in a cluster.
    target: Option<Target>,
    deadline: Instant,
    nodes: HashMap<String, Connection>,
}

impl Asked {
    /// A command that the server may not know or not allow.
    fn maybe(&mut self, words: &[&str]) -> Result<Option<Reply>, String> {
        match self.ask(words) {
            Ok(r) => Ok(Some(r)),
            Err(CommandError::Refused(_)) => Ok(None),
            Err(CommandError::Broken(e)) => Err(e.to_string()),
        }
    }

    /// A command without which there is nothing to show.
    fn must(&mut self, words: &[&str]) -> Result<Reply, String> {
        self.ask(words).map_err(|e| e.to_string())
    }

    /// A command of which a refusal is a message like any other: whether it went well, and what
    /// was said.
    fn said(&mut self, words: &[&str]) -> Result<(bool, String), String> {
        match self.ask(words) {
            Ok(r) => Ok((true, r.text().unwrap_or_default())),
            Err(CommandError::Refused(why)) => Ok((false, why)),
            Err(CommandError::Broken(e)) => Err(e.to_string()),
        }
    }

    /// Several commands that the server may refuse one by one.
    fn all(&mut self, commands: &[Vec<&str>]) -> Result<Vec<Option<Reply>>, String> {
        if self.target.is_some() {
            // Each may be for another node.
            return commands.iter().map(|c| self.maybe(c)).collect();
        }
        let replies = self.connection.commands(commands);
        replies.map_err(|e| e.to_string())
    }

    fn ask(&mut self, words: &[&str]) -> Result<Reply, CommandError> {
        let refused = match self.connection.command(words) {
            Err(CommandError::Refused(why)) => why,
            other => return other,
        };
        let Some(target) = &self.target else {
            return Err(CommandError::Refused(refused));
        };
        // MOVED 3999 192.0.2.1:6381
        let mut parts = refused.split(' ');
        let (Some("MOVED"), Some(node)) = (parts.next(), parts.nth(1)) else {
            return Err(CommandError::Refused(refused));
        };
        if !self.nodes.contains_key(node) {
            if self.nodes.len() >= NODES_MAX {
                return Err(CommandError::Refused(refused));
            }
            let there = target.at(node);
            let fresh = logged_in(&there, self.deadline);
            let fresh = fresh.map_err(CommandError::Refused)?;
            self.nodes.insert(node.to_owned(), fresh);
        }
        let node = self.nodes.get_mut(node);
        let node = node.ok_or_else(|| CommandError::Refused(refused.clone()))?;
        node.command(words)
    }
}

/// Connects and says who asks.
fn logged_in(target: &Target, deadline: Instant) -> Result<Connection, String> {
    let mut connection = connect(target, deadline)?;
    let words = match (target.user.as_str(), target.password.as_str()) {
        ("", "") => return Ok(connection),
        ("", password) => vec!["AUTH", password],
        (user, password) => vec!["AUTH", user, password],
    };
    connection.command(&words).map_err(|e| e.to_string())?;
    Ok(connection)
}

/// The nodes of the cluster that `target` is one of, as `host:port`. Cost: a connection, at most
/// `options.timeout`.
///
/// # Errors
/// When the server cannot be asked or is in no cluster.
pub fn cluster_nodes(
    target: &Target,
    options: &Options,
    hostnames: bool,
) -> Result<Vec<String>, String> {
    let mut connection = logged_in(target, Instant::now() + options.timeout)?;
    let reply = connection.command(&["CLUSTER", "NODES"]);
    let reply = reply.map_err(|e| e.to_string())?;
    Ok(cluster::nodes(&reply.text().unwrap_or_default(), hostnames))
}

fn connect(target: &Target, deadline: Instant) -> Result<Connection, String> {
    match &target.place {
        Place::Unix(path) => Connection::unix(path, deadline).map_err(|e| format!("{path}: {e}")),
        Place::Tcp { address, encrypted } => {
            let encrypt = match (encrypted, &target.encrypt) {
                (false, _) => None,
                (true, Some(e)) => Some(e),
                (true, None) => return Err(format!("{address}: no TLS is set up")),
            };
            Connection::tcp(address, encrypt, &target.server_name, deadline)
                .map_err(|e| format!("dial {address}: {e}"))
        }
    }
}

fn ask(
    target: &Target,
    options: &Options,
    started: Instant,
    connected: &mut Duration,
    out: &mut Named<'_>,
) -> Result<(), String> {
    let deadline = started + options.timeout;
    let connection = logged_in(target, deadline)?;
    *connected = started.elapsed();
    let mut server = Asked {
        connection,
        target: options.cluster.then(|| target.clone()),
        deadline,
        nodes: HashMap::new(),
    };
    if options.ping {
        let sent = Instant::now();
        if server.maybe(&["PING"])?.is_some() {
            out.gauge(
                "exporter_last_scrape_ping_time_seconds",
                "exporter_last_scrape_ping_time_seconds metric",
                &[],
                sent.elapsed().as_secs_f64(),
            );
        }
    }
    if options.set_client_name {
        server.maybe(&["CLIENT", "SETNAME", "redis_exporter"])?;
    }
    let text = match server.maybe(&["INFO", "ALL"])? {
        Some(r) => r,
        None => server.must(&["INFO"])?,
    };
    let text = text.text().unwrap_or_default();
    let info = Info::new(&text);
    let role = info.get("role").unwrap_or("");
    if options.role_label {
        out.role = Some(role.to_owned());
    }
    let mut databases = None;
    if options.config_command != "-"
        && let Some(reply) = server.maybe(&[&options.config_command, "GET", "*"])?
    {
        let config = Config::new(&reply);
        config.emit(options, out);
        databases = config.databases();
    }
    // What a server has that does not tell.
    let mut databases = databases.unwrap_or(DATABASES);
    if info.get("cluster_enabled") == Some("1")
        && let Some(reply) = server.maybe(&["CLUSTER", "INFO"])?
    {
        cluster::emit(Some(&reply), out);
        databases = 1;
    }
    info.emit(databases, options, out);
    if options.latencies {
        latency::emit(&mut server, &info, out)?;
    }
    if role == "slave" || !options.keys.replicas_only {
        keys::emit(&mut server, &options.keys, out)?;
        keys::count(&mut server, &options.keys, out)?;
        streams::emit(&mut server, &options.keys, out)?;
    }
    latency::slowlog(&mut server, out)?;
    if !options.tile38 {
        latency::logs(&mut server, options, out)?;
    }
    scripts::groups(&mut server, &options.keys, databases, out)?;
    sentinel::emit(&mut server, &info, options, out)?;
    if let Some(ports) = options.clients {
        clients::emit(&mut server, ports, out)?;
    }
    if options.tile38 {
        modules::tile38(&mut server, out)?;
    }
    if options.modules {
        modules::emit(&mut server, out)?;
    }
    if let Some(wanted) = &options.indexes {
        modules::indexes(&mut server, wanted, out)?;
    }
    scripts::emit(
        &mut server,
        &options.scripts,
        options.scripts_read_only,
        out,
    )
}

/// Databases of a server that is not told otherwise.
const DATABASES: usize = 16;
