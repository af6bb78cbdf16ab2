//! The messages, with the fields that are used. Attribute values are kept as the text they become.

use serde::Deserialize;

use super::json::{
    attributes, doubles, exemplar_value, float, float_or_none, hex, int, point_value, temporality,
    uint, uints,
};

/// Key and value of an attribute.
pub type Attributes = Vec<(String, String)>;

/// `ExportMetricsServiceRequest`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    /// One entry per resource.
    pub resource_metrics: Vec<ResourceMetrics>,
}

/// Metrics of one resource.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceMetrics {
    /// Who.
    pub resource: Resource,
    /// What, by instrumentation scope.
    pub scope_metrics: Vec<ScopeMetrics>,
}

/// A resource.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resource {
    /// Its attributes.
    #[serde(deserialize_with = "attributes")]
    pub attributes: Attributes,
}

/// Metrics of one instrumentation scope.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScopeMetrics {
    /// The scope.
    pub scope: Scope,
    /// Its metrics.
    pub metrics: Vec<Metric>,
    /// Schema of the scope's names.
    pub schema_url: String,
}

/// An instrumentation scope.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scope {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Attributes.
    #[serde(deserialize_with = "attributes")]
    pub attributes: Attributes,
}

/// A metric; exactly one kind of data is set.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metric {
    /// Name.
    pub name: String,
    /// Help text.
    pub description: String,
    /// Unit in UCUM.
    pub unit: String,
    /// Gauge.
    pub gauge: Option<Data<NumberPoint>>,
    /// Counter or up-down counter.
    pub sum: Option<Data<NumberPoint>>,
    /// Histogram with explicit bounds.
    pub histogram: Option<Data<HistogramPoint>>,
    /// Histogram with exponential bounds.
    pub exponential_histogram: Option<Data<ExponentialPoint>>,
    /// Summary.
    pub summary: Option<Data<SummaryPoint>>,
}

/// Points and what holds for all of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, bound = "P: Deserialize<'de>")]
pub struct Data<P> {
    /// The points.
    pub data_points: Vec<P>,
    /// 1 delta, 2 cumulative, 0 not stated.
    #[serde(deserialize_with = "temporality")]
    pub aggregation_temporality: i64,
    /// Sums that never go down.
    pub is_monotonic: bool,
}

impl<P> Default for Data<P> {
    fn default() -> Self {
        Self {
            data_points: Vec::new(),
            aggregation_temporality: 0,
            is_monotonic: false,
        }
    }
}

/// A number at a time.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NumberPoint {
    /// Attributes.
    #[serde(deserialize_with = "attributes")]
    pub attributes: Attributes,
    /// Start of the observation, ns since the epoch.
    #[serde(deserialize_with = "uint")]
    pub start_time_unix_nano: u64,
    /// Time, ns since the epoch.
    #[serde(deserialize_with = "uint")]
    pub time_unix_nano: u64,
    /// The value; integers as floats.
    #[serde(flatten, deserialize_with = "point_value")]
    pub value: f64,
    /// Exemplars.
    pub exemplars: Vec<OtlpExemplar>,
    /// Bit 0: no recorded value.
    pub flags: u32,
}

/// A histogram with explicit bounds at a time.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HistogramPoint {
    /// Attributes.
    #[serde(deserialize_with = "attributes")]
    pub attributes: Attributes,
    /// Start of the observation, ns since the epoch.
    #[serde(deserialize_with = "uint")]
    pub start_time_unix_nano: u64,
    /// Time, ns since the epoch.
    #[serde(deserialize_with = "uint")]
    pub time_unix_nano: u64,
    /// Observations.
    #[serde(deserialize_with = "uint")]
    pub count: u64,
    /// Their sum.
    #[serde(deserialize_with = "float_or_none")]
    pub sum: Option<f64>,
    /// Counts per bucket, not cumulative, one more than bounds.
    #[serde(deserialize_with = "uints")]
    pub bucket_counts: Vec<u64>,
    /// Upper bounds.
    #[serde(deserialize_with = "doubles")]
    pub explicit_bounds: Vec<f64>,
    /// Exemplars.
    pub exemplars: Vec<OtlpExemplar>,
    /// Bit 0: no recorded value.
    pub flags: u32,
}

/// A histogram with exponential bounds at a time.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExponentialPoint {
    /// Attributes.
    #[serde(deserialize_with = "attributes")]
    pub attributes: Attributes,
    /// Start of the observation, ns since the epoch.
    #[serde(deserialize_with = "uint")]
    pub start_time_unix_nano: u64,
    /// Time, ns since the epoch.
    #[serde(deserialize_with = "uint")]
    pub time_unix_nano: u64,
    /// Observations.
    #[serde(deserialize_with = "uint")]
    pub count: u64,
    /// Their sum.
    #[serde(deserialize_with = "float_or_none")]
    pub sum: Option<f64>,
    /// Base 2^(2^-scale).
    pub scale: i32,
    /// Observations in the zero bucket.
    #[serde(deserialize_with = "uint")]
    pub zero_count: u64,
    /// Half width of the zero bucket.
    #[serde(deserialize_with = "float")]
    pub zero_threshold: f64,
    /// Positive buckets.
    pub positive: Buckets,
    /// Negative buckets.
    pub negative: Buckets,
    /// Exemplars.
    pub exemplars: Vec<OtlpExemplar>,
    /// Bit 0: no recorded value.
    pub flags: u32,
}

/// A dense run of exponential buckets.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Buckets {
    /// Index of the first one.
    pub offset: i32,
    /// Counts.
    #[serde(deserialize_with = "uints")]
    pub bucket_counts: Vec<u64>,
}

/// A summary at a time.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SummaryPoint {
    /// Attributes.
    #[serde(deserialize_with = "attributes")]
    pub attributes: Attributes,
    /// Start of the observation, ns since the epoch.
    #[serde(deserialize_with = "uint")]
    pub start_time_unix_nano: u64,
    /// Time, ns since the epoch.
    #[serde(deserialize_with = "uint")]
    pub time_unix_nano: u64,
    /// Observations.
    #[serde(deserialize_with = "uint")]
    pub count: u64,
    /// Their sum.
    #[serde(deserialize_with = "float")]
    pub sum: f64,
    /// Values at quantiles.
    pub quantile_values: Vec<Quantile>,
    /// Bit 0: no recorded value.
    pub flags: u32,
}

/// A value at a quantile.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Quantile {
    /// 0 to 1.
    #[serde(deserialize_with = "float")]
    pub quantile: f64,
    /// Value.
    #[serde(deserialize_with = "float")]
    pub value: f64,
}

/// An exemplar.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OtlpExemplar {
    /// Attributes that are not in the series.
    #[serde(deserialize_with = "attributes")]
    pub filtered_attributes: Attributes,
    /// Time, ns since the epoch.
    #[serde(deserialize_with = "uint")]
    pub time_unix_nano: u64,
    /// The value; `None` when it has neither form.
    #[serde(flatten, deserialize_with = "exemplar_value")]
    pub value: Option<f64>,
    /// Span, in hexadecimal.
    #[serde(deserialize_with = "hex")]
    pub span_id: String,
    /// Trace, in hexadecimal.
    #[serde(deserialize_with = "hex")]
    pub trace_id: String,
}

/// Reads an integer that may come as text.
pub(super) fn as_int(v: &serde_json::Value) -> Option<i64> {
    int(v)
}
