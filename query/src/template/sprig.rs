//! Functions of templates that the sprig library gives to Go programs, beyond those that
//! [`crate::logql`] has under the same names.
//!
//! Facts: <https://masterminds.github.io/sprig/>. Left out is what reads the environment, makes
//! keys or asks the network: lines decide what templates do.

use std::sync::Arc;

use base64::Engine as _;

use super::{Function, Kind, Map, Value, family, json};
use crate::regex::GoRegex;
use crate::text::quote::quote;

/// Longest list that a function makes.
const LIST_MAX: usize = 10_000;

const T: Kind = Kind::Text;
const I: Kind = Kind::Int;
const A: Kind = Kind::Any;

fn text(a: &[Value], i: usize) -> &str {
    a.get(i).and_then(Value::as_text).unwrap_or("")
}

fn int(a: &[Value], i: usize) -> i64 {
    a.get(i).and_then(Value::as_int).unwrap_or(0)
}

fn any(a: &[Value], i: usize) -> Value {
    a.get(i).cloned().unwrap_or_default()
}

fn list(v: &Value) -> &[Value] {
    match v.base() {
        Value::List(l) | Value::Texts(l) => l,
        _ => &[],
    }
}

fn items(a: &[Value], i: usize) -> &[Value] {
    a.get(i).map_or(&[], list)
}

fn regex(pattern: &str) -> Result<GoRegex, String> {
    GoRegex::new(pattern).map_err(|e| e.to_string())
}

/// The text of any value, as sprig's `toString` gives it.
fn shown(v: &Value) -> String {
    v.text()
}

fn to_int(v: &Value) -> i64 {
    match v.base() {
        Value::Float(f) => *f as i64,
        Value::Bool(b) => i64::from(*b),
        Value::Text(t) => t.trim().parse().unwrap_or(0),
        v => v.as_int().unwrap_or(0),
    }
}

fn pieces(separator: &str, s: &str, n: Option<usize>) -> Vec<Value> {
    match n {
        Some(n) => s.splitn(n.max(1), separator).map(Value::from).collect(),
        None if separator.is_empty() => s.chars().map(|c| Value::from(c.to_string())).collect(),
        None => s.split(separator).map(Value::from).collect(),
    }
}

/// `_0`, `_1`, ... to the pieces.
fn numbered(pieces: Vec<Value>) -> Value {
    let entries = pieces.into_iter().enumerate();
    Value::Map(Arc::new(Map {
        entries: entries.map(|(i, v)| (format!("_{i}").into(), v)).collect(),
        texts: true,
    }))
}

fn dict(a: &[Value]) -> Value {
    let pairs = a.chunks(2);
    let entries = pairs.map(|p| {
        let key = p.first().map(shown).unwrap_or_default();
        (key.into(), p.get(1).cloned().unwrap_or_else(|| "".into()))
    });
    Value::Map(Arc::new(Map {
        entries: entries.collect(),
        texts: false,
    }))
}

fn entries(a: &[Value], i: usize) -> Map {
    match a.get(i).map(Value::base) {
        Some(Value::Map(m)) => m.as_ref().clone(),
        _ => Map::default(),
    }
}

fn same(a: &Value, b: &Value) -> bool {
    a.type_name() == b.type_name() && a.text() == b.text()
}

fn words(s: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut small_before = false;
    for c in s.chars() {
        if !c.is_alphanumeric() {
            out.push(String::new());
            small_before = false;
            continue;
        }
        if out.is_empty() || (c.is_uppercase() && small_before) {
            out.push(String::new());
        }
        if let Some(w) = out.last_mut() {
            w.push(c);
        }
        small_before = !c.is_uppercase();
    }
    out.retain(|w| !w.is_empty());
    out
}

fn joined(words: &[String], by: &str) -> Value {
    let low: Vec<String> = words.iter().map(|w| family::lower(w)).collect();
    low.join(by).into()
}

fn cut(s: &str, len: i64, from_end: bool) -> String {
    let n = usize::try_from(len).unwrap_or(0);
    let all: Vec<char> = s.chars().collect();
    let start = if from_end {
        all.len().saturating_sub(n)
    } else {
        0
    };
    all.iter().skip(start).take(n).collect()
}

fn until(start: i64, stop: i64, step: i64) -> Value {
    let mut out = Vec::new();
    let mut i = start;
    while step != 0 && out.len() < LIST_MAX && ((step > 0 && i < stop) || (step < 0 && i > stop)) {
        out.push(Value::Int(i));
        i = i.saturating_add(step);
    }
    out.into()
}

fn kind_of(v: &Value) -> &'static str {
    match v.base() {
        Value::Nil => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Int64(_) | Value::Duration(_) => "int64",
        Value::Float(_) => "float64",
        Value::Text(_) | Value::Safe(_) | Value::SafeUrl(_) => "string",
        Value::List(_) | Value::Texts(_) => "slice",
        Value::Map(_) => "map",
        Value::Time(_) | Value::Object(_) => "struct",
    }
}

/// The table.
pub const TABLE: &[Function] = &[
    Function::pure("untitle", &[T], |a| {
        let mut chars = text(a, 0).chars();
        let first = chars.next().map(|c| family::lower(&c.to_string()));
        Ok((first.unwrap_or_default() + chars.as_str()).into())
    }),
    Function::pure("nospace", &[T], |a| {
        let kept = text(a, 0).chars().filter(|c| !c.is_whitespace());
        Ok(kept.collect::<String>().into())
    }),
    Function::pure("initials", &[T], |a| {
        let each = text(a, 0)
            .split_whitespace()
            .filter_map(|w| w.chars().next());
        Ok(each.collect::<String>().into())
    }),
    Function::pure("swapcase", &[T], |a| {
        let each = text(a, 0).chars().map(|c| {
            let one = c.to_string();
            if c.is_uppercase() {
                family::lower(&one)
            } else {
                family::upper(&one)
            }
        });
        Ok(each.collect::<String>().into())
    }),
    Function::pure("snakecase", &[T], |a| Ok(joined(&words(text(a, 0)), "_"))),
    Function::pure("kebabcase", &[T], |a| Ok(joined(&words(text(a, 0)), "-"))),
    Function::pure("camelcase", &[T], |a| {
        let each = words(text(a, 0))
            .into_iter()
            .map(|w| family::title(&family::lower(&w)));
        Ok(each.collect::<String>().into())
    }),
    Function::pure("abbrev", &[I, T], |a| {
        let (n, s) = (int(a, 0), text(a, 1));
        if n < 4 || s.chars().count() as i64 <= n {
            return Ok(s.into());
        }
        Ok((cut(s, n - 3, false) + "...").into())
    }),
    Function::pure("cat", &[], |a| {
        let each: Vec<String> = a
            .iter()
            .filter(|v| !matches!(v, Value::Nil))
            .map(shown)
            .collect();
        Ok(each.join(" ").into())
    })
    .with_rest(A),
    Function::pure("quote", &[], |a| {
        let each: Vec<String> = a.iter().map(|v| quote(&shown(v))).collect();
        Ok(each.join(" ").into())
    })
    .with_rest(A),
    Function::pure("squote", &[], |a| {
        let each: Vec<String> = a.iter().map(|v| format!("'{}'", shown(v))).collect();
        Ok(each.join(" ").into())
    })
    .with_rest(A),
    Function::pure("plural", &[T, T, I], |a| {
        Ok(text(a, usize::from(int(a, 2) != 1)).into())
    }),
    Function::pure("toString", &[A], |a| Ok(shown(&any(a, 0)).into())),
    Function::pure("toStrings", &[A], |a| {
        Ok(Value::list_of_texts(items(a, 0).iter().map(shown)))
    }),
    Function::pure("atoi", &[T], |a| {
        Ok(Value::Int(text(a, 0).parse().unwrap_or(0)))
    }),
    Function::pure("int64", &[A], |a| Ok(Value::Int64(to_int(&any(a, 0))))),
    Function::pure("add1", &[A], |a| {
        Ok(Value::Int64(to_int(&any(a, 0)).wrapping_add(1)))
    }),
    Function::pure("until", &[I], |a| {
        let n = int(a, 0);
        Ok(until(0, n, n.signum()))
    }),
    Function::pure("untilStep", &[I, I, I], |a| {
        Ok(until(int(a, 0), int(a, 1), int(a, 2)))
    }),
    Function::pure("split", &[T, T], |a| {
        Ok(numbered(pieces(text(a, 0), text(a, 1), None)))
    }),
    Function::pure("splitn", &[T, I, T], |a| {
        let n = usize::try_from(int(a, 1)).ok();
        Ok(numbered(pieces(text(a, 0), text(a, 2), n)))
    }),
    Function::pure("splitList", &[T, T], |a| {
        Ok(Value::Texts(Arc::new(pieces(text(a, 0), text(a, 1), None))))
    }),
    Function::pure("join", &[T, A], |a| {
        let each: Vec<String> = items(a, 1).iter().map(shown).collect();
        Ok(each.join(text(a, 0)).into())
    }),
    Function::pure("sortAlpha", &[A], |a| {
        let mut each: Vec<String> = items(a, 0).iter().map(shown).collect();
        each.sort();
        Ok(Value::list_of_texts(each))
    }),
    Function::pure("list", &[], |a| Ok(a.to_vec().into())).with_rest(A),
    Function::pure("first", &[A], |a| {
        Ok(items(a, 0).first().cloned().unwrap_or_default())
    }),
    Function::pure("last", &[A], |a| {
        Ok(items(a, 0).last().cloned().unwrap_or_default())
    }),
    Function::pure("rest", &[A], |a| {
        Ok(items(a, 0)
            .iter()
            .skip(1)
            .cloned()
            .collect::<Vec<_>>()
            .into())
    }),
    Function::pure("initial", &[A], |a| {
        let all = items(a, 0);
        let n = all.len().saturating_sub(1);
        Ok(all.iter().take(n).cloned().collect::<Vec<_>>().into())
    }),
    Function::pure("append", &[A, A], |a| {
        let mut out = items(a, 0).to_vec();
        out.push(any(a, 1));
        Ok(out.into())
    }),
    Function::pure("prepend", &[A, A], |a| {
        let mut out = vec![any(a, 1)];
        out.extend_from_slice(items(a, 0));
        Ok(out.into())
    }),
    Function::pure("reverse", &[A], |a| {
        Ok(items(a, 0).iter().rev().cloned().collect::<Vec<_>>().into())
    }),
    Function::pure("compact", &[A], |a| {
        let kept = items(a, 0).iter().filter(|v| v.truth());
        Ok(kept.cloned().collect::<Vec<_>>().into())
    }),
    Function::pure("uniq", &[A], |a| {
        let mut out: Vec<Value> = Vec::new();
        for v in items(a, 0).iter().take(LIST_MAX) {
            if !out.iter().any(|o| same(o, v)) {
                out.push(v.clone());
            }
        }
        Ok(out.into())
    }),
    Function::pure("has", &[A, A], |a| {
        let what = any(a, 0);
        Ok(items(a, 1).iter().any(|v| same(v, &what)).into())
    }),
    Function::pure("dict", &[], |a| Ok(dict(a))).with_rest(A),
    Function::pure("get", &[A, T], |a| {
        let m = entries(a, 0);
        Ok(m.entries
            .get(text(a, 1))
            .cloned()
            .unwrap_or_else(|| "".into()))
    }),
    Function::pure("hasKey", &[A, T], |a| {
        Ok(entries(a, 0).entries.contains_key(text(a, 1)).into())
    }),
    Function::pure("keys", &[A], |a| {
        Ok(Value::list_of_texts(entries(a, 0).entries.into_keys()))
    }),
    Function::pure("values", &[A], |a| {
        Ok(entries(a, 0)
            .entries
            .into_values()
            .collect::<Vec<_>>()
            .into())
    }),
    Function::pure("empty", &[A], |a| Ok((!any(a, 0).truth()).into())),
    Function::pure("coalesce", &[], |a| {
        Ok(a.iter().find(|v| v.truth()).cloned().unwrap_or_default())
    })
    .with_rest(A),
    Function::pure("ternary", &[A, A, Kind::Bool], |a| {
        Ok(any(a, usize::from(!any(a, 2).truth())))
    }),
    Function::pure("all", &[], |a| Ok(a.iter().all(Value::truth).into())).with_rest(A),
    Function::pure("any", &[], |a| Ok(a.iter().any(Value::truth).into())).with_rest(A),
    Function::pure("fail", &[T], |a| Err(text(a, 0).to_owned())),
    Function::pure("kindOf", &[A], |a| Ok(kind_of(&any(a, 0)).into())),
    Function::pure("kindIs", &[T, A], |a| {
        Ok((text(a, 0) == kind_of(&any(a, 1))).into())
    }),
    Function::pure("typeOf", &[A], |a| Ok(any(a, 0).type_name().into())),
    Function::pure("toJson", &[A], |a| Ok(json::text(&any(a, 0)).into())),
    Function::pure("regexMatch", &[T, T], |a| {
        Ok(regex(text(a, 0))?.is_match(text(a, 1)).into())
    }),
    Function::pure("regexFind", &[T, T], |a| {
        let re = regex(text(a, 0))?;
        let found = re.find_submatch(text(a, 1));
        Ok(found.and_then(|c| c.get(0)).unwrap_or("").into())
    }),
    Function::pure("regexFindAll", &[T, T, I], |a| {
        let re = regex(text(a, 0))?;
        let n = usize::try_from(int(a, 2)).unwrap_or(LIST_MAX);
        let found = re.find_all(text(a, 1)).take(n.min(LIST_MAX));
        let each: Vec<&str> = found.filter_map(|c| c.get(0)).collect();
        Ok(Value::list_of_texts(each))
    }),
    Function::pure("regexSplit", &[T, T, I], |a| {
        let (re, s) = (regex(text(a, 0))?, text(a, 1));
        let n = usize::try_from(int(a, 2)).unwrap_or(LIST_MAX).min(LIST_MAX);
        let (mut out, mut done) = (Vec::new(), 0);
        for c in re.find_all(s).take(n.saturating_sub(1)) {
            out.push(s.get(done..c.range().start).unwrap_or(""));
            done = c.range().end;
        }
        out.push(s.get(done..).unwrap_or(""));
        Ok(Value::list_of_texts(out))
    }),
    Function::pure("regexQuoteMeta", &[T], |a| {
        Ok(regex::escape(text(a, 0)).into())
    }),
    Function::pure("b32enc", &[T], |a| Ok(base32(text(a, 0).as_bytes()).into())),
    Function::pure("b64urlenc", &[T], |a| {
        let engine = base64::engine::general_purpose::URL_SAFE;
        Ok(engine.encode(text(a, 0)).into())
    }),
    Function::pure("adler32sum", &[T], |a| {
        let (mut x, mut y) = (1u32, 0u32);
        for b in text(a, 0).bytes() {
            x = (x + u32::from(b)) % 65_521;
            y = (y + x) % 65_521;
        }
        Ok(((y << 16) | x).to_string().into())
    }),
];

/// RFC 4648 without a crate for it: five bits a letter.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut out = String::new();
    for group in bytes.chunks(5) {
        let mut five = [0u8; 8];
        five[3..3 + group.len()].copy_from_slice(group);
        let bits = u64::from_be_bytes(five);
        let letters = (group.len() * 8).div_ceil(5);
        for i in 0..8 {
            let index = usize::try_from(bits >> (35 - 5 * i) & 31).unwrap_or(0);
            out.push(if i < letters {
                char::from(LETTERS[index])
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Budget, NoHost, Template};

    fn run(t: &str) -> String {
        let t = Template::parse("t", t, &[TABLE]).unwrap();
        let mut out = String::new();
        let data = Value::texts([("a", "Hello wide World")]);
        t.execute(&data, &mut NoHost, Budget::default(), &mut out)
            .unwrap();
        out
    }

    #[test]
    fn functions_do_what_the_library_documents() {
        for (t, want) in [
            ("{{ .a | snakecase }}", "hello_wide_world"),
            ("{{ \"FooBar\" | kebabcase }}", "foo-bar"),
            ("{{ abbrev 8 .a }}", "Hello..."),
            ("{{ initials .a }}", "HwW"),
            ("{{ nospace .a }}", "HellowideWorld"),
            ("{{ splitList \" \" .a | join \"-\" }}", "Hello-wide-World"),
            ("{{ (split \" \" .a)._1 }}", "wide"),
            ("{{ list 3 1 2 | last }}", "2"),
            ("{{ ternary \"y\" \"n\" (eq 1 1) }}", "y"),
            ("{{ coalesce \"\" \"x\" }}", "x"),
            ("{{ regexFind \"w[a-z]+\" .a }}", "wide"),
            ("{{ regexFindAll \"[A-Z]\" .a -1 }}", "[H W]"),
            ("{{ quote .a }}", "\"Hello wide World\""),
            ("{{ b32enc \"hi\" }}", "NBUQ===="),
            ("{{ get (dict \"k\" \"v\") \"k\" }}", "v"),
            ("{{ untilStep 1 7 2 }}", "[1 3 5]"),
            ("{{ has 2 (list 1 2) }}", "true"),
        ] {
            assert_eq!(run(t), want, "{t}");
        }
    }
}
