//! The kernel's load balancer, from `/proc/net/ip_vs` and `ip_vs_stats`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::Sink;

const LABELS: Flag = Flag::text(
    "collector.ipvs.backend-labels",
    "local_address,local_port,remote_address,remote_port,proto,local_mark",
    "Labels of the backends, separated by commas",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("ipvs", &[LABELS], build);

/// All labels, in the order of [`Backend::labels`].
const ALL: [&str; 6] = [
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "proto",
    "local_mark",
];

/// Metric and help, in the order of the sums.
const BACKEND: [(&str, &str); 3] = [
    (
        "node_ipvs_backend_weight",
        "The current backend weight by local and remote address.",
    ),
    (
        "node_ipvs_backend_connections_active",
        "The current active connections by local and remote address.",
    ),
    (
        "node_ipvs_backend_connections_inactive",
        "The current inactive connections by local and remote address.",
    ),
];

/// Metric and help, in the order of the fields.
const TOTALS: [(&str, &str); 5] = [
    (
        "node_ipvs_connections_total",
        "The total number of connections made.",
    ),
    (
        "node_ipvs_incoming_packets_total",
        "The total number of incoming packets.",
    ),
    (
        "node_ipvs_outgoing_packets_total",
        "The total number of outgoing packets.",
    ),
    (
        "node_ipvs_incoming_bytes_total",
        "The total amount of incoming data.",
    ),
    (
        "node_ipvs_outgoing_bytes_total",
        "The total amount of outgoing data.",
    ),
];

fn build(s: &Settings) -> Result<Run, String> {
    let mut shown = [false; 6];
    for label in s.text(&LABELS).split(',').filter(|l| !l.is_empty()) {
        let i = ALL
            .iter()
            .position(|a| *a == label)
            .ok_or_else(|| format!("--{} {label:?} is none of {}", LABELS.name, ALL.join(", ")))?;
        shown[i] = true;
    }
    Ok(Box::new(move |r, out| collect(r, shown, out)))
}

fn collect(r: &Roots, shown: [bool; 6], out: &mut Sink) -> Outcome {
    let path = r.proc("net/ip_vs_stats");
    let text = read::text(&path)?;
    let totals = text.lines().nth(2).unwrap_or("");
    let totals: Vec<u64> = totals
        .split_whitespace()
        .map_while(|t| u64::from_str_radix(t, 16).ok())
        .collect();
    if totals.len() != TOTALS.len() {
        return Err(Problem::format(&path, "no five totals in the third line"));
    }
    for ((name, help), v) in TOTALS.iter().zip(&totals) {
        out.counter(*name, *help, &[], *v as f64);
    }
    let path = r.proc("net/ip_vs");
    let text = read::text(&path)?;
    // Backends that differ in labels that are not shown count as one.
    let mut sums: BTreeMap<Vec<String>, [f64; 3]> = BTreeMap::new();
    let (mut proto, mut local) = (String::new(), (String::new(), "0".to_owned()));
    let mut mark = String::new();
    for row in read::rows(&text) {
        let wrong = || {
            let line = row.join(" ");
            Problem::format(&path, format_args!("{line:?} is not understood"))
        };
        match row.as_slice() {
            [_, "RemoteAddress:Port", ..] => {}
            ["TCP" | "UDP" | "SCTP", address, ..] => {
                proto = row.first().map_or(String::new(), |p| (*p).to_owned());
                mark.clear();
                local = socket(address).ok_or_else(wrong)?;
            }
            ["FWM", m, ..] => {
                "FWM".clone_into(&mut proto);
                (*m).clone_into(&mut mark);
                local = (String::new(), "0".into());
            }
            ["->", address, _, weight, active, inactive, ..] => {
                let (remote, port) = socket(address).ok_or_else(wrong)?;
                let all = [&local.0, &local.1, &remote, &port, &proto, &mark];
                let key = all.iter().zip(shown).filter(|(_, s)| *s);
                let key = key.map(|(v, _)| (*v).clone()).collect();
                let sum = sums.entry(key).or_default();
                for (s, v) in sum.iter_mut().zip([weight, active, inactive]) {
                    *s += read::count(v).ok_or_else(wrong)?;
                }
            }
            _ => {}
        }
    }
    let names: Vec<&str> = ALL
        .iter()
        .zip(shown)
        .filter(|(_, s)| *s)
        .map(|(n, _)| *n)
        .collect();
    for (key, sum) in &sums {
        let labels: Vec<(&str, &str)> = names
            .iter()
            .copied()
            .zip(key.iter().map(String::as_str))
            .collect();
        for ((name, help), v) in BACKEND.iter().zip(sum) {
            out.gauge(*name, *help, &labels, *v);
        }
    }
    Ok(())
}

/// `C0A80016:0CEA` or `[2620:0000:...]:0050`.
fn socket(text: &str) -> Option<(String, String)> {
    let (address, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?.to_string();
    let address = match address.strip_prefix('[').and_then(|a| a.strip_suffix(']')) {
        Some(six) => six.parse::<Ipv6Addr>().ok()?.to_string(),
        None => Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?).to_string(),
    };
    Some((address, port))
}
