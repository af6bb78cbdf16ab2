//! Files with unit tests of rules, as promtool reads them.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::config::PromDuration;

/// A test file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TestFile {
    /// Rule files, relative to this one; `*` in the last part.
    #[serde(deserialize_with = "or_default")]
    pub(super) rule_files: Vec<String>,
    /// Time between evaluations.
    pub(super) evaluation_interval: Option<PromDuration>,
    /// Groups that are evaluated in this order.
    #[serde(deserialize_with = "or_default")]
    pub(super) group_eval_order: Vec<String>,
    /// Whether values may differ in the last place.
    pub(super) fuzzy_compare: bool,
    /// The tests.
    #[serde(deserialize_with = "or_default")]
    pub(super) tests: Vec<Test>,
}

/// One test: samples, and what must come of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Test {
    /// Name.
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    /// Time between samples; that between evaluations when not given.
    pub(super) interval: Option<PromDuration>,
    /// When the first samples are.
    pub(super) start_timestamp: Start,
    /// Labels of the server.
    #[serde(deserialize_with = "or_default")]
    pub(super) external_labels: BTreeMap<String, String>,
    /// URL of the server.
    #[serde(deserialize_with = "or_default")]
    pub(super) external_url: String,
    /// Samples.
    #[serde(deserialize_with = "or_default")]
    pub(super) input_series: Vec<InputSeries>,
    /// Alerts that must fire.
    #[serde(deserialize_with = "or_default")]
    pub(super) alert_rule_test: Vec<AlertTest>,
    /// Expressions that must have an answer.
    #[serde(deserialize_with = "or_default")]
    pub(super) promql_expr_test: Vec<ExprTest>,
}

/// A series with its samples.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InputSeries {
    /// Labels.
    pub(super) series: String,
    /// Samples in promtool's notation.
    #[serde(deserialize_with = "scalar_text")]
    pub(super) values: String,
}

/// Alerts of one name at one time.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AlertTest {
    /// When, after the start.
    pub(super) eval_time: PromDuration,
    /// The name.
    #[serde(deserialize_with = "or_default")]
    pub(super) alertname: String,
    /// The alerts that fire.
    #[serde(deserialize_with = "or_default")]
    pub(super) exp_alerts: Vec<ExpectedAlert>,
}

/// An alert that must fire.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExpectedAlert {
    /// All labels but the name.
    #[serde(deserialize_with = "texts")]
    pub(super) exp_labels: BTreeMap<String, String>,
    /// All texts.
    #[serde(deserialize_with = "texts")]
    pub(super) exp_annotations: BTreeMap<String, String>,
}

/// An expression at one time.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExprTest {
    /// The expression.
    #[serde(deserialize_with = "scalar_text")]
    pub(super) expr: String,
    /// When, after the start.
    pub(super) eval_time: PromDuration,
    /// The answer.
    #[serde(deserialize_with = "or_default")]
    pub(super) exp_samples: Vec<ExpectedSample>,
}

/// A sample of an answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExpectedSample {
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: String,
    /// A float.
    #[serde(deserialize_with = "number")]
    pub(super) value: f64,
    /// A histogram; then the float does not count.
    #[serde(deserialize_with = "or_default")]
    pub(super) histogram: String,
}

/// A moment: RFC 3339 or seconds since 1970. In ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Start(pub(super) i64);

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = scalar_text(d)?;
        if text.is_empty() {
            return Ok(Self(0));
        }
        if let Ok(t) = text.parse::<jiff::Timestamp>() {
            return Ok(Self(t.as_millisecond()));
        }
        match text.parse::<f64>() {
            Ok(s) if s.is_finite() && s.abs() < 1e12 => Ok(Self((s * 1000.0).round() as i64)),
            _ => Err(D::Error::custom(format!(
                "invalid start_timestamp {text:?}: neither RFC 3339 nor seconds since 1970"
            ))),
        }
    }
}

/// A value where YAML may say nothing.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(d).map(Option::unwrap_or_default)
}

/// Any scalar, as it is written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Self::Bool(b) => b.to_string(),
            Self::Int(i) => i.to_string(),
            Self::Float(f) => query::text::float::general(f),
            Self::Text(t) => t,
        }
    }
}

fn scalar_text<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let s = Option::<Scalar>::deserialize(d)?;
    Ok(s.map_or(String::new(), Scalar::text))
}

fn texts<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map = Option::<BTreeMap<String, Option<Scalar>>>::deserialize(d)?;
    let each = map.unwrap_or_default().into_iter();
    Ok(each
        .map(|(k, v)| (k, v.map_or(String::new(), Scalar::text)))
        .collect())
}

fn number<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    match Option::<Scalar>::deserialize(d)? {
        None => Ok(0.0),
        Some(Scalar::Int(i)) => Ok(i as f64),
        Some(Scalar::Float(f)) => Ok(f),
        Some(Scalar::Text(t)) if t.eq_ignore_ascii_case(".nan") => Ok(f64::NAN),
        Some(s) => {
            let text = s.text();
            query::text::float::parse_number(&text)
                .ok_or_else(|| D::Error::custom(format!("{text:?} is not a number")))
        }
    }
}
