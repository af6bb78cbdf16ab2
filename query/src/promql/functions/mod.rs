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
mod signatures;
pub(crate) mod window;

use super::ast::ValueType;

pub use signatures::FUNCTIONS;

/// How often the last argument of a function may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Once: all arguments are required.
    Fixed,
    /// At most so many times, or not at all.
    UpTo(usize),
    /// Any number of times, or not at all.
    AnyNumber,
}

/// Signature of a function.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// Name.
    pub name: &'static str,
    /// Types of the arguments; the last one repeats for further arguments.
    pub args: &'static [ValueType],
    /// How often the last argument may be given.
    pub arity: Arity,
    /// Type of the result.
    pub returns: ValueType,
    /// Must be enabled in the options.
    pub experimental: bool,
}

impl Function {
    /// Fewest arguments of a call.
    #[must_use]
    pub fn args_min(&self) -> usize {
        match self.arity {
            Arity::Fixed => self.args.len(),
            Arity::UpTo(_) | Arity::AnyNumber => self.args.len().saturating_sub(1),
        }
    }

    /// Most arguments of a call; `None` without a limit.
    #[must_use]
    pub fn args_max(&self) -> Option<usize> {
        match self.arity {
            Arity::Fixed => Some(self.args.len()),
            Arity::UpTo(n) => Some(self.args_min().saturating_add(n)),
            Arity::AnyNumber => None,
        }
    }
}

/// The function called `name`. Names are case-sensitive. Cost: a binary search.
#[must_use]
pub fn find(name: &str) -> Option<&'static Function> {
    let all: &'static [Function] = &FUNCTIONS;
    let i = all.binary_search_by(|f| f.name.cmp(name)).ok()?;
    all.get(i)
}
