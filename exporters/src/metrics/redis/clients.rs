//! Connected clients, one by one, from `CLIENT LIST`.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Asked, Named};

/// Field, metric, help.
const NUMBERS: [(&str, &str, &str); 8] = [
    (
        "omem",
        "connected_client_output_buffer_memory_usage_bytes",
        "connected_client_output_buffer_memory_usage_bytes metric",
    ),
    (
        "tot-mem",
        "connected_client_total_memory_consumed_bytes",
        "connected_client_total_memory_consumed_bytes metric",
    ),
    (
        "sub",
        "connected_client_channel_subscriptions_count",
        "connected_client_channel_subscriptions_count metric",
    ),
    (
        "psub",
        "connected_client_pattern_matching_subscriptions_count",
        "connected_client_pattern_matching_subscriptions_count metric",
    ),
    (
        "qbuf",
        "connected_client_query_buffer_length_bytes",
        "connected_client_query_buffer_length_bytes metric",
    ),
    (
        "qbuf-free",
        "connected_client_query_buffer_free_space_bytes",
        "connected_client_query_buffer_free_space_bytes metric",
    ),
    (
        "obl",
        "connected_client_output_buffer_length_bytes",
        "connected_client_output_buffer_length_bytes metric",
    ),
    (
        "oll",
        "connected_client_output_list_length",
        "connected_client_output_list_length metric",
    ),
];

/// The same of younger servers: shown only where it is told.
const YOUNGER: [(&str, &str, &str); 2] = [
    (
        "ssub",
        "connected_client_shard_channel_subscriptions_count",
        "connected_client_shard_channel_subscriptions_count metric",
    ),
    (
        "watch",
        "connected_client_shard_channel_watched_keys",
        "connected_client_shard_channel_watched_keys metric",
    ),
];

/// Shows every client, with its port if that is wanted.
pub(super) fn emit(server: &mut Asked, ports: bool, out: &mut Named<'_>) -> Result<(), String> {
    let reply = server.maybe(&["CLIENT", "LIST"])?;
    let text = reply.and_then(|r| r.text()).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs() as f64;
    for line in text.lines() {
        client(line, ports, now, out);
    }
    Ok(())
}

/// `id=3 addr=127.0.0.1:52555 name=x age=855 idle=0 flags=N db=0 sub=0 ...`
fn client(line: &str, ports: bool, now: f64, out: &mut Named<'_>) {
    let facts: HashMap<&str, &str> = line.split(' ').filter_map(|p| p.split_once('=')).collect();
    let of = |field: &str| facts.get(field).copied().unwrap_or("");
    let number = |field: &str| of(field).parse::<f64>().ok();
    let (Some((host, port)), Some(age), Some(idle)) =
        (of("addr").rsplit_once(':'), number("age"), number("idle"))
    else {
        return;
    };
    let base = [("id", of("id")), ("name", of("name"))];
    let mut labels = base.to_vec();
    labels.extend([("flags", of("flags")), ("db", of("db")), ("host", host)]);
    if ports {
        labels.push(("port", port));
    }
    for field in ["user", "resp"] {
        if !of(field).is_empty() {
            labels.push((field, of(field)));
        }
    }
    let help = "connected_client_info metric";
    out.gauge("connected_client_info", help, &labels, 1.0);
    for (name, seconds) in [
        ("connected_client_created_at_timestamp", age),
        ("connected_client_idle_since_timestamp", idle),
    ] {
        out.gauge(name, &format!("{name} metric"), &base, now - seconds);
    }
    for (field, name, help) in NUMBERS {
        out.gauge(name, help, &base, number(field).unwrap_or(0.0));
    }
    for (field, name, help) in YOUNGER {
        if let Some(v) = number(field).filter(|v| *v != -1.0) {
            out.gauge(name, help, &base, v);
        }
    }
}
