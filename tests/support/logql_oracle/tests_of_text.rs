//! Line filters, label filters, and what values of labels mean.

use std::net::IpAddr;

use engine::model::MatchOp;
use query::logql::ast::{Compare, LabelFilter, LineMatch, LineOp};

use super::parsers::{Piece, pieces};
use super::{ERROR, Row, matches, with_pattern};

pub fn line(op: LineOp, any_of: &[LineMatch], row: &Row<'_>) -> bool {
    let found = any_of.iter().any(|m| one(op, m, row));
    let negative = matches!(
        op,
        LineOp::NotContains | LineOp::NotMatches | LineOp::NotPattern
    );
    found != negative
}

fn one(op: LineOp, m: &LineMatch, row: &Row<'_>) -> bool {
    match op {
        LineOp::Contains | LineOp::NotContains if m.ip => has_address(&row.line, &m.text),
        LineOp::Contains | LineOp::NotContains => {
            let (line, part) = (row.line.as_bytes(), m.text.as_bytes());
            let line = row.untouched.as_deref().unwrap_or(line);
            part.is_empty() || line.windows(part.len()).any(|w| w == part)
        }
        LineOp::Matches | LineOp::NotMatches => {
            with_pattern(&m.text, |r| r.is_match(&row.line)) == Some(true)
        }
        LineOp::Pattern | LineOp::NotPattern => follows(&row.line, &m.text),
    }
}

/// Whether a whole line follows a pattern.
fn follows(line: &str, pattern: &str) -> bool {
    let pieces = pieces(pattern);
    if pieces.is_empty() || line.is_empty() {
        return pieces.is_empty() && line.is_empty();
    }
    let mut at = 0;
    for (i, p) in pieces.iter().enumerate() {
        if let Piece::Text(t) = p {
            match line[at..].find(t.as_str()) {
                // A hole is not empty; the first text may stand anywhere.
                Some(distance) if i == 0 || distance > 0 => at += distance + t.len(),
                _ => return false,
            }
        }
    }
    let left = line.len() - at;
    match pieces.last() {
        Some(Piece::Hole(_)) => left > 0,
        _ => left == 0,
    }
}

/// First and last address of `x`: an address, a range, a network.
fn bounds(x: &str) -> (IpAddr, IpAddr) {
    let ip = |s: &str| s.parse::<IpAddr>().expect("an address");
    if let Some((a, b)) = x.split_once('-') {
        return (ip(a), ip(b));
    }
    let Some((net, bits)) = x.split_once('/') else {
        return (ip(x), ip(x));
    };
    let bits: u32 = bits.parse().expect("a number of bits");
    match ip(net) {
        IpAddr::V4(a) => {
            let host = (1u64 << (32 - bits)) - 1;
            let first = u64::from(u32::from(a)) & !host;
            let v4 = |n: u64| IpAddr::V4((n as u32).into());
            (v4(first), v4(first | host))
        }
        IpAddr::V6(a) => {
            let host = if bits == 0 {
                u128::MAX
            } else {
                (1u128 << (128 - bits)) - 1
            };
            let first = u128::from(a) & !host;
            (IpAddr::V6(first.into()), IpAddr::V6((first | host).into()))
        }
    }
}

fn has_address(text: &str, x: &str) -> bool {
    let (first, last) = bounds(x);
    let c = text.as_bytes();
    let mut i = 0;
    while i < c.len() {
        let at = |k: usize| c.get(i + k).copied().unwrap_or(b' ');
        let v4 = at(0).is_ascii_digit() && c.len() - i > 3 && (1..=3).any(|k| at(k) == b'.');
        let hex = (0..4).take_while(|k| at(*k).is_ascii_hexdigit()).count();
        let colons = at(0) == b':' && at(1) == b':' && at(2).is_ascii_hexdigit();
        let v6 = c.len() - i >= 5 && (colons || (hex > 0 && at(hex) == b':'));
        if v4 || v6 {
            let part = |b: u8| {
                let dotted = b.is_ascii_digit() || b == b'.';
                if v4 {
                    dotted
                } else {
                    dotted || b.is_ascii_hexdigit() || b == b':'
                }
            };
            let len = c[i..].iter().take_while(|b| part(**b)).count();
            let address = text[i..i + len].parse::<IpAddr>();
            if address.is_ok_and(|a| a.is_ipv4() == first.is_ipv4() && first <= a && a <= last) {
                return true;
            }
            i += len;
        }
        i += 1;
    }
    false
}

pub fn label(f: &LabelFilter, row: &mut Row<'_>) -> bool {
    match f {
        LabelFilter::Text(m) => {
            let value = match m.name.as_str() {
                ERROR => Some(row.error.as_str()),
                n => row.get(n),
            };
            match &m.op {
                MatchOp::Equal | MatchOp::NotEqual => matches(m, value),
                MatchOp::Regex(_) => found_in(&m.value, value.unwrap_or("")),
                MatchOp::NotRegex(_) => !found_in(&m.value, value.unwrap_or("")),
            }
        }
        LabelFilter::Number(name, op, want) => number_test(row, name, *op, *want, number),
        LabelFilter::Duration(name, op, want) => {
            number_test(row, name, *op, *want, |v| duration(v).map(|n| n as i64))
        }
        LabelFilter::Bytes(name, op, want) => {
            number_test(row, name, *op, *want, |v| size(v).map(|n| n as u64))
        }
        LabelFilter::Ip(name, equal, x) => {
            if !row.error.is_empty() {
                return true;
            }
            row.get(name).is_some_and(|v| has_address(v, x) == *equal)
        }
        LabelFilter::And(a, b) => {
            let (a, b) = (label(a, row), label(b, row));
            a && b
        }
        LabelFilter::Or(a, b) => label(a, row) || label(b, row),
    }
}

/// Patterns of label filters are searched for; an alternative that is a plain word is the whole
/// value (recorded behaviour, see the decision records).
fn found_in(pattern: &str, value: &str) -> bool {
    let plain = |p: &str| !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric());
    let alternatives: Vec<&str> = pattern.split('|').collect();
    if alternatives.iter().any(|p| plain(p)) && !pattern.contains(['(', '[', '^']) {
        return alternatives.iter().any(|p| {
            if plain(p) {
                *p == value
            } else {
                with_pattern(p, |r| r.is_match(value)) == Some(true)
            }
        });
    }
    with_pattern(pattern, |r| r.is_match(value)) == Some(true)
}

fn number_test<T: PartialOrd>(
    row: &mut Row<'_>,
    name: &str,
    op: Compare,
    want: T,
    read: impl Fn(&str) -> Option<T>,
) -> bool {
    if !row.error.is_empty() {
        return true;
    }
    let Some(text) = row.get(name) else {
        return false;
    };
    match read(text) {
        Some(v) => match op {
            Compare::Equal => v == want,
            Compare::NotEqual => v != want,
            Compare::Less => v < want,
            Compare::LessEqual => v <= want,
            Compare::Greater => v > want,
            Compare::GreaterEqual => v >= want,
        },
        None => {
            row.fail("LabelFilterErr", true);
            true
        }
    }
}

/// Go's float syntax, without hexadecimal digits; underscores between digits are allowed.
pub fn number(s: &str) -> Option<f64> {
    let plain = s
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b));
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let between = s
        .match_indices('_')
        .all(|(i, _)| digit(s[..i].chars().last()) && digit(s[i + 1..].chars().next()));
    s.replace('_', "").parse().ok().filter(|_| plain && between)
}

/// Go's duration syntax, in ns.
pub fn duration(s: &str) -> Option<f64> {
    let (sign, mut rest) = match s.strip_prefix('-') {
        Some(r) => (-1.0, r),
        None => (1.0, s.strip_prefix('+').unwrap_or(s)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let n: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            _ => return None,
        };
        sum += n * unit;
        rest = &rest[end..];
    }
    Some(sign * sum.round())
}

/// A size in bytes, as people write it.
pub fn size(s: &str) -> Option<f64> {
    let end = s
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
        .unwrap_or(s.len());
    let n: f64 = s[..end].replace(',', "").parse().ok()?;
    let unit = s[end..].trim().to_lowercase();
    let prefixes = ["", "k", "m", "g", "t", "p"];
    let power = |base: f64, suffixes: &[&str]| {
        prefixes.iter().enumerate().find_map(|(i, p)| {
            let is = suffixes.iter().any(|s| format!("{p}{s}") == unit)
                && (i > 0 || suffixes[0].is_empty());
            is.then(|| base.powi(i as i32))
        })
    };
    let scale = power(1000.0, &["", "b"]).or_else(|| power(1024.0, &["i", "ib"]))?;
    Some((n * scale).floor())
}
