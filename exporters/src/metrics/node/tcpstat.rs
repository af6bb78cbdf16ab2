//! TCP connections by state, from `/proc/net/tcp` and `tcp6`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("tcpstat", collect).on_request();

/// States by number, from 1.
const STATES: [&str; 12] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    "new_syn_recv",
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let mut counts = [0u32; STATES.len()];
    let (mut received, mut sent) = (0u64, 0u64);
    let mut found = false;
    for file in ["net/tcp", "net/tcp6"] {
        let text = match read::text(&r.proc(file)) {
            Err(Problem::Absent(_)) => continue,
            t => t?,
        };
        found = true;
        for line in text.lines().skip(1) {
            // Number, local, remote, state, queues as hexadecimal `tx:rx`.
            let mut words = line.split_whitespace().skip(3);
            let state = words.next().and_then(read::parse_hex).unwrap_or(0);
            let state = usize::try_from(state).unwrap_or(0);
            if let Some(n) = state.checked_sub(1).and_then(|i| counts.get_mut(i)) {
                *n += 1;
            }
            if let Some((tx, rx)) = words.next().and_then(|q| q.split_once(':')) {
                sent += read::parse_hex(tx).unwrap_or(0);
                received += read::parse_hex(rx).unwrap_or(0);
            }
        }
    }
    if !found {
        return Err(Problem::Absent("no tcp sockets in procfs".into()));
    }
    let mut emit = |state: &str, v: f64| {
        out.gauge(
            "node_tcp_connection_states",
            "Number of connection states.",
            &[("state", state)],
            v,
        );
    };
    // The original shows only states that some connection is in; a state that comes and goes is
    // easier to read as a number that is nothing at times than as a line with gaps.
    for (state, n) in STATES.iter().zip(counts) {
        emit(state, f64::from(n));
    }
    emit("rx_queued_bytes", received as f64);
    emit("tx_queued_bytes", sent as f64);
    Ok(())
}
