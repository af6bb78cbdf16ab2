//! What a metric is: type, help text, unit.

/// A metric's type, in the words of the exposition formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricType {
    /// Nothing is known (`untyped` in the text format).
    #[default]
    Unknown,
    /// Monotonic, resets to zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Classic or native histogram.
    Histogram,
    /// OpenMetrics gauge histogram.
    GaugeHistogram,
    /// Precomputed quantiles.
    Summary,
    /// OpenMetrics info.
    Info,
    /// OpenMetrics state set.
    StateSet,
}

impl MetricType {
    /// The word the HTTP API and OpenMetrics use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

/// Metadata of a metric family, last writer wins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct MetricMetadata {
    /// Type of the family.
    pub kind: MetricType,
    /// Help text, unescaped.
    pub help: String,
    /// Unit, empty when not given.
    pub unit: String,
}
