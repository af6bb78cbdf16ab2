//! Exemplars: a sample's link to a trace.

use super::Labels;

/// One exemplar of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Labels of the exemplar itself (usually a trace id), not of its series.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub t: i64,
}
