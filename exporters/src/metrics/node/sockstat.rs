//! Sockets by protocol, from `/proc/net/sockstat` and `sockstat6`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("sockstat", collect).whole();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    for file in ["net/sockstat", "net/sockstat6"] {
        let path = r.proc(file);
        let text = match read::text(&path) {
            // Either protocol may be switched off.
            Err(p) if p.is_absent() => continue,
            t => t?,
        };
        for line in text.lines() {
            let wrong = || Problem::format(&path, format_args!("{line:?} has no pairs of numbers"));
            let row: Vec<&str> = line.split_whitespace().collect();
            let (protocol, pairs) = row.split_first().ok_or_else(wrong)?;
            let protocol = protocol.trim_end_matches(':');
            if pairs.is_empty() || pairs.len() % 2 != 0 {
                return Err(wrong());
            }
            let mut values = Vec::with_capacity(pairs.len() / 2);
            for pair in pairs.chunks_exact(2) {
                if let [name, value] = pair {
                    values.push((*name, read::whole(value).ok_or_else(wrong)?));
                }
            }
            if protocol == "sockets" {
                let used = values.iter().find(|(n, _)| *n == "used");
                out.gauge(
                    "node_sockstat_sockets_used",
                    "Number of IPv4 sockets in use.",
                    &[],
                    used.map_or(0.0, |(_, v)| *v),
                );
                continue;
            }
            if !values.iter().any(|(n, _)| *n == "inuse") {
                values.push(("inuse", 0.0));
            }
            for (name, v) in values {
                emit(protocol, name, v, out);
                if name == "mem" {
                    // The kernel counts pages.
                    let page = rustix::param::page_size() as f64;
                    emit(protocol, "mem_bytes", v * page, out);
                }
            }
        }
    }
    Ok(())
}

fn emit(protocol: &str, name: &str, v: f64, out: &mut Sink) {
    out.gauge(
        format!("node_sockstat_{protocol}_{name}"),
        format!("Number of {protocol} sockets in state {name}."),
        &[],
        v,
    );
}
