//! `/features`: what this server can do, by category.

use std::collections::BTreeMap;

use crate::api::call::{Answer, Call, Reply};

type Category = BTreeMap<String, bool>;

fn on(names: &[&str]) -> Category {
    names.iter().map(|n| ((*n).to_owned(), true)).collect()
}

/// Operators of the query language.
const OPERATORS: &[&str] = &[
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "<=",
    "==",
    "=~",
    ">",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "unless",
];

/// Features with their state.
pub(super) async fn features(call: Call) -> Answer {
    let o = &call.api.options;
    let flag = |name: &str| o.features.iter().any(|f| f == name);
    let mut all: BTreeMap<&str, Category> = BTreeMap::new();
    let mut api = on(&[
        "exclude_alerts",
        "label_values_match",
        "lifecycle",
        "openapi_3.1",
        "query_stats",
        "query_warnings",
        "remote_read",
    ]);
    api.insert("admin".into(), o.admin);
    api.insert("lifecycle".into(), o.lifecycle);
    api.insert("remote_write_receiver".into(), o.remote_write);
    api.insert("otlp_write_receiver".into(), o.otlp);
    api.insert("search".into(), false);
    all.insert("api", api);
    let mut otlp = Category::new();
    otlp.insert("delta_conversion".into(), flag("otlp-deltatocumulative"));
    otlp.insert(
        "native_delta_ingestion".into(),
        flag("otlp-native-delta-ingestion"),
    );
    all.insert("otlp_receiver", otlp);
    let mut prometheus = on(&["auto_reload_config", "exemplar_storage"]);
    prometheus.insert("agent_mode".into(), false);
    all.insert("prometheus", prometheus);
    let mut promql = on(&[
        "anchored",
        "at_modifier",
        "negative_offset",
        "smoothed",
        "subqueries",
    ]);
    promql.insert("per_step_stats".into(), flag("promql-per-step-stats"));
    promql.insert(
        "experimental_functions".into(),
        flag("promql-experimental-functions"),
    );
    all.insert("promql", promql);
    let functions = query::promql::functions::FUNCTIONS.iter();
    let enabled = flag("promql-experimental-functions");
    all.insert(
        "promql_functions",
        functions
            .map(|f| (f.name.to_owned(), enabled || !f.experimental))
            .collect(),
    );
    all.insert("promql_operators", on(OPERATORS));
    all.insert("rules", on(&["keep_firing_for", "query_offset"]));
    all.insert(
        "scrape",
        on(&["scrape_protocols", "native_histograms", "relabeling"]),
    );
    all.insert(
        "service_discovery_providers",
        on(&[
            "consul",
            "dns",
            "docker",
            "file",
            "http",
            "kubernetes",
            "static",
        ]),
    );
    all.insert("templating_functions", Category::new());
    all.insert(
        "tsdb",
        on(&["exemplars", "native_histograms", "out_of_order"]),
    );
    all.insert("ui", Category::new());
    Ok(Reply::data(&all))
}
