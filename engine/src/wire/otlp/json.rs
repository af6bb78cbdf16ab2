//! OTLP in JSON: protobuf's mapping (64-bit integers as text, camel case), ids in hexadecimal.

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};

use super::message::{Attributes, Request};
use super::{DecodeError, PARTS_MAX};

/// Decodes a JSON body. Unknown fields are ignored.
///
/// # Errors
/// When it is not JSON of this shape, or has more than half of [`PARTS_MAX`] objects.
pub fn decode_json(body: &[u8]) -> Result<Request, DecodeError> {
    if memchr::memchr_iter(b'{', body).count() > PARTS_MAX / 2 {
        return Err(DecodeError("too many objects in one request".into()));
    }
    serde_json::from_slice(body).map_err(|e| DecodeError(e.to_string()))
}

/// An integer, as number or as text.
pub(super) fn int(v: &Value) -> Option<i64> {
    match v {
        Value::Number(n) => n
            .as_i64()
            .or_else(|| n.as_u64().map(u64::cast_signed))
            .or_else(|| n.as_f64().map(|f| f as i64)),
        Value::String(s) => s
            .parse::<i64>()
            .ok()
            .or_else(|| s.parse::<u64>().ok().map(u64::cast_signed)),
        _ => None,
    }
}

/// A float, as number or as one of the names JSON has no number for.
fn number(v: &Value) -> Option<f64> {
    match v {
        Value::Number(n) => n.as_f64(),
        Value::String(s) => match s.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            s => s.parse().ok(),
        },
        _ => None,
    }
}

pub(super) fn uint<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    let v = Value::deserialize(d)?;
    int(&v)
        .map(i64::cast_unsigned)
        .ok_or_else(|| D::Error::custom("expected an integer"))
}

pub(super) fn uints<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u64>, D::Error> {
    Vec::<Value>::deserialize(d)?
        .iter()
        .map(|v| int(v).map(i64::cast_unsigned))
        .collect::<Option<_>>()
        .ok_or_else(|| D::Error::custom("expected integers"))
}

pub(super) fn float<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    number(&Value::deserialize(d)?).ok_or_else(|| D::Error::custom("expected a number"))
}

pub(super) fn float_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    match Value::deserialize(d)? {
        Value::Null => Ok(None),
        v => number(&v)
            .map(Some)
            .ok_or_else(|| D::Error::custom("expected a number")),
    }
}

pub(super) fn doubles<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
    Vec::<Value>::deserialize(d)?
        .iter()
        .map(number)
        .collect::<Option<_>>()
        .ok_or_else(|| D::Error::custom("expected numbers"))
}

pub(super) fn temporality<'de, D: Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
    match Value::deserialize(d)? {
        Value::String(s) if s == "AGGREGATION_TEMPORALITY_DELTA" => Ok(1),
        Value::String(s) if s == "AGGREGATION_TEMPORALITY_CUMULATIVE" => Ok(2),
        Value::String(s) if s == "AGGREGATION_TEMPORALITY_UNSPECIFIED" => Ok(0),
        v => int(&v).ok_or_else(|| D::Error::custom("unknown temporality")),
    }
}

/// `asDouble` or `asInt` among the remaining fields of an object.
fn value_of(rest: &Map<String, Value>) -> Result<Option<f64>, &'static str> {
    if let Some(v) = rest.get("asDouble") {
        return number(v).map(Some).ok_or("expected a number");
    }
    if let Some(v) = rest.get("asInt") {
        return int(v).map(|i| Some(i as f64)).ok_or("expected an integer");
    }
    Ok(None)
}

pub(super) fn point_value<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    let rest = Map::deserialize(d)?;
    Ok(value_of(&rest).map_err(D::Error::custom)?.unwrap_or(0.0))
}

pub(super) fn exemplar_value<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    let rest = Map::deserialize(d)?;
    value_of(&rest).map_err(D::Error::custom)
}

/// Hexadecimal digits in lower case; anything else is refused.
pub(super) fn hex<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let s = String::deserialize(d)?;
    if s.len() > 64 || !s.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(D::Error::custom("expected a hexadecimal id"));
    }
    Ok(if s.bytes().all(|b| b == b'0') {
        String::new()
    } else {
        s.to_ascii_lowercase()
    })
}

#[derive(Deserialize)]
struct KeyValue {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: Value,
}

pub(super) fn attributes<'de, D: Deserializer<'de>>(d: D) -> Result<Attributes, D::Error> {
    Ok(Vec::<KeyValue>::deserialize(d)?
        .into_iter()
        .map(|kv| (kv.key, text(&plain(&kv.value))))
        .collect())
}

/// An `AnyValue` in JSON as the JSON value it stands for.
pub(super) fn plain(any: &Value) -> Value {
    let Some((kind, v)) = any.as_object().and_then(|o| o.iter().next()) else {
        return Value::Null;
    };
    match kind.as_str() {
        "intValue" => super::message::as_int(v).map_or(Value::Null, Value::from),
        "doubleValue" => number(v).map_or(Value::Null, Value::from),
        "arrayValue" => v
            .get("values")
            .and_then(Value::as_array)
            .map_or(Value::Array(vec![]), |a| a.iter().map(plain).collect()),
        "kvlistValue" => {
            let pairs = v.get("values").and_then(Value::as_array);
            Value::Object(
                pairs
                    .into_iter()
                    .flatten()
                    .map(|kv| {
                        let key = kv.get("key").and_then(Value::as_str).unwrap_or("");
                        let value = kv.get("value").map_or(Value::Null, plain);
                        (key.to_owned(), value)
                    })
                    .collect(),
            )
        }
        // Text, truth values, and bytes, which are text in this mapping.
        _ => v.clone(),
    }
}

/// The text an attribute value becomes: itself, or JSON for lists and maps.
pub(super) fn text(v: &Value) -> String {
    match v {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        Value::Number(n) if n.is_f64() => {
            let f = n.as_f64().unwrap_or(0.0);
            if f == 0.0 || (1e-6..1e21).contains(&f.abs()) {
                format!("{f}")
            } else {
                crate::wire::exposition::format_float(f)
            }
        }
        v => v.to_string(),
    }
}
