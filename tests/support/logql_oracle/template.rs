//! The part of the template language that generated queries use: fields, literals, pipes, calls in
//! parentheses, `if`/`else`.

use std::collections::BTreeMap;

use super::with_pattern;

pub enum Failure {
    /// The template fails.
    Error,
    /// There is more than one right answer.
    Open,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Int(i64),
    Bool(bool),
}

use Value::{Bool, Int, Text};

impl Value {
    fn text(&self) -> String {
        match self {
            Text(s) => s.clone(),
            Int(n) => n.to_string(),
            Bool(b) => b.to_string(),
        }
    }

    fn truth(&self) -> bool {
        match self {
            Text(s) => !s.is_empty(),
            Int(n) => *n != 0,
            Bool(b) => *b,
        }
    }

    /// As the number functions convert.
    fn int(&self) -> Result<i64, Failure> {
        match self {
            Int(n) => Ok(*n),
            Bool(b) => Ok(i64::from(*b)),
            Text(s) => {
                let digits = s.strip_prefix('-').unwrap_or(s);
                let plain = !digits.is_empty()
                    && digits.len() < 15
                    && digits.bytes().all(|b| b.is_ascii_digit());
                if plain && (digits.len() == 1 || !digits.starts_with('0')) {
                    return Ok(s.parse().expect("a number"));
                }
                // How other spellings of numbers are read is not written down.
                let odd = s.bytes().any(|b| b.is_ascii_digit());
                if odd { Err(Failure::Open) } else { Ok(0) }
            }
        }
    }
}

pub fn execute(
    template: &str,
    labels: &BTreeMap<String, String>,
    time: i64,
    line: &str,
) -> Result<String, Failure> {
    let mut x = Run {
        labels,
        time,
        line,
        out: String::new(),
    };
    x.block(template, true)?;
    Ok(x.out)
}

struct Run<'r> {
    labels: &'r BTreeMap<String, String>,
    time: i64,
    line: &'r str,
    out: String,
}

impl Run<'_> {
    /// Writes up to the `else` or `end` that closes the block, when `on`; gives what follows it.
    fn block<'t>(&mut self, mut rest: &'t str, on: bool) -> Result<(&'t str, &'t str), Failure> {
        while let Some((before, after)) = rest.split_once("{{") {
            if on {
                self.out.push_str(before);
            }
            let (action, after) = after.split_once("}}").expect("a closed action");
            rest = after;
            let action = action.trim();
            if action == "else" || action == "end" {
                return Ok((action, rest));
            }
            if let Some(test) = action.strip_prefix("if ") {
                let holds = on && self.pipe(&mut tokens(test).into_iter().peekable())?.truth();
                let (end, mut after) = self.block(rest, on && holds)?;
                if end == "else" {
                    after = self.block(after, on && !holds)?.1;
                }
                rest = after;
            } else if on {
                let v = self.pipe(&mut tokens(action).into_iter().peekable())?;
                self.out.push_str(&v.text());
            }
        }
        if on {
            self.out.push_str(rest);
        }
        Ok(("", ""))
    }

    fn pipe(&self, t: &mut Tokens) -> Result<Value, Failure> {
        let mut value = None;
        loop {
            let mut args = Vec::new();
            let mut name = None;
            while let Some(token) = t.next_if(|t| t != "|" && t != ")") {
                let first = name.is_none() && args.is_empty();
                if token == "(" {
                    args.push(self.pipe(t)?);
                    t.next();
                } else if let Some(field) = token.strip_prefix('.') {
                    args.push(Text(self.labels.get(field).cloned().unwrap_or_default()));
                } else if let Some(text) = token.strip_prefix('"') {
                    args.push(Text(text.to_owned()));
                } else if let Ok(n) = token.parse::<i64>() {
                    args.push(Int(n));
                } else if first {
                    name = Some(token);
                } else {
                    args.push(self.call(&token, &[])?);
                }
            }
            args.extend(value.take());
            let v = match name {
                Some(f) => self.call(&f, &args)?,
                None => args.pop().expect("a value"),
            };
            match t.peek().map(String::as_str) {
                Some("|") => {
                    t.next();
                    value = Some(v);
                }
                _ => return Ok(v),
            }
        }
    }

    fn call(&self, name: &str, a: &[Value]) -> Result<Value, Failure> {
        let s = |i: usize| -> String { a[i].text() };
        let n = |i: usize| a[i].int();
        let ints = || a.iter().map(Value::int).collect::<Result<Vec<i64>, _>>();
        Ok(match name {
            "__line__" => Text(self.line.to_owned()),
            "__timestamp__" => Int(self.time),
            "unixEpoch" => Text((n(0)?.div_euclid(1_000_000_000)).to_string()),
            "unixEpochMillis" => Text((n(0)?.div_euclid(1_000_000)).to_string()),
            "unixEpochNanos" => Text(n(0)?.to_string()),
            "lower" | "ToLower" => Text(s(0).to_lowercase()),
            "upper" | "ToUpper" => Text(s(0).to_uppercase()),
            "trim" | "TrimSpace" => Text(s(0).trim().to_owned()),
            "trimAll" => Text(s(1).trim_matches(|c| s(0).contains(c)).to_owned()),
            "Trim" => Text(s(0).trim_matches(|c| s(1).contains(c)).to_owned()),
            "TrimLeft" => Text(s(0).trim_start_matches(|c| s(1).contains(c)).to_owned()),
            "TrimRight" => Text(s(0).trim_end_matches(|c| s(1).contains(c)).to_owned()),
            "trimPrefix" => Text(s(1).strip_prefix(&s(0)).unwrap_or(&s(1)).to_owned()),
            "trimSuffix" => Text(s(1).strip_suffix(&s(0)).unwrap_or(&s(1)).to_owned()),
            "TrimPrefix" => Text(s(0).strip_prefix(&s(1)).unwrap_or(&s(0)).to_owned()),
            "TrimSuffix" => Text(s(0).strip_suffix(&s(1)).unwrap_or(&s(0)).to_owned()),
            "replace" => Text(s(2).split(&s(0)).collect::<Vec<_>>().join(&s(1))),
            "Replace" => {
                let (text, old, new) = (s(0), s(1), s(2));
                Text(match n(3)? {
                    -1 => text.replace(&old, &new),
                    k => text.replacen(&old, &new, k as usize),
                })
            }
            "repeat" => Text((0..n(0)?).map(|_| s(1)).collect()),
            "indent" | "nindent" => {
                let pad = " ".repeat(n(0)? as usize);
                let body = format!("{pad}{}", s(1).replace('\n', &format!("\n{pad}")));
                Text(if name == "indent" {
                    body
                } else {
                    format!("\n{body}")
                })
            }
            "trunc" => {
                let (n, text) = (n(0)?, s(1));
                let len = text.len() as i64;
                if n < 0 && len + n > 0 {
                    cut(&text, len + n, len)?
                } else if n >= 0 && len > n {
                    cut(&text, 0, n)?
                } else {
                    Text(text)
                }
            }
            "substr" => {
                let (from, to, text) = (n(0)?, n(1)?, s(2));
                let len = text.len() as i64;
                if from < 0 {
                    cut(&text, 0, to)?
                } else if to < 0 || to > len {
                    cut(&text, from, len)?
                } else {
                    cut(&text, from, to)?
                }
            }
            "alignLeft" | "alignRight" => {
                let chars: Vec<char> = s(1).chars().collect();
                let (n, len) = (n(0)? as usize, chars.len());
                let pad = " ".repeat(n.saturating_sub(len));
                Text(if name == "alignLeft" {
                    chars.into_iter().take(n).collect::<String>() + &pad
                } else {
                    pad + &chars
                        .into_iter()
                        .skip(len.saturating_sub(n))
                        .collect::<String>()
                })
            }
            "contains" => Bool(s(1).contains(&s(0))),
            "hasPrefix" => Bool(s(1).starts_with(&s(0))),
            "hasSuffix" => Bool(s(1).ends_with(&s(0))),
            "default" => a[usize::from(a[1].truth())].clone(),
            "count" => {
                let n = with_pattern(&s(0), |r| r.find_iter(&s(1)).count());
                Int(n.ok_or(Failure::Error)? as i64)
            }
            "regexReplaceAll" => {
                let out = with_pattern(&s(0), |r| r.replace_all(&s(1), s(2).as_str()).into_owned());
                Text(out.ok_or(Failure::Error)?)
            }
            "regexReplaceAllLiteral" => {
                let by = s(2);
                let literal = regex::NoExpand(&by);
                let out = with_pattern(&s(0), |r| r.replace_all(&s(1), literal).into_owned());
                Text(out.ok_or(Failure::Error)?)
            }
            "urlencode" => Text(
                s(0).bytes()
                    .map(|b| match b {
                        b' ' => "+".to_owned(),
                        b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => {
                            char::from(b).to_string()
                        }
                        b => format!("%{b:02X}"),
                    })
                    .collect(),
            ),
            "b64enc" => Text(base64(s(0).as_bytes())),
            "int" => Int(n(0)?),
            "add" => Int(ints()?.iter().sum()),
            "sub" => Int(n(0)? - n(1)?),
            "mul" => Int(ints()?.iter().product()),
            "div" => Int(n(0)?.checked_div(n(1)?).ok_or(Failure::Error)?),
            "mod" => Int(n(0)?.checked_rem(n(1)?).ok_or(Failure::Error)?),
            "max" => Int(ints()?.into_iter().max().expect("a number")),
            "min" => Int(ints()?.into_iter().min().expect("a number")),
            "len" => Int(s(0).len() as i64),
            "eq" => Bool(s(0) == s(1)),
            "ne" => Bool(s(0) != s(1)),
            "lt" => Bool(s(0) < s(1)),
            "gt" => Bool(s(0) > s(1)),
            "not" => Bool(!a[0].truth()),
            "and" => a[usize::from(a[0].truth())].clone(),
            "or" => a[usize::from(!a[0].truth())].clone(),
            "printf" => {
                let mut parts = a[1..].iter();
                let mut out = String::new();
                for (i, piece) in s(0).split('%').enumerate() {
                    if i == 0 {
                        out.push_str(piece);
                        continue;
                    }
                    let v = parts.next().expect("an argument").text();
                    match piece.as_bytes()[0] {
                        b'q' => out.push_str(&quoted(&v)?),
                        _ => out.push_str(&v),
                    }
                    out.push_str(&piece[1..]);
                }
                Text(out)
            }
            other => panic!("the oracle does not know {other}"),
        })
    }
}

/// A quoted text, where that needs no table of printable characters.
fn quoted(s: &str) -> Result<String, Failure> {
    if !s.chars().all(|c| (' '..='~').contains(&c)) {
        return Err(Failure::Open);
    }
    Ok(format!(
        "\"{}\"",
        s.replace('\\', "\\\\").replace('"', "\\\"")
    ))
}

/// Bytes `from..to`; a template fails where there are none. Cutting a character in two has no
/// answer that JSON could carry.
fn cut(s: &str, from: i64, to: i64) -> Result<Value, Failure> {
    if from > to || to > s.len() as i64 {
        return Err(Failure::Error);
    }
    let part = s.get(from as usize..to as usize);
    part.map(|p| Text(p.to_owned())).ok_or(Failure::Open)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let n = (0..3).fold(0u32, |n, i| {
            n << 8 | u32::from(three.get(i).copied().unwrap_or(0))
        });
        for i in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= three.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    out
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<String>>;

/// Words, pipes, parentheses; quoted texts keep their opening quote.
fn tokens(action: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut c = action.chars().peekable();
    while let Some(first) = c.next() {
        match first {
            ' ' => {}
            '|' | '(' | ')' => out.push(first.to_string()),
            '"' => {
                let mut text = "\"".to_owned();
                while let Some(next) = c.next() {
                    match next {
                        '"' => break,
                        '\\' => text.extend(c.next()),
                        next => text.push(next),
                    }
                }
                out.push(text);
            }
            _ => {
                let mut word = first.to_string();
                while let Some(next) = c.next_if(|n| !" |()".contains(*n)) {
                    word.push(next);
                }
                out.push(word);
            }
        }
    }
    out
}
