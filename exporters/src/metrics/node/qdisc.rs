//! Queueing disciplines, from the kernel's routing socket.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::netlink::{self, Attributes};
use super::read::{self, Problem, Roots};
use super::settings::{Filter, Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const INCLUDE: Flag = Flag::text(
    "collector.qdisc.device-include",
    "",
    "Interfaces to show, as a regular expression; excludes device-exclude",
);
const EXCLUDE: Flag = Flag::text(
    "collector.qdisc.device-exclude",
    "",
    "Interfaces to leave out, as a regular expression; excludes device-include",
);
const INCLUDE_OLD: Flag = Flag::text(
    "collector.qdisk.device-include",
    "",
    "Older name of collector.qdisc.device-include",
);
const EXCLUDE_OLD: Flag = Flag::text(
    "collector.qdisk.device-exclude",
    "",
    "Older name of collector.qdisc.device-exclude",
);
const FIXTURES: Flag = Flag::text(
    "collector.qdisc.fixtures",
    "",
    "Folder with a results.json to read instead of asking the kernel",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with(
    "qdisc",
    &[INCLUDE, EXCLUDE, INCLUDE_OLD, EXCLUDE_OLD, FIXTURES],
    build,
)
.on_request();

/// One discipline, as the kernel tells it or as a file does.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Discipline {
    iface_name: String,
    kind: String,
    parent: u32,
    bytes: u64,
    packets: u32,
    drops: u32,
    requeues: u32,
    overlimits: u32,
    qlen: u32,
    backlog: u32,
}

/// Bytes of the header of a discipline's message.
const HEADER: usize = 20;
/// Attributes of a discipline.
const KIND: u16 = 1;
const STATS: u16 = 7;
/// Attributes of its statistics.
const BASIC: u16 = 1;
const QUEUE: u16 = 3;
/// Parent of the discipline at an interface's root.
const ROOT: u32 = u32::MAX;

fn build(s: &Settings) -> Result<Run, String> {
    let include = s.either(&INCLUDE, &INCLUDE_OLD)?;
    let filter = Filter::new(s, include, s.either(&EXCLUDE, &EXCLUDE_OLD)?)?;
    let fixtures = s.text(&FIXTURES);
    let file = (!fixtures.is_empty()).then(|| PathBuf::from(fixtures).join("results.json"));
    Ok(Box::new(move |r, out| {
        let all = match &file {
            Some(f) => from_file(f)?,
            None => from_kernel(r)?,
        };
        for d in all.iter().filter(|d| filter.keeps(&d.iface_name)) {
            emit(d, out);
        }
        Ok(())
    }))
}

fn from_file(file: &Path) -> Result<Vec<Discipline>, Problem> {
    serde_json::from_slice(&read::bytes(file)?).map_err(|e| Problem::format(file, e))
}

fn from_kernel(r: &Roots) -> Result<Vec<Discipline>, Problem> {
    let failed = |e: std::io::Error| Problem::Failed(format!("routing socket: {e}"));
    let mut names = std::collections::HashMap::new();
    let folder = r.sys("class/net");
    for name in read::names(&folder)? {
        if let Some(i) = read::number_if(&folder.join(&name).join("ifindex")) {
            names.insert(i as u32, name);
        }
    }
    let mut all = Vec::new();
    netlink::dump(netlink::GET_QDISC, HEADER, &mut |head, attributes| {
        let Some(name) = names.get(&netlink::read_u32(head, 4)) else {
            return;
        };
        let parent = netlink::read_u32(head, 12);
        let stats = Attributes(attributes.find(STATS).unwrap_or_default());
        let basic = stats.find(BASIC).unwrap_or_default();
        let queue = stats.find(QUEUE).unwrap_or_default();
        all.push(Discipline {
            iface_name: name.clone(),
            kind: attributes
                .find(KIND)
                .map(netlink::c_text)
                .unwrap_or_default(),
            parent: if parent == ROOT { 0 } else { parent },
            bytes: netlink::read_u64(basic, 0).unwrap_or(0),
            packets: netlink::read_u32(basic, 8),
            qlen: netlink::read_u32(queue, 0),
            backlog: netlink::read_u32(queue, 4),
            drops: netlink::read_u32(queue, 8),
            requeues: netlink::read_u32(queue, 12),
            overlimits: netlink::read_u32(queue, 16),
        });
    })
    .map_err(failed)?;
    Ok(all)
}

fn emit(d: &Discipline, out: &mut Sink) {
    // Only what hangs at an interface's root, not the classes below it.
    if d.parent != 0 {
        return;
    }
    let labels = [("device", d.iface_name.as_str()), ("kind", &d.kind)];
    let rows: [(&str, &str, Kind, f64); 7] = [
        (
            "node_qdisc_bytes_total",
            "Number of bytes sent.",
            Kind::Counter,
            d.bytes as f64,
        ),
        (
            "node_qdisc_packets_total",
            "Number of packets sent.",
            Kind::Counter,
            f64::from(d.packets),
        ),
        (
            "node_qdisc_drops_total",
            "Number of packets dropped.",
            Kind::Counter,
            f64::from(d.drops),
        ),
        (
            "node_qdisc_requeues_total",
            "Number of packets dequeued, not transmitted, and requeued.",
            Kind::Counter,
            f64::from(d.requeues),
        ),
        (
            "node_qdisc_overlimits_total",
            "Number of overlimit packets.",
            Kind::Counter,
            f64::from(d.overlimits),
        ),
        (
            "node_qdisc_current_queue_length",
            "Number of packets currently in queue to be sent.",
            Kind::Gauge,
            f64::from(d.qlen),
        ),
        (
            "node_qdisc_backlog",
            "Number of bytes currently in queue to be sent.",
            Kind::Gauge,
            f64::from(d.backlog),
        ),
    ];
    for (name, help, kind, v) in rows {
        let family = out.family(name.to_owned(), help.to_owned(), kind);
        out.add(family, &labels, v);
    }
}
