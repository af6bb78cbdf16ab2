//! Signatures of all functions, as the public documentation of the query functions gives them.
//!
//! Owns: names, argument types, optional arguments, which functions must be enabled.
//! Knows nothing of: what a function does (that is the file of its family).
//!
//! A family is a list of names that share one shape, in the order of the documentation's chapters.

use std::sync::LazyLock;

use super::{Arity, Function};
use crate::promql::ast::ValueType::{self, Matrix, Scalar, String, Vector};

/// Names with the same signature.
struct Family {
    names: &'static [&'static str],
    args: &'static [ValueType],
    arity: Arity,
    returns: ValueType,
    experimental: bool,
}

impl Family {
    /// Functions from exactly `args` to an instant vector.
    const fn of(args: &'static [ValueType], names: &'static [&'static str]) -> Self {
        Self {
            names,
            args,
            arity: Arity::Fixed,
            returns: Vector,
            experimental: false,
        }
    }

    const fn last_argument(mut self, arity: Arity) -> Self {
        self.arity = arity;
        self
    }

    const fn scalar(mut self) -> Self {
        self.returns = Scalar;
        self
    }

    const fn experimental(mut self) -> Self {
        self.experimental = true;
        self
    }
}

const FAMILIES: &[Family] = &[
    // Element by element: rounding, powers, signs, bounds.
    Family::of(
        &[Vector],
        &[
            "abs", "ceil", "floor", "sqrt", "exp", "ln", "log2", "log10", "sgn",
        ],
    ),
    Family::of(&[Vector, Scalar], &["round"]).last_argument(Arity::UpTo(1)),
    Family::of(&[Vector, Scalar], &["clamp_min", "clamp_max"]),
    Family::of(&[Vector, Scalar, Scalar], &["clamp"]),
    // Trigonometry.
    Family::of(
        &[Vector],
        &[
            "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh",
            "atanh", "deg", "rad",
        ],
    ),
    Family::of(&[], &["pi", "time"]).scalar(),
    // Parts of a date; without an argument, of the evaluation time.
    Family::of(
        &[Vector],
        &[
            "minute",
            "hour",
            "day_of_week",
            "day_of_month",
            "day_of_year",
            "days_in_month",
            "month",
            "year",
        ],
    )
    .last_argument(Arity::UpTo(1)),
    // Between types; presence; sample times.
    Family::of(&[Scalar], &["vector"]),
    Family::of(&[Vector], &["scalar"]).scalar(),
    Family::of(&[Vector], &["absent", "timestamp"]),
    Family::of(&[Vector], &["start_timestamp"]).experimental(),
    // Order.
    Family::of(&[Vector], &["sort", "sort_desc"]),
    Family::of(&[Vector, String], &["sort_by_label", "sort_by_label_desc"])
        .last_argument(Arity::AnyNumber)
        .experimental(),
    // Labels.
    Family::of(
        &[Vector, String, String, String, String],
        &["label_replace"],
    ),
    Family::of(&[Vector, String, String, String], &["label_join"]).last_argument(Arity::AnyNumber),
    Family::of(&[Vector, Vector], &["info"])
        .last_argument(Arity::UpTo(1))
        .experimental(),
    // Counters and gauges over a window.
    Family::of(
        &[Matrix],
        &[
            "rate", "increase", "delta", "irate", "idelta", "resets", "changes", "deriv",
        ],
    ),
    Family::of(&[Matrix, Scalar], &["predict_linear"]),
    Family::of(&[Matrix, Scalar, Scalar], &["double_exponential_smoothing"]).experimental(),
    // Aggregation over a window.
    Family::of(
        &[Matrix],
        &[
            "avg_over_time",
            "min_over_time",
            "max_over_time",
            "sum_over_time",
            "count_over_time",
            "stddev_over_time",
            "stdvar_over_time",
            "first_over_time",
            "last_over_time",
            "present_over_time",
            "absent_over_time",
        ],
    ),
    Family::of(&[Scalar, Matrix], &["quantile_over_time"]),
    Family::of(
        &[Matrix],
        &[
            "mad_over_time",
            "ts_of_min_over_time",
            "ts_of_max_over_time",
            "ts_of_first_over_time",
            "ts_of_last_over_time",
        ],
    )
    .experimental(),
    // Histograms.
    Family::of(
        &[Vector],
        &[
            "histogram_count",
            "histogram_sum",
            "histogram_avg",
            "histogram_stddev",
            "histogram_stdvar",
        ],
    ),
    Family::of(&[Scalar, Vector], &["histogram_quantile"]),
    Family::of(&[Scalar, Scalar, Vector], &["histogram_fraction"]),
    // One quantile at least, ten at most.
    Family::of(&[Vector, String, Scalar, Scalar], &["histogram_quantiles"])
        .last_argument(Arity::UpTo(9))
        .experimental(),
    // The query itself.
    Family::of(&[], &["start", "end", "step", "range"])
        .scalar()
        .experimental(),
    Family::of(&[Scalar, Scalar], &["min_of", "max_of"])
        .scalar()
        .experimental(),
];

/// All functions, sorted by name. Built at first use.
pub static FUNCTIONS: LazyLock<Vec<Function>> = LazyLock::new(|| {
    let mut all: Vec<Function> = FAMILIES
        .iter()
        .flat_map(|family| {
            family.names.iter().map(|name| Function {
                name,
                args: family.args,
                arity: family.arity,
                returns: family.returns,
                experimental: family.experimental,
            })
        })
        .collect();
    all.sort_unstable_by_key(|f| f.name);
    all
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_once() {
        assert!(FUNCTIONS.windows(2).all(|w| w[0].name < w[1].name));
        assert!(
            FUNCTIONS
                .iter()
                .all(|f| std::ptr::eq(super::super::find(f.name).unwrap_or(&FUNCTIONS[0]), f))
        );
        assert_eq!(super::super::find("Rate"), None);
    }

    #[test]
    fn optional_arguments_are_the_last_ones() {
        for f in FUNCTIONS.iter().filter(|f| f.arity != Arity::Fixed) {
            assert!(!f.args.is_empty(), "{}", f.name);
        }
    }
}
