//! `| unwrap x`, `| unwrap bytes(x) | filters`: a label's value as the sample.

use super::label_filter::Filter;
use super::{Entry, Step as _};
use crate::logql::ast::{Conversion, Unwrap};
use crate::logql::parse::ParseError;
use crate::text::{bytes, float, go_duration};

/// The error of a value that is no number.
const EXTRACTION_ERROR: &str = "SampleExtractionErr";

/// A compiled unwrap.
pub(crate) struct Unwrapper {
    label: String,
    conversion: Conversion,
    filters: Vec<Filter>,
}

impl Unwrapper {
    pub(crate) fn new(unwrap: &Unwrap) -> Result<Self, ParseError> {
        let filters = unwrap.filters.iter().map(Filter::new);
        Ok(Self {
            label: unwrap.label.clone(),
            conversion: unwrap.conversion,
            filters: filters.collect::<Result<_, _>>()?,
        })
    }

    /// The label.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Labels that the filters read.
    pub(crate) fn required(&self) -> Vec<String> {
        self.filters.iter().flat_map(|f| f.required()).collect()
    }

    /// The value, or none when the entry is skipped.
    pub(crate) fn value(&self, entry: &mut Entry<'_>) -> Option<f64> {
        let text = entry.labels.get(&self.label).filter(|v| !v.is_empty())?;
        let read = match self.conversion {
            Conversion::Float => float::parse_float_literal(text)
                .ok_or_else(|| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
            Conversion::Bytes => bytes::parse(text)
                .map(|n| n as f64)
                .ok_or_else(|| format!("unhandled size name: {text}")),
            Conversion::Duration | Conversion::DurationSeconds => go_duration::parse(text)
                .map(|ns| ns as f64 / 1e9)
                .ok_or_else(|| format!("time: invalid duration {text:?}")),
        };
        let value = read.unwrap_or_else(|why| {
            entry.labels.fail(EXTRACTION_ERROR, &why);
            0.0
        });
        self.filters
            .iter()
            .all(|f| f.holds(&mut entry.labels))
            .then_some(value)
    }
}
