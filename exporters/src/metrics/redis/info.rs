//! The reply to `INFO ALL`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Named, Options, fields};
use crate::emit::{Kind, Suffix};

/// Lines of the reply.
pub(super) struct Info<'a>(Vec<(&'a str, &'a str)>);

/// A value as a number: words for good and bad count as well.
pub(super) fn number(text: &str) -> Option<f64> {
    match text {
        "ok" | "true" | "up" => Some(1.0),
        "err" | "fail" | "false" | "down" => Some(0.0),
        t => t.parse().ok().filter(|v: &f64| v.is_finite()),
    }
}

/// `a=1,b=2`
pub(super) fn pairs(text: &str) -> BTreeMap<&str, &str> {
    text.split(',').filter_map(|p| p.split_once('=')).collect()
}

impl<'a> Info<'a> {
    /// Reads the reply.
    pub(super) fn new(text: &'a str) -> Self {
        let lines = text.lines().filter(|l| !l.starts_with('#'));
        Self(lines.filter_map(|l| l.trim_end().split_once(':')).collect())
    }

    /// The value of a field.
    pub(super) fn get(&self, field: &str) -> Option<&'a str> {
        self.0.iter().find(|(f, _)| *f == field).map(|(_, v)| *v)
    }

    /// Masters that a sentinel watches, one after the other.
    pub(super) fn masters(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.0.iter().copied();
        all.filter(|(f, _)| number_after(f, "master").is_some())
    }

    /// Microseconds that a command and its subcommands have taken.
    pub(super) fn micros(&self, command: &str) -> f64 {
        let of = |field: &str| {
            let name = field.strip_prefix("cmdstat_")?.strip_prefix(command)?;
            (name.is_empty() || name.starts_with('|')).then_some(())
        };
        let lines = self.0.iter().filter(|(f, _)| of(f).is_some());
        let micros = lines.filter_map(|(_, v)| number(pairs(v).get("usec")?));
        micros.sum()
    }

    /// Shows everything.
    pub(super) fn emit(&self, databases: usize, options: &Options, out: &mut Named<'_>) {
        let mut seen = BTreeSet::new();
        for (field, value) in &self.0 {
            if fields::field(field).is_some() {
                fields::emit(field, value, out);
            } else if let Some(command) = field.strip_prefix("cmdstat_") {
                command_stats(command, value, out);
            } else if let Some(command) = field.strip_prefix("latency_percentiles_usec_") {
                self.percentiles(command, value, out);
            } else if let Some(error) = field.strip_prefix("errorstat_") {
                if let Some(n) = pairs(value).get("count").and_then(|n| number(n)) {
                    out.add(
                        "errors_total",
                        "Total number of errors per error type",
                        Kind::Counter,
                        &[("err", error)],
                        n,
                    );
                }
            } else if let Some(n) = number_after(field, "db") {
                seen.insert(n);
                database(field, value, out);
            } else if number_after(field, "slave").is_some() {
                replica(value, out);
            } else if *field == "total_system_memory"
                && options.system_metrics
                && let Some(v) = number(value)
            {
                let help = "total_system_memory_bytes metric";
                out.gauge("total_system_memory_bytes", help, &[], v);
            }
        }
        if options.empty_databases {
            for n in (0..databases).filter(|n| !seen.contains(n)) {
                database(&format!("db{n}"), "keys=0,expires=0", out);
            }
        }
        self.identity(out);
        self.of_replica(out);
    }

    fn identity(&self, out: &mut Named<'_>) {
        let labels = [
            ("role", "role"),
            ("redis_version", "redis_version"),
            ("redis_build_id", "redis_build_id"),
            ("redis_mode", "redis_mode"),
            ("os", "os"),
            ("maxmemory_policy", "maxmemory_policy"),
            ("tcp_port", "tcp_port"),
            ("run_id", "run_id"),
            ("process_id", "process_id"),
            ("master_replid", "master_replid"),
        ]
        .map(|(label, field)| (label, self.get(field).unwrap_or("")));
        out.gauge(
            "instance_info",
            "Information about the Redis instance",
            &labels,
            1.0,
        );
        let now = self.get("server_time_usec").and_then(number);
        let now = now.map_or_else(
            || {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                since.unwrap_or_default().as_secs_f64()
            },
            |micros| micros / 1e6,
        );
        if let Some(up) = self.get("uptime_in_seconds").and_then(number) {
            out.gauge(
                "start_time_seconds",
                "Start time of the Redis instance since unix epoch in seconds.",
                &[],
                (now - up).floor(),
            );
        }
    }

    /// What a replica says about its master.
    fn of_replica(&self, out: &mut Named<'_>) {
        if self.get("role") != Some("slave") {
            return;
        }
        let of = |field: &str| self.get(field).unwrap_or("");
        let master = [
            ("master_host", of("master_host")),
            ("master_port", of("master_port")),
        ];
        for (field, name, help) in [
            (
                "master_link_status",
                "master_link_up",
                "Master link status on Redis slave",
            ),
            (
                "master_last_io_seconds_ago",
                "master_last_io_seconds_ago",
                "Master last io seconds ago",
            ),
            (
                "master_sync_in_progress",
                "master_sync_in_progress",
                "Master sync in progress",
            ),
            (
                "slave_repl_offset",
                "slave_repl_offset",
                "Slave replication offset",
            ),
        ] {
            if let Some(v) = self.get(field).and_then(number) {
                out.gauge(name, help, &master, v);
            }
        }
        let [host, port] = master;
        out.gauge(
            "slave_info",
            "Information about the Redis slave",
            &[host, port, ("read_only", of("slave_read_only"))],
            1.0,
        );
    }

    /// `p50=1.003,p99=2.007,p99.9=2.007`; sum and number come from the command's own line.
    fn percentiles(&self, command: &str, value: &str, out: &mut Named<'_>) {
        let stats = self.get_prefixed("cmdstat_", command).map(pairs);
        let of = |key: &str| {
            let stats = stats.as_ref()?;
            number(stats.get(key)?)
        };
        let help = "A summary of latency percentile distribution per command";
        let family = out.family("latency_percentiles_usec", help, Kind::Summary);
        for (p, v) in pairs(value) {
            if let (Some(p), Some(v)) = (p.strip_prefix('p'), number(v)) {
                let labels = [("cmd", command), ("quantile", p)];
                out.put(family, Suffix::None, &labels, v);
            }
        }
        let labels = [("cmd", command)];
        out.put(family, Suffix::Sum, &labels, of("usec").unwrap_or(0.0));
        out.put(family, Suffix::Count, &labels, of("calls").unwrap_or(0.0));
    }

    fn get_prefixed(&self, prefix: &str, rest: &str) -> Option<&'a str> {
        let mut lines = self.0.iter();
        lines
            .find(|(f, _)| f.strip_prefix(prefix) == Some(rest))
            .map(|(_, v)| *v)
    }
}

/// The number of `db0` and `slave12`.
fn number_after(field: &str, prefix: &str) -> Option<usize> {
    let digits = field.strip_prefix(prefix)?;
    let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all.then(|| digits.parse().ok()).flatten()
}

fn command_stats(command: &str, value: &str, out: &mut Named<'_>) {
    let stats = pairs(value);
    for (key, divisor, name, help) in [
        (
            "calls",
            1.0,
            "commands_total",
            "Total number of calls per command",
        ),
        (
            "usec",
            1e6,
            "commands_duration_seconds_total",
            "Total amount of time in seconds spent per command",
        ),
        (
            "rejected_calls",
            1.0,
            "commands_rejected_calls_total",
            "Total number of errors within command execution per command",
        ),
        (
            "failed_calls",
            1.0,
            "commands_failed_calls_total",
            "Total number of errors prior command execution per command",
        ),
    ] {
        if let Some(v) = stats.get(key).and_then(|v| number(v)) {
            out.add(name, help, Kind::Counter, &[("cmd", command)], v / divisor);
        }
    }
}

fn database(db: &str, value: &str, out: &mut Named<'_>) {
    let stats = pairs(value);
    let labels = [("db", db)];
    let of = |key: &str| stats.get(key).and_then(|v| number(v));
    if let Some(v) = of("keys") {
        out.gauge("db_keys", "Total number of keys by DB", &labels, v);
    }
    if let Some(v) = of("expires") {
        out.gauge(
            "db_keys_expiring",
            "Total number of expiring keys by DB",
            &labels,
            v,
        );
    }
    if let Some(v) = of("avg_ttl") {
        out.gauge(
            "db_avg_ttl_seconds",
            "Avg TTL in seconds",
            &labels,
            v / 1000.0,
        );
    }
}

fn replica(value: &str, out: &mut Named<'_>) {
    let facts = pairs(value);
    let of = |key: &str| facts.get(key).copied().unwrap_or("");
    let labels = [
        ("slave_ip", of("ip")),
        ("slave_port", of("port")),
        ("slave_state", of("state")),
    ];
    if let Some(v) = number(of("offset")) {
        out.gauge(
            "connected_slave_offset_bytes",
            "Offset of connected slave",
            &labels,
            v,
        );
    }
    if let Some(v) = number(of("lag")) {
        out.gauge(
            "connected_slave_lag_seconds",
            "Lag of connected slave",
            &labels,
            v,
        );
    }
}
