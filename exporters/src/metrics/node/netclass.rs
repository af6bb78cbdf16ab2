//! Properties of network interfaces, from `/sys/class/net`.

use std::path::Path;

use super::read::{self, Outcome, Roots};
use super::settings::{Filter, Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const IGNORED: Flag = Flag::text(
    "collector.netclass.ignored-devices",
    "^$",
    "Interfaces to leave out, as a regular expression",
);
const INVALID_SPEED: Flag = Flag::switch(
    "collector.netclass.ignore-invalid-speed",
    false,
    "Leave speeds below zero out",
);
const NETLINK: Flag = Flag::switch(
    "collector.netclass.netlink",
    false,
    "Accepted; properties are always read from sysfs",
);
const RTNL: Flag = Flag::switch(
    "collector.netclass_rtnl.with-stats",
    false,
    "Accepted; see collector.netclass.netlink",
);

/// The collector.
pub(super) const ENTRY: Entry =
    Entry::with("netclass", &[IGNORED, INVALID_SPEED, NETLINK, RTNL], build);

/// File, suffix of the metric, kind.
const NUMBERS: &[(&str, &str, Kind)] = &[
    ("addr_assign_type", "address_assign_type", Kind::Gauge),
    ("carrier", "carrier", Kind::Gauge),
    ("carrier_changes", "carrier_changes_total", Kind::Counter),
    (
        "carrier_up_count",
        "carrier_up_changes_total",
        Kind::Counter,
    ),
    (
        "carrier_down_count",
        "carrier_down_changes_total",
        Kind::Counter,
    ),
    ("dev_id", "device_id", Kind::Gauge),
    ("dormant", "dormant", Kind::Gauge),
    ("flags", "flags", Kind::Gauge),
    ("ifindex", "iface_id", Kind::Gauge),
    ("iflink", "iface_link", Kind::Gauge),
    ("link_mode", "iface_link_mode", Kind::Gauge),
    ("mtu", "mtu_bytes", Kind::Gauge),
    ("name_assign_type", "name_assign_type", Kind::Gauge),
    ("netdev_group", "net_dev_group", Kind::Gauge),
    ("type", "protocol_type", Kind::Gauge),
    ("tx_queue_len", "transmit_queue_length", Kind::Gauge),
];

/// Bytes per second of a megabit per second.
const MEGABIT: f64 = 125_000.0;
/// The flag of an interface that somebody has switched on.
const UP: u64 = 1;

fn build(s: &Settings) -> Result<Run, String> {
    let filter = Filter::excluding(s.pattern(&IGNORED)?);
    let drop_invalid = s.on(&INVALID_SPEED);
    Ok(Box::new(move |r, out| {
        collect(r, &filter, drop_invalid, out)
    }))
}

fn collect(r: &Roots, filter: &Filter, drop_invalid: bool, out: &mut Sink) -> Outcome {
    let folder = r.sys("class/net");
    for device in read::names(&folder)?.iter().filter(|d| filter.keeps(d)) {
        interface(&folder.join(device), device, drop_invalid, out);
    }
    Ok(())
}

fn interface(folder: &Path, device: &str, drop_invalid: bool, out: &mut Sink) {
    // Files that are no interfaces lie there as well.
    let Ok(operstate) = read::word(&folder.join("operstate")) else {
        return;
    };
    let labels = [("device", device)];
    let up = f64::from(u8::from(operstate == "up"));
    out.gauge(
        "node_network_up",
        "Value is 1 if operstate is 'up', 0 otherwise.",
        &labels,
        up,
    );
    let fact = |file: &str| read::word_or_empty(&folder.join(file));
    let adminstate = match number(&fact("flags")) {
        Some(f) if f as u64 & UP == UP => "up",
        Some(_) => "down",
        None => "unknown",
    };
    out.gauge(
        "node_network_info",
        "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
        &[
            ("device", device),
            ("address", &fact("address")),
            ("broadcast", &fact("broadcast")),
            ("duplex", &fact("duplex")),
            ("operstate", &operstate),
            ("adminstate", adminstate),
            ("ifalias", &fact("ifalias")),
        ],
        1.0,
    );
    for (file, suffix, kind) in NUMBERS {
        // Several cannot be read while an interface is down.
        if let Some(v) = number(&fact(file)) {
            let family = out.family(
                format!("node_network_{suffix}"),
                format!("Network device property: {suffix}"),
                *kind,
            );
            out.add(family, &labels, v);
        }
    }
    if let Some(megabits) = number(&fact("speed")).filter(|v| !(drop_invalid && *v < 0.0)) {
        out.gauge(
            "node_network_speed_bytes",
            "Network device property: speed_bytes",
            &labels,
            megabits * MEGABIT,
        );
    }
}

/// A number in decimal, or in hexadecimal after `0x`.
fn number(text: &str) -> Option<f64> {
    match text.strip_prefix("0x") {
        Some(hex) => read::parse_hex(hex).map(|v| v as f64),
        None => read::parse(text),
    }
}
