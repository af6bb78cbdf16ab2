//! Series descriptions of test files: `name{a="b"} 1 2x3 _ 1+2x5 {{count:1}} stale`.

use engine::model::{CounterResetHint, FloatHistogram, Labels, Span as BucketSpan, stale_nan};

use super::{ParseOptions, Parser, parse_metric};
use crate::promql::histogram as hist;
use crate::text::float;

/// Largest number of values one line may describe.
const VALUES_MAX: usize = 1_000_000;

/// One described point.
#[derive(Debug, Clone, PartialEq)]
pub enum SequenceValue {
    /// No sample at this step.
    Omitted,
    /// A float.
    Float(f64),
    /// A histogram, and whether its counter reset hint was given.
    Histogram(Box<FloatHistogram>, bool),
}

/// Labels and points of a line.
///
/// # Errors
/// A text that says what is wrong.
pub fn parse_series(line: &str) -> Result<(Labels, Vec<SequenceValue>), String> {
    let split = metric_end(line)?;
    let labels = parse_metric(&line[..split]).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    for item in items(&line[split..])? {
        push_item(item, &mut out)?;
        if out.len() > VALUES_MAX {
            return Err(format!(
                "more than {VALUES_MAX} values in a series description"
            ));
        }
    }
    Ok((labels, out))
}

/// Where the metric ends: after its braces, or at the first blank of a bare name.
fn metric_end(line: &str) -> Result<usize, String> {
    let name = line.find([' ', '\t', '{']).unwrap_or(line.len());
    if !line[name..].starts_with('{') {
        return Ok(name);
    }
    // The tokens know about quotes inside the braces; what follows them may not be the language.
    let mut quote = None;
    let mut escaped = false;
    for (i, c) in line.char_indices().skip_while(|(i, _)| *i <= name) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(q) if c == '\\' && q != '`' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '}' => return Ok(i + 1),
            None => {}
        }
    }
    let p = Parser::new(line, ParseOptions::default()).map_err(|e| e.to_string())?;
    Err(p.unexpected("label set", "\",\" or \"}\"").to_string())
}

/// Items separated by blanks; blanks inside `{{...}}` do not separate.
fn items(s: &str) -> Result<Vec<&str>, String> {
    let mut out = Vec::new();
    let bytes = s.as_bytes();
    let (mut start, mut i, mut depth) = (None, 0, 0u32);
    while i < bytes.len() {
        if bytes[i..].starts_with(b"{{") {
            depth += 1;
            start.get_or_insert(i);
            i += 2;
            continue;
        }
        if bytes[i..].starts_with(b"}}") {
            depth = depth
                .checked_sub(1)
                .ok_or("unexpected }} in series values")?;
            i += 2;
            continue;
        }
        if depth == 0 && bytes[i].is_ascii_whitespace() {
            if let Some(b) = start.take() {
                out.push(&s[b..i]);
            }
        } else {
            start.get_or_insert(i);
        }
        i += 1;
    }
    if depth > 0 {
        return Err("unclosed {{ in series values".to_owned());
    }
    if let Some(b) = start {
        out.push(&s[b..]);
    }
    Ok(out)
}

fn repeat_count(s: &str) -> Result<usize, String> {
    s.parse::<usize>()
        .ok()
        .filter(|n| *n < VALUES_MAX)
        .ok_or_else(|| format!("invalid repetition in series values: {s:?}"))
}

fn push_item(item: &str, out: &mut Vec<SequenceValue>) -> Result<(), String> {
    if let Some(rest) = item.strip_prefix('_') {
        let n = match rest.strip_prefix('x') {
            Some(n) => repeat_count(n)?,
            None if rest.is_empty() => 1,
            None => return Err(bad(item)),
        };
        out.extend(std::iter::repeat_n(SequenceValue::Omitted, n));
        return Ok(());
    }
    if item == "stale" {
        out.push(SequenceValue::Float(stale_nan()));
        return Ok(());
    }
    if item.starts_with("{{") {
        return push_histograms(item, out);
    }
    let (first, rest) = number_prefix(item).ok_or_else(|| bad(item))?;
    if rest.is_empty() {
        out.push(SequenceValue::Float(first));
        return Ok(());
    }
    if let Some(n) = rest.strip_prefix('x') {
        out.extend(std::iter::repeat_n(
            SequenceValue::Float(first),
            repeat_count(n)? + 1,
        ));
        return Ok(());
    }
    if !rest.starts_with(['+', '-']) {
        return Err(bad(item));
    }
    let (delta, rest) = number_prefix(rest).ok_or_else(|| bad(item))?;
    let n = repeat_count(rest.strip_prefix('x').ok_or_else(|| bad(item))?)?;
    let mut v = first;
    for _ in 0..=n {
        out.push(SequenceValue::Float(v));
        v += delta;
    }
    Ok(())
}

fn bad(item: &str) -> String {
    format!(
        "unexpected {} in series values",
        crate::text::quote::quote(item)
    )
}

/// The longest number at the start of `s` and the rest.
fn number_prefix(s: &str) -> Option<(f64, &str)> {
    let bytes = s.as_bytes();
    let mut i = usize::from(bytes.first().is_some_and(|b| matches!(b, b'+' | b'-')));
    let letters = bytes[i..]
        .iter()
        .take_while(|b| b.is_ascii_alphabetic())
        .count();
    if letters > 0 {
        let end = i + letters;
        return Some((float::parse_number(&s[..end])?, &s[end..]));
    }
    while let Some(b) = bytes.get(i) {
        let exponent_sign =
            matches!(b, b'+' | b'-') && matches!(bytes.get(i.wrapping_sub(1)), Some(b'e' | b'E'));
        if b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'e' | b'E') || exponent_sign {
            i += 1;
        } else {
            break;
        }
    }
    Some((float::parse_number(&s[..i])?, &s[i..]))
}

fn push_histograms(item: &str, out: &mut Vec<SequenceValue>) -> Result<(), String> {
    let (first, hint_first, rest) = histogram(item)?;
    if rest.is_empty() {
        out.push(SequenceValue::Histogram(Box::new(first), hint_first));
        return Ok(());
    }
    if let Some(n) = rest.strip_prefix('x') {
        let v = SequenceValue::Histogram(Box::new(first), hint_first);
        out.extend(std::iter::repeat_n(v, repeat_count(n)? + 1));
        return Ok(());
    }
    let subtract = match rest.as_bytes().first() {
        Some(b'+') => false,
        Some(b'-') => true,
        _ => return Err(bad(item)),
    };
    let (step, hint_step, rest) = histogram(&rest[1..])?;
    let n = repeat_count(rest.strip_prefix('x').ok_or_else(|| bad(item))?)?;
    let mut current = first;
    for i in 0..=n {
        out.push(SequenceValue::Histogram(
            Box::new(current.clone()),
            hint_step,
        ));
        if i == n {
            break;
        }
        if current.schema > step.schema {
            return Err(format!(
                "error combining histograms: cannot merge from schema {} to {}",
                step.schema, current.schema
            ));
        }
        let done = if subtract {
            hist::sub(&mut current, &step)
        } else {
            hist::add(&mut current, &step)
        };
        done.map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// One `{{...}}`, whether it gave a counter reset hint, and what follows it.
fn histogram(s: &str) -> Result<(FloatHistogram, bool, &str), String> {
    let body = s.strip_prefix("{{").ok_or_else(|| bad(s))?;
    let end = body.find("}}").ok_or_else(|| bad(s))?;
    let rest = &body[end + 2..];
    let body = &body[..end];
    let mut h = FloatHistogram::default();
    let mut hint_given = false;
    let mut seen: Vec<String> = Vec::new();
    let (mut offset, mut n_offset) = (0, 0);
    let mut tail = body.trim();
    while !tail.is_empty() {
        let (key, after) = tail
            .split_once(':')
            .ok_or_else(|| format!("missing `:` for histogram descriptor in {body:?}"))?;
        let key = key.to_ascii_lowercase();
        if seen.contains(&key) {
            return Err(format!("duplicate key \"{key}\" in histogram"));
        }
        let len = if after.starts_with('[') {
            after.find(']').map(|i| i + 1).ok_or_else(|| bad(after))?
        } else {
            after.find(char::is_whitespace).unwrap_or(after.len())
        };
        let (value, next) = after.split_at(len);
        tail = next.trim_start();
        match key.as_str() {
            "schema" => h.schema = integer(value)?,
            "count" => h.count = number(value)?,
            "sum" => h.sum = number(value)?,
            "z_bucket" => h.zero_count = number(value)?,
            "z_bucket_w" => h.zero_threshold = number(value)?,
            "buckets" => h.positive = list(value)?,
            "n_buckets" => h.negative = list(value)?,
            "custom_values" => h.custom_values = list(value)?,
            "offset" => offset = integer(value)?,
            "n_offset" => n_offset = integer(value)?,
            "counter_reset_hint" => {
                hint_given = true;
                h.hint = match value.to_ascii_lowercase().as_str() {
                    "unknown" => CounterResetHint::Unknown,
                    "reset" => CounterResetHint::Reset,
                    "not_reset" => CounterResetHint::NotReset,
                    "gauge" => CounterResetHint::Gauge,
                    _ => return Err(format!("bad histogram descriptor found: {value:?}")),
                };
            }
            _ => return Err(format!("bad histogram descriptor found: {key:?}")),
        }
        seen.push(key);
    }
    let span = |offset: i32, n: usize| {
        let length = u32::try_from(n).unwrap_or(u32::MAX);
        if n == 0 {
            Vec::new()
        } else {
            vec![BucketSpan { offset, length }]
        }
    };
    h.positive_spans = span(offset, h.positive.len());
    h.negative_spans = span(n_offset, h.negative.len());
    Ok((h, hint_given, rest))
}

fn integer(s: &str) -> Result<i32, String> {
    s.parse().map_err(|_| bad(s))
}

fn number(s: &str) -> Result<f64, String> {
    float::parse_number(s).ok_or_else(|| bad(s))
}

fn list(s: &str) -> Result<Vec<f64>, String> {
    let inner = s
        .strip_prefix('[')
        .and_then(|s| s.strip_suffix(']'))
        .ok_or_else(|| bad(s))?;
    let values: Vec<f64> = inner
        .split_whitespace()
        .map(number)
        .collect::<Result<_, _>>()?;
    if values.is_empty() {
        Err(bad(s))
    } else {
        Ok(values)
    }
}
