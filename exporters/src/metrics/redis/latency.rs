//! How long commands take: spikes, histograms, the logs of slow commands.

use super::info::Info;
use super::resp::Reply;
use super::{Asked, Named, Options};
use crate::emit::{Kind, Suffix};

/// Shows spikes, and a histogram per command.
pub(super) fn emit(server: &mut Asked, info: &Info<'_>, out: &mut Named<'_>) -> Result<(), String> {
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
            histogram(&command, facts, info, out);
        }
    }
    Ok(())
}

/// `calls`, n, `histogram_usec`, list of bounds and cumulative counts.
fn histogram(command: &str, facts: &Reply, info: &Info<'_>, out: &mut Named<'_>) {
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
    let family = out.family(
        "commands_latencies_usec",
        "A histogram of latencies per command",
        Kind::Histogram,
    );
    for bucket in buckets.list().chunks_exact(2) {
        let [bound, n] = bucket else { continue };
        let (Some(bound), Some(n)) = (bound.number(), n.number()) else {
            continue;
        };
        let le = bound.to_string();
        out.put(family, Suffix::Bucket, &[("cmd", command), ("le", &le)], n);
    }
    let labels = [("cmd", command), ("le", "+Inf")];
    out.put(family, Suffix::Bucket, &labels, calls);
    // The server tells no sum; the command's own line in `INFO` does.
    let labels = [("cmd", command)];
    out.put(family, Suffix::Sum, &labels, info.micros(command));
    out.put(family, Suffix::Count, &labels, calls);
}

/// Shows the log of slow commands.
pub(super) fn slowlog(server: &mut Asked, out: &mut Named<'_>) -> Result<(), String> {
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

/// Log, its name in metrics.
const LOGS: [(&str, &str, &str); 3] = [
    (
        "slow",
        "commandlog_slow_length",
        "Total entries in the slow command log",
    ),
    (
        "large-request",
        "commandlog_large_request_length",
        "Total entries in the large-request command log",
    ),
    (
        "large-reply",
        "commandlog_large_reply_length",
        "Total entries in the large-reply command log",
    ),
];

/// Setting, metric, help.
const LOG_SETTINGS: [(&str, &str, &str); 6] = [
    (
        "commandlog-execution-slower-than",
        "commandlog_execution_slower_than",
        "Execution time threshold in microseconds for the slow command log",
    ),
    (
        "commandlog-slow-execution-max-len",
        "commandlog_slow_execution_max_len",
        "Maximum number of entries retained in the slow command log",
    ),
    (
        "commandlog-request-larger-than",
        "commandlog_request_larger_than",
        "Request size threshold in bytes for the large-request command log",
    ),
    (
        "commandlog-large-request-max-len",
        "commandlog_large_request_max_len",
        "Maximum number of entries retained in the large-request command log",
    ),
    (
        "commandlog-reply-larger-than",
        "commandlog_reply_larger_than",
        "Reply size threshold in bytes for the large-reply command log",
    ),
    (
        "commandlog-large-reply-max-len",
        "commandlog_large_reply_max_len",
        "Maximum number of entries retained in the large-reply command log",
    ),
];

/// Shows the logs that Valkey has instead of one.
pub(super) fn logs(
    server: &mut Asked,
    options: &Options,
    out: &mut Named<'_>,
) -> Result<(), String> {
    // Asking for a command that is not there would be counted as an error.
    let known = server.maybe(&["COMMAND", "INFO", "COMMANDLOG"])?;
    let known = known.as_ref().and_then(|r| r.list().first());
    if known.is_none_or(|r| *r == Reply::Nil) {
        return Ok(());
    }
    for (log, name, help) in LOGS {
        if let Some(n) = server
            .maybe(&["COMMANDLOG", "LEN", log])?
            .and_then(|r| r.number())
        {
            out.gauge(name, help, &[], n);
        }
    }
    if options.config_command == "-" {
        return Ok(());
    }
    let config = server.maybe(&[&options.config_command, "GET", "commandlog-*"])?;
    for pair in config.as_ref().map_or(&[][..], Reply::list).chunks_exact(2) {
        let [key, value] = pair else { continue };
        let key = key.text().unwrap_or_default();
        let known = LOG_SETTINGS.iter().find(|(k, ..)| *k == key);
        if let (Some((_, name, help)), Some(v)) = (known, value.number()) {
            out.gauge(name, help, &[], v);
        }
    }
    Ok(())
}
