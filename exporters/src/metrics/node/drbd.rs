//! Replicated block devices, from `/proc/drbd`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("drbd", collect).on_request();

/// Kilobytes as bytes.
const KIB: f64 = 1024.0;

/// Field, factor, metric, help, kind.
const NUMBERS: &[(&str, f64, &str, &str, Kind)] = &[
    (
        "ns",
        KIB,
        "node_drbd_network_sent_bytes_total",
        "Total number of bytes sent via the network.",
        Kind::Counter,
    ),
    (
        "nr",
        1.0,
        "node_drbd_network_received_bytes_total",
        "Total number of bytes received via the network.",
        Kind::Counter,
    ),
    (
        "dw",
        KIB,
        "node_drbd_disk_written_bytes_total",
        "Net data written on local hard disk; in bytes.",
        Kind::Counter,
    ),
    (
        "dr",
        KIB,
        "node_drbd_disk_read_bytes_total",
        "Net data read from local hard disk; in bytes.",
        Kind::Counter,
    ),
    (
        "al",
        1.0,
        "node_drbd_activitylog_writes_total",
        "Number of updates of the activity log area of the meta data.",
        Kind::Counter,
    ),
    (
        "bm",
        1.0,
        "node_drbd_bitmap_writes_total",
        "Number of updates of the bitmap area of the meta data.",
        Kind::Counter,
    ),
    (
        "lo",
        1.0,
        "node_drbd_local_pending",
        "Number of open requests to the local I/O sub-system.",
        Kind::Gauge,
    ),
    (
        "pe",
        1.0,
        "node_drbd_remote_pending",
        "Number of requests sent to the peer, but that have not yet been answered by the latter.",
        Kind::Gauge,
    ),
    (
        "ua",
        1.0,
        "node_drbd_remote_unacknowledged",
        "Number of requests received by the peer via the network connection, but that have not yet been answered.",
        Kind::Gauge,
    ),
    (
        "ap",
        1.0,
        "node_drbd_application_pending",
        "Number of block I/O requests forwarded to DRBD, but not yet answered by DRBD.",
        Kind::Gauge,
    ),
    (
        "ep",
        1.0,
        "node_drbd_epochs",
        "Number of Epochs currently on the fly.",
        Kind::Gauge,
    ),
    (
        "oos",
        KIB,
        "node_drbd_out_of_sync_bytes",
        "Amount of data known to be out of sync; in bytes.",
        Kind::Gauge,
    ),
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let path = r.proc("drbd");
    let text = read::text(&path)?;
    let mut device = "unknown".to_owned();
    for word in text.split_whitespace() {
        let Some((key, value)) = word.split_once(':') else {
            continue;
        };
        if value.is_empty() && !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()) {
            device = format!("drbd{key}");
            continue;
        }
        let labels = [("device", device.as_str())];
        if let Some((_, factor, name, help, kind)) = NUMBERS.iter().find(|(k, ..)| *k == key) {
            let v = read::parse(value)
                .ok_or_else(|| Problem::format(&path, format_args!("{word:?} is not a number")))?;
            let family = out.family(*name, *help, *kind);
            out.add(family, &labels, v * factor);
            continue;
        }
        match key {
            "cs" => out.gauge(
                "node_drbd_connected",
                "Whether DRBD is connected to the peer.",
                &labels,
                f64::from(u8::from(value == "Connected")),
            ),
            "ro" => pair(
                "node_drbd_node_role_is_primary",
                "Whether the role of the node is in the primary state.",
                "Primary",
                &device,
                value,
                out,
            ),
            "ds" => pair(
                "node_drbd_disk_state_is_up_to_date",
                "Whether the disk of the node is up to date.",
                "UpToDate",
                &device,
                value,
                out,
            ),
            _ => {}
        }
    }
    Ok(())
}

/// `LOCAL/REMOTE`, each compared with `good`.
fn pair(
    name: &'static str,
    help: &'static str,
    good: &str,
    device: &str,
    value: &str,
    out: &mut Sink,
) {
    let (local, remote) = value.split_once('/').unwrap_or((value, ""));
    for (node, state) in [("local", local), ("remote", remote)] {
        let labels = [("device", device), ("node", node)];
        out.gauge(name, help, &labels, f64::from(u8::from(state == good)));
    }
}
