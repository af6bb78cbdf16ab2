//! OTLP in protobuf.

use serde_json::Value as Json;

use super::json::text;
use super::message::{
    Attributes, Buckets, Data, ExponentialPoint, HistogramPoint, Metric, NumberPoint, OtlpExemplar,
    Quantile, Request, ResourceMetrics, Scope, ScopeMetrics, SummaryPoint,
};
use super::{DecodeError, PARTS_MAX};
use crate::wire::proto::{Reader, Value, unzigzag};

/// Lists and maps within attribute values nest at most this deep.
const DEPTH_MAX: u32 = 32;

/// A decoded point takes the memory of about this many attributes.
const POINT_WEIGHT: usize = 3;

type Result<T> = std::result::Result<T, DecodeError>;

/// Decodes a protobuf body.
///
/// # Errors
/// When it is malformed or has more than [`PARTS_MAX`] parts.
pub fn decode_protobuf(body: &[u8]) -> Result<Request> {
    let mut d = Decoder { parts: 0 };
    let mut req = Request::default();
    d.fields(body, |d, field, v| {
        if field == 1 {
            req.resource_metrics.push(d.resource_metrics(v.bytes(1)?)?);
        }
        Ok(())
    })?;
    Ok(req)
}

/// Reads messages, counting their parts.
#[derive(Default)]
pub(super) struct Decoder {
    parts: usize,
}

impl Decoder {
    /// Visits the fields of a message. Every message counts as a part.
    pub(super) fn fields<'a>(
        &mut self,
        msg: &'a [u8],
        mut visit: impl FnMut(&mut Self, u32, Value<'a>) -> Result<()>,
    ) -> Result<()> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(DecodeError("too many data points in one request".into()));
        }
        let mut r = Reader::new(msg);
        while let Some((field, v)) = r.field()? {
            visit(self, field, v)?;
        }
        Ok(())
    }

    fn resource_metrics(&mut self, msg: &[u8]) -> Result<ResourceMetrics> {
        let mut m = ResourceMetrics::default();
        self.fields(msg, |d, field, v| {
            match field {
                1 => d.fields(v.bytes(1)?, |d, field, v| {
                    if field == 1 {
                        d.attribute(v.bytes(1)?, &mut m.resource.attributes)?;
                    }
                    Ok(())
                })?,
                2 => m.scope_metrics.push(d.scope_metrics(v.bytes(2)?)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(m)
    }

    fn scope_metrics(&mut self, msg: &[u8]) -> Result<ScopeMetrics> {
        let mut m = ScopeMetrics::default();
        self.fields(msg, |d, field, v| {
            match field {
                1 => m.scope = d.scope(v.bytes(1)?)?,
                2 => m.metrics.push(d.metric(v.bytes(2)?)?),
                3 => m.schema_url = v.string(3)?.to_owned(),
                _ => {}
            }
            Ok(())
        })?;
        Ok(m)
    }

    fn scope(&mut self, msg: &[u8]) -> Result<Scope> {
        let mut s = Scope::default();
        self.fields(msg, |d, field, v| {
            match field {
                1 => s.name = v.string(1)?.to_owned(),
                2 => s.version = v.string(2)?.to_owned(),
                3 => d.attribute(v.bytes(3)?, &mut s.attributes)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(s)
    }

    fn metric(&mut self, msg: &[u8]) -> Result<Metric> {
        let mut m = Metric::default();
        self.fields(msg, |d, field, v| {
            match field {
                1 => m.name = v.string(1)?.to_owned(),
                2 => m.description = v.string(2)?.to_owned(),
                3 => m.unit = v.string(3)?.to_owned(),
                5 => m.gauge = Some(d.data(v.bytes(5)?, Self::number_point)?),
                7 => m.sum = Some(d.data(v.bytes(7)?, Self::number_point)?),
                9 => m.histogram = Some(d.data(v.bytes(9)?, Self::histogram_point)?),
                10 => {
                    m.exponential_histogram = Some(d.data(v.bytes(10)?, Self::exponential_point)?);
                }
                11 => m.summary = Some(d.data(v.bytes(11)?, Self::summary_point)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(m)
    }

    fn data<P>(
        &mut self,
        msg: &[u8],
        point: impl Fn(&mut Self, &[u8]) -> Result<P>,
    ) -> Result<Data<P>> {
        let mut data = Data::default();
        self.fields(msg, |d, field, v| {
            match field {
                1 => {
                    d.parts += POINT_WEIGHT;
                    data.data_points.push(point(d, v.bytes(1)?)?);
                }
                2 => data.aggregation_temporality = v.varint(2)?.cast_signed(),
                3 => data.is_monotonic = v.varint(3)? != 0,
                _ => {}
            }
            Ok(())
        })?;
        Ok(data)
    }

    fn number_point(&mut self, msg: &[u8]) -> Result<NumberPoint> {
        let mut p = NumberPoint::default();
        self.fields(msg, |d, field, v| {
            match field {
                2 => p.start_time_unix_nano = v.fixed64(2)?,
                3 => p.time_unix_nano = v.fixed64(3)?,
                4 => p.value = v.double(4)?,
                5 => p.exemplars.push(d.exemplar(v.bytes(5)?)?),
                6 => p.value = v.fixed64(6)?.cast_signed() as f64,
                7 => d.attribute(v.bytes(7)?, &mut p.attributes)?,
                8 => p.flags = v.varint(8)? as u32,
                _ => {}
            }
            Ok(())
        })?;
        Ok(p)
    }

    fn histogram_point(&mut self, msg: &[u8]) -> Result<HistogramPoint> {
        let mut p = HistogramPoint::default();
        self.fields(msg, |d, field, v| {
            match field {
                2 => p.start_time_unix_nano = v.fixed64(2)?,
                3 => p.time_unix_nano = v.fixed64(3)?,
                4 => p.count = v.fixed64(4)?,
                5 => p.sum = Some(v.double(5)?),
                6 => v.each_fixed64::<DecodeError>(6, |n| {
                    p.bucket_counts.push(n);
                    Ok(())
                })?,
                7 => v.each_fixed64::<DecodeError>(7, |n| {
                    p.explicit_bounds.push(f64::from_bits(n));
                    Ok(())
                })?,
                8 => p.exemplars.push(d.exemplar(v.bytes(8)?)?),
                9 => d.attribute(v.bytes(9)?, &mut p.attributes)?,
                10 => p.flags = v.varint(10)? as u32,
                _ => {}
            }
            Ok(())
        })?;
        Ok(p)
    }

    fn exponential_point(&mut self, msg: &[u8]) -> Result<ExponentialPoint> {
        let mut p = ExponentialPoint::default();
        self.fields(msg, |d, field, v| {
            match field {
                1 => d.attribute(v.bytes(1)?, &mut p.attributes)?,
                2 => p.start_time_unix_nano = v.fixed64(2)?,
                3 => p.time_unix_nano = v.fixed64(3)?,
                4 => p.count = v.fixed64(4)?,
                5 => p.sum = Some(v.double(5)?),
                6 => p.scale = unzigzag(v.varint(6)?) as i32,
                7 => p.zero_count = v.fixed64(7)?,
                8 => p.positive = d.buckets(v.bytes(8)?)?,
                9 => p.negative = d.buckets(v.bytes(9)?)?,
                10 => p.flags = v.varint(10)? as u32,
                11 => p.exemplars.push(d.exemplar(v.bytes(11)?)?),
                14 => p.zero_threshold = v.double(14)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(p)
    }

    fn buckets(&mut self, msg: &[u8]) -> Result<Buckets> {
        let mut b = Buckets::default();
        self.fields(msg, |d, field, v| {
            match field {
                1 => b.offset = unzigzag(v.varint(1)?) as i32,
                2 => v.each_varint(2, |n| {
                    d.parts += 1;
                    if d.parts > PARTS_MAX {
                        return Err(DecodeError("too many buckets in one request".into()));
                    }
                    b.bucket_counts.push(n);
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(b)
    }

    fn summary_point(&mut self, msg: &[u8]) -> Result<SummaryPoint> {
        let mut p = SummaryPoint::default();
        self.fields(msg, |d, field, v| {
            match field {
                2 => p.start_time_unix_nano = v.fixed64(2)?,
                3 => p.time_unix_nano = v.fixed64(3)?,
                4 => p.count = v.fixed64(4)?,
                5 => p.sum = v.double(5)?,
                6 => {
                    let mut q = Quantile::default();
                    d.fields(v.bytes(6)?, |_, field, v| {
                        match field {
                            1 => q.quantile = v.double(1)?,
                            2 => q.value = v.double(2)?,
                            _ => {}
                        }
                        Ok(())
                    })?;
                    p.quantile_values.push(q);
                }
                7 => d.attribute(v.bytes(7)?, &mut p.attributes)?,
                8 => p.flags = v.varint(8)? as u32,
                _ => {}
            }
            Ok(())
        })?;
        Ok(p)
    }

    fn exemplar(&mut self, msg: &[u8]) -> Result<OtlpExemplar> {
        let mut e = OtlpExemplar::default();
        self.fields(msg, |d, field, v| {
            match field {
                2 => e.time_unix_nano = v.fixed64(2)?,
                3 => e.value = Some(v.double(3)?),
                4 => e.span_id = hex(v.bytes(4)?),
                5 => e.trace_id = hex(v.bytes(5)?),
                6 => e.value = Some(v.fixed64(6)?.cast_signed() as f64),
                7 => d.attribute(v.bytes(7)?, &mut e.filtered_attributes)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(e)
    }

    fn attribute(&mut self, msg: &[u8], out: &mut Attributes) -> Result<()> {
        let (key, value) = self.key_value(msg, 0)?;
        out.push((key, text(&value)));
        Ok(())
    }

    pub(super) fn key_value(&mut self, msg: &[u8], depth: u32) -> Result<(String, Json)> {
        let (mut key, mut value) = (String::new(), Json::Null);
        self.fields(msg, |d, field, v| {
            match field {
                1 => key = v.string(1)?.to_owned(),
                2 => value = d.any(v.bytes(2)?, depth)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok((key, value))
    }

    pub(super) fn any(&mut self, msg: &[u8], depth: u32) -> Result<Json> {
        if depth > DEPTH_MAX {
            return Err(DecodeError("attribute value is nested too deep".into()));
        }
        let mut value = Json::Null;
        self.fields(msg, |d, field, v| {
            value = match field {
                1 => Json::from(v.string(1)?),
                2 => Json::from(v.varint(2)? != 0),
                3 => Json::from(v.varint(3)?.cast_signed()),
                4 => {
                    let f = v.double(4)?;
                    // JSON has no number for these; as text they look the same in a label.
                    serde_json::Number::from_f64(f).map_or_else(
                        || Json::from(crate::wire::exposition::format_float(f)),
                        Json::Number,
                    )
                }
                5 => {
                    let mut items = Vec::new();
                    d.fields(v.bytes(5)?, |d, field, v| {
                        if field == 1 {
                            items.push(d.any(v.bytes(1)?, depth + 1)?);
                        }
                        Ok(())
                    })?;
                    Json::Array(items)
                }
                6 => {
                    let mut pairs = serde_json::Map::new();
                    d.fields(v.bytes(6)?, |d, field, v| {
                        if field == 1 {
                            let (k, v) = d.key_value(v.bytes(1)?, depth + 1)?;
                            pairs.insert(k, v);
                        }
                        Ok(())
                    })?;
                    Json::Object(pairs)
                }
                7 => Json::from(base64(v.bytes(7)?)),
                _ => return Ok(()),
            };
            Ok(())
        })?;
        Ok(value)
    }
}

/// Lower-case hexadecimal; empty for an id of zeros, which means none.
pub(super) fn hex(id: &[u8]) -> String {
    if id.len() > 32 || id.iter().all(|b| *b == 0) {
        return String::new();
    }
    id.iter().map(|b| format!("{b:02x}")).collect()
}

/// Standard alphabet, padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let n = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(ALPHABET[(n >> (18 - 6 * i) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}
