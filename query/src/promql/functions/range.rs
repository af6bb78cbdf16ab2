//! Range functions by name.

use super::over_time::{OverTime, quantile_window};
use super::rate::RateKind;
use super::window::{Env, Window};
use super::{changes, rate, regression};
use crate::promql::eval::series::Point;

/// A function of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RangeFn {
    Rate(RateKind),
    Instant { counter: bool },
    Resets,
    Changes,
    Deriv,
    PredictLinear,
    DoubleExponential,
    OverTime(OverTime),
    Quantile,
    Absent,
}

impl RangeFn {
    pub(crate) fn find(name: &str) -> Option<Self> {
        use OverTime as O;
        let rate = |counter, per_second| {
            Self::Rate(RateKind {
                counter,
                per_second,
            })
        };
        Some(match name {
            "rate" => rate(true, true),
            "increase" => rate(true, false),
            "delta" => rate(false, false),
            "irate" => Self::Instant { counter: true },
            "idelta" => Self::Instant { counter: false },
            "resets" => Self::Resets,
            "changes" => Self::Changes,
            "deriv" => Self::Deriv,
            "predict_linear" => Self::PredictLinear,
            "double_exponential_smoothing" => Self::DoubleExponential,
            "quantile_over_time" => Self::Quantile,
            "absent_over_time" => Self::Absent,
            "sum_over_time" => Self::OverTime(O::Sum),
            "avg_over_time" => Self::OverTime(O::Avg),
            "min_over_time" => Self::OverTime(O::Min),
            "max_over_time" => Self::OverTime(O::Max),
            "count_over_time" => Self::OverTime(O::Count),
            "stddev_over_time" => Self::OverTime(O::Stddev),
            "stdvar_over_time" => Self::OverTime(O::Stdvar),
            "mad_over_time" => Self::OverTime(O::Mad),
            "first_over_time" => Self::OverTime(O::First),
            "last_over_time" => Self::OverTime(O::Last),
            "present_over_time" => Self::OverTime(O::Present),
            "ts_of_first_over_time" => Self::OverTime(O::TsOfFirst),
            "ts_of_last_over_time" => Self::OverTime(O::TsOfLast),
            "ts_of_min_over_time" => Self::OverTime(O::TsOfMin),
            "ts_of_max_over_time" => Self::OverTime(O::TsOfMax),
            _ => return None,
        })
    }

    /// Results are still samples of the metric.
    pub(crate) fn keeps_name(self) -> bool {
        matches!(self, Self::OverTime(OverTime::First | OverTime::Last))
    }

    /// Start timestamps change the result.
    pub(crate) fn reads_start(self) -> bool {
        matches!(
            self,
            Self::Rate(RateKind { counter: true, .. })
                | Self::Instant { counter: true }
                | Self::Resets
        )
    }

    pub(crate) fn allows_anchored(self) -> bool {
        matches!(self, Self::Rate(_) | Self::Resets | Self::Changes)
    }

    pub(crate) fn allows_smoothed(self) -> bool {
        matches!(self, Self::Rate(_))
    }

    /// The result for one window; `params` are the scalar arguments at this step.
    pub(crate) fn window(self, w: &Window<'_>, env: &Env<'_>, params: &[f64]) -> Option<Point> {
        let param = |i: usize| params.get(i).copied().unwrap_or(f64::NAN);
        match self {
            Self::Rate(kind) => rate::window(kind, w, env),
            Self::Instant { counter } => rate::instant_window(counter, w, env),
            Self::Resets => changes::window(true, w, env),
            Self::Changes => changes::window(false, w, env),
            Self::Deriv => regression::deriv(w, env),
            Self::PredictLinear => regression::predict_linear(w, env, param(0)),
            Self::DoubleExponential => regression::double_exponential(w, env, param(0), param(1)),
            Self::OverTime(f) => f.window(w, env),
            Self::Quantile => quantile_window(param(0), w, env),
            Self::Absent => {
                (!w.vals.is_empty() || !w.hists.is_empty()).then_some(Point::Float(1.0))
            }
        }
    }
}
