//! Packets handled by each processor, from `/proc/net/softnet_stat`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("softnet", collect).whole();

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
/// Columns of the oldest kernels.
const COLUMNS_MIN: usize = 9;

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let path = r.proc("net/softnet_stat");
    let text = read::text(&path)?;
    for (line, row) in read::rows(&text).enumerate() {
        let numbers = row.iter().map(|w| u32::from_str_radix(w, 16).ok());
        let numbers: Option<Vec<u32>> = numbers.take(CPU + 1).collect();
        let Some(mut numbers) = numbers.filter(|n| n.len() >= COLUMNS_MIN) else {
            let why = format!("line {} has not {COLUMNS_MIN} numbers", line + 1);
            return Err(Problem::format(&path, why));
        };
        // The last two columns have come together.
        if numbers.len() == CPU {
            numbers.pop();
        }
        let hex = |i: usize| numbers.get(i).copied();
        // Without that column lines are counted, which is wrong when processors are off.
        let cpu = hex(CPU).map_or(line, |c| c as usize).to_string();
        for (column, name, help, kind) in COLUMNS {
            let family = out.family(*name, *help, *kind);
            out.add(
                family,
                &[("cpu", &cpu)],
                f64::from(hex(*column).unwrap_or(0)),
            );
        }
    }
    Ok(())
}
