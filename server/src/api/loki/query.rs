//! `/query` and `/query_range`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ::query::logql::ast::{Expr, MetricExpr, walk_ranges};
use ::query::logql::eval::{Control, Grid, Limits, LogQuery, QueryError, run_log, run_metric};
use ::query::logql::source::{LogSource, TenantLogs};
use ::query::logql::stages::Surroundings;
use ::query::text::go_duration;
use engine::logs::{Direction, ScanStats};
use hyper::StatusCode;

use super::tenants::ManyTenants;
use super::{Answer, Ask, Fault, Said, Tenant, in_background, params};
use crate::api::encode::loki::{LegacyBody, MetricBody, StatsTail, StreamsBody};
use crate::config::loki::TenantLimits;

/// Bytes of lines that one query may hold.
const HELD_BYTES_MAX: u64 = 1 << 30;

impl From<QueryError> for Fault {
    fn from(e: QueryError) -> Self {
        let status = match &e {
            QueryError::Parse(_) | QueryError::Pipeline(_) | QueryError::Limit(_) => {
                StatusCode::BAD_REQUEST
            }
            QueryError::Timeout => StatusCode::GATEWAY_TIMEOUT,
            QueryError::Canceled => {
                StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, e.to_string())
    }
}

/// What a query needs besides its text.
struct Job {
    store: Arc<engine::store::Store>,
    tenants: Vec<Tenant>,
    limits: Limits,
    timeout: Duration,
    now: i64,
}

/// The parts of a job that evaluation asks for.
fn with_control<T>(
    job: &Job,
    cancel: &std::sync::atomic::AtomicBool,
    stats: &ScanStats,
    f: impl FnOnce(&dyn LogSource, &Control<'_>) -> Result<T, QueryError>,
) -> Result<T, Fault> {
    let deadline = Instant::now() + job.timeout;
    let expired = || Instant::now() > deadline;
    let control = Control {
        limits: job.limits,
        around: Surroundings {
            now: job.now,
            zone: jiff::tz::TimeZone::system(),
        },
        cancel,
        expired: &expired,
        stats,
    };
    Ok(match job.tenants.as_slice() {
        [one] => {
            let source = TenantLogs {
                db: &job.store.logs,
                tenant: one.id,
            };
            f(&source, &control)?
        }
        several => f(&ManyTenants::new(&job.store.logs, several), &control)?,
    })
}

pub(super) fn eval_limits(limits: &TenantLimits) -> Limits {
    Limits {
        series_max: limits.max_query_series,
        bytes_max: HELD_BYTES_MAX,
        approx_topk: limits.approx_topk(),
        ..Limits::default()
    }
}

fn job(ask: &Ask) -> Job {
    let limits = ask.limits();
    let timeout = u64::try_from(limits.query_timeout_ms).unwrap_or(0);
    Job {
        store: Arc::clone(&ask.store),
        tenants: ask.tenants().cloned().collect(),
        limits: eval_limits(&limits),
        timeout: Duration::from_millis(if timeout == 0 { 600_000 } else { timeout }),
        now: params::now(),
    }
}

/// Runs a log query for handlers that look at lines themselves.
pub(super) async fn lines(
    ask: &Ask,
    expr: ::query::logql::ast::LogExpr,
    query: LogQuery,
) -> Result<::query::logql::eval::LogAnswer, Fault> {
    let job = job(ask);
    in_background(&ask.api, move |cancel| {
        let stats = ScanStats::default();
        with_control(&job, cancel, &stats, |source, control| {
            run_log(source, &expr, &query, control)
        })
    })
    .await
}

/// The range is no longer than the tenant may ask for; `max_query_lookback` moves the start.
fn bounded(limits: &TenantLimits, start: i64, end: i64, now: i64) -> Result<(i64, i64), Fault> {
    let ns = |ms: i64| ms.saturating_mul(1_000_000);
    let start = if limits.max_lookback_ms > 0 {
        start.max(now.saturating_sub(ns(limits.max_lookback_ms)))
    } else {
        start
    };
    let max = ns(limits.max_query_length_ms);
    let length = end.saturating_sub(start);
    if max > 0 && length > max {
        return Err(Fault::bad(format!(
            "the query time range exceeds the limit (query length: {}, limit: {})",
            go_duration::format(length),
            go_duration::format(max)
        )));
    }
    Ok((start, end))
}

fn check_ranges(limits: &TenantLimits, expr: &MetricExpr) -> Result<(), Fault> {
    let max = limits.max_query_range_ms.saturating_mul(1_000_000);
    let mut longest = 0;
    walk_ranges(expr, &mut |r| longest = longest.max(r.range));
    if max > 0 && longest > max {
        return Err(Fault::bad(format!(
            "[interval] value exceeds limit: [{}] > [{}] (exceeds the limit)",
            go_duration::format(longest),
            go_duration::format(max)
        )));
    }
    Ok(())
}

fn categorize(ask: &Ask) -> bool {
    let flags = ask.headers.get("x-loki-response-encoding-flags");
    flags
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.split(',').any(|f| f.trim() == "categorize-labels"))
}

/// `/query`.
pub(super) async fn instant(ask: Ask) -> Answer {
    let now = params::now();
    let time = params::time_or(&ask.params, "time", now)?;
    params::limit(&ask.params, "limit", 100)?;
    params::direction(&ask.params)?;
    let expr = match ::query::logql::parse(ask.params.get("query"))? {
        Expr::Metric(m) => m,
        Expr::Log(_) => {
            return Err(Fault::bad(
                "log queries are not supported as an instant query type, please change your query \
                 to a range query type",
            ));
        }
    };
    check_ranges(&ask.limits(), &expr)?;
    metric(&ask, expr, Grid::instant(time), true).await
}

/// `/query_range`.
pub(super) async fn range(ask: Ask) -> Answer {
    let (start, end) = params::ordered_bounds(&ask.params)?;
    let limit = params::limit(&ask.params, "limit", 100)?;
    let direction = params::direction(&ask.params)?;
    let step = params::step(&ask.params, start, end)?;
    let interval = params::interval(&ask.params)?;
    let expr = ::query::logql::parse(ask.params.get("query"))?;
    let limits = ask.limits();
    let (start, end) = bounded(&limits, start, end, params::now())?;
    match expr {
        Expr::Log(l) => {
            let max = limits.max_entries;
            if max > 0 && limit > max {
                return Err(Fault::bad(format!(
                    "max entries limit per query exceeded, limit > max_entries_limit_per_query \
                     ({limit} > {max})"
                )));
            }
            let query = LogQuery {
                start,
                end,
                limit,
                direction,
                interval,
                categorize: categorize(&ask),
            };
            log(&ask, l, query).await
        }
        Expr::Metric(m) => {
            check_ranges(&limits, &m)?;
            let grid = if start == end {
                Grid::instant(start)
            } else {
                // Steps are aligned, so that neighbouring queries share theirs.
                let up = |t: i64| t.saturating_add(step - 1).div_euclid(step) * step;
                Grid::range(start.div_euclid(step) * step, up(end), step)
            };
            metric(&ask, m, grid, false).await
        }
    }
}

async fn metric(ask: &Ask, expr: MetricExpr, grid: Grid, instant: bool) -> Answer {
    let job = job(ask);
    let started = Instant::now();
    let (answer, stats) = in_background(&ask.api, move |cancel| {
        let stats = ScanStats::default();
        let answer = with_control(&job, cancel, &stats, |source, control| {
            run_metric(source, &expr, grid, instant, control)
        })?;
        Ok((answer, stats))
    })
    .await?;
    let tail = tail(&stats, started.elapsed(), 0);
    Ok(Said::Stream(Box::new(MetricBody::new(answer, tail))))
}

async fn log(ask: &Ask, expr: ::query::logql::ast::LogExpr, query: LogQuery) -> Answer {
    let job = job(ask);
    let started = Instant::now();
    let (answer, stats) = in_background(&ask.api, move |cancel| {
        let stats = ScanStats::default();
        let answer = with_control(&job, cancel, &stats, |source, control| {
            run_log(source, &expr, &query, control)
        })?;
        Ok((answer, stats))
    })
    .await?;
    let entries = answer.iter().map(|s| s.entries.len()).sum();
    let tail = tail(&stats, started.elapsed(), entries);
    let body = StreamsBody::new(answer, query.categorize, tail);
    Ok(Said::Stream(Box::new(body)))
}

fn tail(stats: &ScanStats, took: Duration, entries: usize) -> StatsTail {
    let get = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
    StatsTail {
        seconds: took.as_secs_f64(),
        bytes: get(&stats.bytes),
        lines: get(&stats.lines),
        passed: get(&stats.passed),
        groups: get(&stats.groups),
        duplicates: get(&stats.duplicates),
        compressed: get(&stats.compressed_bytes),
        entries: entries as u64,
    }
}

/// `/api/prom/query`: log queries in the shape of the first version.
pub(super) async fn legacy(ask: Ask) -> Answer {
    let (start, end) = params::ordered_bounds(&ask.params)?;
    let limit = params::limit(&ask.params, "limit", 100)?;
    let direction = params::direction(&ask.params)?;
    let mut expr = ::query::logql::parse_log(ask.params.get("query"))?;
    let regexp = ask.params.get("regexp");
    if !regexp.is_empty() {
        let text = format!("{{x=\"y\"}} |~ {}", ::query::text::quote::quote(regexp));
        expr.stages.extend(::query::logql::parse_log(&text)?.stages);
    }
    let query = LogQuery {
        start,
        end,
        limit: limit.min(ask.limits().max_entries.max(1)),
        direction: if direction == Direction::Forward {
            Direction::Forward
        } else {
            Direction::Backward
        },
        interval: 0,
        categorize: false,
    };
    let answer = lines(&ask, expr, query).await?;
    Ok(Said::Stream(Box::new(LegacyBody::new(answer))))
}
