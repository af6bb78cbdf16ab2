//! Versions and what they must be: `semver` and `semverCompare`.
//!
//! Facts: <https://github.com/Masterminds/semver#checking-version-constraints>. A version may leave
//! out its minor and patch number and may begin with `v`; in a constraint `x`, `X` and `*` stand for
//! any number.

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use regex::Regex;

use super::super::args::{T, text};
use super::super::{Function, Kind, Object, Value};

/// The functions.
pub(super) const TABLE: &[Function] = &[
    Function::pure("semver", &[T], |a| {
        Ok(Value::Object(Arc::new(Version::parse(text(a, 0))?)))
    }),
    Function::pure("semverCompare", &[T, T], |a| {
        let wanted = constraint(text(a, 0))?;
        let version = Version::parse(text(a, 1))?;
        Ok(wanted.iter().any(|all| meets_all(all, &version)).into())
    }),
];

#[derive(Debug, Clone, Default)]
struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    pre: String,
    meta: String,
    original: String,
}

impl Version {
    fn parse(s: &str) -> Result<Self, String> {
        let wrong = || format!("invalid semantic version {s:?}");
        let rest = s.strip_prefix('v').unwrap_or(s);
        let (rest, meta) = match rest.split_once('+') {
            Some((r, m)) => (r, Some(m)),
            None => (rest, None),
        };
        let (numbers, pre) = match rest.split_once('-') {
            Some((n, p)) => (n, Some(p)),
            None => (rest, None),
        };
        let mut parts = [0u64; 3];
        let mut slots = parts.iter_mut();
        for n in numbers.split('.') {
            let plain = n.bytes().all(|b| b.is_ascii_digit()) && (n == "0" || !n.starts_with('0'));
            let slot = slots.next().filter(|_| plain).ok_or_else(wrong)?;
            *slot = n.parse().map_err(|_| wrong())?;
        }
        let letters =
            |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let counted = |p: &str| p.bytes().all(|b| b.is_ascii_digit());
        let pre_fits = |p: &str| letters(p) && !(counted(p) && p.len() > 1 && p.starts_with('0'));
        if pre.is_some_and(|p| !p.split('.').all(pre_fits))
            || meta.is_some_and(|m| !m.split('.').all(letters))
        {
            return Err(wrong());
        }
        let [major, minor, patch] = parts;
        Ok(Self {
            major,
            minor,
            patch,
            pre: pre.unwrap_or_default().to_owned(),
            meta: meta.unwrap_or_default().to_owned(),
            original: s.to_owned(),
        })
    }

    /// Order of precedence; what follows `+` does not count.
    fn order(&self, other: &Self) -> Ordering {
        let numbers = |v: &Self| (v.major, v.minor, v.patch);
        let by_number = numbers(self).cmp(&numbers(other));
        by_number.then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            // A release comes after what led to it.
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => pre_order(&self.pre, &other.pre),
        })
    }
}

/// Part by part: numbers by value and before letters, fewer parts before more.
fn pre_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let (x, y) = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => (x, y),
        };
        let by_part = match (x.parse::<u64>(), y.parse::<u64>()) {
            (Ok(m), Ok(n)) => m.cmp(&n),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => x.cmp(y),
        };
        if by_part.is_ne() {
            return by_part;
        }
    }
}

impl Object for Version {
    fn type_name(&self) -> &str {
        "*semver.Version"
    }
    fn signature(&self, name: &str) -> Option<&'static [Kind]> {
        match name {
            "Major" | "Minor" | "Patch" | "Prerelease" | "Metadata" | "Original" | "String"
            | "IncMajor" | "IncMinor" | "IncPatch" => Some(&[]),
            "Compare" | "Equal" | "LessThan" | "LessThanEqual" | "GreaterThan"
            | "GreaterThanEqual" => Some(&[Kind::Any]),
            _ => None,
        }
    }
    fn call(&self, name: &str, args: &[Value]) -> Result<Value, String> {
        let number = |n: u64| Value::Int64(i64::try_from(n).unwrap_or(i64::MAX));
        let next = |major, minor, patch| {
            let v = Self {
                major,
                minor,
                patch,
                ..Self::default()
            };
            let prefix = if self.original.starts_with('v') {
                "v"
            } else {
                ""
            };
            let original = format!("{prefix}{}", v.text());
            Value::Object(Arc::new(Self { original, ..v }))
        };
        Ok(match name {
            "Major" => number(self.major),
            "Minor" => number(self.minor),
            "Patch" => number(self.patch),
            "Prerelease" => self.pre.as_str().into(),
            "Metadata" => self.meta.as_str().into(),
            "Original" => self.original.as_str().into(),
            "String" => self.text().into(),
            "IncMajor" => next(self.major.saturating_add(1), 0, 0),
            "IncMinor" => next(self.major, self.minor.saturating_add(1), 0),
            // What leads to a release is followed by that release.
            "IncPatch" if !self.pre.is_empty() => next(self.major, self.minor, self.patch),
            "IncPatch" => next(self.major, self.minor, self.patch.saturating_add(1)),
            _ => {
                let other = match args.first() {
                    Some(Value::Object(o)) if o.type_name() == self.type_name() => o.text(),
                    v => {
                        let found = v.map_or("nil", Value::type_name);
                        return Err(format!(
                            "wrong type for value; expected *semver.Version; got {found}"
                        ));
                    }
                };
                let order = self.order(&Self::parse(&other)?);
                match name {
                    "Equal" => order.is_eq().into(),
                    "LessThan" => order.is_lt().into(),
                    "LessThanEqual" => order.is_le().into(),
                    "GreaterThan" => order.is_gt().into(),
                    "GreaterThanEqual" => order.is_ge().into(),
                    _ => Value::Int(order as i64),
                }
            }
        })
    }
    fn text(&self) -> String {
        let mut out = format!("{}.{}.{}", self.major, self.minor, self.patch);
        for (mark, part) in [('-', &self.pre), ('+', &self.meta)] {
            if !part.is_empty() {
                out.push(mark);
                out.push_str(part);
            }
        }
        out
    }
}

/// How much of a version a constraint names.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Named {
    Nothing,
    Major,
    Minor,
    All,
}

/// One condition.
#[derive(Debug)]
struct Wanted {
    operator: String,
    /// What is not named is 0.
    than: Version,
    named: Named,
}

/// An operator and a version that may have gaps.
const ONE: &str = r"(!=|>=|=>|<=|=<|~>|=|>|<|~|\^|)\s*v?([0-9xX*]+)(?:\.([0-9xX*]+))?(?:\.([0-9xX*]+))?((?:-[0-9A-Za-z.-]+)?)((?:\+[0-9A-Za-z.-]+)?)";

static CONDITION: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"^[\s]*{ONE}")).ok());

/// `1.2 - 2.0`: both ends belong to it.
static RANGE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let version = r"v?[0-9xX*]+(?:\.[0-9xX*]+){0,2}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?";
    Regex::new(&format!(r"\s*({version})\s+-\s+({version})\s*")).ok()
});

/// Conditions that must hold together, of which one group must.
fn constraint(s: &str) -> Result<Vec<Vec<Wanted>>, String> {
    let spread = match RANGE.as_ref() {
        Some(r) => r.replace_all(s, ">=$1, <=$2 ").into_owned(),
        None => s.to_owned(),
    };
    spread.split("||").map(group).collect()
}

fn group(s: &str) -> Result<Vec<Wanted>, String> {
    let wrong = || format!("improper constraint: {s}");
    let (mut rest, mut out) = (s, Vec::new());
    loop {
        let found = CONDITION.as_ref().and_then(|r| r.captures(rest));
        let found = found.ok_or_else(wrong)?;
        let part = |i| found.get(i).map_or("", |m| m.as_str());
        let numbers = [part(2), part(3), part(4)];
        let gap = numbers
            .iter()
            .position(|n| matches!(*n, "" | "x" | "X" | "*"));
        let named = match gap {
            Some(0) => Named::Nothing,
            Some(1) => Named::Major,
            Some(_) => Named::Minor,
            None => Named::All,
        };
        let filled: Vec<&str> = (0..3)
            .map(|i| match gap {
                Some(g) if i >= g => "0",
                _ => numbers[i],
            })
            .collect();
        let than = format!("{}{}", filled.join("."), part(5));
        let than = Version::parse(&than).map_err(|_| wrong())?;
        out.push(Wanted {
            operator: part(1).to_owned(),
            than,
            named,
        });
        let end = found.get(0).map_or(0, |m| m.end());
        let after = rest.get(end..).unwrap_or_default();
        let next = after.trim_start();
        if next.is_empty() {
            return Ok(out);
        }
        rest = match next.strip_prefix(',') {
            Some(next) => next,
            None if next.len() < after.len() => next,
            None => return Err(wrong()),
        };
    }
}

/// Versions that lead to a release count only where the group speaks of such.
fn meets_all(all: &[Wanted], v: &Version) -> bool {
    let leading = v.pre.is_empty() || all.iter().any(|w| !w.than.pre.is_empty());
    leading && all.iter().all(|w| w.met_by(v))
}

impl Wanted {
    fn met_by(&self, v: &Version) -> bool {
        let (than, order) = (&self.than, v.order(&self.than));
        let (major, minor) = (v.major.cmp(&than.major), v.minor.cmp(&than.minor));
        match self.operator.as_str() {
            "!=" => match self.named {
                Named::Major => major.is_ne(),
                Named::Minor => {
                    let led = !v.pre.is_empty() || !than.pre.is_empty();
                    major.is_ne() || minor.is_ne() || (led && v.pre != than.pre)
                }
                Named::Nothing | Named::All => order.is_ne(),
            },
            ">" => match self.named {
                Named::Major => major.is_gt(),
                Named::Minor => major.then(minor).is_gt(),
                Named::Nothing | Named::All => order.is_gt(),
            },
            "<" => order.is_lt(),
            ">=" | "=>" => order.is_ge(),
            "<=" | "=<" => match self.named {
                Named::All => order.is_le(),
                Named::Major => major.is_le(),
                Named::Nothing | Named::Minor => major.then(minor).is_le(),
            },
            "^" => order.is_ge() && self.compatible(v),
            "~" | "~>" => self.near(v),
            _ if self.named != Named::All => self.near(v),
            _ => order.is_eq(),
        }
    }

    /// `~`: the last number that is named may grow, or the patch number.
    fn near(&self, v: &Version) -> bool {
        let than = &self.than;
        if v.order(than).is_lt() {
            return false;
        }
        let whole = matches!(self.named, Named::Nothing | Named::All);
        if whole && (than.major, than.minor, than.patch) == (0, 0, 0) {
            return true;
        }
        v.major == than.major && (self.named == Named::Major || v.minor == than.minor)
    }

    /// `^`: the first number that is not 0 stays.
    fn compatible(&self, v: &Version) -> bool {
        let than = &self.than;
        if than.major > 0 || self.named == Named::Major {
            return v.major == than.major;
        }
        if v.major > 0 {
            return false;
        }
        if than.minor > 0 || self.named == Named::Minor {
            return v.minor == than.minor;
        }
        v.minor == 0 && v.patch == than.patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(c: &str, v: &str) -> Result<bool, String> {
        let version = Version::parse(v)?;
        Ok(constraint(c)?.iter().any(|all| meets_all(all, &version)))
    }

    #[test]
    fn constraints_are_met_or_not() {
        for (c, v, want) in [
            ("=2.0.0", "1.2.3", false),
            ("=2.0.0", "2.0.0", true),
            ("1.2.3", "v1.2.3", true),
            ("=2.0", "2.0.5", true),
            ("4.1", "4.1.0", true),
            ("!=4.1.0", "4.1.0", false),
            ("!=4.1", "4.1.5", false),
            ("!=4.1", "5.1.0", true),
            ("!=4.x", "5.1.0", true),
            ("!=4.x", "4.1.0", false),
            (">1.1", "4.1.0", true),
            (">1.1", "1.1.9", false),
            (">0", "0.1.0", false),
            (">0", "1.0.0", true),
            (">11", "11.1.0", false),
            (">11.1", "11.1.1", false),
            (">11.1", "11.2.1", true),
            ("<11", "0.1.0", true),
            ("<1.1", "1.1.0", false),
            (">=11", "11.1.2", true),
            (">=11.1.3", "11.1.2", false),
            ("<=11", "11.9.9", true),
            ("<=11.1", "11.1.9", true),
            ("<=11.1", "11.2.0", false),
            ("*", "1.2.3", true),
            ("x", "4.5.6", true),
            ("", "1.0.0", false),
            ("1.*", "1.2.3", true),
            ("~1.2.3", "1.2.9", true),
            ("~1.2.3", "1.3.0", false),
            ("~1", "1.9.9", true),
            ("~1.x", "2.1.1", false),
            ("~>1.2", "1.2.7", true),
            ("~0.0.0", "5.4.3", true),
            ("^1.2.3", "1.8.9", true),
            ("^1.2.3", "2.0.0", false),
            ("^1.2", "1.1.1", false),
            ("^0.2.3", "0.2.5", true),
            ("^0.2.3", "0.3.0", false),
            ("^0.0.3", "0.0.3", true),
            ("^0.0.3", "0.0.4", false),
            ("^0.0", "0.0.3", true),
            ("^0", "0.5.6", true),
            ("1.2 - 1.4.5", "1.3.0", true),
            ("1.2 - 1.4.5", "1.5.0", false),
            (">= 1.2.0, < 1.5.0 || >= 2", "1.4.9", true),
            (">= 1.2.0 < 1.5.0", "1.5.0", false),
            (">= 1.2.0, < 1.5.0 || >= 2", "2.3.0", true),
            (">=1.0.0", "1.2.0-beta.1", false),
            (">=1.0.0-0", "1.2.0-beta.1", true),
            (">1.0.0-alpha.2", "1.0.0-alpha.10", true),
            ("^1.1.0-alpha", "1.1.0-beta", true),
        ] {
            let met = meets(c, v);
            if c.is_empty() {
                assert_eq!(met, Err("improper constraint: ".to_owned()));
            } else {
                assert_eq!(met, Ok(want), "{v} {c}");
            }
        }
        for bad in ["foo", ">>1", "1.2.3.4", "1,,2"] {
            assert!(meets(bad, "1.0.0").is_err(), "{bad}");
        }
        for bad in ["", "foo", "1.2.3.4", "01.1", "1.2-01", "1.2+", "1..2"] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_in_order() {
        let each = [
            "0.9",
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-beta",
            "1",
            "1.0.1",
            "v1.2",
            "2.0.0+build",
        ];
        for pair in each.windows(2) {
            let [a, b] = pair else { continue };
            let (x, y) = (Version::parse(a).unwrap(), Version::parse(b).unwrap());
            assert!(x.order(&y).is_lt(), "{a} {b}");
        }
    }
}
