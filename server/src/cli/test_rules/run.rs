//! One test: the samples of the file in a store of its own, the rules over it, step by step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use engine::metrics::{AppendMode, AppendOptions, Db};
use engine::model::{BatchExtra, HistogramPoint, Labels, SeriesKey, TenantId, WriteBatch};
use query::promql::parse::{SequenceValue, parse_series};
use query::promql::{Engine, SampleValue, histogram, parse_metric};

use super::file::{AlertTest, ExprTest, Test, TestFile};
use crate::config::prometheus::{RuleGroup, load_rules};
use crate::rules::alert::State;
use crate::rules::group::{Defaults, Group, Nobody};
use crate::rules::rule::{Element, Health, Host as _};
use crate::rules::{Language, Live, Settings};

/// What is the same for all tests of a file.
pub(super) struct Suite<'f> {
    pub(super) file: &'f TestFile,
    pub(super) engine: Engine,
    /// The groups with the files they stand in, in the order in which they are evaluated.
    groups: Vec<(String, RuleGroup)>,
    interval_ms: i64,
}

/// Time between evaluations where the file does not say.
const INTERVAL_MS: i64 = 60_000;
/// Most evaluations of a test: a year of minutes.
const STEPS_MAX: i64 = 600_000;

impl<'f> Suite<'f> {
    /// Reads the rule files that `file`, which lies in `dir`, names.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub(super) fn new(file: &'f TestFile, dir: &Path, engine: Engine) -> Result<Self, String> {
        let patterns: Vec<String> = file
            .rule_files
            .iter()
            .map(|p| dir.join(p).to_string_lossy().into_owned())
            .collect();
        let paths = crate::config::prometheus::expand(dir, &patterns).map_err(|e| e.to_string())?;
        let mut groups = Vec::new();
        for path in paths {
            let rules = load_rules(&path).map_err(|e| e.to_string())?;
            let name = path.display().to_string();
            groups.extend(rules.groups.into_iter().map(|g| (name.clone(), g)));
        }
        // Groups that are not listed are evaluated with the first that is.
        let place = |g: &(String, RuleGroup)| {
            let mut listed = file.group_eval_order.iter();
            listed.position(|n| *n == g.1.name).unwrap_or(0)
        };
        groups.sort_by_key(place);
        let interval = file.evaluation_interval.filter(|i| !i.is_zero());
        Ok(Self {
            file,
            engine,
            groups,
            interval_ms: interval.map_or(INTERVAL_MS, |i| i.as_ms()),
        })
    }

    /// Runs `test`; gives what differs from what it expects.
    ///
    /// # Errors
    /// Why it cannot be run.
    pub(super) fn run(&self, test: &Test) -> Result<Vec<String>, String> {
        let mut world = World::new(self, test)?;
        let start = test.start_timestamp.0;
        let times = test.alert_rule_test.iter().map(|t| t.eval_time.as_ms());
        let more = test.promql_expr_test.iter().map(|t| t.eval_time.as_ms());
        let last = times.chain(more).max().unwrap_or(0);
        if last / self.interval_ms > STEPS_MAX {
            return Err(format!("more than {STEPS_MAX} evaluations in a test"));
        }
        let mut differences = Vec::new();
        let mut at = 0;
        while at <= last {
            world.step(start + at)?;
            for t in &test.alert_rule_test {
                let due = t.eval_time.as_ms();
                if at <= due && due < at + self.interval_ms {
                    differences.extend(world.alerts(t)?);
                }
            }
            at += self.interval_ms;
        }
        for t in &test.promql_expr_test {
            let ts = start + t.eval_time.as_ms();
            world.load(ts)?;
            differences.extend(world.answer(t, ts, self.file.fuzzy_compare)?);
        }
        Ok(differences)
    }
}

/// A series that is filled as time goes by.
struct Input {
    labels: Labels,
    values: Vec<SequenceValue>,
    next: usize,
}

struct World {
    db: Arc<Db>,
    host: Live,
    groups: Vec<Group>,
    inputs: Vec<Input>,
    start: i64,
    interval_ms: i64,
}

impl World {
    fn new(suite: &Suite<'_>, test: &Test) -> Result<Self, String> {
        let db = Arc::new(Db::in_memory());
        let external = test.external_labels.iter();
        let settings = Settings {
            engine: suite.engine.clone(),
            external_labels: external.map(|(n, v)| (n.clone(), v.clone())).collect(),
        };
        let url = test.external_url.clone();
        let host = Live::new(Arc::clone(&db), url, settings).without_server();
        let defaults = Defaults {
            interval_ms: suite.interval_ms,
            offset_ms: 0,
            resend_ms: 0,
            language: Language::Metrics(suite.engine.options.parse),
            grace_ms: 0,
        };
        let groups = suite
            .groups
            .iter()
            .map(|(file, g)| Group::new(file, g, defaults, None))
            .collect::<Result<_, _>>()?;
        let inputs = test.input_series.iter().map(|s| {
            let (labels, values) = parse_series(&format!("{} {}", s.series, s.values))
                .map_err(|e| format!("series {:?}: {e}", s.series))?;
            Ok(Input {
                labels,
                values,
                next: 0,
            })
        });
        Ok(Self {
            db,
            host,
            groups,
            inputs: inputs.collect::<Result<_, String>>()?,
            start: test.start_timestamp.0,
            interval_ms: test
                .interval
                .filter(|i| !i.is_zero())
                .map_or(suite.interval_ms, |i| i.as_ms()),
        })
    }

    /// Stores the samples up to `until`.
    fn load(&mut self, until: i64) -> Result<(), String> {
        let secret = self.db.key_secret();
        let mut batch = WriteBatch::default();
        let mut labels = Vec::new();
        for input in &mut self.inputs {
            let key = SeriesKey::of_labels(secret, &input.labels);
            let first = batch.samples.len();
            let mut extra = BatchExtra::default();
            while let Some(v) = input.values.get(input.next) {
                let t = self.start + input.next as i64 * self.interval_ms;
                if t > until {
                    break;
                }
                input.next += 1;
                match v {
                    SequenceValue::Omitted => {}
                    SequenceValue::Float(v) => {
                        batch.samples.push(engine::model::Sample { t, v: *v })
                    }
                    SequenceValue::Histogram(h, _) => extra.histograms.push(HistogramPoint {
                        t,
                        start_t: 0,
                        h: (**h).clone().into_stored(),
                    }),
                }
            }
            if batch.samples.len() > first || !extra.histograms.is_empty() {
                let extra = (!extra.histograms.is_empty()).then_some(extra);
                batch.push_series(key, labels.len() as u64, first, extra);
                labels.push(input.labels.clone());
            }
        }
        if batch.series.is_empty() {
            return Ok(());
        }
        let options = AppendOptions::new(AppendMode::Atomic, until);
        let done = self.db.append(TenantId::DEFAULT, &batch, &labels, &options);
        done.map(drop).map_err(|e| format!("input series: {e}"))
    }

    fn step(&mut self, ts: i64) -> Result<(), String> {
        self.load(ts)?;
        for g in &mut self.groups {
            g.evaluate(&self.host, ts, &mut Nobody, &|| 0.0);
            for r in &g.rules {
                if let Health::Bad(e) = &r.health {
                    return Err(format!(
                        "rule: {}, time: {}s, err: {e}",
                        r.name(),
                        (ts - self.start) / 1000
                    ));
                }
            }
        }
        Ok(())
    }

    /// What differs from the alerts that `t` expects, now.
    fn alerts(&self, t: &AlertTest) -> Result<Option<String>, String> {
        if t.alertname.is_empty() {
            return Err(format!(
                "an item under alert_rule_test misses required attribute alertname at eval_time {}",
                t.eval_time
            ));
        }
        type Alert = (BTreeMap<String, String>, BTreeMap<String, String>);
        let rules = self.groups.iter().flat_map(|g| &g.rules);
        let firing = rules
            .filter(|r| r.name() == t.alertname)
            .filter_map(|r| r.alerting())
            .flat_map(|a| a.alerts.active())
            .filter(|(_, a)| a.state == State::Firing);
        let pairs = |l: &Labels| -> BTreeMap<String, String> {
            l.iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect()
        };
        let mut got: Vec<Alert> = firing
            .map(|(l, a)| (pairs(l), a.annotations.clone()))
            .collect();
        let mut want: Vec<Alert> = t
            .exp_alerts
            .iter()
            .map(|e| {
                let mut labels = e.exp_labels.clone();
                labels.insert("alertname".into(), t.alertname.clone());
                // A label without a value is none.
                labels.retain(|_, v| !v.is_empty());
                (labels, e.exp_annotations.clone())
            })
            .collect();
        got.sort();
        want.sort();
        let show = |all: &[Alert]| -> String {
            let each = all.iter().enumerate();
            let lines: Vec<String> = each
                .map(|(i, (l, a))| {
                    format!(
                        "\n            {i}:\n              Labels:{}\n              Annotations:{}",
                        braces(l),
                        braces(a)
                    )
                })
                .collect();
            format!("[{}]", lines.join(","))
        };
        Ok((got != want).then(|| {
            format!(
                "    alertname: {}, time: {},\n        exp:{},\n        got:{}",
                t.alertname,
                t.eval_time,
                show(&want),
                show(&got)
            )
        }))
    }

    /// What differs from the answer that `t` expects, at `ts`.
    fn answer(&self, t: &ExprTest, ts: i64, fuzzy: bool) -> Result<Option<String>, String> {
        let place = |e: String| format!("    expr: {:?}, time: {}, err: {e}", t.expr, t.eval_time);
        let got = match self.host.query_text(&t.expr, ts) {
            Ok(got) => got,
            Err(e) => return Ok(Some(place(e))),
        };
        let mut want = Vec::new();
        for s in &t.exp_samples {
            let labels = match s.labels.trim() {
                "" => Labels::empty(),
                text => match parse_metric(text) {
                    Ok(l) => l,
                    Err(e) => return Ok(Some(place(format!("labels {text:?}: {e}")))),
                },
            };
            let value = if s.histogram.is_empty() {
                SampleValue::Float(s.value)
            } else {
                match parse_series(&format!("h {}", s.histogram)).map(|(_, v)| v) {
                    Ok(v) => match v.into_iter().next() {
                        Some(SequenceValue::Histogram(h, _)) => {
                            SampleValue::Histogram(Arc::from(h))
                        }
                        _ => return Ok(Some(place(format!("no histogram: {:?}", s.histogram)))),
                    },
                    Err(e) => return Ok(Some(place(e))),
                }
            };
            want.push(Element { labels, value });
        }
        let key = |e: &Element| (e.labels.clone(), shown(&e.value));
        let (mut got, mut want) = (got, want);
        got.sort_by_cached_key(key);
        want.sort_by_cached_key(key);
        let same = got.len() == want.len()
            && got
                .iter()
                .zip(&want)
                .all(|(g, w)| g.labels == w.labels && equal(&g.value, &w.value, fuzzy));
        let show = |all: &[Element]| -> String {
            let each = all.iter();
            let lines: Vec<String> = each
                .map(|e| format!("\n            {} {}", e.labels, shown(&e.value)))
                .collect();
            if lines.is_empty() {
                "nil".into()
            } else {
                lines.join("")
            }
        };
        Ok((!same).then(|| {
            format!(
                "    expr: {:?}, time: {},\n        exp:{}\n        got:{}",
                t.expr,
                t.eval_time,
                show(&want),
                show(&got)
            )
        }))
    }
}

fn braces(map: &BTreeMap<String, String>) -> String {
    let each: Vec<String> = map.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
    format!("{{{}}}", each.join(", "))
}

fn shown(v: &SampleValue) -> String {
    match v {
        SampleValue::Float(f) => query::text::float::exponential(*f),
        SampleValue::Histogram(h) => histogram::to_text(h),
    }
}

/// Equal to the bit, but for the sign of zero; fuzzily, up to the neighbouring float.
fn equal(a: &SampleValue, b: &SampleValue, fuzzy: bool) -> bool {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => {
            a == b || (fuzzy && (a.next_up() == *b || a.next_down() == *b))
        }
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
            histogram::to_text(a) == histogram::to_text(b)
        }
        _ => false,
    }
}
