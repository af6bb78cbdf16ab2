//! The flags of Promtail: their names, what they say without a value of their own, and what of the
//! configuration they set.
//!
//! Owns: the table and the order: a flag that is given wins over the file, whatever stands there.
//! Facts: `promtail -help`.

use std::str::FromStr;

use clap::{Arg, ArgMatches};

use super::super::args::{switch, text};
use crate::config::promtail::{ClientConfig, PromtailConfig};
use crate::config::{ByteSize, PromDuration};

/// What a flag sets. It gets what was given, which is never empty unless that was.
type Set = fn(&mut PromtailConfig, &str) -> Result<(), String>;

/// What becomes of a flag.
enum Effect {
    /// Sets something.
    Sets(Set),
    /// Concerns what does not exist here, and nobody misses it.
    None,
    /// Concerns what does not exist here, and whoever asks for it must know.
    Refused(&'static str),
}
use Effect::{None as Nothing, Refused, Sets};

/// One flag.
struct Flag {
    name: &'static str,
    /// Without a value it is `true`.
    switch: bool,
    /// What it is when it is not given, for the help.
    default: &'static str,
    help: &'static str,
    effect: Effect,
}

const fn flag(
    name: &'static str,
    default: &'static str,
    help: &'static str,
    effect: Effect,
) -> Flag {
    Flag {
        name,
        switch: false,
        default,
        help,
        effect,
    }
}

const fn on_off(
    name: &'static str,
    default: &'static str,
    help: &'static str,
    effect: Effect,
) -> Flag {
    Flag {
        switch: true,
        ..flag(name, default, help, effect)
    }
}

const fn grpc(name: &'static str, default: &'static str) -> Flag {
    flag(name, default, "Of gRPC, which is not spoken here", Nothing)
}

const fn tls(name: &'static str) -> Flag {
    flag(name, "", "Pages over TLS are not served here", Refused(TLS))
}

const TLS: &str = "the agent's pages are not served over TLS";

fn parsed<T: FromStr>(v: &str, what: &str) -> Result<T, String> {
    v.parse().map_err(|_| format!("{v:?} is not {what}"))
}

fn whole<T: FromStr>(v: &str) -> Result<T, String> {
    parsed(v, "a whole number")
}

fn period(v: &str) -> Result<PromDuration, String> {
    let ns = query::text::go_duration::parse(v)
        .ok_or_else(|| format!("{v:?} is not a duration like 500ms or 1m30s"))?;
    Ok(PromDuration::from_ms(ns / 1_000_000))
}

/// A truth value as Go's flags read it.
pub(super) fn truth(v: &str) -> Result<bool, String> {
    match v {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{v:?} is not true or false")),
    }
}

/// The client that flags describe; it is one only with a URL.
fn client(c: &mut PromtailConfig) -> &mut ClientConfig {
    c.client.get_or_insert_with(ClientConfig::default)
}

/// `name=value,name=value`.
fn labels(v: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |p: &str| {
        let (name, value) = p
            .split_once('=')
            .ok_or_else(|| format!("{p:?} is not name=value"))?;
        let clean = |s: &str| s.trim().trim_matches('"').to_owned();
        Ok((clean(name), clean(value)))
    };
    v.split(',').filter(|p| !p.is_empty()).map(pair).collect()
}

/// Every flag that the configuration has a place for, or that it has none for here.
const TABLE: &[Flag] = &[
    // Clients.
    flag(
        "client.url",
        "",
        "One more place to send to",
        Sets(|c, v| {
            client(c).url = v.parse()?;
            Ok(())
        }),
    ),
    flag(
        "client.batch-wait",
        "1s",
        "How long a batch of -client.url waits for more",
        Sets(|c, v| {
            client(c).batchwait = period(v)?;
            Ok(())
        }),
    ),
    flag(
        "client.batch-size-bytes",
        "1048576",
        "How large a batch of -client.url grows",
        Sets(|c, v| {
            client(c).batchsize = whole(v)?;
            Ok(())
        }),
    ),
    flag(
        "client.max-retries",
        "10",
        "Tries before a batch of -client.url is dropped",
        Sets(|c, v| {
            client(c).backoff_config.max_retries = whole(v)?;
            Ok(())
        }),
    ),
    flag(
        "client.min-backoff",
        "500ms",
        "How long a refused batch waits the first time",
        Sets(|c, v| {
            client(c).backoff_config.min_period = period(v)?;
            Ok(())
        }),
    ),
    flag(
        "client.max-backoff",
        "5m0s",
        "How long a refused batch waits at most",
        Sets(|c, v| {
            client(c).backoff_config.max_period = period(v)?;
            Ok(())
        }),
    ),
    flag(
        "client.timeout",
        "10s",
        "How long a request to -client.url may take",
        Sets(|c, v| {
            client(c).timeout = period(v)?;
            Ok(())
        }),
    ),
    flag(
        "client.external-labels",
        "",
        "Labels of everything that is sent, to all clients: name=value,name=value",
        Sets(|c, v| {
            client(c).external_labels.0 = labels(v)?.into_iter().collect();
            Ok(())
        }),
    ),
    flag(
        "client.tenant-id",
        "",
        "Tenant at -client.url of entries without one",
        Sets(|c, v| {
            v.clone_into(&mut client(c).tenant_id);
            Ok(())
        }),
    ),
    on_off(
        "client.drop-rate-limited-batches",
        "false",
        "What -client.url refuses for its rate is dropped",
        Sets(|c, v| {
            client(c).drop_rate_limited_batches = truth(v)?;
            Ok(())
        }),
    ),
    flag(
        "client.stream-lag-labels",
        "filename",
        "Labels that tell streams apart in the metric of their lag",
        Sets(|c, v| {
            v.clone_into(&mut c.options.stream_lag_labels);
            Ok(())
        }),
    ),
    // Positions, targets, files.
    flag(
        "positions.file",
        "/var/log/positions.yaml",
        "Where positions are kept",
        Sets(|c, v| {
            v.clone_into(&mut c.positions.filename);
            Ok(())
        }),
    ),
    flag(
        "positions.sync-period",
        "10s",
        "How often they are written",
        Sets(|c, v| {
            c.positions.sync_period = period(v)?;
            Ok(())
        }),
    ),
    on_off(
        "positions.ignore-invalid-yaml",
        "false",
        "A file of positions that is no YAML counts as an empty one",
        Sets(|c, v| {
            c.positions.ignore_invalid_yaml = truth(v)?;
            Ok(())
        }),
    ),
    flag(
        "target.sync-period",
        "10s",
        "How often patterns of files are looked at",
        Sets(|c, v| {
            c.target_config.sync_period = period(v)?;
            Ok(())
        }),
    ),
    flag(
        "file-watch.min-poll-frequency",
        "250ms",
        "Shortest wait between two looks at a file",
        Sets(|c, v| {
            c.global.file_watch_config.min_poll_frequency = period(v)?;
            Ok(())
        }),
    ),
    flag(
        "file-watch.max-poll-frequency",
        "250ms",
        "Longest wait between two looks at a file",
        Sets(|c, v| {
            c.global.file_watch_config.max_poll_frequency = period(v)?;
            Ok(())
        }),
    ),
    // Limits.
    flag(
        "limit.readline-rate",
        "10000",
        "Lines a second",
        Sets(|c, v| {
            c.limits_config.readline_rate = parsed(v, "a number")?;
            Ok(())
        }),
    ),
    flag(
        "limit.readline-burst",
        "10000",
        "Lines at once",
        Sets(|c, v| {
            c.limits_config.readline_burst = whole(v)?;
            Ok(())
        }),
    ),
    on_off(
        "limit.readline-rate-enabled",
        "false",
        "The rate counts",
        Sets(|c, v| {
            c.limits_config.readline_rate_enabled = truth(v)?;
            Ok(())
        }),
    ),
    on_off(
        "limit.readline-rate-drop",
        "true",
        "Lines above the rate are dropped",
        Sets(|c, v| {
            c.limits_config.readline_rate_drop = truth(v)?;
            Ok(())
        }),
    ),
    flag(
        "max-streams",
        "0",
        "Streams of a batch; 0 for any number",
        Sets(|c, v| {
            c.limits_config.max_streams = whole(v)?;
            Ok(())
        }),
    ),
    flag(
        "max-line-size",
        "0B",
        "Longest line, like 256kb; 0 for any",
        Sets(|c, v| {
            c.limits_config.max_line_size = v.parse::<ByteSize>()?;
            Ok(())
        }),
    ),
    on_off(
        "max-line-size-truncate",
        "false",
        "Longer lines are cut",
        Sets(|c, v| {
            c.limits_config.max_line_size_truncate = truth(v)?;
            Ok(())
        }),
    ),
    // The pages.
    flag(
        "server.http-listen-address",
        "",
        "Address to listen on",
        Sets(|c, v| {
            v.clone_into(&mut c.server.http_listen_address);
            Ok(())
        }),
    ),
    flag(
        "server.http-listen-port",
        "80",
        "Port to listen on",
        Sets(|c, v| {
            c.server.http_listen_port = parsed(v, "a port")?;
            Ok(())
        }),
    ),
    flag(
        "server.path-prefix",
        "",
        "Prefix of the pages",
        Sets(|c, v| {
            v.clone_into(&mut c.server.http_path_prefix);
            Ok(())
        }),
    ),
    on_off(
        "server.disable",
        "false",
        "No pages at all",
        Sets(|c, v| {
            c.server.disable = truth(v)?;
            Ok(())
        }),
    ),
    on_off(
        "server.enable-runtime-reload",
        "false",
        "Read the configuration again on POST /reload",
        Sets(|c, v| {
            c.server.enable_runtime_reload = truth(v)?;
            Ok(())
        }),
    ),
    flag(
        "server.graceful-shutdown-timeout",
        "30s",
        "How long a stop may take",
        Sets(|c, v| {
            c.server.graceful_shutdown_timeout = period(v)?;
            Ok(())
        }),
    ),
    flag(
        "server.http-read-timeout",
        "30s",
        "How long a request may take to come",
        Sets(|c, v| {
            c.server.http_server_read_timeout = period(v)?;
            Ok(())
        }),
    ),
    flag(
        "server.http-write-timeout",
        "30s",
        "How long an answer may take to go",
        Sets(|c, v| {
            c.server.http_server_write_timeout = period(v)?;
            Ok(())
        }),
    ),
    flag(
        "server.http-idle-timeout",
        "2m0s",
        "How long a connection may be idle",
        Sets(|c, v| {
            c.server.http_server_idle_timeout = period(v)?;
            Ok(())
        }),
    ),
    flag(
        "log.level",
        "info",
        "debug, info, warn or error",
        Sets(|c, v| {
            v.clone_into(&mut c.server.log_level);
            Ok(())
        }),
    ),
    flag(
        "log.format",
        "logfmt",
        "logfmt or json",
        Sets(|c, v| {
            v.clone_into(&mut c.server.log_format);
            Ok(())
        }),
    ),
    tls("server.http-tls-cert-path"),
    tls("server.http-tls-key-path"),
    tls("server.http-tls-client-auth"),
    tls("server.http-tls-ca-path"),
    flag("server.tls-cipher-suites", "", "Of TLS", Nothing),
    flag("server.tls-min-version", "", "Of TLS", Nothing),
    flag(
        "server.http-listen-network",
        "tcp",
        "Kind of the network",
        Nothing,
    ),
    flag(
        "server.http-conn-limit",
        "0",
        "Connections at once",
        Nothing,
    ),
    flag(
        "server.http-read-header-timeout",
        "0s",
        "How long a head may take to come",
        Nothing,
    ),
    on_off(
        "server.profiling_enabled",
        "false",
        "Profiles of Go's runtime",
        Nothing,
    ),
    on_off(
        "server.register-instrumentation",
        "true",
        "Numbers are always there",
        Nothing,
    ),
    on_off(
        "server.http-log-closed-connections-without-response-enabled",
        "false",
        "Log of requests",
        Nothing,
    ),
    on_off(
        "server.log-source-ips-enabled",
        "false",
        "Log of requests",
        Nothing,
    ),
    on_off(
        "server.log-source-ips-full",
        "false",
        "Log of requests",
        Nothing,
    ),
    flag(
        "server.log-source-ips-header",
        "",
        "Log of requests",
        Nothing,
    ),
    flag(
        "server.log-source-ips-regex",
        "",
        "Log of requests",
        Nothing,
    ),
    on_off(
        "server.log-request-headers",
        "false",
        "Log of requests",
        Nothing,
    ),
    flag(
        "server.log-request-headers-exclude-list",
        "",
        "Log of requests",
        Nothing,
    ),
    on_off(
        "server.log-request-at-info-level-enabled",
        "false",
        "Log of requests",
        Nothing,
    ),
    on_off("server.trace-request-headers", "false", "Traces", Nothing),
    flag(
        "server.trace-request-headers-exclude-list",
        "",
        "Traces",
        Nothing,
    ),
    on_off("tracing.enabled", "false", "Traces", Nothing),
    on_off(
        "server.proxy-protocol-enabled",
        "false",
        "Addresses of clients behind a proxy",
        Refused("the PROXY protocol is not spoken here"),
    ),
    flag(
        "server.throughput.latency-cutoff",
        "0s",
        "Numbers of slow requests",
        Nothing,
    ),
    flag(
        "server.throughput.unit",
        "samples_processed",
        "Numbers of slow requests",
        Nothing,
    ),
    grpc("server.grpc-listen-network", "tcp"),
    grpc("server.grpc-listen-address", ""),
    grpc("server.grpc-listen-port", "9095"),
    grpc("server.grpc-conn-limit", "0"),
    grpc("server.grpc-tls-cert-path", ""),
    grpc("server.grpc-tls-key-path", ""),
    grpc("server.grpc-tls-client-auth", ""),
    grpc("server.grpc-tls-ca-path", ""),
    grpc("server.grpc-max-recv-msg-size-bytes", "4194304"),
    grpc("server.grpc-max-send-msg-size-bytes", "4194304"),
    grpc("server.grpc-max-concurrent-streams", "100"),
    grpc(
        "server.grpc.keepalive.max-connection-idle",
        "2562047h47m16.854775807s",
    ),
    grpc(
        "server.grpc.keepalive.max-connection-age",
        "2562047h47m16.854775807s",
    ),
    grpc(
        "server.grpc.keepalive.max-connection-age-grace",
        "2562047h47m16.854775807s",
    ),
    grpc("server.grpc.keepalive.time", "2h0m0s"),
    grpc("server.grpc.keepalive.timeout", "20s"),
    grpc("server.grpc.keepalive.min-time-between-pings", "5m0s"),
    grpc("server.grpc.num-workers", "0"),
    on_off(
        "server.grpc.keepalive.ping-without-stream-allowed",
        "false",
        "Of gRPC",
        Nothing,
    ),
    on_off(
        "server.grpc.stats-tracking-enabled",
        "true",
        "Of gRPC",
        Nothing,
    ),
    on_off(
        "server.grpc.recv-buffer-pools-enabled",
        "false",
        "Of gRPC",
        Nothing,
    ),
    on_off(
        "server.grpc-collect-max-streams-by-conn",
        "true",
        "Of gRPC",
        Nothing,
    ),
    on_off(
        "server.report-grpc-codes-in-instrumentation-label-enabled",
        "false",
        "Of gRPC",
        Nothing,
    ),
];

/// The flags as arguments.
pub(super) fn arguments() -> impl Iterator<Item = Arg> {
    TABLE.iter().map(|f| {
        let arg = match f.switch {
            // The default stands in the help alone: what is not given sets nothing.
            true => switch(f.name, f.help).default_value(None),
            false => text(f.name, f.help).allow_hyphen_values(true),
        };
        let help = match f.default {
            "" => f.help.to_owned(),
            d => format!("{} [default: {d}]", f.help),
        };
        arg.help(help)
    })
}

/// The flags that are given and have no effect.
pub(super) fn without_effect(m: &ArgMatches) -> impl Iterator<Item = &'static str> {
    let none = TABLE.iter().filter(|f| matches!(f.effect, Nothing));
    none.filter(|f| m.contains_id(f.name)).map(|f| f.name)
}

/// Sets what flags say.
///
/// # Errors
/// Names the flag, and what is wrong with its value.
pub(super) fn apply(m: &ArgMatches, c: &mut PromtailConfig) -> Result<(), String> {
    for f in TABLE {
        let Some(v) = m.get_one::<String>(f.name) else {
            continue;
        };
        let done = match f.effect {
            Sets(set) => set(c, v),
            Nothing => Ok(()),
            Refused(_) if v.is_empty() || truth(v) == Ok(false) => Ok(()),
            Refused(why) => Err(why.to_owned()),
        };
        done.map_err(|e| format!("invalid value for flag -{}: {e}", f.name))?;
    }
    Ok(())
}
