//! Go's formatting verbs (package `fmt`).

use super::Value;
use crate::text::{float, quote};

/// Widest padding: `%999999999d` must not take memory without bound.
const WIDTH_MAX: usize = 1_000_000;

/// Values one after the other, with blanks between two that are no texts.
pub(super) fn sprint(args: &[Value]) -> String {
    let mut out = String::new();
    for (i, v) in args.iter().enumerate() {
        let texts = v.as_text().is_some() || i > 0 && args[i - 1].as_text().is_some();
        if i > 0 && !texts {
            out.push(' ');
        }
        v.write(&mut out);
    }
    out
}

/// Values with blanks between them and a line feed.
pub(super) fn sprintln(args: &[Value]) -> String {
    let texts: Vec<String> = args.iter().map(Value::text).collect();
    texts.join(" ") + "\n"
}

#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `format` with its verbs replaced by `args`.
#[must_use]
pub fn sprintf(format: &str, args: &[Value]) -> String {
    let mut out = String::with_capacity(format.len() + 16);
    let mut next = 0;
    let mut reordered = false;
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut f = Flags::default();
        while let Some(c) = rest.chars().next() {
            match c {
                '-' => f.minus = true,
                '+' => f.plus = true,
                '#' => f.sharp = true,
                ' ' => f.space = true,
                '0' => f.zero = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        reordered |= explicit_index(&mut rest, &mut next);
        f.width = size(&mut rest, args, &mut next, &mut f.minus);
        if let Some(tail) = rest.strip_prefix('.') {
            rest = tail;
            reordered |= explicit_index(&mut rest, &mut next);
            let mut ignored = false;
            f.precision = Some(size(&mut rest, args, &mut next, &mut ignored).unwrap_or(0));
        }
        reordered |= explicit_index(&mut rest, &mut next);
        let Some(verb) = rest.chars().next() else {
            out.push_str("%!(NOVERB)");
            return out;
        };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        match args.get(next) {
            Some(v) => one(&mut out, &f, verb, v),
            None => {
                out.push_str("%!");
                out.push(verb);
                out.push_str("(MISSING)");
            }
        }
        next += 1;
    }
    out.push_str(rest);
    if !reordered && next < args.len() {
        out.push_str("%!(EXTRA ");
        for (i, v) in args[next..].iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            if !matches!(v, Value::Nil) {
                out.push_str(v.type_name());
                out.push('=');
            }
            v.write(&mut out);
        }
        out.push(')');
    }
    out
}

/// `[3]`: the next argument is the third.
fn explicit_index(rest: &mut &str, next: &mut usize) -> bool {
    let Some(body) = rest.strip_prefix('[') else {
        return false;
    };
    let Some((number, tail)) = body.split_once(']') else {
        return false;
    };
    match number.parse::<usize>() {
        Ok(n) if n > 0 => {
            *next = n - 1;
            *rest = tail;
            true
        }
        _ => false,
    }
}

/// A width or precision: digits, or `*` for the next argument.
fn size(rest: &mut &str, args: &[Value], next: &mut usize, minus: &mut bool) -> Option<usize> {
    if let Some(tail) = rest.strip_prefix('*') {
        *rest = tail;
        let n = args.get(*next).and_then(Value::as_int);
        *next += 1;
        let n = n?;
        *minus |= n < 0;
        return Some(
            usize::try_from(n.unsigned_abs())
                .unwrap_or(WIDTH_MAX)
                .min(WIDTH_MAX),
        );
    }
    let len = rest.bytes().take_while(u8::is_ascii_digit).count();
    if len == 0 {
        return None;
    }
    let n = rest[..len].parse::<usize>().unwrap_or(WIDTH_MAX);
    *rest = &rest[len..];
    Some(n.min(WIDTH_MAX))
}

fn one(out: &mut String, f: &Flags, verb: char, v: &Value) {
    match (verb, v) {
        ('v', Value::Text(s)) if f.sharp => pad(out, f, &quote::quote(s)),
        ('v', Value::Float(x)) if f.precision.is_none() => {
            let text = float::general(*x);
            pad_number(out, f, &text);
        }
        ('v' | 's', Value::Text(s) | Value::Safe(s) | Value::SafeUrl(s)) => pad(out, f, cut(f, s)),
        ('v' | 'd', Value::Int(n) | Value::Int64(n)) => integer(out, f, *n, 10, false),
        ('v', Value::Float(x)) => decimal(out, f, 'g', *x),
        ('v' | 't', Value::Bool(b)) => pad(out, f, if *b { "true" } else { "false" }),
        ('v', v) => pad(out, f, &v.text()),
        ('T', v) => pad(out, f, v.type_name()),
        ('s', Value::Time(_) | Value::Duration(_) | Value::Object(_)) => {
            pad(out, f, cut(f, &v.text()));
        }
        ('q', Value::Text(s) | Value::Safe(s) | Value::SafeUrl(s)) => {
            let s = cut(f, s);
            let raw = f.sharp && !s.contains(['`', '\n']);
            let quoted = if raw {
                format!("`{s}`")
            } else {
                quote::quote(s)
            };
            pad(out, f, &quoted);
        }
        ('q', Value::Int(n) | Value::Int64(n)) => {
            let c = u32::try_from(*n).ok().and_then(char::from_u32);
            pad(out, f, &quote::quote_char(c.unwrap_or('\u{fffd}')));
        }
        ('x' | 'X', Value::Text(s) | Value::Safe(s) | Value::SafeUrl(s)) => {
            let mut hex = String::new();
            for (i, b) in s.bytes().enumerate() {
                if i > 0 && f.space {
                    hex.push(' ');
                }
                hex.push_str(&if verb == 'x' {
                    format!("{b:02x}")
                } else {
                    format!("{b:02X}")
                });
            }
            pad(out, f, &hex);
        }
        ('d', Value::Duration(n)) => integer(out, f, *n, 10, false),
        ('b', Value::Int(n) | Value::Int64(n)) => integer(out, f, *n, 2, false),
        ('o', Value::Int(n) | Value::Int64(n)) => integer(out, f, *n, 8, false),
        ('x', Value::Int(n) | Value::Int64(n)) => integer(out, f, *n, 16, false),
        ('X', Value::Int(n) | Value::Int64(n)) => integer(out, f, *n, 16, true),
        ('c', Value::Int(n) | Value::Int64(n)) => {
            let c = u32::try_from(*n).ok().and_then(char::from_u32);
            pad(out, f, c.unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]));
        }
        ('U', Value::Int(n) | Value::Int64(n)) => pad(out, f, &format!("U+{n:04X}")),
        ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Float(x)) => decimal(out, f, verb, *x),
        (verb, Value::List(l) | Value::Texts(l)) => {
            out.push('[');
            for (i, v) in l.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                one(out, f, verb, v);
            }
            out.push(']');
        }
        (verb, Value::Map(m)) => {
            out.push_str("map[");
            for (i, (k, v)) in m.entries.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                one(out, f, verb, &Value::Text(k.clone()));
                out.push(':');
                one(out, f, verb, v);
            }
            out.push(']');
        }
        ('d' | 'x' | 'X' | 'b' | 'o', v) if v.as_int().is_some() => one(out, f, verb, v.base()),
        (verb, v) => {
            out.push_str("%!");
            out.push(verb);
            out.push('(');
            if !matches!(v, Value::Nil) {
                out.push_str(v.type_name());
                out.push('=');
            }
            v.write(out);
            out.push(')');
        }
    }
}

/// The precision of a text: that many characters.
fn cut<'s>(f: &Flags, s: &'s str) -> &'s str {
    let end = f
        .precision
        .and_then(|p| s.char_indices().nth(p))
        .map_or(s.len(), |(i, _)| i);
    &s[..end]
}

fn pad(out: &mut String, f: &Flags, s: &str) {
    let missing = f.width.unwrap_or(0).saturating_sub(s.chars().count());
    if !f.minus {
        let fill = if f.zero { '0' } else { ' ' };
        out.extend(std::iter::repeat_n(fill, missing));
    }
    out.push_str(s);
    if f.minus {
        out.extend(std::iter::repeat_n(' ', missing));
    }
}

/// A number with its sign: zeros go between the two.
fn pad_number(out: &mut String, f: &Flags, s: &str) {
    let (sign, digits) = match s.as_bytes().first() {
        Some(b'-') => ("-", &s[1..]),
        Some(b'+') if !f.plus => ("", if s == "+Inf" { s } else { &s[1..] }),
        Some(b'+') => ("+", &s[1..]),
        _ if f.plus => ("+", s),
        _ if f.space => (" ", s),
        _ => ("", s),
    };
    let missing = f
        .width
        .unwrap_or(0)
        .saturating_sub(sign.len() + digits.len());
    let finite = !digits.ends_with(['f', 'N']);
    if f.zero && !f.minus && finite {
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
        return;
    }
    if !f.minus {
        out.extend(std::iter::repeat_n(' ', missing));
    }
    out.push_str(sign);
    out.push_str(digits);
    if f.minus {
        out.extend(std::iter::repeat_n(' ', missing));
    }
}

fn integer(out: &mut String, f: &Flags, n: i64, base: u32, upper: bool) {
    let abs = n.unsigned_abs();
    let mut digits = match base {
        2 => format!("{abs:b}"),
        8 => format!("{abs:o}"),
        16 if upper => format!("{abs:X}"),
        16 => format!("{abs:x}"),
        _ => abs.to_string(),
    };
    if let Some(p) = f.precision {
        let missing = p.saturating_sub(digits.len());
        digits.insert_str(0, &"0".repeat(missing));
    }
    if f.sharp {
        digits.insert_str(
            0,
            match (base, upper) {
                (16, true) => "0X",
                (16, false) => "0x",
                (8, _) => "0",
                _ => "",
            },
        );
    }
    let sign = if n < 0 { "-" } else { "" };
    let zero = f.zero && f.precision.is_none();
    pad_number(
        out,
        &Flags {
            zero,
            width: f.width,
            ..Flags {
                minus: f.minus,
                plus: f.plus,
                space: f.space,
                ..Flags::default()
            }
        },
        &format!("{sign}{digits}"),
    );
}

fn decimal(out: &mut String, f: &Flags, verb: char, x: f64) {
    if !x.is_finite() {
        return pad_number(out, f, &float::general(x));
    }
    let text = match (verb, f.precision) {
        ('f' | 'F', p) => format!("{x:.*}", p.unwrap_or(6).min(500)),
        ('e' | 'E', p) => exponent(x, p.unwrap_or(6).min(500)),
        (_, None) => float::general(x),
        (_, Some(p)) => float::general_rounded(x, p),
    };
    let text = if verb.is_ascii_uppercase() && verb != 'F' {
        text.to_uppercase()
    } else {
        text
    };
    pad_number(out, f, &text);
}

/// `1.5e+06`.
fn exponent(x: f64, precision: usize) -> String {
    let text = format!("{x:.precision$e}");
    let (mantissa, exp) = text.split_once('e').unwrap_or((&text, "0"));
    let exp: i32 = exp.parse().unwrap_or(0);
    let sign = if exp < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exp.unsigned_abs())
}
