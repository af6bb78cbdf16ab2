//! What every line that matches a pattern must hold.
//!
//! Owns: reading a pattern for runs of bytes.
//! Knows nothing of: lines, stores.
//!
//! Only ASCII is taken from classes, and nothing that a replacement character could match: patterns
//! see lines in which bytes that are not UTF-8 were replaced, the store sees them as they are.

use engine::logs::{ByteSet, Needs};
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::regex::translate;

/// Longest run that is looked for.
const RUN_MAX: usize = 64;
/// A set with more bytes tells nothing by itself.
const WIDE: u32 = 64;

/// The condition, and whether it alone decides.
pub(super) fn required(pattern: &str) -> (Needs, bool) {
    let parsed = translate(pattern)
        .ok()
        .and_then(|p| regex_syntax::parse(&p).ok());
    let Some(hir) = parsed else {
        return (Needs::Anything, false);
    };
    let mut r = Runs {
        exact: true,
        ..Runs::default()
    };
    r.read(&hir);
    r.end();
    let exact = r.exact && r.found.len() == 1;
    (all(r.found), exact)
}

fn all(mut found: Vec<Needs>) -> Needs {
    // One byte is in nearly every line.
    let long = |n: &Needs| !matches!(n, Needs::Substring(s) if s.len() == 1);
    if found.iter().any(long) {
        found.retain(long);
    }
    match (found.pop(), found.is_empty()) {
        (None, _) => Needs::Anything,
        (Some(one), true) => one,
        (Some(last), false) => {
            found.push(last);
            // What varies is what is asked for, and the longer the less likely.
            found.sort_by_key(|n| match n {
                Needs::Run(s) => (0, usize::MAX - s.len()),
                Needs::Substring(s) => (1, usize::MAX - s.len()),
                _ => (2, 0),
            });
            Needs::All(found)
        }
    }
}

#[derive(Default)]
struct Runs {
    /// Bytes that follow each other.
    run: Vec<ByteSet>,
    found: Vec<Needs>,
    /// A line with the runs matches.
    exact: bool,
}

impl Runs {
    fn push(&mut self, set: ByteSet) {
        if self.run.len() >= RUN_MAX {
            self.gap();
        }
        self.run.push(set);
    }

    /// Something else stands here.
    fn gap(&mut self) {
        self.exact = false;
        self.end();
    }

    fn end(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.iter().all(|s| s.len() > WIDE) {
            self.exact &= run.is_empty();
            return;
        }
        let literal: Option<Vec<u8>> = run.iter().map(one).collect();
        self.found
            .push(literal.map_or(Needs::Run(run), Needs::Substring));
    }

    fn read(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(l) => match std::str::from_utf8(&l.0) {
                Ok(text) if !text.contains('\u{fffd}') => {
                    l.0.iter().for_each(|b| self.push(ByteSet::one(*b)));
                }
                _ => self.gap(),
            },
            HirKind::Class(c) => match ascii(c) {
                Some(set) if !set.is_empty() => self.push(set),
                _ => self.gap(),
            },
            // Nothing stands here, so what is around it is not parted.
            HirKind::Look(_) => self.exact = false,
            HirKind::Capture(c) => self.read(&c.sub),
            HirKind::Concat(list) => list.iter().for_each(|h| self.read(h)),
            HirKind::Repetition(r) => {
                let (least, most) = (r.min as usize, r.max.map(|m| m as usize));
                let set = single(&r.sub);
                match set {
                    Some(set) if least > 0 => {
                        for _ in 0..least.min(RUN_MAX) {
                            self.push(set);
                        }
                        if most != Some(least) || least > RUN_MAX {
                            self.gap();
                        }
                    }
                    _ => {
                        self.gap();
                        if least > 0 {
                            self.read(&r.sub);
                            self.gap();
                        }
                    }
                }
            }
            HirKind::Alternation(list) => {
                self.gap();
                let any: Vec<Needs> = list
                    .iter()
                    .map(|h| {
                        let mut r = Self::default();
                        r.read(h);
                        r.end();
                        all(r.found)
                    })
                    .collect();
                if !any.contains(&Needs::Anything) {
                    self.found.push(Needs::Any(any));
                }
            }
        }
    }
}

/// The byte of a set of one.
fn one(set: &ByteSet) -> Option<u8> {
    (set.len() == 1).then(|| (0..=u8::MAX).find(|b| set.has(*b)))?
}

/// The set of a pattern that matches exactly one byte.
fn single(hir: &Hir) -> Option<ByteSet> {
    match hir.kind() {
        HirKind::Literal(l) if l.0.len() == 1 => l.0.first().map(|b| ByteSet::one(*b)),
        HirKind::Class(c) => ascii(c),
        HirKind::Capture(c) => single(&c.sub),
        _ => None,
    }
}

fn ascii(class: &Class) -> Option<ByteSet> {
    let mut set = ByteSet::default();
    let mut add =
        |from: u32, to: u32| (to < 0x80).then(|| (from..=to).for_each(|b| set.insert(b as u8)));
    match class {
        Class::Unicode(c) => c
            .ranges()
            .iter()
            .try_for_each(|r| add(r.start().into(), r.end().into()))?,
        Class::Bytes(c) => c
            .ranges()
            .iter()
            .try_for_each(|r| add(r.start().into(), r.end().into()))?,
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(n: &Needs) -> String {
        let run = |sets: &[ByteSet]| -> String {
            let shown = sets.iter().map(|s| match one(s) {
                Some(b) => (b as char).to_string(),
                None => format!("<{}>", s.len()),
            });
            shown.collect()
        };
        let list = |l: &[Needs]| l.iter().map(shown).collect::<Vec<_>>().join(" ");
        match n {
            Needs::Anything => "*".to_owned(),
            Needs::Substring(s) => String::from_utf8_lossy(s).into_owned(),
            Needs::Run(sets) => run(sets),
            Needs::All(l) => format!("({})", list(l)),
            Needs::Any(l) => format!("[{}]", list(l)),
        }
    }

    #[test]
    fn patterns_need_what_they_spell() {
        for (pattern, want, exact) in [
            ("abc", "abc", true),
            ("HTTP/1.1. 5[0-9][0-9] ", "( 5<10><10>  HTTP/1)", false),
            ("(?i)ask", "<2>", false),
            ("(?i)error", "<2><2><2><2><2>", true),
            ("a(b|c)d", "a<2>d", true),
            ("ab(cd|ef)", "(ab [cd ef])", false),
            ("x|", "*", false),
            ("a+b", "(a b)", false),
            ("a{3}b", "aaab", true),
            ("(ab)?c", "c", false),
            ("^ab\\b", "ab", false),
            (".*", "*", false),
            ("\\d+", "<10>", false),
            ("\u{fffd}a", "*", false),
            ("é", "é", true),
            ("[éa]x", "x", false),
        ] {
            let (needs, own) = required(pattern);
            assert_eq!((shown(&needs).as_str(), own), (want, exact), "{pattern}");
        }
    }
}
