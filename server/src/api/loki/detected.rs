//! `/detected_labels`, `/detected_fields`, `/detected_field/<name>/values`.

use std::collections::{BTreeMap, BTreeSet};

use ::query::logql::ast::{LogExpr, Stage};
use ::query::logql::eval::{LogQuery, OutEntry};
use ::query::logql::stages::fields_of_line;
use ::query::text::{bytes, go_duration};
use engine::logs::Direction;

use super::labels::{matchers, with_streams};
use super::query::lines;
use super::{Answer, Ask, Fault, Said, params};

/// Labels that are shown whatever their values look like.
const ALWAYS: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// `/detected_labels`.
pub(super) async fn labels(ask: Ask) -> Answer {
    let bounds = params::ordered_bounds(&ask.params)?;
    let matchers = matchers(ask.params.get("query"))?;
    let found = with_streams(&ask, matchers, bounds, |all| {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for s in all.iter().map(|t| &t.selection) {
            for i in 0..s.len() {
                for (n, v) in s.labels(i).iter() {
                    let set = values.entry(n.to_owned()).or_default();
                    if !set.contains(v) {
                        set.insert(v.to_owned());
                    }
                }
            }
        }
        values
    })
    .await?;
    let shown: Vec<serde_json::Value> = found
        .iter()
        .filter(|(n, v)| ALWAYS.contains(&n.as_str()) || !v.iter().all(|v| is_id(v)))
        .map(|(n, v)| serde_json::json!({"label": n, "cardinality": v.len()}))
        .collect();
    Ok(Said::bare(&serde_json::json!({"detectedLabels": shown})))
}

/// A number or a UUID.
fn is_id(v: &str) -> bool {
    v.parse::<f64>().is_ok() || uuid::Uuid::try_parse(v).is_ok()
}

/// Texts that Go takes for a boolean; `0` and `1` are numbers before that.
const TRUTHS: [&str; 10] = [
    "true", "True", "TRUE", "t", "T", "false", "False", "FALSE", "f", "F",
];

/// What is known of a field.
#[derive(Debug, Default)]
struct Field {
    /// Kinds of its values with their numbers.
    kinds: BTreeMap<&'static str, usize>,
    values: BTreeSet<String>,
    parsers: BTreeSet<&'static str>,
    path: Vec<String>,
}

impl Field {
    /// What most of its values are.
    fn kind(&self) -> &'static str {
        let most = self.kinds.iter().max_by_key(|(_, n)| **n);
        most.map_or("string", |(k, _)| k)
    }
}

fn kind_of(v: &str) -> &'static str {
    if v.parse::<i64>().is_ok() {
        "int"
    } else if ::query::text::float::parse_float(v).is_some() {
        "float"
    } else if TRUTHS.contains(&v) {
        "boolean"
    } else if go_duration::parse(v).is_some() {
        "duration"
    } else if bytes::parse(v).is_some() {
        "bytes"
    } else {
        "string"
    }
}

/// Parsers that a pipeline names.
fn parsers_of(expr: &LogExpr) -> Vec<&'static str> {
    let one = |s: &Stage| match s {
        Stage::Json(_) => Some("json"),
        Stage::Logfmt { .. } => Some("logfmt"),
        Stage::Regexp(_) => Some("regexp"),
        Stage::Pattern(_) => Some("pattern"),
        Stage::Unpack => Some("unpack"),
        _ => None,
    };
    expr.stages.iter().filter_map(one).collect()
}

/// Fields and their number at most.
async fn detect(ask: &Ask) -> Result<(BTreeMap<String, Field>, usize), Fault> {
    let (start, end) = params::ordered_bounds(&ask.params)?;
    let count = params::limit(&ask.params, "line_limit", 100)?;
    let name = if ask.params.get("limit").is_empty() {
        "field_limit"
    } else {
        "limit"
    };
    let limit = params::limit(&ask.params, name, 1000)?;
    let expr = ::query::logql::parse_log(ask.params.get("query"))?;
    let parsers = parsers_of(&expr);
    let query = LogQuery {
        start,
        end,
        limit: count.min(ask.limits().max_entries.max(1)),
        direction: Direction::Backward,
        interval: 0,
        categorize: true,
    };
    let streams = lines(ask, expr, query).await?;
    let mut fields: BTreeMap<String, Field> = BTreeMap::new();
    for s in &streams {
        for e in &s.entries {
            entry_fields(e, &s.labels, &parsers, limit, &mut fields);
        }
    }
    Ok((fields, limit))
}

fn entry_fields(
    e: &OutEntry,
    stream: &engine::model::Labels,
    parsers: &[&'static str],
    limit: usize,
    fields: &mut BTreeMap<String, Field>,
) {
    let mut see = |name: &str, value: &str, parser: &[&'static str], path: &[String]| {
        if name.starts_with("__error") || (fields.len() >= limit && !fields.contains_key(name)) {
            return;
        }
        let f = fields.entry(name.to_owned()).or_default();
        if f.path.is_empty() {
            f.path = path.to_vec();
        }
        f.parsers.extend(parser);
        if f.values.insert(value.to_owned()) {
            *f.kinds.entry(kind_of(value)).or_insert(0) += 1;
        }
    };
    for (n, v) in e.metadata.iter() {
        see(n, v, &[], &[]);
    }
    for (n, v) in e.parsed.iter() {
        see(n, v, parsers, &[]);
    }
    if parsers.is_empty()
        && let Some((parser, found)) = fields_of_line(&e.line, stream, &e.metadata)
    {
        for f in &found {
            see(&f.name, &f.value, &[parser], &f.path);
        }
    }
}

/// `/detected_fields`.
pub(super) async fn fields(ask: Ask) -> Answer {
    let (found, limit) = detect(&ask).await?;
    let shown: Vec<serde_json::Value> = found
        .iter()
        .map(|(name, f)| {
            let parsers = (!f.parsers.is_empty()).then_some(&f.parsers);
            let mut v = serde_json::json!({
                "label": name, "type": f.kind(), "cardinality": f.values.len(), "parsers": parsers,
            });
            if !f.path.is_empty() {
                v["jsonPath"] = serde_json::json!(f.path);
            }
            v
        })
        .collect();
    Ok(Said::bare(
        &serde_json::json!({"fields": shown, "limit": limit}),
    ))
}

/// `/detected_field/<name>/values`.
pub(super) async fn values(ask: Ask) -> Answer {
    let (found, limit) = detect(&ask).await?;
    let values: Vec<&String> = found
        .get(&ask.path)
        .map(|f| f.values.iter().take(limit).collect())
        .unwrap_or_default();
    Ok(Said::bare(
        &serde_json::json!({"values": values, "limit": limit}),
    ))
}

#[cfg(test)]
mod tests {
    use super::kind_of;

    #[test]
    fn kinds_of_values() {
        for (value, kind) in [
            ("5", "int"),
            ("-7", "int"),
            ("1", "int"),
            ("1.5", "float"),
            ("1e3", "float"),
            ("NaN", "float"),
            ("true", "boolean"),
            ("F", "boolean"),
            ("tRUE", "string"),
            ("1h30m", "duration"),
            ("250ms", "duration"),
            ("5KB", "bytes"),
            ("10 MiB", "bytes"),
            ("", "string"),
            ("1.2.3", "string"),
        ] {
            assert_eq!(kind_of(value), kind, "{value:?}");
        }
    }
}
