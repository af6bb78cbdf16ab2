//! `/openapi.yaml`: the interface for machines.

use axum::body::Body;
use axum::response::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::api::BuildInfo;
use crate::api::call::{Answer, Call, Reply};

/// Path, methods, summary, parameters.
type Operation = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static [&'static str],
);

const GET: &[&str] = &["get"];
const BOTH: &[&str] = &["get", "post"];
const POST: &[&str] = &["post"];

const OPERATIONS: &[Operation] = &[
    (
        "/query",
        BOTH,
        "Evaluate an instant query",
        &[
            "query",
            "time",
            "timeout",
            "limit",
            "lookback_delta",
            "stats",
        ],
    ),
    (
        "/query_range",
        BOTH,
        "Evaluate a range query",
        &[
            "query",
            "start",
            "end",
            "step",
            "timeout",
            "limit",
            "lookback_delta",
            "stats",
        ],
    ),
    (
        "/query_exemplars",
        BOTH,
        "Exemplars of a query's series",
        &["query", "start", "end"],
    ),
    ("/format_query", BOTH, "Format an expression", &["query"]),
    (
        "/parse_query",
        BOTH,
        "Syntax tree of an expression",
        &["query"],
    ),
    (
        "/series",
        BOTH,
        "Label sets of series",
        &["match[]", "start", "end", "limit"],
    ),
    (
        "/labels",
        BOTH,
        "Label names",
        &["match[]", "start", "end", "limit"],
    ),
    (
        "/label/{name}/values",
        GET,
        "Values of a label",
        &["match[]", "start", "end", "limit"],
    ),
    (
        "/metadata",
        GET,
        "Metadata of metrics",
        &["metric", "limit", "limit_per_metric"],
    ),
    ("/targets", GET, "Targets", &["state", "scrapePool"]),
    (
        "/targets/metadata",
        GET,
        "Metadata by target",
        &["match_target", "metric", "limit"],
    ),
    ("/scrape_pools", GET, "Names of jobs", &[]),
    (
        "/rules",
        GET,
        "Rule groups",
        &[
            "type",
            "rule_name[]",
            "rule_group[]",
            "file[]",
            "match[]",
            "exclude_alerts",
            "group_limit",
            "group_next_token",
        ],
    ),
    ("/alerts", GET, "Active alerts", &[]),
    ("/alertmanagers", GET, "Receivers of alerts", &[]),
    ("/status/config", GET, "Configuration in force", &[]),
    ("/status/flags", GET, "Command line in force", &[]),
    ("/status/runtimeinfo", GET, "The process", &[]),
    ("/status/buildinfo", GET, "The binary", &[]),
    ("/status/tsdb", GET, "Cardinality of the head", &["limit"]),
    ("/status/walreplay", GET, "Progress of the start", &[]),
    ("/features", GET, "What this server can do", &[]),
    ("/notifications", GET, "Messages to the operator", &[]),
    (
        "/admin/tsdb/snapshot",
        POST,
        "Make a snapshot",
        &["skip_head"],
    ),
    (
        "/admin/tsdb/delete_series",
        POST,
        "Delete points of series",
        &["match[]", "start", "end"],
    ),
    (
        "/admin/tsdb/clean_tombstones",
        POST,
        "Free the space of deleted points",
        &[],
    ),
    ("/write", POST, "Remote write", &[]),
    ("/read", POST, "Remote read", &[]),
    ("/otlp/v1/metrics", POST, "OTLP metrics", &[]),
];

/// The document.
pub(super) async fn document(call: Call) -> Answer {
    let version = match call.params.get("openapi_version") {
        "3.2" | "3.2.0" => "3.2.0",
        _ => "3.1.0",
    };
    let prefix = &call.api.options.route_prefix;
    let mut y = format!(
        "openapi: {version}\ninfo:\n  title: Sextant metrics API\n  version: {}\n  license:\n    \
         name: Apache-2.0\nservers:\n- url: {prefix}/api/v1\npaths:\n",
        BuildInfo::VERSION
    );
    for (path, methods, summary, parameters) in OPERATIONS {
        let mut line = |text: std::fmt::Arguments<'_>| {
            y.push_str(&text.to_string());
            y.push('\n');
        };
        line(format_args!("  {path}:"));
        for method in *methods {
            let id = path.replace(['/', '{', '}'], "_");
            line(format_args!("    {method}:"));
            line(format_args!("      operationId: {method}{id}"));
            line(format_args!("      summary: {summary}"));
            if path.contains("{name}") || (*method == "get" && !parameters.is_empty()) {
                line(format_args!("      parameters:"));
            }
            if path.contains("{name}") {
                line(format_args!(
                    "      - {{name: name, in: path, required: true, schema: {{type: string}}}}"
                ));
            }
            if *method == "get" {
                for p in *parameters {
                    line(format_args!(
                        "      - {{name: \"{p}\", in: query, schema: {{type: string}}}}"
                    ));
                }
            }
            line(format_args!("      responses:"));
            line(format_args!(
                "        default: {{description: The answer or an error}}"
            ));
        }
    }
    let mut r = Response::new(Body::from(y));
    r.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/yaml; charset=utf-8"),
    );
    Ok(Reply::Raw(r))
}
