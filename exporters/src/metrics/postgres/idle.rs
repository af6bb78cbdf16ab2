//! `process_idle`: how long sessions have been idle, as a histogram per state and application.
//! Runs on request.

use tokio_postgres::SimpleQueryRow;

use super::{Family, Labelled, named, number};
use crate::emit::{Kind, Suffix};

/// The collector.
pub(super) const NAME: &str = "process_idle";

/// What it shows.
const FAMILY: &str = "pg_process_idle_seconds";
/// How its rows are told apart.
const LABELS: [&str; 2] = ["state", "application_name"];

/// Upper bounds of the buckets, in seconds.
const BOUNDS: [&str; 9] = ["1", "2", "5", "15", "30", "60", "90", "120", "300"];

/// The family of the collector.
pub(super) fn family() -> Family {
    Family {
        collector: NAME,
        name: FAMILY,
        kind: Kind::Histogram,
        labels: LABELS.to_vec(),
    }
}

/// The statement: state, application, number of sessions, their idle seconds together, and how
/// many of them are within each bound.
pub(super) fn sql() -> String {
    let within: String = BOUNDS
        .iter()
        .map(|b| format!(", count(*) FILTER (WHERE idle <= {b})"))
        .collect();
    format!(
        "SELECT state, application_name, count(*), COALESCE(sum(idle), 0){within} \
         FROM (SELECT state, application_name, EXTRACT(EPOCH FROM now() - state_change) AS idle \
         FROM pg_stat_activity WHERE state LIKE 'idle%' AND pid <> pg_backend_pid()) AS sessions \
         GROUP BY state, application_name"
    )
}

/// Shows one row.
pub(super) fn emit(row: &SimpleQueryRow, prefix: &str, out: &mut Labelled<'_>) {
    let text = |i: usize| row.get(i).unwrap_or("unknown");
    let value = |i: usize| row.get(i).and_then(number).unwrap_or(0.0);
    let [state, application] = LABELS;
    let labels = [(state, text(0)), (application, text(1))];
    let family = out.sink.family(
        named(prefix, FAMILY),
        "Idle time of server processes",
        Kind::Histogram,
    );
    let all = value(2);
    let within = BOUNDS.iter().enumerate().map(|(i, b)| (*b, value(4 + i)));
    for (bound, n) in within.chain([("+Inf", all)]) {
        let [state, application] = labels;
        out.put(
            family,
            Suffix::Bucket,
            &[state, application, ("le", bound)],
            n,
        );
    }
    out.put(family, Suffix::Sum, &labels, value(3));
    out.put(family, Suffix::Count, &labels, all);
}
