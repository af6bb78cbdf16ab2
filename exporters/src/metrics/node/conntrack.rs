//! Connection tracking: the table's size and the packets that passed it.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("conntrack", collect);

/// Column of `/proc/net/stat/nf_conntrack`, suffix of the metric, help.
const COLUMNS: &[(&str, &str, &str)] = &[
    (
        "found",
        "found",
        "Number of searched entries which were successful.",
    ),
    (
        "invalid",
        "invalid",
        "Number of packets seen which can not be tracked.",
    ),
    (
        "ignore",
        "ignore",
        "Number of packets seen which are already connected to a conntrack entry.",
    ),
    (
        "insert",
        "insert",
        "Number of entries inserted into the list.",
    ),
    (
        "insert_failed",
        "insert_failed",
        "Number of entries for which list insertion was attempted but failed.",
    ),
    (
        "drop",
        "drop",
        "Number of packets dropped due to conntrack failure.",
    ),
    (
        "early_drop",
        "early_drop",
        "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.",
    ),
    (
        "search_restart",
        "search_restart",
        "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
    ),
];

/// Columns there are; the last one has come later.
const WIDTHS: std::ops::RangeInclusive<usize> = 16..=17;

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let n = read::count_in(&r.proc("sys/net/netfilter/nf_conntrack_count"))?;
    out.gauge(
        "node_nf_conntrack_entries",
        "Number of currently allocated flow entries for connection tracking.",
        &[],
        n,
    );
    let limit = read::count_in(&r.proc("sys/net/netfilter/nf_conntrack_max"))?;
    out.gauge(
        "node_nf_conntrack_entries_limit",
        "Maximum size of connection tracking table.",
        &[],
        limit,
    );
    let path = r.proc("net/stat/nf_conntrack");
    let text = read::text(&path)?;
    let mut rows = read::rows(&text);
    let header = rows.next().unwrap_or_default();
    let mut sums = [0u64; COLUMNS.len()];
    for row in rows {
        let values = row.iter().map(|v| u64::from_str_radix(v, 16).ok());
        let values: Option<Vec<u64>> = values.collect();
        let Some(values) = values.filter(|v| WIDTHS.contains(&v.len())) else {
            let line = row.join(" ");
            let why = format_args!("{line:?} has not 16 or 17 numbers");
            return Err(Problem::format(&path, why));
        };
        for (sum, (column, ..)) in sums.iter_mut().zip(COLUMNS) {
            let value = header.iter().position(|h| h == column);
            let value = value.and_then(|i| values.get(i));
            *sum = sum.wrapping_add(value.copied().unwrap_or(0));
        }
    }
    for (sum, (_, name, help)) in sums.iter().zip(COLUMNS) {
        out.gauge(
            format!("node_nf_conntrack_stat_{name}"),
            *help,
            &[],
            *sum as f64,
        );
    }
    Ok(())
}
