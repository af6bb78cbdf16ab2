//! `| status >= 500`, `| level = "error" or size > 1MB`, `| addr = ip("..")`.

use super::ip::IpMatch;
use super::text_test::TextTest;
use super::{Entry, LabelSet, Step, Surroundings};
use crate::logql::ast::{Compare, LabelFilter};
use crate::logql::parse::ParseError;
use crate::text::{bytes, float, go_duration};

/// The error of a value that cannot be compared.
const LABEL_FILTER_ERROR: &str = "LabelFilterErr";

/// A compiled label filter.
pub(super) struct Filter {
    filter: LabelFilter,
    /// Compiled addresses and text tests in the order of the tree.
    tests: Vec<Test>,
}

/// A leaf that needs compiling.
enum Test {
    Ip(IpMatch),
    Text(TextTest),
}

impl Filter {
    pub(super) fn new(filter: &LabelFilter) -> Result<Self, ParseError> {
        let mut tests = Vec::new();
        compile(filter, &mut tests)?;
        Ok(Self {
            filter: filter.clone(),
            tests,
        })
    }

    pub(super) fn holds(&self, labels: &mut LabelSet) -> bool {
        holds(&self.filter, labels, &mut self.tests.iter())
    }
}

fn compile(f: &LabelFilter, out: &mut Vec<Test>) -> Result<(), ParseError> {
    match f {
        LabelFilter::Ip(_, _, address) => {
            out.push(Test::Ip(IpMatch::new(address).map_err(ParseError::new)?));
        }
        LabelFilter::Text(m) => out.push(Test::Text(TextTest::new(m)?)),
        LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
            compile(a, out)?;
            compile(b, out)?;
        }
        _ => {}
    }
    Ok(())
}

impl Step for Filter {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        self.holds(&mut entry.labels)
    }

    fn required(&self) -> Vec<String> {
        let mut out = Vec::new();
        names(&self.filter, &mut out);
        out
    }
}

fn names(f: &LabelFilter, out: &mut Vec<String>) {
    match f {
        LabelFilter::Text(m) => out.push(m.name.clone()),
        LabelFilter::Number(n, ..)
        | LabelFilter::Duration(n, ..)
        | LabelFilter::Bytes(n, ..)
        | LabelFilter::Ip(n, ..) => out.push(n.clone()),
        LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
            names(a, out);
            names(b, out);
        }
    }
}

type Tests<'i> = std::slice::Iter<'i, Test>;

fn holds(f: &LabelFilter, labels: &mut LabelSet, tests: &mut Tests<'_>) -> bool {
    match f {
        LabelFilter::Text(m) => {
            let value = labels.filter_value(&m.name);
            matches!(tests.next(), Some(Test::Text(t)) if t.holds(value))
        }
        LabelFilter::Number(name, op, want) => compare(labels, name, *op, want, |v| {
            float::parse_float_literal(v)
                .ok_or_else(|| format!("strconv.ParseFloat: parsing {v:?}: invalid syntax"))
        }),
        LabelFilter::Duration(name, op, want) => compare(labels, name, *op, want, |v| {
            go_duration::parse(v).ok_or_else(|| format!("time: invalid duration {v:?}"))
        }),
        LabelFilter::Bytes(name, op, want) => compare(labels, name, *op, want, |v| {
            bytes::parse(v).ok_or_else(|| format!("unhandled size name: {v}"))
        }),
        LabelFilter::Ip(name, equal, _) => {
            let test = tests.next();
            if labels.has_error() {
                return true;
            }
            match (labels.get(name), test) {
                (Some(v), Some(Test::Ip(ip))) => ip.is_in(v) == *equal,
                _ => false,
            }
        }
        LabelFilter::And(a, b) => {
            // Both sides always run: an error of the right one is to be seen.
            let left = holds(a, labels, tests);
            let right = holds(b, labels, tests);
            left && right
        }
        LabelFilter::Or(a, b) => {
            if holds(a, labels, tests) {
                skip(b, tests);
                return true;
            }
            holds(b, labels, tests)
        }
    }
}

/// Passes over the tests of a side that is not evaluated.
fn skip(f: &LabelFilter, tests: &mut Tests<'_>) {
    match f {
        LabelFilter::Ip(..) | LabelFilter::Text(_) => {
            tests.next();
        }
        LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
            skip(a, tests);
            skip(b, tests);
        }
        _ => {}
    }
}

/// A line that already has an error passes: only text filters can stop it.
fn compare<T: PartialOrd>(
    labels: &mut LabelSet,
    name: &str,
    op: Compare,
    want: &T,
    read: impl Fn(&str) -> Result<T, String>,
) -> bool {
    if labels.has_error() {
        return true;
    }
    let Some(value) = labels.get(name) else {
        return false;
    };
    match read(value) {
        Ok(v) => op.holds(&v, want),
        Err(why) => {
            labels.fail(LABEL_FILTER_ERROR, &why);
            true
        }
    }
}
