//! Connection tracking: the table's size and the packets that passed it.

use super::Entry;
use super::read::{self, Outcome, Roots};
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

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let n = read::number(&r.proc("sys/net/netfilter/nf_conntrack_count"))?;
    out.gauge(
        "node_nf_conntrack_entries",
        "Number of currently allocated flow entries for connection tracking.",
        &[],
        n,
    );
    let limit = read::number(&r.proc("sys/net/netfilter/nf_conntrack_max"))?;
    out.gauge(
        "node_nf_conntrack_entries_limit",
        "Maximum size of connection tracking table.",
        &[],
        limit,
    );
    let text = read::text(&r.proc("net/stat/nf_conntrack"))?;
    let mut rows = read::rows(&text);
    let header = rows.next().unwrap_or_default();
    let mut sums = [0u64; COLUMNS.len()];
    for row in rows {
        for (sum, (column, ..)) in sums.iter_mut().zip(COLUMNS) {
            let value = header.iter().position(|h| h == column);
            let value = value.and_then(|i| read::parse_hex(row.get(i)?));
            *sum = sum.wrapping_add(value.unwrap_or(0));
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
