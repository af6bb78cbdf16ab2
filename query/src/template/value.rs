//! Values of templates: what fields, functions and constants give.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Zoned;

use crate::text::{float, go_duration, layout};

/// A value.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Nil,
    /// A truth value.
    Bool(bool),
    /// Go's `int`.
    Int(i64),
    /// Go's `int64`, which is another type than `int`.
    Int64(i64),
    /// A float.
    Float(f64),
    /// A text.
    Text(Arc<str>),
    /// A text that is not escaped in HTML mode.
    Safe(Arc<str>),
    /// A time with its zone.
    Time(Box<Zoned>),
    /// A duration, ns.
    Duration(i64),
    /// A list.
    List(Arc<Vec<Value>>),
    /// A map.
    Map(Arc<Map>),
    /// Something of the caller's.
    Object(Arc<dyn Object>),
}

/// A map with text keys.
#[derive(Debug, Clone, Default)]
pub struct Map {
    /// The entries.
    pub entries: BTreeMap<Arc<str>, Value>,
    /// Every value is a text: a missing one is empty instead of nothing.
    pub texts: bool,
}

/// A value with fields and methods of the caller's.
pub trait Object: fmt::Debug + Send + Sync {
    /// Name of the type in errors.
    fn type_name(&self) -> &str;
    /// A field; `None` when there is none of that name.
    fn field(&self, name: &str) -> Option<Value>;
    /// A method with its arguments; `None` when there is none of that name.
    fn method(&self, _name: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        None
    }
    /// What printing it gives.
    fn text(&self) -> String;
    /// Whether `if` takes it for true.
    fn truth(&self) -> bool {
        true
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::Text(s.into())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::Text(s.into())
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Self::Float(v)
    }
}

impl From<Vec<Value>> for Value {
    fn from(v: Vec<Value>) -> Self {
        Self::List(Arc::new(v))
    }
}

impl Value {
    /// A map whose values are texts.
    #[must_use]
    pub fn texts<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let entries = pairs.into_iter().map(|(k, v)| (k.into(), v.into()));
        Self::Map(Arc::new(Map {
            entries: entries.collect(),
            texts: true,
        }))
    }

    /// What `if` takes it for.
    #[must_use]
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(n) | Self::Int64(n) | Self::Duration(n) => *n != 0,
            Self::Float(v) => *v != 0.0,
            Self::Text(s) | Self::Safe(s) => !s.is_empty(),
            Self::Time(_) => true,
            Self::List(l) => !l.is_empty(),
            Self::Map(m) => !m.entries.is_empty(),
            Self::Object(o) => o.truth(),
        }
    }

    /// The text of texts.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(s) | Self::Safe(s) => Some(s),
            _ => None,
        }
    }

    /// The integer of integers.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) | Self::Int64(n) | Self::Duration(n) => Some(*n),
            _ => None,
        }
    }

    /// The name of the type in errors.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Safe(_) => "template.HTML",
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::List(_) => "[]interface {}",
            Self::Map(m) if m.texts => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Object(o) => o.type_name(),
        }
    }

    /// Appends what printing gives. Nothing is `<nil>`.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Nil => out.push_str("<nil>"),
            Self::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::Int(n) | Self::Int64(n) => out.push_str(itoa::Buffer::new().format(*n)),
            Self::Float(v) => float::write_general(out, *v),
            Self::Text(s) | Self::Safe(s) => out.push_str(s),
            Self::Time(t) => out.push_str(&layout::default_text(t)),
            Self::Duration(ns) => out.push_str(&go_duration::format(*ns)),
            Self::List(l) => {
                out.push('[');
                for (i, v) in l.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    v.write(out);
                }
                out.push(']');
            }
            Self::Map(m) => {
                out.push_str("map[");
                for (i, (k, v)) in m.entries.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    out.push_str(k);
                    out.push(':');
                    v.write(out);
                }
                out.push(']');
            }
            Self::Object(o) => out.push_str(&o.text()),
        }
    }

    /// What printing gives.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// A method of a built-in type: what Go's `time` offers to templates.
pub(super) fn method(value: &Value, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
    match value {
        Value::Time(t) => time_method(t, name, args),
        Value::Duration(ns) => {
            let ns = *ns;
            Some(Ok(match name {
                "Seconds" => Value::Float(ns as f64 / 1e9),
                "Minutes" => Value::Float(ns as f64 / 60e9),
                "Hours" => Value::Float(ns as f64 / 3600e9),
                "Milliseconds" => Value::Int64(ns / 1_000_000),
                "Microseconds" => Value::Int64(ns / 1000),
                "Nanoseconds" => Value::Int64(ns),
                "String" => go_duration::format(ns).into(),
                _ => return None,
            }))
        }
        Value::Object(o) => o.method(name, args),
        _ => None,
    }
}

fn time_method(t: &Zoned, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
    let ns = i64::try_from(t.timestamp().as_nanosecond()).unwrap_or(i64::MAX);
    Some(Ok(match name {
        "Unix" => Value::Int64(ns.div_euclid(1_000_000_000)),
        "UnixMilli" => Value::Int64(ns.div_euclid(1_000_000)),
        "UnixMicro" => Value::Int64(ns.div_euclid(1000)),
        "UnixNano" => Value::Int64(ns),
        "Year" => Value::Int(t.year().into()),
        "Month" => layout::month_name(t.month()).into(),
        "Day" => Value::Int(t.day().into()),
        "Hour" => Value::Int(t.hour().into()),
        "Minute" => Value::Int(t.minute().into()),
        "Second" => Value::Int(t.second().into()),
        "Nanosecond" => Value::Int(t.subsec_nanosecond().into()),
        "YearDay" => Value::Int(t.day_of_year().into()),
        "Weekday" => layout::day_name(t.weekday().to_sunday_zero_offset()).into(),
        "String" => layout::default_text(t).into(),
        "UTC" => Value::Time(Box::new(t.with_time_zone(jiff::tz::TimeZone::UTC))),
        "Local" => Value::Time(Box::new(t.with_time_zone(jiff::tz::TimeZone::system()))),
        "IsZero" => Value::Bool(t.timestamp().as_second() == -62_135_596_800),
        "Format" => match args {
            [Value::Text(l)] => layout::format(t, l).into(),
            _ => return Some(Err("wrong number of args for Format: want 1".to_owned())),
        },
        "Add" => match args {
            [v] => match v.as_int().and_then(|d| ns.checked_add(d)) {
                Some(sum) => time_at(sum, t),
                None => return Some(Err("Add: expected a duration".to_owned())),
            },
            _ => return Some(Err("wrong number of args for Add: want 1".to_owned())),
        },
        "Sub" => match args {
            [Value::Time(o)] => {
                let other = i64::try_from(o.timestamp().as_nanosecond()).unwrap_or(0);
                Value::Duration(ns.saturating_sub(other))
            }
            _ => return Some(Err("wrong number of args for Sub: want 1".to_owned())),
        },
        _ => return None,
    }))
}

fn time_at(ns: i64, like: &Zoned) -> Value {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or(Value::Nil, |t| {
        Value::Time(Box::new(t.to_zoned(like.time_zone().clone())))
    })
}
