//! Functions on letters and words: which are capital, what stands between words.

use super::super::args::{T, text};
use super::super::{Function, family};

/// The functions.
pub(super) const TABLE: &[Function] = &[
    Function::pure("untitle", &[T], |a| {
        let mut start = true;
        let each = text(a, 0).chars().map(|c| {
            let out = if start { lower(c) } else { c };
            start = c.is_whitespace();
            out
        });
        Ok(each.collect::<String>().into())
    }),
    Function::pure("swapcase", &[T], |a| {
        let each = text(a, 0).chars().map(|c| match c.is_uppercase() {
            true => lower(c),
            false => upper(c),
        });
        Ok(each.collect::<String>().into())
    }),
    Function::pure("snakecase", &[T], |a| Ok(parted(text(a, 0), '_').into())),
    Function::pure("kebabcase", &[T], |a| Ok(parted(text(a, 0), '-').into())),
    Function::pure("camelcase", &[T], |a| Ok(pascal(text(a, 0)).into())),
];

fn lower(c: char) -> char {
    let low = family::lower(c.encode_utf8(&mut [0; 4]));
    low.chars().next().unwrap_or(c)
}

fn upper(c: char) -> char {
    let up = family::upper(c.encode_utf8(&mut [0; 4]));
    up.chars().next().unwrap_or(c)
}

fn joins(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// What a run of letters of a text is.
#[derive(Clone, Copy, PartialEq)]
enum Run {
    /// Blanks, hyphens and underscores.
    Joint,
    /// Other punctuation.
    Mark,
    /// Digits.
    Number,
    /// Letters that begin with a capital one.
    Capital,
    /// Small letters.
    Small,
    /// Anything else.
    Other,
}

fn run_of(c: char) -> Run {
    match c {
        c if joins(c) => Run::Joint,
        // What Go calls symbols are no punctuation.
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => Run::Other,
        c if c.is_ascii_punctuation() => Run::Mark,
        c if c.is_uppercase() => Run::Capital,
        c if c.is_alphabetic() => Run::Small,
        c if c.is_numeric() => Run::Number,
        _ => Run::Other,
    }
}

/// The runs of a text: `HTTPServer2` is `HTTP`, `Server` and `2`.
fn runs(s: &str) -> Vec<(Run, &str)> {
    let mut out = Vec::new();
    let mut rest = s;
    while let Some(first) = rest.chars().next() {
        let kind = run_of(first);
        let len = |of: Run, s: &str| s.find(|c| run_of(c) != of).unwrap_or(s.len());
        let mut end = len(kind, rest);
        if kind == Run::Capital {
            let small = rest.get(end..).map_or(0, |s| len(Run::Small, s));
            let last = rest.get(..end).and_then(|s| s.chars().last());
            let last = last.map_or(0, char::len_utf8);
            end = match small {
                0 => end,
                // The last of several capital letters begins the next word.
                _ if end > last => end - last,
                small => end + small,
            };
        }
        let (run, after) = rest.split_at(end.max(first.len_utf8()));
        out.push((kind, run));
        rest = after;
    }
    out
}

/// Small letters with `by` between the words.
fn parted(s: &str, by: char) -> String {
    let all = runs(s);
    let kind = |i: usize| all.get(i).map(|(k, _)| *k);
    let word = |k: Option<Run>| !matches!(k, None | Some(Run::Joint | Run::Mark));
    // Places between runs where a joint is to be added are found first.
    let mut joints = vec![false; all.len()];
    let mut i = 0;
    while i < all.len() {
        let mut next = i + 1;
        match kind(i) {
            // A number takes what follows along: `2m3s`.
            Some(Run::Number) => {
                while matches!(kind(next), Some(Run::Small | Run::Number)) {
                    next += 1;
                }
            }
            // It belongs to the word before it, unless small letters follow: `bld4`, `http_2xx`.
            Some(Run::Capital | Run::Small | Run::Other)
                if kind(next) == Some(Run::Number) && kind(next + 1) != Some(Run::Small) =>
            {
                next += 1;
            }
            _ => {}
        }
        joints[next - 1] = word(kind(i)) && word(kind(next));
        i = next;
    }
    let mut out = String::with_capacity(s.len() + 8);
    for ((kind, run), joint) in all.iter().zip(joints) {
        match kind {
            Run::Joint => out.extend(run.chars().map(|_| by)),
            _ => out.extend(run.chars().map(lower)),
        }
        if joint {
            out.push(by);
        }
    }
    out
}

/// Words put together, each with a capital letter. What stands before the first word stays, and of
/// several joints in a row all but one; so do joints at the end.
fn pascal(s: &str) -> String {
    let words = s.trim_start_matches(joins);
    let (before, end) = s.split_at(s.len() - words.len());
    let words = end.trim_end_matches(joins);
    let after = end.get(words.len()..).unwrap_or_default();
    let mut out = String::with_capacity(s.len());
    out.push_str(before);
    // A word that begins with capital letters has them small up to the first other one.
    let (mut start, mut shouting) = (true, false);
    let mut letters = words.chars().peekable();
    while let Some(c) = letters.next() {
        if joins(c) {
            if letters.peek().is_some_and(|n| joins(*n)) {
                out.push(c);
            }
            start = true;
        } else if start {
            shouting = c.is_uppercase();
            out.push(upper(c));
            start = false;
        } else {
            shouting &= c.is_uppercase();
            out.push(if shouting { lower(c) } else { c });
        }
    }
    out + after
}
