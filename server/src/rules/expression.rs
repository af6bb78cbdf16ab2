//! What a rule asks: over metrics or over lines.
//!
//! Owns: which language a rule is written in.
//! Knows nothing of: who answers.

use query::logql::ast::{Expr as LineExpr, MetricExpr};
use query::promql::ParseOptions;
use query::promql::ast::Expr;

/// The language of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// PromQL, with the parts of it that are switched on.
    Metrics(ParseOptions),
    /// LogQL.
    Lines,
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub(crate) enum Expression {
    /// Over metrics.
    Metrics(Box<Expr>),
    /// Over lines.
    Lines(Box<MetricExpr>),
}

impl Expression {
    /// Reads an expression; gives it with its canonical form.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn parse(text: &str, language: Language) -> Result<(Self, String), String> {
        match language {
            Language::Metrics(options) => {
                let expr = query::promql::parse(text, options).map_err(|e| e.to_string())?;
                let shown = expr.to_string();
                Ok((Self::Metrics(Box::new(expr)), shown))
            }
            Language::Lines => {
                let m = query::logql::parse_metric(text).map_err(|e| e.to_string())?;
                let shown = query::logql::print::print(&LineExpr::Metric(m.clone()));
                Ok((Self::Lines(Box::new(m)), shown))
            }
        }
    }
}
