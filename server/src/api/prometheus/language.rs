//! The query language as this room uses it.

use std::sync::Arc;
use std::time::Duration;

use engine::model::Matcher;
use query::promql::{Engine, EngineOptions, Parallelism, ParseOptions};

use crate::api::Api;
use crate::config::prometheus::LoadedConfig;

/// A selector's matchers.
///
/// # Errors
/// The parser's text, with its position.
pub(super) fn parse_selector(text: &str) -> Result<Vec<Matcher>, String> {
    query::promql::parse_selector(text).map_err(|e| e.to_string())
}

/// Which parts of the language are switched on.
pub(super) fn parse_options(api: &Api) -> ParseOptions {
    let on = |name: &str| api.options.features.iter().any(|f| f == name);
    ParseOptions {
        experimental_functions: on("promql-experimental-functions"),
        // Always on, as in current Prometheus; the flag is still accepted.
        duration_expressions: true,
        extended_range_selectors: on("promql-extended-range-selectors"),
        binop_fill_modifiers: on("promql-binop-fill-modifiers"),
    }
}

/// The engine with the options in force.
pub(super) fn engine(api: &Api) -> Engine {
    engine_for(api, &api.config.load())
}

/// The engine as it is with `config`.
pub(crate) fn engine_for(api: &Api, config: &LoadedConfig) -> Engine {
    let on = |name: &str| api.options.features.iter().any(|f| f == name);
    let global = &config.document.global;
    Engine {
        options: EngineOptions {
            parse: parse_options(api),
            lookback_ms: api.options.lookback_ms,
            max_samples: api.options.query_max_samples as u64,
            timeout: api.options.query_timeout,
            default_subquery_step_ms: global.evaluation_interval.as_ms(),
            delayed_name_removal: on("promql-delayed-name-removal"),
            use_start_timestamps: on("use-start-timestamps"),
            type_and_unit_labels: on("type-and-unit-labels"),
            parallelism: Parallelism::default(),
            memory: Some(Arc::clone(&api.query_memory)),
        },
    }
}

/// A clock for one query: time since it was made.
pub(super) fn stopwatch() -> impl Fn() -> Duration {
    let started = std::time::Instant::now();
    move || started.elapsed()
}
