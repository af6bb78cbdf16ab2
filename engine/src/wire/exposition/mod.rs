//! Exposition formats: what targets answer to a scrape, and what we answer ourselves.
//!
//! Owns: parsers for text 0.0.4/1.0.0, OpenMetrics 0.0.1/1.0.0 and delimited protobuf behind one
//! event-style door ([`parse`] into a [`Sink`]); writers for the same three; negotiation.
//! Knows nothing of: HTTP, targets, relabelling, staleness, the store.
//!
//! Invariants
//! - A line costs no allocation. Labels are read only when the sink asks for them; a sink that
//!   recognises the raw bytes of a series never asks, and one that predicts them
//!   ([`Sink::expected`]) saves even the walk over the labels.
//! - The first line that is not understood ends the parse with an error; the caller drops what
//!   it was given before.

mod float;
mod lex;
pub mod negotiate;
mod nhcb;
mod openmetrics;
mod proto;
#[cfg(test)]
mod tests;
mod text;
pub mod write;

use std::borrow::Cow;

use crate::model::{Histogram, Labels, MetricType};

pub use float::format_float;

/// The three formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `text/plain`, versions 0.0.4 and 1.0.0.
    Text,
    /// `application/openmetrics-text`, versions 0.0.1 and 1.0.0.
    OpenMetrics,
    /// Delimited `io.prometheus.client.MetricFamily` messages.
    Protobuf,
}

impl Format {
    /// The parser a `Content-Type` asks for; parameters do not matter.
    #[must_use]
    pub fn from_content_type(value: &str) -> Option<Self> {
        let media = value.split(';').next().unwrap_or("").trim();
        if media.eq_ignore_ascii_case("text/plain") {
            Some(Self::Text)
        } else if media.eq_ignore_ascii_case("application/openmetrics-text") {
            Some(Self::OpenMetrics)
        } else if media.eq_ignore_ascii_case("application/vnd.google.protobuf") {
            Some(Self::Protobuf)
        } else {
            None
        }
    }
}

/// What to take from a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Take native histograms (protobuf); otherwise only classic series.
    pub native_histograms: bool,
    /// Emit classic series also where a native histogram is taken.
    pub always_classic: bool,
    /// Turn classic histograms into native ones with custom buckets.
    pub convert_to_nhcb: bool,
    /// Use `_created` series as start timestamps instead of as series.
    pub start_timestamps: bool,
}

/// Why a body is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub String);

/// Receives what a body says, in its order.
pub trait Sink {
    /// Raw bytes of the series the sink expects next, or nothing. Only a prediction: a wrong one
    /// costs a compare.
    fn expected(&self) -> &[u8] {
        &[]
    }

    /// A `TYPE` line. `family` may hold any UTF-8.
    fn metric_type(&mut self, family: &str, kind: MetricType);

    /// A `HELP` line, unescaped.
    fn help(&mut self, family: &str, text: &str);

    /// A `UNIT` line.
    fn unit(&mut self, family: &str, unit: &str);

    /// A sample.
    ///
    /// # Errors
    /// Ends the parse with this error.
    fn series(&mut self, series: &Series<'_>) -> Result<(), ParseError>;
}

/// Which label value the format asks to rewrite (`1` to `1.0`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rewrite {
    /// None.
    #[default]
    Nothing,
    /// `le`, under a histogram's TYPE line.
    Le,
    /// `quantile`, under a summary's TYPE line.
    Quantile,
}

impl Rewrite {
    fn under(kind: MetricType) -> Self {
        match kind {
            MetricType::Histogram => Self::Le,
            MetricType::Summary => Self::Quantile,
            _ => Self::Nothing,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Le => "le",
            Self::Quantile => "quantile",
        }
    }
}

/// A sample's value.
#[derive(Debug, Clone, Copy)]
pub enum SeriesValue<'a> {
    /// A number; every NaN has the canonical bits.
    Float(f64),
    /// A native histogram as sent, not validated.
    Histogram(&'a Histogram),
}

/// An exemplar as exposed.
#[derive(Debug, Clone, PartialEq)]
pub struct RawExemplar {
    /// Its own labels.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the epoch, if stated.
    pub t: Option<i64>,
}

/// One sample of a body.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// Name and labels as in the body. Together with `rewrite` they identify the series; only
    /// valid within one format.
    pub raw: &'a [u8],
    /// Whether a label value is rewritten.
    pub rewrite: Rewrite,
    /// The value.
    pub value: SeriesValue<'a>,
    /// Timestamp in ms, if stated.
    pub t: Option<i64>,
    /// Start timestamp in ms, 0 when unknown.
    pub start_t: i64,
    /// Exemplars.
    pub exemplars: &'a [RawExemplar],
    form: Form,
}

/// How `raw` is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    OpenMetrics,
    /// Lengths and bytes, see [`push_packed`].
    Packed,
}

/// Pairs as read from a body.
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

impl<'a> Series<'a> {
    /// Appends the pairs as exposed, `__name__` first, with `le` or `quantile` rewritten. Empty
    /// values and duplicate names are kept.
    ///
    /// # Errors
    /// When a name or value is not UTF-8.
    pub fn labels(&self, out: &mut Pairs<'a>) -> Result<(), ParseError> {
        let first = out.len();
        match self.form {
            Form::Text => lex::read_series(self.raw, false, out)?,
            Form::OpenMetrics => lex::read_series(self.raw, true, out)?,
            Form::Packed => read_packed(self.raw, out)?,
        }
        if self.rewrite != Rewrite::Nothing {
            for (_, v) in out[first..]
                .iter_mut()
                .filter(|(n, _)| n == self.rewrite.label())
            {
                if let Some(f) = float::parse(v.as_bytes())
                    .ok()
                    .map(float::format_open_metrics)
                {
                    *v = Cow::Owned(f);
                }
            }
        }
        Ok(())
    }
}

/// Appends a pair to raw bytes of [`Form::Packed`].
fn push_packed(raw: &mut Vec<u8>, name: &[&str], value: &str) {
    let len: usize = name.iter().map(|n| n.len()).sum();
    raw.extend_from_slice(&(len as u32).to_le_bytes());
    raw.extend_from_slice(&(value.len() as u32).to_le_bytes());
    for n in name {
        raw.extend_from_slice(n.as_bytes());
    }
    raw.extend_from_slice(value.as_bytes());
}

fn read_packed<'a>(raw: &'a [u8], out: &mut Pairs<'a>) -> Result<(), ParseError> {
    let cut = || ParseError("packed labels are cut".into());
    let text = |b: &'a [u8]| {
        std::str::from_utf8(b)
            .map(Cow::Borrowed)
            .map_err(|_| ParseError("label is not valid UTF-8".into()))
    };
    let mut rest = raw;
    while !rest.is_empty() {
        let (head, r) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let n = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let v = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (name, r) = r.split_at_checked(n).ok_or_else(cut)?;
        let (value, r) = r.split_at_checked(v).ok_or_else(cut)?;
        out.push((text(name)?, text(value)?));
        rest = r;
    }
    Ok(())
}

/// Parses `body` and hands every statement to `sink`. An empty body is no statement.
///
/// # Errors
/// With the first thing that is not understood, or the sink's own error.
pub fn parse(
    format: Format,
    body: &[u8],
    options: &Options,
    sink: &mut dyn Sink,
) -> Result<(), ParseError> {
    if body.is_empty() {
        return Ok(());
    }
    if options.convert_to_nhcb {
        let mut converter = nhcb::Converter::new(sink, options.always_classic);
        parse_plain(format, body, options, &mut converter)?;
        return converter.finish();
    }
    parse_plain(format, body, options, sink)
}

fn parse_plain(
    format: Format,
    body: &[u8],
    options: &Options,
    sink: &mut dyn Sink,
) -> Result<(), ParseError> {
    match format {
        Format::Text => text::parse(body, sink),
        Format::OpenMetrics if options.start_timestamps => openmetrics::parse_created(body, sink),
        Format::OpenMetrics => openmetrics::parse(body, sink),
        Format::Protobuf => proto::parse(body, options, sink),
    }
}
