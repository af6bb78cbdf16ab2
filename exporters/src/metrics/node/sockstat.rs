//! Sockets by protocol, from `/proc/net/sockstat` and `sockstat6`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("sockstat", collect);

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    for file in ["net/sockstat", "net/sockstat6"] {
        let text = match read::text(&r.proc(file)) {
            // Either protocol may be switched off.
            Err(p) if p.is_absent() => continue,
            t => t?,
        };
        for row in read::rows(&text) {
            let Some((protocol, pairs)) = row.split_first() else {
                continue;
            };
            let protocol = protocol.trim_end_matches(':');
            for pair in pairs.chunks_exact(2) {
                let (Some(name), Some(v)) = (pair.first(), read::field(pair, 1)) else {
                    continue;
                };
                if protocol == "sockets" {
                    out.gauge(
                        "node_sockstat_sockets_used",
                        "Number of IPv4 sockets in use.",
                        &[],
                        v,
                    );
                    continue;
                }
                emit(protocol, name, v, out);
                if *name == "mem" {
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
