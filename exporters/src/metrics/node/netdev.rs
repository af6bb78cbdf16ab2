//! Counters of network interfaces, from the kernel's routing socket or `/proc/net/dev`.

use super::netlink;
use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Filter, Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const INCLUDE: Flag = Flag::text(
    "collector.netdev.device-include",
    "",
    "Interfaces to show, as a regular expression; excludes device-exclude",
);
const EXCLUDE: Flag = Flag::text(
    "collector.netdev.device-exclude",
    "",
    "Interfaces to leave out, as a regular expression; excludes device-include",
);
const INCLUDE_OLD: Flag = Flag::text(
    "collector.netdev.device-whitelist",
    "",
    "Older name of device-include",
);
const EXCLUDE_OLD: Flag = Flag::text(
    "collector.netdev.device-blacklist",
    "",
    "Older name of device-exclude",
);
const NETLINK: Flag = Flag::switch(
    "collector.netdev.netlink",
    true,
    "Ask the kernel's routing socket rather than procfs",
);
const ADDRESS_INFO: Flag = Flag::switch(
    "collector.netdev.address-info",
    false,
    "Accepted without effect",
);
const DETAILED: Flag = Flag::switch(
    "collector.netdev.enable-detailed-metrics",
    false,
    "Show every counter under the kernel's own name",
);
const IFALIAS: Flag = Flag::switch(
    "collector.netdev.label-ifalias",
    false,
    "Add the interface's alias as a label",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with(
    "netdev",
    &[
        INCLUDE,
        EXCLUDE,
        INCLUDE_OLD,
        EXCLUDE_OLD,
        NETLINK,
        ADDRESS_INFO,
        DETAILED,
        IFALIAS,
    ],
    build,
);

/// Places of the kernel's counters (`rtnl_link_stats64`).
const COUNTERS: [&str; 24] = [
    "receive_packets",
    "transmit_packets",
    "receive_bytes",
    "transmit_bytes",
    "receive_errors",
    "transmit_errors",
    "receive_dropped",
    "transmit_dropped",
    "multicast",
    "collisions",
    "receive_length_errors",
    "receive_over_errors",
    "receive_crc_errors",
    "receive_frame_errors",
    "receive_fifo_errors",
    "receive_missed_errors",
    "transmit_aborted_errors",
    "transmit_carrier_errors",
    "transmit_fifo_errors",
    "transmit_heartbeat_errors",
    "transmit_window_errors",
    "receive_compressed",
    "transmit_compressed",
    "receive_nohandler",
];

/// Names of `/proc/net/dev` and the counters that are summed up in each.
const SUMS: [(&str, &[usize]); 17] = [
    ("receive_bytes", &[2]),
    ("receive_packets", &[0]),
    ("receive_errs", &[4]),
    ("receive_drop", &[6, 15]),
    ("receive_fifo", &[14]),
    ("receive_frame", &[10, 11, 12, 13]),
    ("receive_compressed", &[21]),
    ("receive_multicast", &[8]),
    ("transmit_bytes", &[3]),
    ("transmit_packets", &[1]),
    ("transmit_errs", &[5]),
    ("transmit_drop", &[7]),
    ("transmit_fifo", &[18]),
    ("transmit_colls", &[9]),
    ("transmit_carrier", &[16, 17, 19, 20]),
    ("transmit_compressed", &[22]),
    ("receive_nohandler", &[23]),
];
/// How many of them the file has, in this order.
const IN_FILE: usize = 16;

/// Attributes of an interface.
const NAME: u16 = 3;
const STATS: u16 = 23;
/// Bytes of the header of an interface's message.
const LINK_HEADER: usize = 16;

struct Netdev {
    filter: Filter,
    netlink: bool,
    detailed: bool,
    ifalias: bool,
}

fn build(s: &Settings) -> Result<Run, String> {
    let n = Netdev {
        filter: Filter::new(
            s,
            s.either(&INCLUDE, &INCLUDE_OLD)?,
            s.either(&EXCLUDE, &EXCLUDE_OLD)?,
        )?,
        netlink: s.on(&NETLINK),
        detailed: s.on(&DETAILED),
        ifalias: s.on(&IFALIAS),
    };
    Ok(Box::new(move |r, out| {
        if !n.netlink {
            return n.file(r, out);
        }
        let each = &mut |device: &str, counters: &[u64]| n.emit(r, device, counters, out);
        match interfaces(each) {
            // A sandbox may have no such socket; the file has nearly all of it.
            Err(_) => n.file(r, out),
            Ok(()) => Ok(()),
        }
    }))
}

/// Name and counters of every interface.
fn interfaces(each: &mut dyn FnMut(&str, &[u64])) -> std::io::Result<()> {
    netlink::dump(netlink::GET_LINK, LINK_HEADER, &mut |_, attributes| {
        let (Some(name), Some(stats)) = (attributes.find(NAME), attributes.find(STATS)) else {
            return;
        };
        let counters: Vec<u64> = (0..COUNTERS.len())
            .map_while(|i| netlink::read_u64(stats, i * 8))
            .collect();
        each(&netlink::c_text(name), &counters);
    })
}

impl Netdev {
    fn emit(&self, r: &Roots, device: &str, counters: &[u64], out: &mut Sink) {
        if self.detailed {
            for (name, v) in COUNTERS.iter().zip(counters) {
                self.counter(r, device, name, *v as f64, out);
            }
            return;
        }
        for (name, parts) in SUMS {
            let mut values = parts.iter().filter_map(|i| counters.get(*i)).peekable();
            if values.peek().is_some() {
                let sum = values.fold(0u64, |a, b| a.wrapping_add(*b));
                self.counter(r, device, name, sum as f64, out);
            }
        }
    }

    fn counter(&self, r: &Roots, device: &str, name: &str, v: f64, out: &mut Sink) {
        if !self.filter.keeps(device) {
            return;
        }
        let family = out.family(
            format!("node_network_{name}_total"),
            format!("Network device statistic {name}."),
            Kind::Counter,
        );
        if self.ifalias {
            let alias = read::word_or_empty(&r.sys("class/net").join(device).join("ifalias"));
            out.add(family, &[("device", device), ("ifalias", &alias)], v);
        } else {
            out.add(family, &[("device", device)], v);
        }
    }

    fn file(&self, r: &Roots, out: &mut Sink) -> Outcome {
        let path = r.proc("net/dev");
        let text = read::text(&path)?;
        for line in text.lines().skip(2) {
            let Some((device, values)) = line.rsplit_once(':') else {
                return Err(Problem::format(
                    &path,
                    format_args!("{line:?} has no colon"),
                ));
            };
            let names = SUMS.iter().take(IN_FILE).map(|(n, _)| n);
            for (name, value) in names.zip(values.split_whitespace()) {
                if let Some(v) = read::parse(value) {
                    self.counter(r, device.trim(), name, v, out);
                }
            }
        }
        Ok(())
    }
}
