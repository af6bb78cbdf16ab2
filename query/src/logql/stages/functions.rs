//! Functions of `line_format` and `label_format` beyond the built-in ones.

use std::sync::Arc;

use base64::Engine as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{LabelSet, Surroundings};
use crate::regex::GoRegex;
use crate::template::args::{A, I, T, int, text, to_float, to_int};
use crate::template::{Budget, Function, Host, Kind, Map, Value, family, json, query_escape};
use crate::text::{bytes, go_duration, layout};

/// Bounds for one line.
pub(super) const BUDGET: Budget = Budget {
    steps: 20_000,
    output_bytes: 1 << 20,
};

/// Longest text that `repeat` and `indent` make.
const REPEAT_BYTES_MAX: usize = 1 << 20;

type Answer = Result<Value, String>;

/// The table.
pub const TABLE: &[Function] = &[
    Function::host("__line__", &[]),
    Function::host("__timestamp__", &[]),
    Function::host("now", &[]),
    Function::pure("ToLower", &[T], |a| Ok(family::lower(text(a, 0)).into())),
    Function::pure("ToUpper", &[T], |a| Ok(family::upper(text(a, 0)).into())),
    Function::pure("lower", &[T], |a| Ok(family::lower(text(a, 0)).into())),
    Function::pure("upper", &[T], |a| Ok(family::upper(text(a, 0)).into())),
    Function::pure("title", &[T], |a| Ok(family::title(text(a, 0)).into())),
    Function::pure("Replace", &[T, T, T, I], |a| {
        let (s, old, new, n) = (text(a, 0), text(a, 1), text(a, 2), int(a, 3));
        Ok(match usize::try_from(n) {
            Ok(n) => s.replacen(old, new, n).into(),
            Err(_) => s.replace(old, new).into(),
        })
    }),
    Function::pure("Trim", &[T, T], |a| {
        Ok(trim(text(a, 0), text(a, 1), true, true).into())
    }),
    Function::pure("TrimLeft", &[T, T], |a| {
        Ok(trim(text(a, 0), text(a, 1), true, false).into())
    }),
    Function::pure("TrimRight", &[T, T], |a| {
        Ok(trim(text(a, 0), text(a, 1), false, true).into())
    }),
    Function::pure("TrimPrefix", &[T, T], |a| {
        Ok(without_prefix(text(a, 0), text(a, 1)).into())
    }),
    Function::pure("TrimSuffix", &[T, T], |a| {
        Ok(without_suffix(text(a, 0), text(a, 1)).into())
    }),
    Function::pure("TrimSpace", &[T], |a| Ok(text(a, 0).trim().into())),
    Function::pure("trim", &[T], |a| Ok(text(a, 0).trim().into())),
    Function::pure("trimAll", &[T, T], |a| {
        Ok(trim(text(a, 1), text(a, 0), true, true).into())
    }),
    Function::pure("trimPrefix", &[T, T], |a| {
        Ok(without_prefix(text(a, 1), text(a, 0)).into())
    }),
    Function::pure("trimSuffix", &[T, T], |a| {
        Ok(without_suffix(text(a, 1), text(a, 0)).into())
    }),
    Function::pure("replace", &[T, T, T], |a| {
        Ok(text(a, 2).replace(text(a, 0), text(a, 1)).into())
    }),
    Function::pure("repeat", &[I, T], |a| repeat(text(a, 1), int(a, 0))),
    Function::pure("indent", &[I, T], |a| indent(text(a, 1), int(a, 0), "")),
    Function::pure("nindent", &[I, T], |a| indent(text(a, 1), int(a, 0), "\n")),
    Function::pure("trunc", &[I, T], trunc),
    Function::pure("substr", &[I, I, T], substr),
    Function::pure("alignLeft", &[I, T], |a| {
        Ok(align(text(a, 1), int(a, 0), false).into())
    }),
    Function::pure("alignRight", &[I, T], |a| {
        Ok(align(text(a, 1), int(a, 0), true).into())
    }),
    Function::pure("contains", &[T, T], |a| {
        Ok(text(a, 1).contains(text(a, 0)).into())
    }),
    Function::pure("hasPrefix", &[T, T], |a| {
        Ok(text(a, 1).starts_with(text(a, 0)).into())
    }),
    Function::pure("hasSuffix", &[T, T], |a| {
        Ok(text(a, 1).ends_with(text(a, 0)).into())
    }),
    Function::pure("default", &[A], |a| {
        let given = a.get(1).filter(|v| v.truth());
        Ok(given.or(a.first()).cloned().unwrap_or_default())
    })
    .with_rest(A),
    Function::pure("count", &[T, T], |a| {
        let n = regex(text(a, 0))?.count(text(a, 1));
        Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))
    }),
    Function::pure("regexReplaceAll", &[T, T, T], |a| {
        Ok(regex(text(a, 0))?
            .replace_all(text(a, 1), text(a, 2))
            .into())
    }),
    Function::pure("regexReplaceAllLiteral", &[T, T, T], |a| {
        let literal = text(a, 2).replace('$', "$$");
        Ok(regex(text(a, 0))?.replace_all(text(a, 1), &literal).into())
    }),
    Function::pure("urlencode", &[T], |a| Ok(query_escape(text(a, 0)).into())),
    Function::pure("urldecode", &[T], |a| url_decode(text(a, 0))),
    Function::pure("b64enc", &[T], |a| {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text(a, 0));
        Ok(encoded.into())
    }),
    Function::pure("b64dec", &[T], |a| Ok(base64_decode(text(a, 0)).into())),
    Function::pure("fromJson", &[T], |a| {
        let parsed = serde_json::from_str::<serde_json::Value>(text(a, 0));
        Ok(parsed.map_or(Value::Nil, |v| json::value(&v)))
    }),
    Function::pure("int", &[A], |a| Ok(Value::Int(to_int(a.first())))),
    Function::pure("float64", &[A], |a| Ok(Value::Float(to_float(a.first())))),
    Function::pure("add", &[], |a| Ok(fold_int(a, 0, i64::wrapping_add))).with_rest(A),
    Function::pure("sub", &[A, A], |a| Ok(fold_rest(a, i64::wrapping_sub))),
    Function::pure("mul", &[A], |a| Ok(fold_rest(a, i64::wrapping_mul))).with_rest(A),
    Function::pure("div", &[A, A], |a| divide(a, i64::checked_div)),
    Function::pure("mod", &[A, A], |a| divide(a, i64::checked_rem)),
    Function::pure("max", &[A], |a| Ok(fold_rest(a, i64::max))).with_rest(A),
    Function::pure("min", &[A], |a| Ok(fold_rest(a, i64::min))).with_rest(A),
    Function::pure("addf", &[], |a| {
        Ok(fold_float(a, |x, y| decimal(x, y, '+')))
    })
    .with_rest(A),
    Function::pure("subf", &[A], |a| {
        Ok(fold_float(a, |x, y| decimal(x, y, '-')))
    })
    .with_rest(A),
    Function::pure("mulf", &[A], |a| {
        Ok(fold_float(a, |x, y| decimal(x, y, '*')))
    })
    .with_rest(A),
    Function::pure("divf", &[A], |a| {
        if a.iter().skip(1).any(|v| to_float(Some(v)) == 0.0) {
            return Err("decimal division by 0".to_owned());
        }
        Ok(fold_float(a, |x, y| x / y))
    })
    .with_rest(A),
    Function::pure("maxf", &[A], |a| Ok(fold_float(a, f64::max))).with_rest(A),
    Function::pure("minf", &[A], |a| Ok(fold_float(a, f64::min))).with_rest(A),
    Function::pure("ceil", &[A], |a| Ok(to_float(a.first()).ceil().into())),
    Function::pure("floor", &[A], |a| Ok(to_float(a.first()).floor().into())),
    Function::pure("round", &[A, I], |a| {
        Ok(round(to_float(a.first()), int(a, 1)).into())
    })
    .with_rest(Kind::Float),
    Function::pure("bytes", &[T], |a| {
        let t = text(a, 0);
        let n = bytes::parse(t).ok_or_else(|| format!("unhandled size name: {t}"))?;
        Ok(Value::Float(n as f64))
    }),
    Function::pure("duration", &[T], |a| seconds(text(a, 0))),
    Function::pure("duration_seconds", &[T], |a| seconds(text(a, 0))),
    Function::host("date", &[T, A]),
    Function::host("toDate", &[T, T]),
    Function::pure("toDateInZone", &[T, T, T], |a| {
        let zone = zone(text(a, 1))?;
        let read = layout::parse(text(a, 0), text(a, 2), &zone);
        Ok(read.map_or(Value::Nil, |t| Value::Time(Box::new(t))))
    }),
    Function::pure("unixEpoch", &[Kind::Time], |a| Ok(epoch(a, 1_000_000_000))),
    Function::pure("unixEpochMillis", &[Kind::Time], |a| {
        Ok(epoch(a, 1_000_000))
    }),
    Function::pure("unixEpochNanos", &[Kind::Time], |a| Ok(epoch(a, 1))),
    Function::host("unixToTime", &[T]),
];

/// The labels as the data of a template; only `wanted` when that is known.
pub(super) fn data(labels: &LabelSet, wanted: Option<&[String]>) -> Value {
    let mut map = Map {
        texts: true,
        ..Map::default()
    };
    labels.visit(&mut |name, value, _| {
        if wanted.is_none_or(|w| w.iter().any(|n| n == name)) {
            map.entries.insert(name.into(), value.into());
        }
    });
    Value::Map(Arc::new(map))
}

/// What functions can ask of the line.
pub struct LineHost<'l> {
    /// The time of the line, ns.
    pub time: i64,
    /// The line.
    pub line: &'l str,
    /// The outside.
    pub around: &'l Surroundings,
}

impl Host for LineHost<'_> {
    fn call(&mut self, name: &str, args: &[Value]) -> Answer {
        let zone = &self.around.zone;
        match name {
            "__line__" => Ok(self.line.into()),
            "__timestamp__" => Ok(time(self.time, zone)),
            "now" => Ok(time(self.around.now, zone)),
            "date" => Ok(match args.get(1) {
                Some(Value::Time(t)) => layout::format(t, text(args, 0)).into(),
                Some(v) if v.as_int().is_some() => {
                    let s = v.as_int().unwrap_or(0).saturating_mul(1_000_000_000);
                    dated(&time(s, zone), text(args, 0))
                }
                // Anything else means now.
                _ => dated(&time(self.around.now, zone), text(args, 0)),
            }),
            "toDate" => {
                let read = layout::parse(text(args, 0), text(args, 1), zone);
                // What cannot be read is the zero time.
                Ok(read.map_or_else(
                    || time_at_second(-62_135_596_800),
                    |t| Value::Time(Box::new(t)),
                ))
            }
            "unixToTime" => unix_to_time(text(args, 0), zone),
            _ => Err(format!("{name} is not available here")),
        }
    }
}

fn dated(v: &Value, layout_text: &str) -> Value {
    match v {
        Value::Time(t) => layout::format(t, layout_text).into(),
        _ => Value::Nil,
    }
}

fn time(ns: i64, zone: &TimeZone) -> Value {
    Timestamp::from_nanosecond(i128::from(ns)).map_or(Value::Nil, |t| {
        Value::Time(Box::new(t.to_zoned(zone.clone())))
    })
}

fn time_at_second(s: i64) -> Value {
    Timestamp::from_second(s).map_or(Value::Nil, |t| {
        Value::Time(Box::new(t.to_zoned(TimeZone::UTC)))
    })
}

fn epoch(a: &[Value], scale: i128) -> Value {
    match a.first() {
        Some(Value::Time(t)) => {
            let n = t.timestamp().as_nanosecond().div_euclid(scale);
            n.to_string().into()
        }
        _ => Value::Nil,
    }
}

fn zone(name: &str) -> Result<TimeZone, String> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        "Local" => Ok(TimeZone::system()),
        name => TimeZone::get(name).map_err(|_| format!("unknown time zone {name}")),
    }
}

/// The number of digits tells the unit.
fn unix_to_time(s: &str, zone: &TimeZone) -> Answer {
    let n: i64 = s.parse().map_err(|_| {
        format!("unable to parse time '{s}': strconv.ParseInt: parsing {s:?}: invalid syntax")
    })?;
    let ns = match s.len() {
        5 => n.checked_mul(86_400_000_000_000),
        10 => n.checked_mul(1_000_000_000),
        13 => n.checked_mul(1_000_000),
        16 => n.checked_mul(1000),
        19 => Some(n),
        _ => None,
    };
    match ns {
        Some(ns) => Ok(time(ns, zone)),
        None => Err(format!(
            "unable to parse time '{s}': incorrect timestamp length"
        )),
    }
}

fn seconds(s: &str) -> Answer {
    let ns = go_duration::parse(s).ok_or_else(|| format!("time: invalid duration {s:?}"))?;
    Ok(Value::Float(ns as f64 / 1e9))
}

fn regex(pattern: &str) -> Result<GoRegex, String> {
    GoRegex::new(pattern).map_err(|e| e.to_string())
}

fn trim<'s>(s: &'s str, set: &str, left: bool, right: bool) -> &'s str {
    let s = if left {
        s.trim_start_matches(|c| set.contains(c))
    } else {
        s
    };
    if right {
        s.trim_end_matches(|c| set.contains(c))
    } else {
        s
    }
}

fn without_prefix<'s>(s: &'s str, prefix: &str) -> &'s str {
    s.strip_prefix(prefix).unwrap_or(s)
}

fn without_suffix<'s>(s: &'s str, suffix: &str) -> &'s str {
    s.strip_suffix(suffix).unwrap_or(s)
}

fn repeat(s: &str, n: i64) -> Answer {
    let n = usize::try_from(n).map_err(|_| "strings: negative Repeat count".to_owned())?;
    if s.len().saturating_mul(n) > REPEAT_BYTES_MAX {
        return Err(format!("repeat: more than {REPEAT_BYTES_MAX} bytes"));
    }
    Ok(s.repeat(n).into())
}

fn indent(s: &str, n: i64, before: &str) -> Answer {
    let n = usize::try_from(n).map_err(|_| "strings: negative Repeat count".to_owned())?;
    let lines = s.matches('\n').count() + 1;
    if n.saturating_mul(lines) > REPEAT_BYTES_MAX {
        return Err(format!("indent: more than {REPEAT_BYTES_MAX} bytes"));
    }
    let pad = " ".repeat(n);
    Ok(format!("{before}{pad}{}", s.replace('\n', &format!("\n{pad}"))).into())
}

/// Bytes, as in Go: what is cut in half becomes U+FFFD.
fn slice(s: &str, from: usize, to: usize) -> Value {
    crate::template::byte_slice(s, from, to).into()
}

fn trunc(a: &[Value]) -> Answer {
    let (n, s) = (int(a, 0), text(a, 1));
    let size = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
    if size >= s.len() {
        return Ok(s.into());
    }
    Ok(if n < 0 {
        slice(s, s.len() - size, s.len())
    } else {
        slice(s, 0, size)
    })
}

fn substr(a: &[Value]) -> Answer {
    let (start, end, s) = (int(a, 0), int(a, 1), text(a, 2));
    let out = |a: i64, b: i64| {
        format!(
            "runtime error: slice bounds out of range [{a}:{b}] with length {}",
            s.len()
        )
    };
    let to = usize::try_from(end).ok().filter(|e| *e <= s.len());
    let Ok(from) = usize::try_from(start) else {
        return to.map(|e| slice(s, 0, e)).ok_or_else(|| out(0, end));
    };
    let to = to.unwrap_or(s.len());
    if from > to {
        return Err(out(start, end));
    }
    Ok(slice(s, from, to))
}

fn align(s: &str, n: i64, right: bool) -> String {
    let Ok(n) = usize::try_from(n) else {
        return s.to_owned();
    };
    let n = n.min(REPEAT_BYTES_MAX);
    let len = s.chars().count();
    let pad = " ".repeat(n.saturating_sub(len));
    match (right, len > n) {
        (false, true) => s.chars().take(n).collect(),
        (true, true) => s.chars().skip(len - n).collect(),
        (false, false) => format!("{s}{pad}"),
        (true, false) => format!("{pad}{s}"),
    }
}

fn url_decode(s: &str) -> Answer {
    let mut out = Vec::with_capacity(s.len());
    let b = s.as_bytes();
    let mut i = 0;
    while let Some(c) = b.get(i) {
        match c {
            b'%' => {
                let hex = s.get(i + 1..i + 3);
                let byte = hex.and_then(|h| u8::from_str_radix(h, 16).ok());
                let byte = byte.filter(|_| b[i + 1].is_ascii_hexdigit());
                out.push(byte.ok_or_else(|| {
                    let shown = crate::template::byte_slice(s, i, s.len().min(i + 3));
                    format!("invalid URL escape {shown:?}")
                })?);
                i += 3;
            }
            b'+' => {
                out.push(b' ');
                i += 1;
            }
            c => {
                out.push(*c);
                i += 1;
            }
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned().into())
}

/// Missing padding is added; an error is the result.
fn base64_decode(s: &str) -> String {
    let padded = format!("{s}{}", "=".repeat((4 - s.len() % 4) % 4));
    match base64::engine::general_purpose::STANDARD.decode(&padded) {
        Ok(b) => String::from_utf8_lossy(&b).into_owned(),
        Err(e) => {
            let at = match e {
                base64::DecodeError::InvalidByte(i, _)
                | base64::DecodeError::InvalidLastSymbol(i, _) => i,
                _ => s.len(),
            };
            format!("illegal base64 data at input byte {at}")
        }
    }
}

fn fold_int(a: &[Value], start: i64, f: fn(i64, i64) -> i64) -> Value {
    Value::Int64(a.iter().fold(start, |acc, v| f(acc, to_int(Some(v)))))
}

fn fold_rest(a: &[Value], f: fn(i64, i64) -> i64) -> Value {
    let rest = a.get(1..).unwrap_or_default();
    fold_int(rest, to_int(a.first()), f)
}

fn divide(a: &[Value], f: fn(i64, i64) -> Option<i64>) -> Answer {
    f(to_int(a.first()), to_int(a.get(1)))
        .map(Value::Int64)
        .ok_or_else(|| "runtime error: integer divide by zero".to_owned())
}

fn fold_float(a: &[Value], f: impl Fn(f64, f64) -> f64) -> Value {
    let rest = a.get(1..).unwrap_or_default();
    let first = to_float(a.first());
    Value::Float(rest.iter().fold(first, |acc, v| f(acc, to_float(Some(v)))))
}

/// Arithmetic on the decimal digits that the two numbers print as: 0.1 + 0.2 is 0.3.
fn decimal(x: f64, y: f64, op: char) -> f64 {
    let exact = || {
        let ((a, e), (b, f)) = (digits(x)?, digits(y)?);
        if op == '*' {
            return Some((a.checked_mul(b)?, e + f));
        }
        let low = e.min(f);
        let up = |n: i128, by: i32| n.checked_mul(10i128.checked_pow(u32::try_from(by).ok()?)?);
        let (a, b) = (up(a, e - low)?, up(b, f - low)?);
        let sum = if op == '+' {
            a.checked_add(b)?
        } else {
            a.checked_sub(b)?
        };
        Some((sum, low))
    };
    if let Some((n, e)) = exact()
        && let Ok(v) = format!("{n}e{e}").parse()
    {
        return v;
    }
    match op {
        '*' => x * y,
        '-' => x - y,
        _ => x + y,
    }
}

/// The shortest digits of a number as an integer with its power of ten.
fn digits(x: f64) -> Option<(i128, i32)> {
    if !x.is_finite() {
        return None;
    }
    let text = format!("{x:e}");
    let (mantissa, exp) = text.split_once('e')?;
    let decimals = mantissa.split_once('.').map_or(0, |(_, d)| d.len());
    let n = mantissa.replace('.', "").parse().ok()?;
    Some((n, exp.parse::<i32>().ok()? - i32::try_from(decimals).ok()?))
}

fn round(x: f64, places: i64) -> f64 {
    let scale = 10f64.powi(i32::try_from(places.clamp(-300, 300)).unwrap_or(0));
    let scaled = x * scale;
    let fraction = scaled.fract();
    let whole = if fraction >= 0.5 {
        scaled.ceil()
    } else {
        scaled.floor()
    };
    whole / scale
}
