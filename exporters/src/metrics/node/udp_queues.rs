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
            let Some((t, r)) = queues(&row) else {
                let line = row.join(" ");
                return Err(Problem::format(
                    &path,
                    format_args!("{line:?} is no socket"),
                ));
            };
            sent = sent.wrapping_add(t);
            received = received.wrapping_add(r);
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

/// Number, local, remote, state, queues as hexadecimal `tx:rx`, five more, drops.
fn queues(row: &[&str]) -> Option<(u64, u64)> {
    row.first()?.strip_suffix(':')?.parse::<u64>().ok()?;
    row.get(12)?.parse::<u64>().ok()?;
    let (t, r) = row.get(4)?.split_once(':')?;
    let hex = |v: &str| u64::from_str_radix(v, 16).ok();
    Some((hex(t)?, hex(r)?))
}
