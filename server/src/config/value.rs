//! Value types that all documents share: durations, sizes, URLs, label maps.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fields::Omit;

/// A duration in the family's text form: `1h30m`, units `y w d h m s ms` in descending order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub(crate) struct PromDuration {
    ms: i64,
}

/// Units in the order in which they may appear, with their length in ms.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3600 * 1000),
    ("w", 7 * 24 * 3600 * 1000),
    ("d", 24 * 3600 * 1000),
    ("h", 3600 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

impl PromDuration {
    /// No time at all.
    pub(crate) const ZERO: Self = Self { ms: 0 };

    /// `ms` milliseconds.
    pub(crate) const fn from_ms(ms: i64) -> Self {
        Self { ms }
    }

    /// `s` seconds.
    pub(crate) const fn from_secs(s: i64) -> Self {
        Self { ms: s * 1000 }
    }

    /// Milliseconds.
    pub(crate) const fn as_ms(self) -> i64 {
        self.ms
    }

    /// True for zero, which most fields read as "not set".
    pub(crate) const fn is_zero(self) -> bool {
        self.ms == 0
    }

    /// For timers. Never negative: the text form has no sign.
    pub(crate) fn as_std(self) -> Duration {
        Duration::from_millis(u64::try_from(self.ms).unwrap_or(0))
    }
}

impl FromStr for PromDuration {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || format!("not a valid duration string: {s:?}");
        match s {
            "0" => return Ok(Self::ZERO),
            "" => return Err("empty duration string".into()),
            _ => {}
        }
        let mut rest = s;
        let mut units = UNITS.iter();
        let mut ms = 0i64;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            let (_, unit_ms) = units.find(|(u, _)| *u == unit).ok_or_else(bad)?;
            let n: i64 = number.parse().map_err(|_| bad())?;
            ms = n
                .checked_mul(*unit_ms)
                .and_then(|n| ms.checked_add(n))
                // Nanoseconds must fit 63 bits, as everywhere in the family.
                .filter(|ms| *ms <= i64::MAX / 1_000_000)
                .ok_or("duration out of range")?;
            rest = tail;
        }
        Ok(Self { ms })
    }
}

impl fmt::Display for PromDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms == 0 {
            return f.write_str("0s");
        }
        let mut ms = self.ms;
        for (unit, unit_ms) in UNITS {
            // Years and weeks are only written when nothing is left over: 14d is 2w, 8d stays 8d.
            let exact_only = matches!(unit, "y" | "w");
            if exact_only && ms % unit_ms != 0 {
                continue;
            }
            if ms >= unit_ms {
                write!(f, "{}{unit}", ms / unit_ms)?;
                ms %= unit_ms;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PromDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Omit for PromDuration {
    fn omit(&self) -> bool {
        self.is_zero()
    }
}

/// Sizes with units in powers of 1024: `512MB`, `1.5GiB`, `0`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub(crate) struct ByteSize(pub(crate) u64);

const SIZE_UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];

impl FromStr for ByteSize {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        if s == "0" {
            return Ok(Self(0));
        }
        let end = s
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (number, unit) = s.split_at(end);
        let number: f64 = number
            .parse()
            .map_err(|_| format!("units: invalid {s:?}: expected a number and a unit, as 512MB"))?;
        let power = SIZE_UNITS
            .iter()
            .position(|p| {
                unit.strip_prefix(p)
                    .is_some_and(|u| u == "B" || (u == "iB" && !p.is_empty()))
            })
            .ok_or_else(|| format!("units: unknown unit {unit} in {s}"))?;
        let bytes = number * 1024f64.powi(i32::try_from(power).unwrap_or(0));
        if bytes > 2f64.powi(63) {
            return Err(format!("units: {s} is out of range"));
        }
        Ok(Self(bytes as u64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0B");
        }
        for power in (0..SIZE_UNITS.len()).rev() {
            let unit = 1u64 << (10 * power);
            if rest >= unit {
                let i = if power > 0 { "i" } else { "" };
                write!(f, "{}{}{i}B", rest / unit, SIZE_UNITS[power])?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Omit for ByteSize {
    fn omit(&self) -> bool {
        self.0 == 0
    }
}

/// A URL from a configuration file, checked. Its password is hidden when rendered (CFG2).
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct ConfigUrl {
    text: String,
}

impl ConfigUrl {
    /// The URL as written; empty when not configured.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// True when not configured.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The URL in parts; none when not configured.
    pub(crate) fn parsed(&self) -> Option<url::Url> {
        url::Url::parse(&self.text).ok()
    }

    /// The URL with its password hidden.
    pub(crate) fn redacted(&self) -> String {
        let Some(password) = self.parsed().and_then(|u| u.password().map(str::to_owned)) else {
            return self.text.clone();
        };
        self.text
            .replacen(&format!(":{password}@"), ":<secret>@", 1)
    }
}

impl FromStr for ConfigUrl {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        if !s.is_empty() {
            url::Url::parse(s).map_err(|e| match e {
                url::ParseError::RelativeUrlWithoutBase => {
                    format!("parse {s:?}: missing protocol scheme")
                }
                e => format!("parse {s:?}: {e}"),
            })?;
        }
        Ok(Self { text: s.to_owned() })
    }
}

impl fmt::Debug for ConfigUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Display for ConfigUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Omit for ConfigUrl {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}

macro_rules! text_form {
    ($($t:ty),*) => {$(
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(D::Error::custom)
            }
        }
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
    )*};
}
text_form!(PromDuration, ByteSize, ConfigUrl);

/// Names to texts; a `null` text is the empty one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LabelMap(pub(crate) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for LabelMap {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, Option<String>>::deserialize(d)?;
        let map = map.into_iter().map(|(k, v)| (k, v.unwrap_or_default()));
        Ok(Self(map.collect()))
    }
}

impl Serialize for LabelMap {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl Omit for LabelMap {
    fn omit(&self) -> bool {
        self.0.is_empty()
    }
}

impl LabelMap {
    /// Pairs in name order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }
}

/// Names to lists of texts (URL parameters).
pub(crate) type MultiMap = BTreeMap<String, Vec<String>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_in_the_family() {
        for (text, ms, printed) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("1m", 60_000, "1m"),
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("36h", 129_600_000, "1d12h"),
            ("20y", 630_720_000_000, "20y"),
            ("8d", 691_200_000, "8d"),
            ("14d", 1_209_600_000, "2w"),
            ("5ms", 5, "5ms"),
            ("1s5ms", 1005, "1s5ms"),
        ] {
            let d: PromDuration = text.parse().unwrap();
            assert_eq!((d.as_ms(), d.to_string().as_str()), (ms, printed), "{text}");
        }
        for bad in [
            "", "1", "1x", "m", "1m1h", "-1s", "1.5h", "1m 1s", "1m1m", "300y",
        ] {
            assert!(bad.parse::<PromDuration>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes, printed) in [
            ("0", 0, "0B"),
            ("512MB", 512 << 20, "512MiB"),
            ("512MiB", 512 << 20, "512MiB"),
            ("1.5KB", 1536, "1KiB512B"),
            ("2GB", 2 << 30, "2GiB"),
            ("10B", 10, "10B"),
        ] {
            let s: ByteSize = text.parse().unwrap();
            assert_eq!((s.0, s.to_string().as_str()), (bytes, printed), "{text}");
        }
        for bad in ["", "5x", "MB", "5", "-1MB", "1e3B"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_in_urls_are_hidden() {
        let u: ConfigUrl = "http://user:hush@host:80/x".parse().unwrap();
        assert_eq!(u.to_string(), "http://user:<secret>@host:80/x");
        assert!("::".parse::<ConfigUrl>().is_err());
    }
}
