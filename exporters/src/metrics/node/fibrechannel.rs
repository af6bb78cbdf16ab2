//! Fibre Channel host adapters, from `/sys/class/fc_host`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("fibrechannel", collect).whole();

/// Files that become labels, numbers among them without `0x`.
const FACTS: [&str; 11] = [
    "speed",
    "port_state",
    "port_type",
    "port_id",
    "port_name",
    "fabric_name",
    "symbolic_name",
    "supported_classes",
    "supported_speeds",
    "dev_loss_tmo",
    "node_name",
];

/// File, metric, help.
const COUNTERS: &[(&str, &str, &str)] = &[
    (
        "dumped_frames",
        "node_fibrechannel_dumped_frames_total",
        "Number of dumped frames",
    ),
    (
        "error_frames",
        "node_fibrechannel_error_frames_total",
        "Number of errors in frames",
    ),
    (
        "invalid_crc_count",
        "node_fibrechannel_invalid_crc_total",
        "Invalid Cyclic Redundancy Check count",
    ),
    (
        "rx_frames",
        "node_fibrechannel_rx_frames_total",
        "Number of frames received",
    ),
    (
        "rx_words",
        "node_fibrechannel_rx_words_total",
        "Number of words received by host port",
    ),
    (
        "tx_frames",
        "node_fibrechannel_tx_frames_total",
        "Number of frames transmitted by host port",
    ),
    (
        "tx_words",
        "node_fibrechannel_tx_words_total",
        "Number of words transmitted by host port",
    ),
    (
        "seconds_since_last_reset",
        "node_fibrechannel_seconds_since_last_reset_total",
        "Number of seconds since last host port reset",
    ),
    (
        "invalid_tx_word_count",
        "node_fibrechannel_invalid_tx_words_total",
        "Number of invalid words transmitted by host port",
    ),
    (
        "link_failure_count",
        "node_fibrechannel_link_failure_total",
        "Number of times the host port link has failed",
    ),
    (
        "loss_of_sync_count",
        "node_fibrechannel_loss_of_sync_total",
        "Number of failures on either bit or transmission word boundaries",
    ),
    (
        "loss_of_signal_count",
        "node_fibrechannel_loss_of_signal_total",
        "Number of times signal has been lost",
    ),
    (
        "nos_count",
        "node_fibrechannel_nos_total",
        "Number Not_Operational Primitive Sequence received by host port",
    ),
    (
        "fcp_packet_aborts",
        "node_fibrechannel_fcp_packet_aborts_total",
        "Number of aborted packets",
    ),
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("class/fc_host");
    for host in read::names(&folder)? {
        let folder = folder.join(&host);
        let mut facts = Vec::with_capacity(FACTS.len());
        for name in FACTS {
            // Drivers choose what they show.
            let word = match read::word(&folder.join(name)) {
                Err(Problem::Absent(_)) => String::new(),
                w => w?,
            };
            let bare = word.strip_prefix("0x").map(str::to_owned);
            facts.push((name, bare.unwrap_or(word)));
        }
        let fact = |name: &str| facts.iter().find(|(n, _)| *n == name);
        let counts = fact("port_state").is_some_and(|(_, s)| !s.is_empty() && s != "Unknown");
        let mut labels = vec![("fc_host", host.as_str())];
        // The node's name is no label of the family.
        let shown = facts.iter().filter(|(n, _)| *n != "node_name");
        labels.extend(shown.map(|(n, v)| (*n, v.as_str())));
        out.gauge(
            "node_fibrechannel_info",
            "Non-numeric data from /sys/class/fc_host/<host>, value is always 1.",
            &labels,
            1.0,
        );
        for (file, name, help) in COUNTERS {
            let path = folder.join("statistics").join(file);
            // An adapter that is switched off has counted nothing, whatever is written there.
            let value = if counts {
                read::hex_in(&path)?
            } else {
                Some(0)
            };
            // All bits set means that the adapter does not count it.
            if let Some(v) = value.filter(|v| *v != u64::MAX) {
                out.counter(*name, *help, &[("fc_host", &host)], v as f64);
            }
        }
    }
    Ok(())
}
