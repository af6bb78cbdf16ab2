//! The functions: their signatures here, their work in one file per family.

pub(crate) mod changes;
pub(crate) mod dates;
pub(crate) mod extended;
pub(crate) mod kahan;
pub(crate) mod math;
pub(crate) mod natural;
pub(crate) mod over_time;
pub(crate) mod range;
pub(crate) mod rate;
pub(crate) mod regression;
mod table;
pub(crate) mod window;

use super::ast::ValueType;

pub use table::FUNCTIONS;

/// Signature of a function.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// Name.
    pub name: &'static str,
    /// Types of the arguments; the last one repeats for further arguments.
    pub args: &'static [ValueType],
    /// 0: exactly `args`; n > 0: the last one may be left out, at most n of it; -1: any number.
    pub variadic: i32,
    /// Type of the result.
    pub returns: ValueType,
    /// Must be enabled in the options.
    pub experimental: bool,
}

/// The function called `name`. Names are case-sensitive. Cost: a binary search.
#[must_use]
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS
        .binary_search_by(|f| f.name.cmp(name))
        .ok()
        .map(|i| &FUNCTIONS[i])
}
