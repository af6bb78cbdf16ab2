//! `| status >= 500`, `| level = "error" or size > 1MB`, `| addr = ip("..")`.

use super::ip::IpMatch;
use super::{Entry, LabelSet, Step, Surroundings};
use crate::logql::ast::{Compare, LabelFilter};
use crate::logql::parse::ParseError;
use crate::text::{bytes, float, go_duration};

/// The error of a value that cannot be compared.
const LABEL_FILTER_ERROR: &str = "LabelFilterErr";

/// A compiled label filter.
pub(super) struct Filter {
    filter: LabelFilter,
    /// Compiled addresses in the order of the tree.
    ips: Vec<IpMatch>,
}

impl Filter {
    pub(super) fn new(filter: &LabelFilter) -> Result<Self, ParseError> {
        let mut ips = Vec::new();
        compile_ips(filter, &mut ips)?;
        Ok(Self {
            filter: filter.clone(),
            ips,
        })
    }

    pub(crate) fn holds(&self, labels: &mut LabelSet) -> bool {
        let mut ips = self.ips.iter();
        holds(&self.filter, labels, &mut ips)
    }
}

fn compile_ips(f: &LabelFilter, out: &mut Vec<IpMatch>) -> Result<(), ParseError> {
    match f {
        LabelFilter::Ip(_, _, address) => {
            out.push(IpMatch::new(address).map_err(ParseError::new)?);
            Ok(())
        }
        LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
            compile_ips(a, out)?;
            compile_ips(b, out)
        }
        _ => Ok(()),
    }
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

type Ips<'i> = std::slice::Iter<'i, IpMatch>;

fn holds(f: &LabelFilter, labels: &mut LabelSet, ips: &mut Ips<'_>) -> bool {
    match f {
        LabelFilter::Text(m) => m.matches(labels.filter_value(&m.name)),
        LabelFilter::Number(name, op, want) => compare(labels, name, *op, want, |v| {
            float::parse_float(v)
                .ok_or_else(|| format!("strconv.ParseFloat: parsing {v:?}: invalid syntax"))
        }),
        LabelFilter::Duration(name, op, want) => compare(labels, name, *op, want, |v| {
            go_duration::parse(v).ok_or_else(|| format!("time: invalid duration {v:?}"))
        }),
        LabelFilter::Bytes(name, op, want) => compare(labels, name, *op, want, |v| {
            bytes::parse(v).ok_or_else(|| format!("unhandled size name: {v}"))
        }),
        LabelFilter::Ip(name, equal, _) => {
            let ip = ips.next();
            if labels.has_error() {
                return true;
            }
            match (labels.get(name), ip) {
                (Some(v), Some(ip)) => ip.is_in(v) == *equal,
                _ => false,
            }
        }
        LabelFilter::And(a, b) => {
            // Both sides always run: an error of the right one is to be seen.
            let left = holds(a, labels, ips);
            let right = holds(b, labels, ips);
            left && right
        }
        LabelFilter::Or(a, b) => {
            if holds(a, labels, ips) {
                skip_ips(b, ips);
                return true;
            }
            holds(b, labels, ips)
        }
    }
}

/// Passes over the addresses of a side that is not evaluated.
fn skip_ips(f: &LabelFilter, ips: &mut Ips<'_>) {
    match f {
        LabelFilter::Ip(..) => {
            ips.next();
        }
        LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
            skip_ips(a, ips);
            skip_ips(b, ips);
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
