//! Redis servers: one scrape of one server, under the names of the Redis exporter.
//!
//! Owns: which commands are sent, what of their replies is shown.
//! Knows nothing of: HTTP, flags, how connections are encrypted.
//!
//! A scrape is a connection, some ten commands, and families of the replies. Commands that a
//! server does not know or does not allow leave their families out; only a connection that cannot
//! be had or breaks makes the server down.
//!
//! Read next: `info.rs` (most of it), `resp.rs` (the wire).

mod fields;
mod info;
mod resp;
mod target;

use std::time::{Duration, Instant};

use crate::emit::{Kind, Sink};
use info::Info;
use resp::{CommandError, Connection, Reply};
pub use resp::{Encrypt, Stream};
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
}

impl Named<'_> {
    fn add(&mut self, name: &str, help: &str, kind: Kind, labels: &[(&str, &str)], v: f64) {
        let name = format!("{}_{name}", self.namespace);
        let family = self.sink.family(name, help.to_owned(), kind);
        self.sink.add(family, labels, v);
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

/// A connection of which commands may be refused.
struct Asked(Connection);

impl Asked {
    /// A command that the server may not know or not allow.
    fn maybe(&mut self, words: &[&str]) -> Result<Option<Reply>, String> {
        match self.0.command(words) {
            Ok(r) => Ok(Some(r)),
            Err(CommandError::Refused(_)) => Ok(None),
            Err(CommandError::Broken(e)) => Err(e.to_string()),
        }
    }

    /// A command without which there is nothing to show.
    fn must(&mut self, words: &[&str]) -> Result<Reply, String> {
        self.0.command(words).map_err(|e| e.to_string())
    }
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
            Connection::tcp(address, encrypt, deadline).map_err(|e| format!("dial {address}: {e}"))
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
    let mut server = Asked(connect(target, started + options.timeout)?);
    *connected = started.elapsed();
    match (target.user.as_str(), target.password.as_str()) {
        ("", "") => {}
        ("", password) => drop(server.must(&["AUTH", password])?),
        (user, password) => drop(server.must(&["AUTH", user, password])?),
    }
    if options.set_client_name {
        server.maybe(&["CLIENT", "SETNAME", "redis_exporter"])?;
    }
    let mut databases = 0;
    if options.config_command != "-" {
        let reply = server.maybe(&[&options.config_command, "GET", "*"])?;
        databases = config(reply.as_ref(), options, out);
    }
    let text = server.must(&["INFO", "ALL"])?.text().unwrap_or_default();
    let info = Info::new(&text);
    info.emit(databases, options, out);
    if options.cluster || info.get("cluster_enabled") == Some("1") {
        cluster(server.maybe(&["CLUSTER", "INFO"])?.as_ref(), out);
    }
    latency(&mut server, out)?;
    slowlog(&mut server, out)?;
    // No groups of keys are looked at, which takes no time.
    out.gauge(
        "last_key_groups_scrape_duration_milliseconds",
        "Duration of the last key group metrics scrape in milliseconds",
        &[],
        0.0,
    );
    if options.role_label {
        let role = info.get("role").unwrap_or("").to_owned();
        out.gauge(
            "instance_role",
            "Role of the instance",
            &[("role", &role)],
            1.0,
        );
    }
    Ok(())
}

/// Shows the configuration; gives the number of databases.
fn config(reply: Option<&Reply>, options: &Options, out: &mut Named<'_>) -> usize {
    let mut databases = 0;
    for pair in reply.map_or(&[][..], Reply::list).chunks_exact(2) {
        let [key, value] = pair else { continue };
        let (Some(key), Some(value)) = (key.text(), value.text()) else {
            continue;
        };
        let number = value.parse::<f64>().ok();
        match (key.as_str(), number) {
            ("databases", Some(n)) => databases = n.clamp(0.0, 4096.0) as usize,
            ("maxmemory" | "maxclients" | "io-threads", Some(n)) => {
                let name = format!("config_{}", key.replace('-', "_"));
                out.gauge(&name, &format!("{name} metric"), &[], n);
            }
            _ => {}
        }
        // Secrets are part of the configuration, too.
        let secret = [
            "requirepass",
            "masterauth",
            "masteruser",
            "tls-key-file-pass",
        ];
        if options.config_metrics && !secret.contains(&key.as_str()) {
            out.gauge(
                "config_key_value",
                "Config key and value",
                &[("key", &key), ("value", &value)],
                1.0,
            );
            if let Some(n) = number {
                out.gauge(
                    "config_value",
                    "Config key and value as metric",
                    &[("key", &key)],
                    n,
                );
            }
        }
    }
    databases
}

fn cluster(reply: Option<&Reply>, out: &mut Named<'_>) {
    let text = reply.and_then(Reply::text).unwrap_or_default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let shown = [
            "cluster_state",
            "cluster_slots_assigned",
            "cluster_slots_ok",
            "cluster_slots_pfail",
            "cluster_slots_fail",
            "cluster_known_nodes",
            "cluster_size",
            "cluster_current_epoch",
            "cluster_my_epoch",
            "cluster_stats_messages_sent",
            "cluster_stats_messages_received",
        ];
        if !shown.contains(&key) {
            continue;
        }
        let Some(v) = info::number(value.trim()) else {
            continue;
        };
        match fields::field(key) {
            Some((name, kind)) => out.add(name, &format!("{name} metric"), kind, &[], v),
            None => out.gauge(key, &format!("{key} metric"), &[], v),
        }
    }
}

fn latency(server: &mut Asked, out: &mut Named<'_>) -> Result<(), String> {
    let Some(latest) = server.maybe(&["LATENCY", "LATEST"])? else {
        return Ok(());
    };
    for event in latest.list() {
        // Name, time, latest and longest in milliseconds.
        let [name, time, last, ..] = event.list() else {
            continue;
        };
        let (Some(name), Some(time), Some(last)) = (name.text(), time.number(), last.number())
        else {
            continue;
        };
        let labels = [("event_name", name.as_str())];
        out.gauge(
            "latency_spike_last",
            "When the latency spike last occurred",
            &labels,
            time,
        );
        out.gauge(
            "latency_spike_duration_seconds",
            "Length of the last latency spike in seconds",
            &labels,
            last / 1000.0,
        );
    }
    let Some(histograms) = server.maybe(&["LATENCY", "HISTOGRAM"])? else {
        return Ok(());
    };
    for pair in histograms.list().chunks_exact(2) {
        let [command, facts] = pair else { continue };
        if let Some(command) = command.text() {
            histogram(&command, facts, out);
        }
    }
    Ok(())
}

/// `calls`, n, `histogram_usec`, list of bounds and cumulative counts.
fn histogram(command: &str, facts: &Reply, out: &mut Named<'_>) {
    use crate::emit::Suffix;
    let of = |key: &str| {
        let mut pairs = facts.list().chunks_exact(2);
        pairs.find_map(|p| match p {
            [k, v] if k.text().as_deref() == Some(key) => Some(v),
            _ => None,
        })
    };
    let (Some(calls), Some(buckets)) = (of("calls").and_then(Reply::number), of("histogram_usec"))
    else {
        return;
    };
    let name = format!("{}_commands_latencies_usec", out.namespace);
    let help = "A histogram of latencies per command";
    let family = out.sink.family(name, help, Kind::Histogram);
    let mut total = 0.0;
    let mut below = (0.0, 0.0);
    for bucket in buckets.list().chunks_exact(2) {
        let [bound, n] = bucket else { continue };
        let (Some(bound), Some(n)) = (bound.number(), n.number()) else {
            continue;
        };
        // The server tells no sum; a bucket's bound stands for what is in it.
        total += bound * (n - below.1);
        below = (bound, n);
        let le = bound.to_string();
        let labels = [("cmd", command), ("le", le.as_str())];
        out.sink.put(family, Suffix::Bucket, labels, n);
    }
    let labels = [("cmd", command), ("le", "+Inf")];
    out.sink.put(family, Suffix::Bucket, labels, calls);
    let labels = [("cmd", command)];
    out.sink.put(family, Suffix::Sum, labels, total);
    out.sink.put(family, Suffix::Count, labels, calls);
}

fn slowlog(server: &mut Asked, out: &mut Named<'_>) -> Result<(), String> {
    if let Some(n) = server.maybe(&["SLOWLOG", "LEN"])?.and_then(|r| r.number()) {
        out.gauge("slowlog_length", "Total slowlog", &[], n);
    }
    let Some(last) = server.maybe(&["SLOWLOG", "GET", "1"])? else {
        return Ok(());
    };
    // Number, time, microseconds, ...
    let (mut id, mut seconds) = (0.0, 0.0);
    if let [number, _, micros, ..] = last.list().first().map_or(&[][..], Reply::list) {
        id = number.number().unwrap_or(0.0);
        seconds = micros.number().unwrap_or(0.0) / 1e6;
    }
    out.gauge("slowlog_last_id", "Last id of slowlog", &[], id);
    out.gauge(
        "last_slow_execution_duration_seconds",
        "The amount of time needed for last slow execution, in seconds",
        &[],
        seconds,
    );
    Ok(())
}
