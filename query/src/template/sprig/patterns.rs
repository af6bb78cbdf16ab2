//! Functions with patterns.

use super::super::args::{I, T, int, text};
use super::super::{Function, Value};
use super::MADE_MAX;
use crate::regex::GoRegex;

/// The functions.
pub(super) const TABLE: &[Function] = &[
    // What is no pattern matches nothing.
    Function::pure("regexMatch", &[T, T], |a| {
        Ok(regex(text(a, 0))
            .is_ok_and(|r| r.is_match(text(a, 1)))
            .into())
    }),
    Function::pure("mustRegexMatch", &[T, T], |a| {
        Ok(regex(text(a, 0))?.is_match(text(a, 1)).into())
    }),
    Function::pure("regexFind", &[T, T], find),
    Function::pure("mustRegexFind", &[T, T], find),
    Function::pure("regexFindAll", &[T, T, I], |a| {
        let re = regex(text(a, 0))?;
        let found = re.find_all(text(a, 1)).take(most(int(a, 2)));
        let each: Vec<&str> = found.filter_map(|c| c.get(0)).collect();
        Ok(Value::list_of_texts(each))
    }),
    Function::pure("regexSplit", &[T, T, I], |a| {
        let (re, s, n) = (regex(text(a, 0))?, text(a, 1), most(int(a, 2)));
        if n == 0 {
            return Ok(Value::list_of_texts(Vec::<&str>::new()));
        }
        let (mut out, mut done, mut ends) = (Vec::new(), 0, false);
        for c in re.find_all(s) {
            if out.len() + 1 == n {
                ends = false;
                break;
            }
            let at = c.range();
            // A match of nothing splits between letters only.
            if at.end != 0 {
                out.push(s.get(done..at.start).unwrap_or(""));
            }
            ends = at.start == s.len();
            done = at.end;
        }
        if !ends || s.is_empty() {
            out.push(s.get(done..).unwrap_or(""));
        }
        Ok(Value::list_of_texts(out))
    }),
    Function::pure("regexQuoteMeta", &[T], |a| {
        let mut out = String::with_capacity(text(a, 0).len() + 8);
        for c in text(a, 0).chars() {
            if r"\.+*?()|[]{}^$".contains(c) {
                out.push('\\');
            }
            out.push(c);
        }
        Ok(out.into())
    }),
];

fn regex(pattern: &str) -> Result<GoRegex, String> {
    GoRegex::new(pattern).map_err(|e| e.to_string())
}

fn find(a: &[Value]) -> Result<Value, String> {
    let re = regex(text(a, 0))?;
    let found = re.find_submatch(text(a, 1));
    Ok(found.and_then(|c| c.get(0)).unwrap_or("").into())
}

/// How many; fewer than none means all.
fn most(n: i64) -> usize {
    usize::try_from(n).unwrap_or(MADE_MAX).min(MADE_MAX)
}
