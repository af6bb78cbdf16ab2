//! InfiniBand adapters and their ports, from `/sys/class/infiniband`.

use super::Entry;
use super::Run;
use super::read::{self, Outcome, Problem, Roots};
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
pub(super) const ENTRY: Entry = Entry::with("infiniband", &[INCLUDE, EXCLUDE], build).whole();

/// Words of four bytes as bytes.
const WORDS: u64 = 4;

/// File below a port's folder, factor, metric, help.
const COUNTERS: &[(&str, u64, &str, &str)] = &[
    (
        "counters/link_downed",
        1,
        "node_infiniband_link_downed_total",
        "Number of times the link failed to recover from an error state and went down",
    ),
    (
        "counters/link_error_recovery",
        1,
        "node_infiniband_link_error_recovery_total",
        "Number of times the link successfully recovered from an error state",
    ),
    (
        "counters/multicast_rcv_packets",
        1,
        "node_infiniband_multicast_packets_received_total",
        "Number of multicast packets received (including errors)",
    ),
    (
        "counters/multicast_xmit_packets",
        1,
        "node_infiniband_multicast_packets_transmitted_total",
        "Number of multicast packets transmitted (including errors)",
    ),
    (
        "counters/port_rcv_constraint_errors",
        1,
        "node_infiniband_port_constraint_errors_received_total",
        "Number of packets received on the switch physical port that are discarded",
    ),
    (
        "counters/port_xmit_constraint_errors",
        1,
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
        1,
        "node_infiniband_port_discards_received_total",
        "Number of inbound packets discarded by the port because the port is down or congested",
    ),
    (
        "counters/port_xmit_discards",
        1,
        "node_infiniband_port_discards_transmitted_total",
        "Number of outbound packets discarded by the port because the port is down or congested",
    ),
    (
        "counters/port_rcv_errors",
        1,
        "node_infiniband_port_errors_received_total",
        "Number of packets containing an error that were received on this port",
    ),
    (
        "counters/port_rcv_packets",
        1,
        "node_infiniband_port_packets_received_total",
        "Number of packets received on all VLs by this port (including errors)",
    ),
    (
        "counters/port_xmit_packets",
        1,
        "node_infiniband_port_packets_transmitted_total",
        "Number of packets transmitted on all VLs from this port (including errors)",
    ),
    (
        "counters/port_xmit_wait",
        1,
        "node_infiniband_port_transmit_wait_total",
        "Number of ticks during which the port had data to transmit but no data was sent during the entire tick",
    ),
    (
        "counters/unicast_rcv_packets",
        1,
        "node_infiniband_unicast_packets_received_total",
        "Number of unicast packets received (including errors)",
    ),
    (
        "counters/unicast_xmit_packets",
        1,
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
        1,
        "node_infiniband_legacy_multicast_packets_received_total",
        "Number of multicast packets received",
    ),
    (
        "counters_ext/port_multicast_xmit_packets",
        1,
        "node_infiniband_legacy_multicast_packets_transmitted_total",
        "Number of multicast packets transmitted",
    ),
    (
        "counters_ext/port_rcv_packets_64",
        1,
        "node_infiniband_legacy_packets_received_total",
        "Number of data packets received on all links",
    ),
    (
        "counters_ext/port_xmit_packets_64",
        1,
        "node_infiniband_legacy_packets_transmitted_total",
        "Number of data packets received on all links",
    ),
    (
        "counters_ext/port_unicast_rcv_packets",
        1,
        "node_infiniband_legacy_unicast_packets_received_total",
        "Number of unicast packets received",
    ),
    (
        "counters_ext/port_unicast_xmit_packets",
        1,
        "node_infiniband_legacy_unicast_packets_transmitted_total",
        "Number of unicast packets transmitted",
    ),
    (
        "counters/excessive_buffer_overrun_errors",
        1,
        "node_infiniband_excessive_buffer_overrun_errors_total",
        "Number of times that OverrunErrors consecutive flow control update periods occurred, each having at least one overrun error.",
    ),
    (
        "counters/local_link_integrity_errors",
        1,
        "node_infiniband_local_link_integrity_errors_total",
        "Number of times that the count of local physical errors exceeded the threshold specified by LocalPhyErrors.",
    ),
    (
        "counters/port_rcv_remote_physical_errors",
        1,
        "node_infiniband_port_receive_remote_physical_errors_total",
        "Number of packets marked with the EBP (End of Bad Packet) delimiter received on the port.",
    ),
    (
        "counters/port_rcv_switch_relay_errors",
        1,
        "node_infiniband_port_receive_switch_relay_errors_total",
        "Number of packets that could not be forwarded by the switch.",
    ),
    (
        "counters/symbol_error",
        1,
        "node_infiniband_symbol_error_total",
        "Number of minor link errors detected on one or more physical lanes.",
    ),
    (
        "counters/VL15_dropped",
        1,
        "node_infiniband_vl15_dropped_total",
        "Number of incoming VL15 packets dropped due to resource limitations.",
    ),
    (
        "hw_counters/duplicate_request",
        1,
        "node_infiniband_duplicate_requests_packets_total",
        "The number of received packets. A duplicate request is a request that had been previously executed.",
    ),
    (
        "hw_counters/implied_nak_seq_err",
        1,
        "node_infiniband_implied_nak_seq_errors_total",
        "The number of time the requested decided an ACK. with a PSN larger than the expected PSN for an RDMA read or response.",
    ),
    (
        "hw_counters/local_ack_timeout_err",
        1,
        "node_infiniband_local_ack_timeout_errors_total",
        "The number of times QP's ack timer expired for RC, XRC, DCT QPs at the sender side. The QP retry limit was not exceed, therefore it is still recoverable error.",
    ),
    (
        "hw_counters/np_cnp_sent",
        1,
        "node_infiniband_np_cnp_packets_sent_total",
        "The number of CNP packets sent by the Notification Point when it noticed congestion experienced in the RoCEv2 IP header (ECN bits). The counters was added in MLNX_OFED 4.1",
    ),
    (
        "hw_counters/np_ecn_marked_roce_packets",
        1,
        "node_infiniband_np_ecn_marked_roce_packets_received_total",
        "The number of RoCEv2 packets received by the notification point which were marked for experiencing the congestion (ECN bits where '11' on the ingress RoCE traffic) . The counters was added in MLNX_OFED 4.1",
    ),
    (
        "hw_counters/out_of_buffer",
        1,
        "node_infiniband_out_of_buffer_drops_total",
        "The number of drops occurred due to lack of WQE for the associated QPs.",
    ),
    (
        "hw_counters/out_of_sequence",
        1,
        "node_infiniband_out_of_sequence_packets_received_total",
        "The number of out of sequence packets received.",
    ),
    (
        "hw_counters/packet_seq_err",
        1,
        "node_infiniband_packet_sequence_errors_total",
        "The number of received NAK sequence error packets. The QP retry limit was not exceeded.",
    ),
    (
        "hw_counters/req_cqe_error",
        1,
        "node_infiniband_req_cqes_errors_total",
        "The number of times requester detected CQEs completed with errors. The counters was added in MLNX_OFED 4.1",
    ),
    (
        "hw_counters/req_cqe_flush_error",
        1,
        "node_infiniband_req_cqes_flush_errors_total",
        "The number of times requester detected CQEs completed with flushed errors. The counters was added in MLNX_OFED 4.1",
    ),
    (
        "hw_counters/req_remote_access_errors",
        1,
        "node_infiniband_req_remote_access_errors_total",
        "The number of times requester detected remote access errors. The counters was added in MLNX_OFED 4.1",
    ),
    (
        "hw_counters/req_remote_invalid_request",
        1,
        "node_infiniband_req_remote_invalid_request_errors_total",
        "The number of times requester detected remote invalid request errors. The counters was added in MLNX_OFED 4.1",
    ),
    (
        "hw_counters/resp_cqe_error",
        1,
        "node_infiniband_resp_cqes_errors_total",
        "The number of times responder detected CQEs completed with errors. The counters was added in MLNX_OFED 4.1",
    ),
    (
        "hw_counters/resp_cqe_flush_error",
        1,
        "node_infiniband_resp_cqes_flush_errors_total",
        "The number of times responder detected CQEs completed with flushed errors. The counters was added in MLNX_OFED 4.1",
    ),
    (
        "hw_counters/resp_local_length_error",
        1,
        "node_infiniband_resp_local_length_errors_total",
        "The number of times responder detected local length errors. The counters was added in MLNX_OFED 4.1",
    ),
    (
        "hw_counters/resp_remote_access_errors",
        1,
        "node_infiniband_resp_remote_access_errors_total",
        "The number of times responder detected remote access errors. The counters was added in MLNX_OFED 4.1",
    ),
    (
        "hw_counters/rnr_nak_retry_err",
        1,
        "node_infiniband_rnr_nak_retry_packets_received_total",
        "The number of received RNR NAK packets. The QP retry limit was not exceeded.",
    ),
    (
        "hw_counters/roce_adp_retrans",
        1,
        "node_infiniband_roce_adp_retransmits_total",
        "The number of adaptive retransmissions for RoCE traffic. The counter was added in MLNX_OFED rev 5.0-1.0.0.0 and kernel v5.6.0",
    ),
    (
        "hw_counters/roce_adp_retrans_to",
        1,
        "node_infiniband_roce_adp_retransmits_timeout_total",
        "The number of times RoCE traffic reached timeout due to adaptive retransmission. The counter was added in MLNX_OFED rev 5.0-1.0.0.0 and kernel v5.6.0",
    ),
    (
        "hw_counters/roce_slow_restart",
        1,
        "node_infiniband_roce_slow_restart_used_total",
        "The number of times RoCE slow restart was used. The counter was added in MLNX_OFED rev 5.0-1.0.0.0 and kernel v5.6.0",
    ),
    (
        "hw_counters/roce_slow_restart_cnps",
        1,
        "node_infiniband_roce_slow_restart_cnps_total",
        "The number of times RoCE slow restart generated CNP packets. The counter was added in MLNX_OFED rev 5.0-1.0.0.0 and kernel v5.6.0",
    ),
    (
        "hw_counters/roce_slow_restart_trans",
        1,
        "node_infiniband_roce_slow_restart_total",
        "The number of times RoCE slow restart changed state to slow restart. The counter was added in MLNX_OFED rev 5.0-1.0.0.0 and kernel v5.6.0",
    ),
    (
        "hw_counters/rp_cnp_handled",
        1,
        "node_infiniband_rp_cnp_packets_handled_total",
        "The number of CNP packets handled by the Reaction Point HCA to throttle the transmission rate. The counters was added in MLNX_OFED 4.1",
    ),
    (
        "hw_counters/rp_cnp_ignored",
        1,
        "node_infiniband_rp_cnp_ignored_packets_received_total",
        "The number of CNP packets received and ignored by the Reaction Point HCA. This counter should not raise if RoCE Congestion Control was enabled in the network. If this counter raise, verify that ECN was enabled on the adapter.",
    ),
    (
        "hw_counters/rx_atomic_requests",
        1,
        "node_infiniband_rx_atomic_requests_total",
        "The number of received ATOMIC request for the associated QPs.",
    ),
    (
        "hw_counters/rx_dct_connect",
        1,
        "node_infiniband_rx_dct_connect_requests_total",
        "The number of received connection requests for the associated DCTs.",
    ),
    (
        "hw_counters/rx_icrc_encapsulated",
        1,
        "node_infiniband_rx_icrc_encapsulated_errors_total",
        "The number of RoCE packets with ICRC errors. This counter was added in MLNX_OFED 4.4 and kernel 4.19",
    ),
    (
        "hw_counters/rx_read_requests",
        1,
        "node_infiniband_rx_read_requests_total",
        "The number of received READ requests for the associated QPs.",
    ),
    (
        "hw_counters/rx_write_requests",
        1,
        "node_infiniband_rx_write_requests_total",
        "The number of received WRITE requests for the associated QPs.",
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
        // Not all drivers show all of these, but all of them show the firmware.
        let fact = |file: &str| match read::word(&folder.join(file)) {
            Err(Problem::Absent(_)) => Ok(String::new()),
            w => w,
        };
        let labels = [
            ("device", device),
            ("board_id", &fact("board_id")?),
            ("firmware_version", &read::word(&folder.join("fw_ver"))?),
            ("hca_type", &fact("hca_type")?),
        ];
        out.gauge(
            "node_infiniband_info",
            "Non-numeric data from /sys/class/infiniband/<device>, value is always 1.",
            &labels.map(|(n, v)| (n, v.as_str())),
            1.0,
        );
        for number in read::names(&folder.join("ports"))? {
            let labels = [("device", device.as_str()), ("port", &number)];
            port(&folder.join("ports").join(&number), &labels, out)?;
        }
    }
    Ok(())
}

/// The number before `end` in a file: "4: ACTIVE", "40 Gb/sec (4X QDR)".
fn first(path: &Path, end: char, is: fn(&str) -> Option<f64>) -> Result<f64, Problem> {
    let word = read::word(path)?;
    let number = word.split_once(end).and_then(|(n, _)| is(n.trim()));
    let wrong = || Problem::format(path, format_args!("{word:?} has no number before {end:?}"));
    number.ok_or_else(wrong)
}

fn port(folder: &Path, labels: &[(&str, &str)], out: &mut Sink) -> Outcome {
    out.gauge(
        "node_infiniband_state_id",
        "State of the InfiniBand port (0: no change, 1: down, 2: init, 3: armed, 4: active, 5: act defer)",
        labels,
        first(&folder.join("state"), ':', read::count)?,
    );
    out.gauge(
        "node_infiniband_physical_state_id",
        "Physical state of the InfiniBand port (0: no change, 1: sleep, 2: polling, 3: disable, 4: shift, 5: link up, 6: link error recover, 7: phytest)",
        labels,
        first(&folder.join("phys_state"), ':', read::count)?,
    );
    let gigabits = first(&folder.join("rate"), ' ', read::parse)?;
    out.gauge(
        "node_infiniband_rate_bytes_per_second",
        "Maximum signal transfer rate",
        labels,
        (gigabits * 125_000_000.0).trunc(),
    );
    for (file, factor, name, help) in COUNTERS {
        if let Some(v) = counter(&folder.join(file))? {
            out.counter(*name, *help, labels, v.wrapping_mul(*factor) as f64);
        }
    }
    if let Some(milliseconds) = counter(&folder.join("hw_counters/lifespan"))? {
        out.gauge(
            "node_infiniband_lifespan_seconds",
            "The maximum period in ms which defines the aging of the counter reads. Two consecutive reads within this period might return the same values.",
            labels,
            (milliseconds / 1000) as f64,
        );
    }
    Ok(())
}

/// A counter, where the adapter has it and lets it be read.
fn counter(path: &Path) -> Result<Option<u64>, Problem> {
    let Ok(word) = read::word(path) else {
        return Ok(None);
    };
    if word.contains("N/A (no PMA)") {
        return Ok(None);
    }
    let wrong = |_| Problem::format(path, format_args!("{word:?} is not a count"));
    word.parse().map(Some).map_err(wrong)
}
