//! Functions of notification templates.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use query::template::{Function, Host, Kind, Map, Value, ZERO_SECOND, family, json};
use query::text::layout;

use super::data::joined;

const A: Kind = Kind::Any;
const T: Kind = Kind::Text;

/// Everything beyond the functions that the language has anyway.
pub(super) const TABLE: &[Function] = &[
    Function::pure("toUpper", &[T], |a| Ok(family::upper(text(a, 0)).into())),
    Function::pure("toLower", &[T], |a| Ok(family::lower(text(a, 0)).into())),
    Function::pure("title", &[T], |a| {
        Ok(family::title_of_words(text(a, 0)).into())
    }),
    Function::pure("trimSpace", &[T], |a| Ok(text(a, 0).trim().into())),
    Function::pure("join", &[T, Kind::Texts], |a| {
        Ok(joined(value(a, 1), text(a, 0)).into())
    }),
    Function::pure("match", &[T, T], |a| {
        family::matches(text(a, 0), text(a, 1)).map(Value::Bool)
    }),
    Function::pure("reReplaceAll", &[T, T, T], |a| {
        family::replace_all(text(a, 0), text(a, 1), text(a, 2)).map(Value::from)
    }),
    Function::pure("stringSlice", &[], |a| {
        Ok(Value::list_of_texts(a.iter().map(Value::text)))
    })
    .with_rest(T),
    Function::pure("safeHtml", &[T], |a| Ok(Value::Safe(text(a, 0).into()))),
    Function::pure("safeUrl", &[T], |a| Ok(Value::SafeUrl(text(a, 0).into()))),
    Function::pure("urlUnescape", &[T], |a| {
        url_unescaped(text(a, 0)).map(Value::from)
    }),
    Function::pure("date", &[T, Kind::Time], |a| match value(a, 1) {
        Value::Time(t) => Ok(layout::format(t, text(a, 0)).into()),
        _ => Ok(Value::Nil),
    }),
    Function::pure("tz", &[T, Kind::Time], |a| match value(a, 1) {
        Value::Time(t) => {
            let zone = zone(text(a, 0))?;
            Ok(Value::Time(Box::new(t.with_time_zone(zone))))
        }
        _ => Ok(Value::Nil),
    }),
    Function::host("since", &[Kind::Time]),
    Function::host("now", &[]),
    Function::host("routeLabels", &[T]),
    Function::pure("humanizeDuration", &[A], |a| {
        Ok(family::humanize_duration(family::number(value(a, 0))?).into())
    }),
    Function::pure("toJson", &[A], |a| Ok(json::text(value(a, 0)).into())),
    Function::pure("base64encode", &[T], |a| {
        Ok(URL_SAFE.encode(text(a, 0)).into())
    }),
    Function::pure("base64decode", &[T], |a| {
        let bytes = URL_SAFE.decode(text(a, 0));
        let bytes = bytes.map_err(|_| "illegal base64 data".to_owned())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned().into())
    }),
    Function::pure("list", &[], |a| Ok(a.to_vec().into())).with_rest(A),
    Function::pure("append", &[Kind::List], |a| {
        let mut all = match value(a, 0).base() {
            Value::List(l) => l.to_vec(),
            _ => Vec::new(),
        };
        all.extend(a.iter().skip(1).cloned());
        Ok(all.into())
    })
    .with_rest(A),
    Function::pure("dict", &[], dict).with_rest(A),
    Function::pure("toDate", &[T, T], |a| {
        let zero = Timestamp::from_second(ZERO_SECOND).unwrap_or(Timestamp::UNIX_EPOCH);
        let t = date(text(a, 0), text(a, 1)).unwrap_or_else(|_| zero.to_zoned(TimeZone::UTC));
        Ok(Value::Time(Box::new(t)))
    }),
    Function::pure("mustToDate", &[T, T], |a| {
        date(text(a, 0), text(a, 1)).map(|t| Value::Time(Box::new(t)))
    }),
];

fn value(a: &[Value], i: usize) -> &Value {
    a.get(i).unwrap_or(&Value::Nil)
}

fn text(a: &[Value], i: usize) -> &str {
    value(a, i).as_text().unwrap_or_default()
}

fn zone(name: &str) -> Result<TimeZone, String> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        "Local" => Ok(TimeZone::system()),
        name => TimeZone::get(name).map_err(|_| format!("unknown time zone {name}")),
    }
}

fn date(layout: &str, text: &str) -> Result<Zoned, String> {
    layout::parse(layout, text, &TimeZone::system())
        .ok_or_else(|| format!("parsing time {text:?} as {layout:?}: cannot parse {text:?}"))
}

fn dict(a: &[Value]) -> Result<Value, String> {
    if !a.len().is_multiple_of(2) {
        return Err("dict requires an even number of arguments".to_owned());
    }
    let mut entries = std::collections::BTreeMap::new();
    for pair in a.chunks_exact(2) {
        let [key, v] = pair else { continue };
        let key = key
            .as_text()
            .ok_or_else(|| format!("dict keys must be strings, got {}", key.type_name()))?;
        entries.insert(key.into(), v.clone());
    }
    Ok(Value::Map(Arc::new(Map {
        entries,
        texts: false,
    })))
}

/// A query's text as it was before it was escaped.
fn url_unescaped(s: &str) -> Result<String, String> {
    let bytes = s.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(b) = bytes.get(i) {
        match b {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = s.get(i + 1..i + 3);
                let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
                match byte {
                    Some(b) => out.push(b),
                    None => {
                        let end = (i + 3).min(s.len());
                        let part = s.get(i..end).unwrap_or("%");
                        return Err(format!("invalid URL escape {part:?}"));
                    }
                }
                i += 2;
            }
            b => out.push(*b),
        }
        i += 1;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Answers what depends on the moment and on the route.
pub(super) struct Asked<'a> {
    /// The moment of the message.
    pub(super) now: Timestamp,
    /// The data of the message.
    pub(super) data: &'a super::Data,
}

impl Host for Asked<'_> {
    fn call(&mut self, name: &str, args: &[Value]) -> Result<Value, String> {
        Ok(match (name, value(args, 0)) {
            ("now", _) => Value::Time(Box::new(self.now.to_zoned(TimeZone::system()))),
            ("since", Value::Time(t)) => {
                let ns = self.now.as_nanosecond() - t.timestamp().as_nanosecond();
                let max = i128::from(i64::MAX);
                Value::Duration(i64::try_from(ns.clamp(-max, max)).unwrap_or(i64::MAX))
            }
            (_, name) => {
                let labels = &self.data.route_labels;
                let found = name.as_text().and_then(|n| labels.get(n));
                found.map_or("", String::as_str).into()
            }
        })
    }
}
