//! Which instant queries are done faster than they can be handed to another thread.
//!
//! Owns: the limits of what counts as brief.
//! Knows nothing of: threads.

use super::answer::Engine;
use crate::promql::ast::{Expr, VectorSelector, walk};
use crate::source::Source;

/// Series that all selectors of a brief query may find together.
const SERIES_MAX: u64 = 200;
/// Longest range that each of them may read, ms.
const RANGE_MAX_MS: i64 = 10 * 60 * 1000;
/// Nodes of a brief expression.
const NODES_MAX: usize = 50;

impl Engine {
    /// True when `expr` at `time_ms` certainly takes no longer than some hundred microseconds and
    /// no I/O. Cost: a few lookups per selector.
    #[must_use]
    pub fn is_brief(&self, source: &dyn Source, expr: &Expr, time_ms: i64) -> bool {
        let from = time_ms - self.options.lookback_ms.max(0) - RANGE_MAX_MS;
        let (mut nodes, mut series) = (0, 0);
        let mut brief = true;
        walk(expr, &mut |e| {
            nodes += 1;
            brief = brief && nodes <= NODES_MAX;
            match e {
                Expr::Vector(v) if brief && is_plain(v) => {
                    let bound = source.bound(&v.matchers, from, time_ms);
                    match bound {
                        Some(n) => series += n,
                        None => brief = false,
                    }
                }
                Expr::Matrix(m) => {
                    brief = brief && m.range_expr.is_none() && m.range_ms <= RANGE_MAX_MS;
                }
                // The one selects on its own, the other has steps of its own.
                Expr::Call(c) if c.func.name == "info" => brief = false,
                Expr::Subquery(_) | Expr::Vector(_) => brief = false,
                _ => {}
            }
        });
        brief && series <= SERIES_MAX
    }
}

/// Whether the selector reads no other time than the query asks for.
fn is_plain(v: &VectorSelector) -> bool {
    let moved = v.at_ms.is_some() || v.at_edge.is_some() || v.offset_expr.is_some();
    !moved && v.offset_ms == 0
}
