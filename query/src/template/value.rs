//! Values of templates: what fields, functions and constants give.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Zoned;

use super::Kind;
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
    /// A text that is HTML already.
    Safe(Arc<str>),
    /// A text that is known to be a harmless URL.
    SafeUrl(Arc<str>),
    /// A time with its zone.
    Time(Box<Zoned>),
    /// A duration, ns.
    Duration(i64),
    /// A list.
    List(Arc<Vec<Value>>),
    /// A list of texts, which is another type than a list of anything.
    Texts(Arc<Vec<Value>>),
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

/// A value of a type of the caller's: with fields, with methods, or a named kind of something else.
pub trait Object: fmt::Debug + Send + Sync {
    /// Name of the type in errors.
    fn type_name(&self) -> &str;
    /// A field; `None` when there is none of that name.
    fn field(&self, _name: &str) -> Option<Value> {
        None
    }
    /// Types of a method's arguments; `None` when there is no method of that name.
    fn signature(&self, _name: &str) -> Option<&'static [Kind]> {
        None
    }
    /// Calls a method with arguments that fit its signature.
    ///
    /// # Errors
    /// The text of the error.
    fn call(&self, name: &str, _args: &[Value]) -> Result<Value, String> {
        Err(format!("{name} is not a method"))
    }
    /// The map, list or number that the type is another name for: what `range`, `index`, `len` and
    /// comparisons work on.
    fn base(&self) -> Option<&Value> {
        None
    }
    /// Names and values of a structure in JSON, in order.
    fn members(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }
    /// What printing it gives.
    fn text(&self) -> String;
    /// Whether `if` takes it for true.
    fn truth(&self) -> bool {
        self.base().is_none_or(Value::truth)
    }
}

/// A number with a name, like a month.
#[derive(Debug)]
struct Named {
    type_name: &'static str,
    number: Value,
    text: &'static str,
}

impl Object for Named {
    fn type_name(&self) -> &str {
        self.type_name
    }
    fn signature(&self, name: &str) -> Option<&'static [Kind]> {
        (name == "String").then_some(&[])
    }
    fn call(&self, _name: &str, _args: &[Value]) -> Result<Value, String> {
        Ok(self.text.into())
    }
    fn base(&self) -> Option<&Value> {
        Some(&self.number)
    }
    fn text(&self) -> String {
        self.text.to_owned()
    }
}

fn named(type_name: &'static str, number: i8, text: &'static str) -> Value {
    Value::Object(Arc::new(Named {
        type_name,
        number: Value::Int(number.into()),
        text,
    }))
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
            Self::Text(s) | Self::Safe(s) | Self::SafeUrl(s) => !s.is_empty(),
            Self::Time(_) => true,
            Self::List(l) | Self::Texts(l) => !l.is_empty(),
            Self::Map(m) => !m.entries.is_empty(),
            Self::Object(o) => o.truth(),
        }
    }

    /// The text of texts.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(s) | Self::Safe(s) | Self::SafeUrl(s) => Some(s),
            _ => None,
        }
    }

    /// The integer of integers.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) | Self::Int64(n) | Self::Duration(n) => Some(*n),
            Self::Object(o) => o.base().and_then(Self::as_int),
            _ => None,
        }
    }

    /// What a value of a named type stands for; any other value itself.
    #[must_use]
    pub fn base(&self) -> &Self {
        match self {
            Self::Object(o) => o.base().unwrap_or(self),
            v => v,
        }
    }

    /// Whether two values are of one type and equal through and through.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) | (Self::Texts(a), Self::Texts(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.same(b))
            }
            (Self::Map(a), Self::Map(b)) => {
                a.texts == b.texts
                    && a.entries.len() == b.entries.len()
                    && a.entries
                        .iter()
                        .zip(&b.entries)
                        .all(|((k, v), (l, w))| k == l && v.same(w))
            }
            (Self::List(_) | Self::Texts(_) | Self::Map(_), _) => false,
            (Self::Float(a), Self::Float(b)) => a == b,
            (a, b) => a.type_name() == b.type_name() && a.text() == b.text(),
        }
    }

    /// A list of texts.
    pub fn list_of_texts<S: Into<Arc<str>>>(texts: impl IntoIterator<Item = S>) -> Self {
        let each = texts.into_iter().map(|t| Self::Text(t.into()));
        Self::Texts(Arc::new(each.collect()))
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
            Self::SafeUrl(_) => "template.URL",
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::List(_) => "[]interface {}",
            Self::Texts(_) => "[]string",
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
            Self::Text(s) | Self::Safe(s) | Self::SafeUrl(s) => out.push_str(s),
            Self::Time(t) => out.push_str(&layout::default_text(t)),
            Self::Duration(ns) => out.push_str(&go_duration::format(*ns)),
            Self::List(l) | Self::Texts(l) => {
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

/// Types of the arguments of a method; `None` when the value has none of that name.
pub(super) fn signature(value: &Value, name: &str) -> Option<&'static [Kind]> {
    match value {
        Value::Time(_) => match name {
            "Unix" | "UnixMilli" | "UnixMicro" | "UnixNano" | "Year" | "Month" | "Day" | "Hour"
            | "Minute" | "Second" | "Nanosecond" | "YearDay" | "Weekday" | "String" | "UTC"
            | "Local" | "IsZero" => Some(&[]),
            "Format" => Some(&[Kind::Text]),
            "Add" | "Truncate" => Some(&[Kind::Duration]),
            "Sub" | "Equal" | "Before" | "After" => Some(&[Kind::Time]),
            "AddDate" => Some(&[Kind::Int, Kind::Int, Kind::Int]),
            _ => None,
        },
        Value::Duration(_) => match name {
            "Seconds" | "Minutes" | "Hours" | "Milliseconds" | "Microseconds" | "Nanoseconds"
            | "String" | "Abs" => Some(&[]),
            "Round" | "Truncate" => Some(&[Kind::Duration]),
            _ => None,
        },
        Value::Object(o) => o.signature(name),
        _ => None,
    }
}

/// Calls a method that has a [`signature`], with arguments that fit it.
pub(super) fn call_method(value: &Value, name: &str, args: &[Value]) -> Result<Value, String> {
    match value {
        Value::Time(t) => Ok(time_method(t, name, args)),
        Value::Duration(ns) => Ok(duration_method(*ns, name, args)),
        Value::Object(o) => o.call(name, args),
        _ => Ok(Value::Nil),
    }
}

fn duration_method(ns: i64, name: &str, args: &[Value]) -> Value {
    let unit = args.first().and_then(Value::as_int).unwrap_or(0);
    match name {
        "Seconds" => Value::Float(ns as f64 / 1e9),
        "Minutes" => Value::Float(ns as f64 / 60e9),
        "Hours" => Value::Float(ns as f64 / 3600e9),
        "Milliseconds" => Value::Int64(ns / 1_000_000),
        "Microseconds" => Value::Int64(ns / 1000),
        "Nanoseconds" => Value::Int64(ns),
        "String" => go_duration::format(ns).into(),
        "Abs" => Value::Duration(ns.saturating_abs()),
        "Truncate" if unit > 0 => Value::Duration(ns - ns % unit),
        "Round" if unit > 0 => {
            let rest = ns % unit;
            // Halves go away from zero.
            let up = rest.unsigned_abs() >= unit.unsigned_abs().div_ceil(2);
            let step = if up { unit * ns.signum() } else { 0 };
            Value::Duration((ns - rest).saturating_add(step))
        }
        _ => Value::Duration(ns),
    }
}

/// Nanoseconds since 1970, as far as an `i64` goes.
fn nanos(t: &Zoned) -> i64 {
    let ns = t.timestamp().as_nanosecond();
    i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
}

fn time_method(t: &Zoned, name: &str, args: &[Value]) -> Value {
    let first = args.first();
    let number = |i: usize| args.get(i).and_then(Value::as_int).unwrap_or(0);
    match (name, first) {
        ("Unix", _) => Value::Int64(t.timestamp().as_second()),
        ("UnixMilli", _) => Value::Int64(t.timestamp().as_millisecond()),
        ("UnixMicro", _) => Value::Int64(t.timestamp().as_microsecond()),
        ("UnixNano", _) => Value::Int64(nanos(t)),
        ("Year", _) => Value::Int(t.year().into()),
        ("Month", _) => named("time.Month", t.month(), layout::month_name(t.month())),
        ("Day", _) => Value::Int(t.day().into()),
        ("Hour", _) => Value::Int(t.hour().into()),
        ("Minute", _) => Value::Int(t.minute().into()),
        ("Second", _) => Value::Int(t.second().into()),
        ("Nanosecond", _) => Value::Int(t.subsec_nanosecond().into()),
        ("YearDay", _) => Value::Int(t.day_of_year().into()),
        ("Weekday", _) => {
            let day = t.weekday().to_sunday_zero_offset();
            named("time.Weekday", day, layout::day_name(day))
        }
        ("UTC", _) => Value::Time(Box::new(t.with_time_zone(jiff::tz::TimeZone::UTC))),
        ("Local", _) => Value::Time(Box::new(t.with_time_zone(jiff::tz::TimeZone::system()))),
        ("IsZero", _) => Value::Bool(t.timestamp().as_second() == ZERO_SECOND),
        ("Format", Some(Value::Text(l))) => layout::format(t, l).into(),
        ("Add", Some(d)) => {
            let sum = nanos(t).saturating_add(d.as_int().unwrap_or(0));
            time_at(sum, t)
        }
        ("Truncate", Some(d)) => {
            let unit = d.as_int().unwrap_or(0);
            // Go counts from the year 1; units that divide a day agree.
            let rest = if unit > 0 {
                nanos(t).rem_euclid(unit)
            } else {
                0
            };
            time_at(nanos(t) - rest, t)
        }
        ("AddDate", _) => {
            let span = jiff::Span::new().try_years(number(0)).and_then(|s| {
                let s = s.try_months(number(1))?;
                s.try_days(number(2))
            });
            let moved = span.and_then(|s| t.checked_add(s));
            moved.map_or(Value::Nil, |m| Value::Time(Box::new(m)))
        }
        ("Sub", Some(Value::Time(o))) => Value::Duration(nanos(t).saturating_sub(nanos(o))),
        ("Equal", Some(Value::Time(o))) => Value::Bool(t.timestamp() == o.timestamp()),
        ("Before", Some(Value::Time(o))) => Value::Bool(t.timestamp() < o.timestamp()),
        ("After", Some(Value::Time(o))) => Value::Bool(t.timestamp() > o.timestamp()),
        _ => layout::default_text(t).into(),
    }
}

/// Go's zero time, the first second of the year 1, in seconds since 1970.
pub const ZERO_SECOND: i64 = -62_135_596_800;

fn time_at(ns: i64, like: &Zoned) -> Value {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or(Value::Nil, |t| {
        Value::Time(Box::new(t.to_zoned(like.time_zone().clone())))
    })
}
