//! Packets handled by each processor, from `/proc/net/softnet_stat`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("softnet", collect);

/// Column, metric, help, kind. Older kernels have fewer columns.
const COLUMNS: &[(usize, &str, &str, Kind)] = &[
    (
        0,
        "node_softnet_processed_total",
        "Number of processed packets",
        Kind::Counter,
    ),
    (
        1,
        "node_softnet_dropped_total",
        "Number of dropped packets",
        Kind::Counter,
    ),
    (
        2,
        "node_softnet_times_squeezed_total",
        "Number of times processing packets ran out of quota",
        Kind::Counter,
    ),
    (
        8,
        "node_softnet_cpu_collision_total",
        "Number of collision occur while obtaining device lock while transmitting",
        Kind::Counter,
    ),
    (
        9,
        "node_softnet_received_rps_total",
        "Number of times cpu woken up received_rps",
        Kind::Counter,
    ),
    (
        10,
        "node_softnet_flow_limit_count_total",
        "Number of times flow limit has been reached",
        Kind::Counter,
    ),
    (
        11,
        "node_softnet_backlog_len",
        "Softnet backlog status",
        Kind::Gauge,
    ),
];
/// Column with the processor's number.
const CPU: usize = 12;

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let text = read::text(&r.proc("net/softnet_stat"))?;
    for (line, row) in read::rows(&text).enumerate() {
        let hex = |i: usize| row.get(i).and_then(|w| read::parse_hex(w));
        // Without that column lines are counted, which is wrong when processors are off.
        let cpu = hex(CPU).unwrap_or(line as u64).to_string();
        for (column, name, help, kind) in COLUMNS {
            let family = out.family(*name, *help, *kind);
            out.add(family, &[("cpu", &cpu)], hex(*column).unwrap_or(0) as f64);
        }
    }
    Ok(())
}
