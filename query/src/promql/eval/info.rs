//! `info(v, {...})`: labels of info metrics joined onto series by instance and job.

use std::sync::Arc;

use engine::model::{Labels, METRIC_NAME, MatchOp, Matcher};
use hashbrown::HashMap;

use super::context::{Context, same_labelset};
use super::plan::{CallNode, Selector};
use super::series::{Grid, Series, Steps};
use super::{EResult, QueryError};
use crate::promql::ast::Span;
use crate::regex::LabelRegex;

/// Labels by which an info metric belongs to a series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];
/// The info metric that is used when none is named.
const DEFAULT_INFO: &str = "target_info";

/// An info series: per step the time of its sample.
struct Info {
    name: String,
    key: [String; 2],
    labels: Labels,
    times: Steps,
}

fn key_of(l: &Labels) -> [String; 2] {
    IDENTIFYING.map(|n| l.get(n).unwrap_or("").to_owned())
}

fn regex_matcher(name: &str, pattern: &str) -> EResult<Matcher> {
    let re = LabelRegex::new(pattern).map_err(|e| QueryError::Execution(e.to_string()))?;
    Ok(Matcher::regex(name, Arc::new(re)))
}

/// The name matchers with what they mean: negative ones alone say "every other info metric".
fn name_matchers(given: &[Matcher]) -> EResult<Vec<Matcher>> {
    let mut out: Vec<Matcher> = given
        .iter()
        .filter(|m| m.name == METRIC_NAME)
        .cloned()
        .collect();
    if out.is_empty() {
        return Ok(vec![Matcher::equal(METRIC_NAME, DEFAULT_INFO)]);
    }
    if !out
        .iter()
        .any(|m| matches!(m.op, MatchOp::Equal | MatchOp::Regex(_)))
    {
        out.insert(0, regex_matcher(METRIC_NAME, ".+_info")?);
    }
    Ok(out)
}

impl Context<'_> {
    pub(super) fn info(&self, c: &CallNode, grid: &Grid) -> EResult<Vec<Series>> {
        let base = self.vector(self.arg(c, 0)?, grid)?;
        let given = c.info_matchers.as_deref().unwrap_or(&[]);
        let names = name_matchers(given)?;
        let data: Vec<Matcher> = given
            .iter()
            .filter(|m| m.name != METRIC_NAME)
            .cloned()
            .collect();
        // Series that are info metrics themselves pass unchanged.
        let is_info: Vec<bool> = base
            .iter()
            .map(|s| {
                names
                    .iter()
                    .all(|m| m.matches(s.labels.metric_name().unwrap_or("")))
            })
            .collect();
        let infos = self.info_series(c, &base, &is_info, &data, names, grid)?;
        let mut by_key: HashMap<&[String; 2], Vec<usize>> = HashMap::new();
        for (i, info) in infos.iter().enumerate() {
            by_key.entry(&info.key).or_default().push(i);
        }
        let mut out = Merge::default();
        for (s, own) in base.iter().zip(&is_info) {
            self.check()?;
            if *own {
                out.add(
                    s.labels.clone(),
                    s,
                    (0..grid.n).filter(|k| s.steps.has(*k)),
                    grid,
                )?;
                continue;
            }
            let key = key_of(&s.labels);
            let candidates = by_key.get(&key).map_or(&[][..], Vec::as_slice);
            for k in (0..grid.n).filter(|k| s.steps.has(*k)) {
                if let Some(labels) = join(s, &infos, candidates, &data, k)? {
                    out.add(labels, s, std::iter::once(k), grid)?;
                }
            }
        }
        self.release_all(&base);
        self.charge_all(&out.series)?;
        Ok(out.series)
    }

    /// Info series that can belong to any of the base series.
    fn info_series(
        &self,
        c: &CallNode,
        base: &[Series],
        is_info: &[bool],
        data: &[Matcher],
        names: Vec<Matcher>,
        grid: &Grid,
    ) -> EResult<Vec<Info>> {
        let mut matchers = Vec::new();
        for name in IDENTIFYING {
            let mut values: Vec<&str> = base
                .iter()
                .zip(is_info)
                .filter(|(_, own)| !**own)
                .filter_map(|(s, _)| s.labels.get(name))
                .collect();
            values.sort_unstable();
            values.dedup();
            let pattern: Vec<String> = values.iter().map(|v| regex_syntax::escape(v)).collect();
            let pattern = pattern.join("|");
            // Too many values to be a pattern: the join sorts them out.
            if !values.is_empty() && pattern.len() < crate::regex::LITERAL_PATTERN_BYTES_MAX {
                matchers.push(regex_matcher(name, &pattern)?);
            } else if !values.is_empty() {
                matchers.push(Matcher::not_equal(name, ""));
            }
        }
        if matchers.is_empty() {
            return Ok(Vec::new());
        }
        matchers.extend(data.iter().cloned());
        matchers.extend(names);
        let selector = Selector {
            matchers,
            offset: c.info_offset,
            at: c.info_at,
            anchored: false,
            smoothed: false,
            hint: "info",
            stats_only: false,
            unordered: false,
            span: Span::default(),
        };
        let series = self.sample_times(&selector, grid, false)?;
        self.release_all(&series);
        Ok(series
            .into_iter()
            .map(|s| Info {
                name: s.labels.metric_name().unwrap_or("").to_owned(),
                key: key_of(&s.labels),
                labels: s.labels,
                times: s.steps,
            })
            .collect())
    }
}

/// The labels of `s` with those of its info series at step `k`; `None` when a label is asked for
/// that no info series has.
fn join(
    s: &Series,
    infos: &[Info],
    candidates: &[usize],
    data: &[Matcher],
    k: usize,
) -> EResult<Option<Labels>> {
    // The newest series of each info metric.
    let mut newest: Vec<&Info> = Vec::new();
    for i in candidates {
        let info = &infos[*i];
        if !info.times.mask.get(k) {
            continue;
        }
        let Some(old) = newest.iter_mut().find(|o| o.name == info.name) else {
            newest.push(info);
            continue;
        };
        let (t_old, t_new) = (old.times.vals[k], info.times.vals[k]);
        if t_old == t_new {
            let ms = (t_old * 1000.0) as i64;
            return Err(QueryError::Execution(format!(
                "found duplicate series for info metric: existing {} @ {ms}, new {} @ {ms}",
                old.labels, info.labels
            )));
        }
        if t_new > t_old {
            *old = info;
        }
    }
    if newest.is_empty() {
        let wanted = data.iter().any(|m| !m.matches_empty());
        return Ok((!wanted).then(|| s.labels.clone()));
    }
    let mut added: Vec<(&str, &str)> = Vec::new();
    for info in newest {
        for (name, value) in &info.labels {
            if name == METRIC_NAME || (!data.is_empty() && !data.iter().any(|m| m.name == name)) {
                continue;
            }
            if let Some((_, v)) = added.iter().find(|(n, _)| *n == name) {
                if *v != value {
                    return Err(QueryError::Execution(format!("conflicting label: {name}")));
                }
                continue;
            }
            if s.labels.get(name).is_none() {
                added.push((name, value));
            }
        }
    }
    let mut labels = s.labels.clone();
    for (name, value) in added {
        labels = labels.with(name, value);
    }
    Ok(Some(labels))
}

/// Output series by label set.
#[derive(Default)]
struct Merge {
    series: Vec<Series>,
    index: HashMap<Labels, usize, foldhash::fast::RandomState>,
}

impl Merge {
    fn add(
        &mut self,
        labels: Labels,
        from: &Series,
        steps: impl Iterator<Item = usize>,
        grid: &Grid,
    ) -> EResult<()> {
        let i = *self.index.entry(labels.clone()).or_insert_with(|| {
            let steps = Steps::new(grid.n);
            self.series.push(Series {
                labels,
                drop_name: from.drop_name,
                steps,
            });
            self.series.len() - 1
        });
        let to = &mut self.series[i].steps;
        for k in steps {
            if to.has(k) {
                return Err(same_labelset());
            }
            if let Some(p) = from.steps.get(k) {
                to.put(k, p);
            }
        }
        Ok(())
    }
}
