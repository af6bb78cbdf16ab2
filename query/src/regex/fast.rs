//! Recognising patterns that need no automaton: sets of literals, prefixes, suffixes, substrings.

use regex_syntax::hir::{Class, Dot, Hir, HirKind};

/// Largest set of literals written out as an alternation.
const LITERALS_MAX: usize = 16 * 1024;
/// Largest set that a product of alternations is expanded to.
const PRODUCT_MAX: usize = 1024;

/// A pattern as string operations.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fast {
    /// `.*`
    Any,
    /// `.+`
    NonEmpty,
    /// One of these strings, sorted.
    Literals(Vec<String>),
    /// Starts with the string; at least this many more bytes follow.
    Prefix(String, usize),
    /// Ends with the string; at least this many bytes precede.
    Suffix(String, usize),
    /// Contains the string with at least these many bytes before and after.
    Contains(String, usize, usize),
    /// Any of these.
    AnyOf(Vec<Fast>),
}

impl Fast {
    pub(super) fn is_match(&self, s: &str) -> bool {
        match self {
            Self::Any => true,
            Self::NonEmpty => !s.is_empty(),
            Self::Literals(set) if set.len() <= 8 => set.iter().any(|l| l == s),
            Self::Literals(set) => set.binary_search_by(|l| l.as_str().cmp(s)).is_ok(),
            Self::Prefix(p, more) => s.len() >= p.len() + more && s.starts_with(p.as_str()),
            Self::Suffix(p, more) => s.len() >= p.len() + more && s.ends_with(p.as_str()),
            Self::Contains(p, before, after) => {
                s.len() >= p.len() + before + after
                    && s.get(*before..s.len() - after).map_or_else(
                        || slow_contains(s, p, *before, *after),
                        |inner| memchr::memmem::find(inner.as_bytes(), p.as_bytes()).is_some(),
                    )
            }
            Self::AnyOf(all) => all.iter().any(|f| f.is_match(s)),
        }
    }

    /// A literal that every match starts with.
    pub(super) fn prefix(&self) -> String {
        match self {
            Self::Prefix(p, _) => p.clone(),
            Self::Literals(set) => match set.as_slice() {
                [] => String::new(),
                [first, .., last] => common_prefix(first, last).to_owned(),
                [one] => one.clone(),
            },
            _ => String::new(),
        }
    }
}

/// `before` and `after` fell inside a multi-byte character: compare match positions instead.
fn slow_contains(s: &str, p: &str, before: usize, after: usize) -> bool {
    s.match_indices(p)
        .any(|(i, _)| i >= before && i + p.len() + after <= s.len())
}

fn common_prefix<'a>(a: &'a str, b: &str) -> &'a str {
    let n = a
        .chars()
        .zip(b.chars())
        .take_while(|(x, y)| x == y)
        .map(|(x, _)| x.len_utf8())
        .sum();
    &a[..n]
}

/// The string operations equal to `hir` anchored at both ends, if there are any.
pub(super) fn analyse(hir: &Hir) -> Option<Fast> {
    if let Some(mut set) = literals(hir) {
        set.sort_unstable();
        set.dedup();
        return Some(Fast::Literals(set));
    }
    if let HirKind::Alternation(alternatives) = strip(hir).kind() {
        if alternatives.len() <= 16 {
            return alternatives
                .iter()
                .map(analyse)
                .collect::<Option<Vec<_>>>()
                .map(Fast::AnyOf);
        }
        return None;
    }
    sequence(hir)
}

fn strip(hir: &Hir) -> &Hir {
    match hir.kind() {
        HirKind::Capture(c) => strip(&c.sub),
        _ => hir,
    }
}

/// Least number of repetitions of an unbounded any-character loop.
fn any_loop(hir: &Hir) -> Option<usize> {
    match strip(hir).kind() {
        HirKind::Repetition(r)
            if r.max.is_none() && r.min <= 1 && *strip(&r.sub) == Hir::dot(Dot::AnyChar) =>
        {
            Some(r.min as usize)
        }
        _ => None,
    }
}

fn single(hir: &Hir) -> Option<String> {
    match literals(hir)?.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    }
}

fn sequence(hir: &Hir) -> Option<Fast> {
    if let Some(min) = any_loop(hir) {
        return Some(if min == 0 { Fast::Any } else { Fast::NonEmpty });
    }
    let HirKind::Concat(parts) = strip(hir).kind() else {
        return None;
    };
    match parts.as_slice() {
        [a, b] => match (any_loop(a), any_loop(b)) {
            (Some(min), None) => Some(Fast::Suffix(single(b)?, min)),
            (None, Some(min)) => Some(Fast::Prefix(single(a)?, min)),
            _ => None,
        },
        [a, b, c] => Some(Fast::Contains(single(b)?, any_loop(a)?, any_loop(c)?)),
        _ => None,
    }
}

/// The finite set of strings `hir` matches, if small.
fn literals(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(l) => Some(vec![String::from_utf8(l.0.to_vec()).ok()?]),
        HirKind::Capture(c) => literals(&c.sub),
        HirKind::Class(Class::Unicode(class)) => {
            let total: usize = class.iter().map(|r| r.len()).sum();
            (total <= 32).then(|| {
                class
                    .iter()
                    .flat_map(|r| r.start()..=r.end())
                    .map(String::from)
                    .collect()
            })
        }
        HirKind::Class(Class::Bytes(class)) => {
            let total: usize = class.iter().map(|r| r.len()).sum();
            (total <= 32 && class.is_ascii()).then(|| {
                class
                    .iter()
                    .flat_map(|r| r.start()..=r.end())
                    .map(|b| (b as char).to_string())
                    .collect()
            })
        }
        HirKind::Repetition(r) if r.min == 0 && r.max == Some(1) => {
            let mut set = literals(&r.sub)?;
            set.push(String::new());
            Some(set)
        }
        HirKind::Alternation(alternatives) => {
            let mut set = Vec::new();
            for a in alternatives {
                set.extend(literals(a)?);
                if set.len() > LITERALS_MAX {
                    return None;
                }
            }
            Some(set)
        }
        HirKind::Concat(parts) => {
            let mut set = vec![String::new()];
            for p in parts {
                let tails = literals(p)?;
                if set.len().checked_mul(tails.len())? > PRODUCT_MAX.max(set.len()) {
                    return None;
                }
                set = set
                    .iter()
                    .flat_map(|h| tails.iter().map(move |t| format!("{h}{t}")))
                    .collect();
            }
            Some(set)
        }
        _ => None,
    }
}
