//! Functions of the templates of stages, beyond those that queries have: hashes, and the rest of
//! the sprig library.
//!
//! Owns: what they do. Facts: <https://masterminds.github.io/sprig/>.
//! Knows nothing of: entries. Left out is what reads the environment, asks the network or makes
//! keys: lines decide what templates do. Values do not change, so neither `set` nor `merge` is here.

use std::path::{Component, Path};
use std::sync::{Arc, LazyLock};

use exporters::logs::chance::Chance;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use query::logql::stages::FUNCTIONS;
use query::template::{Function, Kind, Map, Value, json, sprig};
use query::text::{go_duration, layout};
use sha2::Digest as _;

/// Longest list or text that a function makes.
const MADE_MAX: i64 = 10_000;

const T: Kind = Kind::Text;
const I: Kind = Kind::Int;
const A: Kind = Kind::Any;

/// Other names of functions. Those that begin with `must` fail in Go where the others give nothing;
/// here both leave the value as it is.
const ALIASES: [(&str, &str); 22] = [
    ("biggest", "max"),
    ("mustAppend", "append"),
    ("mustCompact", "compact"),
    ("mustFirst", "first"),
    ("mustFromJson", "fromJson"),
    ("mustHas", "has"),
    ("mustInitial", "initial"),
    ("mustLast", "last"),
    ("mustPrepend", "prepend"),
    ("mustPush", "append"),
    ("mustRegexFind", "regexFind"),
    ("mustRegexFindAll", "regexFindAll"),
    ("mustRegexMatch", "regexMatch"),
    ("mustRegexReplaceAll", "regexReplaceAll"),
    ("mustRegexReplaceAllLiteral", "regexReplaceAllLiteral"),
    ("mustRegexSplit", "regexSplit"),
    ("mustRest", "rest"),
    ("mustReverse", "reverse"),
    ("mustToJson", "toJson"),
    ("mustUniq", "uniq"),
    ("push", "append"),
    ("tuple", "list"),
];

static ALIASED: LazyLock<Vec<Function>> = LazyLock::new(|| {
    let all = || FUNCTIONS.iter().chain(sprig::TABLE);
    let alias = |(name, of): &(&'static str, &str)| {
        let found = all().find(|f| f.name == *of)?;
        Some(Function { name, ..*found })
    };
    ALIASES.iter().filter_map(alias).collect()
});

/// Every function of a stage's template; the first of a name counts.
pub(super) fn tables() -> [&'static [Function]; 4] {
    [OWN, FUNCTIONS, sprig::TABLE, ALIASED.as_slice()]
}

fn text(a: &[Value], i: usize) -> &str {
    a.get(i).and_then(Value::as_text).unwrap_or("")
}

fn int(a: &[Value], i: usize) -> i64 {
    a.get(i).and_then(Value::as_int).unwrap_or(0)
}

fn any(a: &[Value], i: usize) -> Value {
    a.get(i).cloned().unwrap_or_default()
}

fn hex(bytes: &[u8]) -> Value {
    let each = bytes.iter().map(|b| format!("{b:02x}"));
    each.collect::<String>().into()
}

fn items(v: Option<&Value>) -> &[Value] {
    match v.map(Value::base) {
        Some(Value::List(l) | Value::Texts(l)) => l,
        _ => &[],
    }
}

fn list(all: impl IntoIterator<Item = Value>) -> Value {
    Value::List(Arc::new(all.into_iter().collect()))
}

fn same(a: &Value, b: &Value) -> bool {
    a.type_name() == b.type_name() && a.text() == b.text()
}

/// The time that a value means: itself, seconds since 1970, or now.
fn time(v: Option<&Value>) -> Zoned {
    let zone = TimeZone::system();
    match v.map(Value::base) {
        Some(Value::Time(t)) => t.as_ref().clone(),
        Some(Value::Int(n) | Value::Int64(n)) => match Timestamp::from_second(*n) {
            Ok(t) => t.to_zoned(zone),
            Err(_) => Timestamp::UNIX_EPOCH.to_zoned(zone),
        },
        _ => Timestamp::now().to_zoned(zone),
    }
}

/// The time in a zone; one that nobody knows is UTC, as in sprig.
fn in_zone(t: &Zoned, zone: &str) -> Zoned {
    let zone = match zone {
        "Local" => TimeZone::system(),
        other => TimeZone::get(other).unwrap_or(TimeZone::UTC),
    };
    t.with_time_zone(zone)
}

fn date_in_zone(a: &[Value]) -> Result<Value, String> {
    let at = in_zone(&time(a.get(1)), text(a, 2));
    Ok(layout::format(&at, text(a, 0)).into())
}

fn modified(a: &[Value]) -> Result<Value, String> {
    let at = time(a.get(1));
    let moved = go_duration::parse(text(a, 0)).and_then(|ns| {
        let by = SignedDuration::from_nanos(ns);
        at.checked_add(by).ok()
    });
    Ok(Value::Time(Box::new(moved.unwrap_or(at))))
}

/// A text of so many letters out of `of`.
fn random(a: &[Value], of: impl Iterator<Item = u8>) -> Result<Value, String> {
    let (mut chance, of) = (Chance::default(), of.collect::<Vec<_>>());
    let pick = |_| {
        let at = (chance.share() * of.len() as f64) as usize;
        of.get(at).map_or('?', |b| char::from(*b))
    };
    Ok((0..int(a, 0).clamp(0, MADE_MAX))
        .map(pick)
        .collect::<String>()
        .into())
}

/// A path without what cancels itself out.
fn clean(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let rooted = path.starts_with('/');
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir if out.last().is_some_and(|l| *l != "..") => drop(out.pop()),
            Component::ParentDir if !rooted => out.push(".."),
            Component::Normal(n) => out.push(n.to_str().unwrap_or_default()),
            _ => {}
        }
    }
    match (rooted, out.is_empty()) {
        (true, _) => format!("/{}", out.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => out.join("/"),
    }
}

fn base(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        p => p.rsplit('/').next().unwrap_or(p),
    }
}

fn base32(text: &str) -> Option<String> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for b in text.trim_end_matches('=').bytes() {
        let five = match b {
            b'A'..=b'Z' => b - b'A',
            b'2'..=b'7' => b - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(five)) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).unwrap_or_default());
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// The map with those entries whose key is among the arguments, or is not.
fn chosen(a: &[Value], among: bool) -> Value {
    let keys: Vec<String> = a.iter().skip(1).map(Value::text).collect();
    let Some(Value::Map(m)) = a.first().map(Value::base) else {
        return Value::Nil;
    };
    let all = m.entries.iter();
    let left = all.filter(|(k, _)| keys.iter().any(|w| **w == ***k) == among);
    Value::Map(Arc::new(Map {
        entries: left.map(|(k, v)| (k.clone(), v.clone())).collect(),
        texts: m.texts,
    }))
}

/// The JSON of a value, written again by `write`.
fn rewritten(v: &Value, write: fn(&serde_json::Value) -> String) -> Value {
    let plain = json::text(v);
    let read = serde_json::from_str(&plain);
    read.map_or(plain, |v| write(&v)).into()
}

fn sequence(a: &[Value]) -> Result<Value, String> {
    let (start, step, end) = match a {
        [_] => (1, 1, int(a, 0)),
        [_, _] => (int(a, 0), 1, int(a, 1)),
        [_, _, _] => (int(a, 0), int(a, 1), int(a, 2)),
        _ => return Ok("".into()),
    };
    // Without a step of its own it counts towards the end.
    let step = if a.len() < 3 && end < start { -1 } else { step };
    let (mut out, mut at) = (Vec::new(), start);
    while step != 0 && (if step > 0 { at <= end } else { at >= end }) {
        if out.len() as i64 >= MADE_MAX {
            return Err(format!("seq makes more than {MADE_MAX} numbers"));
        }
        out.push(at.to_string());
        at = at.saturating_add(step);
    }
    Ok(out.join(" ").into())
}

/// Functions that only this language has.
const OWN: &[Function] = &[
    Function::pure("Hash", &[T, T], |a| {
        let salted = format!("{}{}", text(a, 0), text(a, 1));
        Ok(hex(&sha3::Sha3_256::digest(salted.as_bytes())))
    }),
    Function::pure("Sha2Hash", &[T, T], |a| {
        let salted = format!("{}{}", text(a, 0), text(a, 1));
        Ok(hex(&sha2::Sha256::digest(salted.as_bytes())))
    }),
    Function::pure("sha256sum", &[T], |a| {
        Ok(hex(&sha2::Sha256::digest(text(a, 0).as_bytes())))
    }),
    Function::pure("hello", &[], |_| Ok("Hello!".into())),
    Function::pure("uuidv4", &[], |_| {
        Ok(uuid::Uuid::new_v4().to_string().into())
    }),
    // Times.
    Function::pure("dateInZone", &[T, A, T], date_in_zone),
    Function::pure("date_in_zone", &[T, A, T], date_in_zone),
    Function::pure("htmlDate", &[A], |a| {
        Ok(layout::format(&time(a.first()), "2006-01-02").into())
    }),
    Function::pure("htmlDateInZone", &[A, T], |a| {
        let at = in_zone(&time(a.first()), text(a, 1));
        Ok(layout::format(&at, "2006-01-02").into())
    }),
    Function::pure("date_modify", &[T, A], modified),
    Function::pure("dateModify", &[T, A], modified),
    Function::pure("must_date_modify", &[T, A], modified),
    Function::pure("mustDateModify", &[T, A], modified),
    // Chance.
    Function::pure("randAlpha", &[I], |a| {
        random(a, (b'A'..=b'Z').chain(b'a'..=b'z'))
    }),
    Function::pure("randAlphaNum", &[I], |a| {
        random(a, (b'0'..=b'9').chain(b'A'..=b'Z').chain(b'a'..=b'z'))
    }),
    Function::pure("randNumeric", &[I], |a| random(a, b'0'..=b'9')),
    Function::pure("randAscii", &[I], |a| random(a, b' '..=b'~')),
    Function::pure("randInt", &[I, I], |a| {
        let (least, most) = (int(a, 0), int(a, 1));
        let span = most.saturating_sub(least);
        if span <= 0 {
            return Err(format!("randInt: {most} is not more than {least}"));
        }
        let at = (Chance::default().share() * span as f64) as i64;
        Ok(Value::Int(least.saturating_add(at)))
    }),
    // Paths.
    Function::pure("base", &[T], |a| Ok(base(text(a, 0)).into())),
    Function::pure("osBase", &[T], |a| Ok(base(text(a, 0)).into())),
    Function::pure("clean", &[T], |a| Ok(clean(text(a, 0)).into())),
    Function::pure("osClean", &[T], |a| Ok(clean(text(a, 0)).into())),
    Function::pure("dir", &[T], |a| Ok(folder(text(a, 0)).into())),
    Function::pure("osDir", &[T], |a| Ok(folder(text(a, 0)).into())),
    Function::pure("ext", &[T], |a| Ok(suffix(text(a, 0)).into())),
    Function::pure("osExt", &[T], |a| Ok(suffix(text(a, 0)).into())),
    Function::pure("isAbs", &[T], |a| {
        Ok(Value::Bool(text(a, 0).starts_with('/')))
    }),
    Function::pure("osIsAbs", &[T], |a| {
        Ok(Value::Bool(text(a, 0).starts_with('/')))
    }),
    // Texts and numbers.
    Function::pure("b32dec", &[T], |a| {
        let read = base32(text(a, 0));
        Ok(read.unwrap_or_else(|| "illegal base32 data".into()).into())
    }),
    Function::pure("trimall", &[T, T], |a| {
        let of = text(a, 0);
        Ok(text(a, 1).trim_matches(|c| of.contains(c)).into())
    }),
    Function::pure("toDecimal", &[A], |a| {
        let octal = i64::from_str_radix(&any(a, 0).text(), 8);
        Ok(Value::Int64(octal.unwrap_or(0)))
    }),
    Function::pure("seq", &[], sequence).with_rest(I),
    // Lists and maps.
    Function::pure("without", &[A], |a| {
        let left = items(a.first()).iter();
        let left = left.filter(|v| !a.iter().skip(1).any(|w| same(v, w)));
        Ok(list(left.cloned()))
    })
    .with_rest(A),
    Function::pure("mustWithout", &[A], |a| {
        let left = items(a.first()).iter();
        let left = left.filter(|v| !a.iter().skip(1).any(|w| same(v, w)));
        Ok(list(left.cloned()))
    })
    .with_rest(A),
    Function::pure("concat", &[], |a| {
        Ok(list(a.iter().flat_map(|l| items(Some(l))).cloned()))
    })
    .with_rest(A),
    Function::pure("chunk", &[I, A], |a| {
        let size = usize::try_from(int(a, 0)).unwrap_or(0).max(1);
        let all = items(a.get(1)).chunks(size);
        Ok(list(all.map(|c| list(c.iter().cloned()))))
    }),
    Function::pure("pick", &[A], |a| Ok(chosen(a, true))).with_rest(T),
    Function::pure("omit", &[A], |a| Ok(chosen(a, false))).with_rest(T),
    Function::pure("pluck", &[T], |a| {
        let key = text(a, 0);
        let found = a.iter().skip(1).filter_map(|m| match m.base() {
            Value::Map(m) => m.entries.get(key).cloned(),
            _ => None,
        });
        Ok(list(found))
    })
    .with_rest(A),
    // Kinds and JSON.
    Function::pure("typeIs", &[T, A], |a| {
        Ok(Value::Bool(any(a, 1).type_name() == text(a, 0)))
    }),
    Function::pure("typeIsLike", &[T, A], |a| {
        let name = any(a, 1).type_name().to_owned();
        let like = name.strip_prefix('*').unwrap_or(&name) == text(a, 0);
        Ok(Value::Bool(like || name == text(a, 0)))
    }),
    Function::pure("deepEqual", &[A, A], |a| {
        Ok(Value::Bool(same(&any(a, 0), &any(a, 1))))
    }),
    Function::pure("deepCopy", &[A], |a| Ok(any(a, 0))),
    Function::pure("mustDeepCopy", &[A], |a| Ok(any(a, 0))),
    Function::pure("toRawJson", &[A], |a| Ok(rewritten(&any(a, 0), raw))),
    Function::pure("mustToRawJson", &[A], |a| Ok(rewritten(&any(a, 0), raw))),
    Function::pure("toPrettyJson", &[A], |a| Ok(rewritten(&any(a, 0), pretty))),
    Function::pure("mustToPrettyJson", &[A], |a| {
        Ok(rewritten(&any(a, 0), pretty))
    }),
];

fn raw(v: &serde_json::Value) -> String {
    v.to_string()
}

/// With two spaces for each level; what HTML reads occurs in texts only and is escaped.
fn pretty(v: &serde_json::Value) -> String {
    let text = serde_json::to_string_pretty(v).unwrap_or_default();
    let escaped = |c: char| match c {
        '<' | '>' | '&' => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

fn folder(path: &str) -> String {
    match path.rfind('/') {
        None => ".".to_owned(),
        Some(at) => clean(path.get(..=at).unwrap_or_default()),
    }
}

fn suffix(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.').and_then(|at| name.get(at..)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use exporters::logs::language::Language as _;

    use super::*;
    use crate::agent::language::Languages;

    fn run(template: &str) -> String {
        let t = Languages.template(template).unwrap();
        let data = [("p".to_owned(), "/var/log/a.b.log".to_owned())];
        t.run(&BTreeMap::from(data)).unwrap()
    }

    #[test]
    fn functions_of_sprig() {
        for (template, want) in [
            (
                r#"{{ dateInZone "2006-01-02 15:04" (toDate "2006-01-02T15:04:05Z07:00" "2024-03-01T23:30:00Z") "Asia/Tokyo" }}"#,
                "2024-03-02 08:30",
            ),
            (r#"{{ htmlDateInZone 0 "UTC" }}"#, "1970-01-01"),
            (
                r#"{{ date_modify "-1h30m" (toDate "2006-01-02T15:04:05Z07:00" "2024-03-01T00:00:00Z") | unixEpoch }}"#,
                "1709245800",
            ),
            (
                "{{ base .p }} {{ dir .p }} {{ ext .p }} {{ isAbs .p }}",
                "a.b.log /var/log .log true",
            ),
            (
                r#"{{ clean "/a/../b//./c/" }} {{ clean "../a/.." }} {{ dir "a" }}"#,
                "/b/c .. .",
            ),
            (
                r#"{{ b32dec "NBSWY3DP" }} {{ "$5.00$" | trimall "$" }} {{ toDecimal "0777" }}"#,
                "hello 5.00 511",
            ),
            (
                "{{ seq 3 }}|{{ seq 2 -1 }}|{{ seq 0 2 5 }}",
                "1 2 3|2 1 0 -1|0 2 4",
            ),
            (
                "{{ without (list 1 2 3) 2 }} {{ concat (list 1) (list 2 3) }} {{ chunk 2 (list 1 2 3) }}",
                "[1 3] [1 2 3] [[1 2] [3]]",
            ),
            (
                r#"{{ pick (dict "a" 1 "b" 2) "a" }} {{ omit (dict "a" 1 "b" 2) "a" }}"#,
                "map[a:1] map[b:2]",
            ),
            (
                r#"{{ pluck "a" (dict "a" 1) (dict "b" 2) (dict "a" 3) }}"#,
                "[1 3]",
            ),
            (
                r#"{{ typeIs "string" .p }} {{ deepEqual (list 1) (list 1) }} {{ tuple 1 2 | mustLast }}"#,
                "true true 2",
            ),
            (
                r#"{{ toRawJson (dict "a" "<&>") }} {{ toPrettyJson (dict "a" "<") }}"#,
                "{\"a\":\"<&>\"} {\n  \"a\": \"\\u003c\"\n}",
            ),
            (
                "{{ randAlphaNum 12 | len }} {{ randNumeric 3 | len }} {{ uuidv4 | len }} {{ lt (randInt 3 5) 5 }}",
                "12 3 36 true",
            ),
        ] {
            assert_eq!(run(template), want, "{template}");
        }
        assert_eq!(ALIASED.len(), ALIASES.len());
    }
}
