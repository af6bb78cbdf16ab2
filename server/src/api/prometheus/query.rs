//! `/query`, `/query_range`, `/query_exemplars`, `/format_query`, `/parse_query`.

use std::time::{Duration, Instant};

use ::query::promql::json::Json;
use ::query::promql::{
    Answer as Evaluated, CancelToken, Level, QueryError, QueryOptions, StepStats, Value, parse,
    print, selectors_of,
};
use ::query::source::TenantSource;
use engine::metrics::Db;
use serde_json::{Value as JsonValue, json};

use super::labels::blocking;
use super::{language, time};
use crate::api::Api;
use crate::api::call::{Answer, Call, Notes, Reply};
use crate::api::encode::query::QueryBody;
use crate::api::encode::{JsonLabels, to_vec};
use crate::api::error::{ApiError, ErrorKind};
use crate::config::limits;
use crate::telemetry::{Counter, Gauge};

/// What cut results say.
const TRUNCATED: &str = "results truncated due to limit";

/// The feature that lets `stats=all` list the samples of every step.
const PER_STEP: &str = "promql-per-step-stats";

/// What both kinds of query share.
struct Common {
    text: String,
    limit: usize,
    timeout: Option<Duration>,
    lookback_ms: Option<i64>,
    stats: String,
}

/// The query's text, within its limit.
fn query_text(call: &Call) -> Result<String, ApiError> {
    let text = call.params.get("query");
    if text.len() > limits::QUERY_BYTES_MAX {
        let e = format!(
            "query of {} bytes exceeds the limit of {} bytes",
            text.len(),
            limits::QUERY_BYTES_MAX
        );
        return Err(ApiError::parameter("query", e));
    }
    Ok(text.to_owned())
}

fn common(call: &Call, limit: usize) -> Result<Common, ApiError> {
    let duration = |name: &str| match call.params.get(name) {
        "" => Ok(None),
        text => time::parse_duration(text)
            .map(Some)
            .map_err(|e| ApiError::parameter(name, e)),
    };
    let timeout = duration("timeout")?.map(|ns| Duration::from_nanos(ns.max(0).cast_unsigned()));
    let lookback = call.params.get("lookback_delta");
    let lookback_ms = match lookback {
        "" => None,
        text => Some(
            time::parse_duration(text)
                .map(|ns| ns / 1_000_000)
                .map_err(|e| {
                    ApiError::bad(format!("error parsing lookback delta duration: {e}"))
                })?,
        ),
    };
    Ok(Common {
        text: query_text(call)?,
        limit,
        timeout,
        lookback_ms,
        stats: call.params.get("stats").to_owned(),
    })
}

/// Instant queries.
pub(super) async fn instant(call: Call) -> Answer {
    let limit = time::limit(&call.params)?;
    let now = jiff::Timestamp::now().as_millisecond();
    let at = time::time(&call.params, "time", now)?;
    let c = common(&call, limit)?;
    run(&call, c, When::At(at)).await
}

/// Range queries.
pub(super) async fn range(call: Call) -> Answer {
    let p = &call.params;
    let limit = time::limit(p)?;
    let required = |name: &str| time::parse(p.get(name)).map_err(|e| ApiError::parameter(name, e));
    let (start, end) = (required("start")?, required("end")?);
    if end < start {
        return Err(ApiError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step = time::parse_duration(p.get("step")).map_err(|e| ApiError::parameter("step", e))?;
    if step <= 0 {
        return Err(ApiError::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    let points = i128::from(end - start) * 1_000_000 / i128::from(step);
    if points > i128::from(limits::RANGE_POINTS_MAX) {
        return Err(ApiError::bad(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    let c = common(&call, limit)?;
    // Steps below a millisecond cannot be told apart.
    let step = (step / 1_000_000).max(1);
    run(&call, c, When::Range(start, end, step)).await
}

/// The time or times of a query.
#[derive(Debug, Clone, Copy)]
enum When {
    At(i64),
    Range(i64, i64, i64),
}

/// Cancels the evaluation when the request goes away.
struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

async fn run(call: &Call, c: Common, when: When) -> Answer {
    let api = &call.api;
    let db = call.db()?;
    let running = api.metrics.hold(Gauge::Queries);
    let answered = evaluate(call, db, &c, when).await;
    drop(running);
    if answered.is_err() {
        api.metrics.add(Counter::QueryErrors, 1);
    }
    let (mut answer, queued) = answered?;
    let mut notes = notes(&answer, &c);
    let cut = c.limit > 0
        && match &mut answer.value {
            Value::Vector(v) if v.len() > c.limit => {
                v.truncate(c.limit);
                true
            }
            Value::Matrix(m) if m.len() > c.limit => {
                m.truncate(c.limit);
                true
            }
            _ => false,
        };
    if cut {
        notes.warnings.push(TRUNCATED.into());
    }
    let mut tail = Vec::new();
    if !c.stats.is_empty() {
        tail.extend_from_slice(b",\"stats\":");
        tail.extend_from_slice(&to_vec(&stats(&answer, queued)));
    }
    tail.push(b'}');
    notes.write(&mut tail);
    tail.push(b'}');
    Ok(Reply::Stream(Box::new(QueryBody::new(
        answer.value,
        answer.memory,
        tail,
    ))))
}

async fn evaluate(
    call: &Call,
    db: std::sync::Arc<Db>,
    c: &Common,
    when: When,
) -> Result<(Evaluated, Duration), ApiError> {
    let api = call.api.clone();
    let started = Instant::now();
    let slot = api.query_slots.clone().acquire_owned();
    let timeout = c.timeout.map_or(api.options.query_timeout, |t| {
        t.min(api.options.query_timeout)
    });
    let slot = tokio::time::timeout(timeout, slot)
        .await
        .map_err(|_| ApiError::new(ErrorKind::Timeout, "query timed out in query queue"))?;
    let queued = started.elapsed();
    let cancel = CancelOnDrop(CancelToken::default());
    let (token, text, lookback_ms) = (cancel.0.clone(), c.text.clone(), c.lookback_ms);
    let per_step = c.stats == "all" && api.options.features.iter().any(|f| f == PER_STEP);
    let brief = match when {
        When::At(t) if lookback_ms.is_none() => is_brief(&api, &db, &text, t),
        _ => false,
    };
    let work = move || {
        let _slot = slot;
        let noted = api.active_queries().filter(|_| !brief);
        let _noted = noted.and_then(|a| a.begin(&text));
        let engine = language::engine(&api);
        let clock = language::stopwatch();
        let options = QueryOptions {
            lookback_ms,
            timeout: Some(timeout.saturating_sub(queued)),
            per_step,
            cancel: Some(&token),
            clock: Some(&clock),
        };
        let source = TenantSource {
            db: &db,
            tenant: api.tenant(),
        };
        let answer = match when {
            When::At(t) => engine.instant(&source, &text, t, options),
            When::Range(start, end, step) => {
                engine.range(&source, &text, start, end, step, options)
            }
        };
        answer.map_err(query_error)
    };
    // Handing a query to another thread and back takes longer than a brief one itself.
    let answer = if brief {
        work()?
    } else {
        blocking(work).await?
    };
    drop(cancel);
    let m = &call.api.metrics;
    m.query_slice("queue_time", queued);
    m.query_slice("prepare_time", answer.timings.preparation);
    m.query_slice("inner_eval", answer.timings.inner_eval);
    m.query_slice("result_sort", answer.timings.result_sort);
    Ok((answer, queued))
}

/// Longer texts are not looked at: parsing them is work of its own.
const BRIEF_BYTES_MAX: usize = 1024;

/// Whether an instant query is over before anybody could notice. What cannot be parsed is not.
fn is_brief(api: &Api, db: &Db, text: &str, t: i64) -> bool {
    let engine = language::engine(api);
    let source = TenantSource {
        db,
        tenant: api.tenant(),
    };
    let brief = |e| engine.is_brief(&source, &e, t);
    text.len() <= BRIEF_BYTES_MAX && parse(text, engine.options.parse).is_ok_and(brief)
}

fn query_error(e: QueryError) -> ApiError {
    let kind = match &e {
        QueryError::Parse(_) | QueryError::Invalid(_) => {
            return ApiError::parameter("query", e);
        }
        QueryError::Timeout => ErrorKind::Timeout,
        QueryError::Canceled => ErrorKind::Canceled,
        QueryError::Storage(_) => ErrorKind::Internal,
        _ => ErrorKind::Execution,
    };
    ApiError::new(kind, e.to_string())
}

fn notes(answer: &Evaluated, c: &Common) -> Notes {
    let mut notes = Notes::default();
    for a in answer.annotations.iter() {
        let text = a.render(&c.text);
        match a.level {
            Level::Warning => notes.warnings.push(text),
            Level::Info => notes.infos.push(text),
        }
    }
    if !matches!(c.stats.as_str(), "" | "true" | "all") {
        notes.warnings.push(format!(
            "stats={:?} is deprecated, use stats=true or stats=all",
            c.stats
        ));
    }
    notes
}

fn stats(answer: &Evaluated, queued: Duration) -> JsonValue {
    let t = &answer.timings;
    let mut all = json!({
        "timings": {
            "evalTotalTime": (t.inner_eval + t.preparation + t.result_sort).as_secs_f64(),
            "resultSortTime": t.result_sort.as_secs_f64(),
            "queryPreparationTime": t.preparation.as_secs_f64(),
            "innerEvalTime": t.inner_eval.as_secs_f64(),
            "execQueueTime": queued.as_secs_f64(),
            "execTotalTime": (t.total + queued).as_secs_f64(),
        },
        "samples": {
            "totalQueryableSamples": answer.stats.total_queryable_samples,
            "samplesRead": answer.stats.samples_read,
            "peakSamples": answer.stats.peak_samples,
        },
    });
    if !answer.per_step.is_empty() {
        let list = |of: fn(&StepStats) -> u64| -> JsonValue {
            let each = answer.per_step.iter().map(|s| json!([seconds(s.t), of(s)]));
            each.collect()
        };
        all["samples"]["totalQueryableSamplesPerStep"] = list(|s| s.queryable_samples);
        all["samples"]["samplesReadPerStep"] = list(|s| s.samples_read);
    }
    all
}

/// A time as the API writes it: seconds, whole ones without a fraction.
fn seconds(ms: i64) -> JsonValue {
    if ms % 1000 == 0 {
        json!(ms / 1000)
    } else {
        json!(ms as f64 / 1000.0)
    }
}

fn parsed(call: &Call) -> Result<::query::promql::ast::Expr, ApiError> {
    let text = query_text(call)?;
    let expr = parse(&text, language::parse_options(&call.api));
    expr.map_err(|e| ApiError::parameter("query", e))
}

/// The expression, formatted.
pub(super) async fn format(call: Call) -> Answer {
    Ok(Reply::data(&print::pretty(&parsed(&call)?)))
}

/// The expression as a tree.
pub(super) async fn tree(call: Call) -> Answer {
    let expr = parsed(&call)?;
    Ok(Reply::data(&as_json(::query::promql::json::tree(&expr))))
}

fn as_json(j: Json) -> JsonValue {
    match j {
        Json::Null => JsonValue::Null,
        Json::Bool(b) => b.into(),
        Json::Int(n) => n.into(),
        Json::Float(f) => f.into(),
        Json::Str(s) => s.into(),
        Json::List(l) => l.into_iter().map(as_json).collect(),
        Json::Object(o) => {
            let members = o.into_iter().map(|(k, v)| (k.to_owned(), as_json(v)));
            JsonValue::Object(members.collect())
        }
    }
}

/// Exemplars of the series that a query reads.
pub(super) async fn exemplars(call: Call) -> Answer {
    let (start, end) = time::range(&call.params)?;
    if end < start {
        return Err(ApiError::bad(
            "end timestamp must not be before start timestamp",
        ));
    }
    let selectors = selectors_of(&parsed(&call)?);
    if selectors.is_empty() {
        return Ok(Reply::Nothing);
    }
    let (db, tenant) = (call.db()?, call.api.tenant());
    let read = move || Ok::<_, ApiError>(db.exemplars(tenant, &selectors, start, end));
    let found = blocking(read).await?;
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Series<'a> {
        series_labels: JsonLabels<'a>,
        exemplars: Vec<Exemplar<'a>>,
    }
    #[derive(serde::Serialize)]
    struct Exemplar<'a> {
        labels: JsonLabels<'a>,
        value: String,
        timestamp: f64,
    }
    let list: Vec<Series<'_>> = found
        .iter()
        .map(|s| Series {
            series_labels: JsonLabels(&s.series),
            exemplars: s
                .exemplars
                .iter()
                .map(|e| Exemplar {
                    labels: JsonLabels(&e.labels),
                    value: query::text::float::json(e.value),
                    timestamp: e.t as f64 / 1000.0,
                })
                .collect(),
        })
        .collect();
    Ok(Reply::data(&list))
}
