//! Functions of the templates of stages: those of the sprig library and Promtail's own.
//!
//! Owns: which there are, and those that need the clock, chance or hashes.
//! Knows nothing of: entries, what the others do (`query::template::sprig`).
//! Facts: <https://masterminds.github.io/sprig/>. Left out is what reads the environment, asks the
//! network, or makes keys and passwords: lines decide what templates do, and each line runs them.

use std::sync::LazyLock;

use base64::Engine as _;
use exporters::logs::chance::Chance;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use query::logql::stages::FUNCTIONS;
use query::template::args::{A, I, T, int, text};
use query::template::{Function, Kind, Value, sprig};
use query::text::{go_duration, layout};
use sha1::Digest as _;

/// Longest text that a function makes up.
const MADE_MAX: i64 = 10_000;

/// Functions that only queries have.
const OF_QUERIES: [&str; 15] = [
    "__line__",
    "__timestamp__",
    "alignLeft",
    "alignRight",
    "bytes",
    "count",
    "duration",
    "duration_seconds",
    "toDateInZone",
    "unixEpochMillis",
    "unixEpochNanos",
    "unixToTime",
    "urldecode",
    "urlencode",
    // There it adds the padding that is missing.
    "b64dec",
];

/// Functions of sprig that are left out, and why.
const REFUSED: [(&str, &str); 16] = [
    ("bcrypt", PASSWORDS),
    ("buildCustomCert", KEYS),
    ("decryptAES", KEYS),
    ("derivePassword", PASSWORDS),
    ("encryptAES", KEYS),
    ("env", ENVIRONMENT),
    ("expandenv", ENVIRONMENT),
    ("genCA", KEYS),
    ("genCAWithKey", KEYS),
    ("genPrivateKey", KEYS),
    ("genSelfSignedCert", KEYS),
    ("genSelfSignedCertWithKey", KEYS),
    ("genSignedCert", KEYS),
    ("genSignedCertWithKey", KEYS),
    ("getHostByName", "it asks the network"),
    ("htpasswd", PASSWORDS),
];

const ENVIRONMENT: &str =
    "it reads the environment; ${NAME} in the file with -config.expand-env does";
const KEYS: &str = "it makes keys or uses them";
const PASSWORDS: &str = "it makes passwords";

/// Functions that both have.
static SHARED: LazyLock<Vec<Function>> = LazyLock::new(|| {
    let shared = FUNCTIONS.iter().filter(|f| !OF_QUERIES.contains(&f.name));
    shared.copied().collect()
});

static ALIASED: LazyLock<Vec<Function>> = LazyLock::new(|| {
    let alias = |(name, of): &(&'static str, &str)| {
        let all = sprig::TABLES.iter().copied().flatten();
        let found = all.chain(SHARED.iter()).find(|f| f.name == *of)?;
        Some(Function { name, ..*found })
    };
    sprig::ALIASES.iter().filter_map(alias).collect()
});

/// Every function of a stage's template; the first of a name counts.
pub(super) fn tables() -> Vec<&'static [Function]> {
    let mut out = vec![OWN, SHARED.as_slice(), ALIASED.as_slice()];
    out.extend(sprig::TABLES);
    out
}

/// Why a template that names a function which nobody knows is refused, when it is a known one.
pub(super) fn refused(error: &str) -> Option<String> {
    let named =
        |(name, _): &&(&str, &str)| error.ends_with(&format!("function {name:?} not defined"));
    let (name, why) = REFUSED.iter().find(named)?;
    Some(format!("{error}: {name} is left out, {why}"))
}

fn hex(bytes: &[u8]) -> Value {
    let each = bytes.iter().map(|b| format!("{b:02x}"));
    each.collect::<String>().into()
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

fn moved(a: &[Value]) -> Result<Value, String> {
    let ns = go_duration::parse(text(a, 0))
        .ok_or_else(|| format!("time: invalid duration {:?}", text(a, 0)))?;
    let at = time(a.get(1)).checked_add(SignedDuration::from_nanos(ns));
    at.map(|t| Value::Time(Box::new(t)))
        .map_err(|e| e.to_string())
}

fn moved_or_same(a: &[Value]) -> Result<Value, String> {
    moved(a).or_else(|_| Ok(a.get(1).cloned().unwrap_or_default()))
}

/// From a time until now, ns.
fn since(t: &Zoned) -> i64 {
    let ns = Timestamp::now().as_nanosecond() - t.timestamp().as_nanosecond();
    i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
}

/// The largest unit alone: `2h`.
fn rounded(a: &[Value]) -> Result<Value, String> {
    const SECOND: u64 = 1_000_000_000;
    const UNITS: [(u64, &str); 6] = [
        (365 * 86_400 * SECOND, "y"),
        (30 * 86_400 * SECOND, "mo"),
        (86_400 * SECOND, "d"),
        (3600 * SECOND, "h"),
        (60 * SECOND, "m"),
        (SECOND, "s"),
    ];
    let ns = match a.first().map(Value::base) {
        Some(Value::Text(s)) => go_duration::parse(s).unwrap_or(0),
        Some(Value::Int64(n)) => *n,
        Some(Value::Time(t)) => since(t),
        _ => 0,
    };
    let ns = ns.unsigned_abs();
    let unit = UNITS.iter().find(|(size, _)| ns > *size);
    Ok(unit.map_or("0s".into(), |(size, name)| {
        format!("{}{name}", ns / size).into()
    }))
}

/// A number below `most`.
fn below(chance: &mut Chance, most: usize) -> usize {
    (chance.share() * most as f64) as usize
}

/// A text of so many letters out of `of`.
fn random(a: &[Value], of: impl Iterator<Item = u8>) -> Result<Value, String> {
    let (mut chance, of) = (Chance::default(), of.collect::<Vec<_>>());
    let pick = |_| {
        let at = below(&mut chance, of.len());
        of.get(at).map_or('?', |b| char::from(*b))
    };
    Ok((0..int(a, 0).clamp(0, MADE_MAX))
        .map(pick)
        .collect::<String>()
        .into())
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
    Function::pure("sha1sum", &[T], |a| {
        Ok(hex(&sha1::Sha1::digest(text(a, 0).as_bytes())))
    }),
    Function::pure("sha256sum", &[T], |a| {
        Ok(hex(&sha2::Sha256::digest(text(a, 0).as_bytes())))
    }),
    Function::pure("sha512sum", &[T], |a| {
        Ok(hex(&sha2::Sha512::digest(text(a, 0).as_bytes())))
    }),
    Function::pure("uuidv4", &[], |_| {
        Ok(uuid::Uuid::new_v4().to_string().into())
    }),
    // Times.
    Function::pure("ago", &[A], |a| {
        const SECOND: i64 = 1_000_000_000;
        let ns = since(&time(a.first()));
        let rest = ns.rem_euclid(SECOND);
        let up = if rest >= SECOND / 2 { SECOND } else { 0 };
        Ok(go_duration::format((ns - rest).saturating_add(up)).into())
    }),
    Function::pure("dateInZone", &[T, A, T], date_in_zone),
    Function::pure("date_in_zone", &[T, A, T], date_in_zone),
    Function::pure("htmlDate", &[A], |a| {
        Ok(layout::format(&time(a.first()), "2006-01-02").into())
    }),
    Function::pure("htmlDateInZone", &[A, T], |a| {
        let at = in_zone(&time(a.first()), text(a, 1));
        Ok(layout::format(&at, "2006-01-02").into())
    }),
    Function::pure("date_modify", &[T, Kind::Time], moved_or_same),
    Function::pure("dateModify", &[T, Kind::Time], moved_or_same),
    Function::pure("must_date_modify", &[T, Kind::Time], moved),
    Function::pure("mustDateModify", &[T, Kind::Time], moved),
    Function::pure("mustToDate", &[T, T], |a| {
        let (format, given) = (text(a, 0), text(a, 1));
        let read = layout::parse(format, given, &TimeZone::system());
        let read = read.ok_or_else(|| format!("parsing time {given:?} as {format:?}"))?;
        Ok(Value::Time(Box::new(read)))
    }),
    // Seconds; a number counts as none, only what other functions give as `int64` does.
    Function::pure("duration", &[A], |a| {
        let seconds = match a.first().map(Value::base) {
            Some(Value::Text(s)) => s.parse().unwrap_or(0),
            Some(Value::Int64(n)) => *n,
            _ => 0i64,
        };
        Ok(go_duration::format(seconds.saturating_mul(1_000_000_000)).into())
    }),
    Function::pure("durationRound", &[A], rounded),
    // Chance.
    Function::pure("randAlpha", &[I], |a| {
        random(a, (b'A'..=b'Z').chain(b'a'..=b'z'))
    }),
    Function::pure("randAlphaNum", &[I], |a| {
        random(a, (b'0'..=b'9').chain(b'A'..=b'Z').chain(b'a'..=b'z'))
    }),
    Function::pure("randNumeric", &[I], |a| random(a, b'0'..=b'9')),
    Function::pure("randAscii", &[I], |a| random(a, b' '..=b'~')),
    Function::pure("randBytes", &[I], |a| {
        let mut chance = Chance::default();
        let bytes = (0..int(a, 0).clamp(0, MADE_MAX)).map(|_| below(&mut chance, 256));
        let bytes: Vec<u8> = bytes.map(|b| u8::try_from(b).unwrap_or(0)).collect();
        Ok(base64::engine::general_purpose::STANDARD
            .encode(bytes)
            .into())
    }),
    Function::pure("randInt", &[I, I], |a| {
        let (least, most) = (int(a, 0), int(a, 1));
        let span = most.saturating_sub(least);
        if span <= 0 {
            return Err(format!("randInt: {most} is not more than {least}"));
        }
        let at = (Chance::default().share() * span as f64) as i64;
        Ok(Value::Int(least.saturating_add(at)))
    }),
    Function::pure("shuffle", &[T], |a| {
        let mut letters: Vec<char> = text(a, 0).chars().collect();
        let mut chance = Chance::default();
        for i in (1..letters.len()).rev() {
            letters.swap(i, below(&mut chance, i + 1));
        }
        Ok(letters.into_iter().collect::<String>().into())
    }),
];

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
                r#"{{ dateModify "x" (toDate "2006-01-02T15:04:05Z07:00" "2024-03-01T00:00:00Z") | unixEpoch }}"#,
                "1709251200",
            ),
            (
                r#"{{ duration "95" }} {{ duration (int64 3600) }} {{ duration 95 }}"#,
                "1m35s 1h0m0s 0s",
            ),
            (
                r#"{{ durationRound "2h10m5s" }} {{ durationRound "2400h10m5s" }} {{ durationRound "100ms" }}"#,
                "2h 3mo 0s",
            ),
            (r#"{{ ago (now) }}"#, "0s"),
            (
                r#"{{ sha1sum "Hello world!" }}"#,
                "d3486ae9136e7856bc42212385ea797094475802",
            ),
            (
                r#"{{ sha512sum "a" | trunc 8 }} {{ randBytes 12 | len }}"#,
                "1f40fc92 16",
            ),
            (
                r#"{{ shuffle "aaa" }} {{ "$5.00$" | trimall "$" }}"#,
                "aaa 5.00",
            ),
            (
                r#"{{ regexReplaceAll "a(x*)b" "-ab-axxb-" "${1}W" }}"#,
                "-W-xxW-",
            ),
            (
                r#"{{ mustRegexReplaceAllLiteral "a(x*)b" "-ab-axxb-" "${1}" }}"#,
                "-${1}-${1}-",
            ),
            (
                r#"{{ tuple 1 2 | mustLast }} {{ biggest 1 "3" 2 }} {{ slice (list 1 2 3) 1 }}"#,
                "2 3 [2 3]",
            ),
            (
                "{{ randAlphaNum 12 | len }} {{ randNumeric 3 | len }} {{ uuidv4 | len }} {{ lt (randInt 3 5) 5 }}",
                "12 3 36 true",
            ),
        ] {
            assert_eq!(run(template), want, "{template}");
        }
        assert_eq!(ALIASED.len(), sprig::ALIASES.len());
    }

    #[test]
    fn what_is_left_out_is_said() {
        let refused = |t: &str| Languages.template(t).map(drop).unwrap_err();
        for (name, why) in REFUSED {
            let e = refused(&format!("{{{{ {name} \"a\" }}}}"));
            assert!(e.contains(&format!("{name} is left out, {why}")), "{e}");
        }
        for name in OF_QUERIES
            .iter()
            .filter(|n| !["duration", "b64dec"].contains(n))
        {
            let e = refused(&format!("{{{{ {name} \"a\" }}}}"));
            assert!(
                e.ends_with(&format!("function {name:?} not defined")),
                "{e}"
            );
        }
    }
}
