//! InfiniBand adapters and their ports, from `/sys/class/infiniband`.

use super::Entry;
use super::Run;
use super::read::{self, Outcome, Roots};
use super::settings::{Filter, Flag, Settings};
use crate::emit::Sink;
use std::path::Path;

const INCLUDE: Flag = Flag::text(
    "collector.infiniband.device-include",
    "",
    "Adapters to show, as a regular expression; excludes device-exclude",
);
const EXCLUDE: Flag = Flag::text(
    "collector.infiniband.device-exclude",
    "",
    "Adapters to leave out, as a regular expression; excludes device-include",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("infiniband", &[INCLUDE, EXCLUDE], build);

/// Words of four bytes as bytes.
const WORDS: f64 = 4.0;

/// File below a port's folder, factor, metric, help.
const COUNTERS: &[(&str, f64, &str, &str)] = &[
    (
        "counters/link_downed",
        1.0,
        "node_infiniband_link_downed_total",
        "Number of times the link failed to recover from an error state and went down",
    ),
    (
        "counters/link_error_recovery",
        1.0,
        "node_infiniband_link_error_recovery_total",
        "Number of times the link successfully recovered from an error state",
    ),
    (
        "counters/multicast_rcv_packets",
        1.0,
        "node_infiniband_multicast_packets_received_total",
        "Number of multicast packets received (including errors)",
    ),
    (
        "counters/multicast_xmit_packets",
        1.0,
        "node_infiniband_multicast_packets_transmitted_total",
        "Number of multicast packets transmitted (including errors)",
    ),
    (
        "counters/port_rcv_constraint_errors",
        1.0,
        "node_infiniband_port_constraint_errors_received_total",
        "Number of packets received on the switch physical port that are discarded",
    ),
    (
        "counters/port_xmit_constraint_errors",
        1.0,
        "node_infiniband_port_constraint_errors_transmitted_total",
        "Number of packets not transmitted from the switch physical port",
    ),
    (
        "counters/port_rcv_data",
        WORDS,
        "node_infiniband_port_data_received_bytes_total",
        "Number of data octets received on all links",
    ),
    (
        "counters/port_xmit_data",
        WORDS,
        "node_infiniband_port_data_transmitted_bytes_total",
        "Number of data octets transmitted on all links",
    ),
    (
        "counters/port_rcv_discards",
        1.0,
        "node_infiniband_port_discards_received_total",
        "Number of inbound packets discarded by the port because the port is down or congested",
    ),
    (
        "counters/port_xmit_discards",
        1.0,
        "node_infiniband_port_discards_transmitted_total",
        "Number of outbound packets discarded by the port because the port is down or congested",
    ),
    (
        "counters/port_rcv_errors",
        1.0,
        "node_infiniband_port_errors_received_total",
        "Number of packets containing an error that were received on this port",
    ),
    (
        "counters/port_rcv_packets",
        1.0,
        "node_infiniband_port_packets_received_total",
        "Number of packets received on all VLs by this port (including errors)",
    ),
    (
        "counters/port_xmit_packets",
        1.0,
        "node_infiniband_port_packets_transmitted_total",
        "Number of packets transmitted on all VLs from this port (including errors)",
    ),
    (
        "counters/port_xmit_wait",
        1.0,
        "node_infiniband_port_transmit_wait_total",
        "Number of ticks during which the port had data to transmit but no data was sent during the entire tick",
    ),
    (
        "counters/unicast_rcv_packets",
        1.0,
        "node_infiniband_unicast_packets_received_total",
        "Number of unicast packets received (including errors)",
    ),
    (
        "counters/unicast_xmit_packets",
        1.0,
        "node_infiniband_unicast_packets_transmitted_total",
        "Number of unicast packets transmitted (including errors)",
    ),
    (
        "counters_ext/port_rcv_data_64",
        WORDS,
        "node_infiniband_legacy_data_received_bytes_total",
        "Number of data octets received on all links",
    ),
    (
        "counters_ext/port_xmit_data_64",
        WORDS,
        "node_infiniband_legacy_data_transmitted_bytes_total",
        "Number of data octets transmitted on all links",
    ),
    (
        "counters_ext/port_multicast_rcv_packets",
        1.0,
        "node_infiniband_legacy_multicast_packets_received_total",
        "Number of multicast packets received",
    ),
    (
        "counters_ext/port_multicast_xmit_packets",
        1.0,
        "node_infiniband_legacy_multicast_packets_transmitted_total",
        "Number of multicast packets transmitted",
    ),
    (
        "counters_ext/port_rcv_packets_64",
        1.0,
        "node_infiniband_legacy_packets_received_total",
        "Number of data packets received on all links",
    ),
    (
        "counters_ext/port_xmit_packets_64",
        1.0,
        "node_infiniband_legacy_packets_transmitted_total",
        "Number of data packets received on all links",
    ),
    (
        "counters_ext/port_unicast_rcv_packets",
        1.0,
        "node_infiniband_legacy_unicast_packets_received_total",
        "Number of unicast packets received",
    ),
    (
        "counters_ext/port_unicast_xmit_packets",
        1.0,
        "node_infiniband_legacy_unicast_packets_transmitted_total",
        "Number of unicast packets transmitted",
    ),
];

fn build(s: &Settings) -> Result<Run, String> {
    let filter = Filter::new(s, &INCLUDE, &EXCLUDE)?;
    Ok(Box::new(move |r, out| collect(r, &filter, out)))
}

fn collect(r: &Roots, filter: &Filter, out: &mut Sink) -> Outcome {
    let folder = r.sys("class/infiniband");
    for device in read::names(&folder)?.iter().filter(|d| filter.keeps(d)) {
        let folder = folder.join(device);
        let fact = |file: &str| read::word_or_empty(&folder.join(file));
        out.gauge(
            "node_infiniband_info",
            "Non-numeric data from /sys/class/infiniband/<device>, value is always 1.",
            &[
                ("device", device),
                ("board_id", &fact("board_id")),
                ("firmware_version", &fact("fw_ver")),
                ("hca_type", &fact("hca_type")),
            ],
            1.0,
        );
        for number in read::names(&folder.join("ports"))? {
            let labels = [("device", device.as_str()), ("port", &number)];
            port(&folder.join("ports").join(&number), &labels, out);
        }
    }
    Ok(())
}

fn port(folder: &Path, labels: &[(&str, &str)], out: &mut Sink) {
    // "4: ACTIVE", "40 Gb/sec (4X QDR)"
    let first = |file: &str| {
        let word = read::word(&folder.join(file)).ok()?;
        let end = word.find([':', ' ']).unwrap_or(word.len());
        read::parse(word.get(..end)?)
    };
    if let Some(v) = first("state") {
        out.gauge("node_infiniband_state_id", "State of the InfiniBand port (0: no change, 1: down, 2: init, 3: armed, 4: active, 5: act defer)", labels, v);
    }
    if let Some(v) = first("phys_state") {
        out.gauge("node_infiniband_physical_state_id", "Physical state of the InfiniBand port (0: no change, 1: sleep, 2: polling, 3: disable, 4: shift, 5: link up, 6: link error recover, 7: phytest)", labels, v);
    }
    if let Some(gigabits) = first("rate") {
        out.gauge(
            "node_infiniband_rate_bytes_per_second",
            "Maximum signal transfer rate",
            labels,
            gigabits * 125_000_000.0,
        );
    }
    for (file, factor, name, help) in COUNTERS {
        // "N/A (no PMA)" is no number.
        if let Some(v) = read::number_if(&folder.join(file)) {
            out.counter(*name, *help, labels, v * factor);
        }
    }
}
