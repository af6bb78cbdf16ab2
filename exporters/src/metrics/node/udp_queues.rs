//! Bytes in the queues of UDP sockets, from `/proc/net/udp` and `udp6`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("udp_queues", collect);

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let mut found = false;
    for (file, ip) in [("net/udp", "v4"), ("net/udp6", "v6")] {
        let path = r.proc(file);
        let text = match read::text(&path) {
            Err(p) if p.is_absent() => continue,
            t => t?,
        };
        found = true;
        let (mut sent, mut received) = (0u64, 0u64);
        for row in read::rows(&text).skip(1) {
            // Number, local, remote, state, queues as hexadecimal `tx:rx`.
            let queues = row.get(4).and_then(|q| q.split_once(':'));
            let Some((t, r)) = queues else { continue };
            sent += read::parse_hex(t).unwrap_or(0);
            received += read::parse_hex(r).unwrap_or(0);
        }
        for (queue, n) in [("tx", sent), ("rx", received)] {
            out.gauge(
                "node_udp_queues",
                "Number of allocated memory in the kernel for UDP datagrams in bytes.",
                &[("queue", queue), ("ip", ip)],
                n as f64,
            );
        }
    }
    if found {
        Ok(())
    } else {
        Err(Problem::Absent("no udp sockets in procfs".into()))
    }
}
