//! `sextant backtest`: which alerts of a rule file would have fired over stored data, when, for how
//! long, and who would have been told.
//!
//! The rules run as they would have on a server, one evaluation per interval, over a data directory
//! that no server is using (a snapshot is one). What they write is kept aside: the data is not
//! changed. Alerts do not go through grouping, silences and inhibition; receivers are those that the
//! route tree names.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use clap::{Arg, ArgMatches, Command};
use engine::metrics::Db;
use engine::model::{Labels, TenantId};
use jiff::Timestamp;
use query::promql::{Engine, ParseOptions};
use serde::Serialize;

use super::{complain, print};
use crate::alerting::Route;
use crate::config::PromDuration;
use crate::config::prometheus::load_rules;
use crate::rules::alert::State;
use crate::rules::group::{Defaults, Group, Nobody};
use crate::rules::rule::Health;
use crate::rules::{Language, Live, Settings};

/// Most evaluations of a group.
const STEPS_MAX: i64 = 10_000_000;

/// The verb.
pub(super) fn command() -> Command {
    let text = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    Command::new("backtest")
        .about("Shows which alerts would have fired over stored data")
        .arg(
            Arg::new("rules")
                .required(true)
                .num_args(1..)
                .help("Rule files"),
        )
        .arg(text("from", "Begin: RFC 3339, or a duration before the end").default_value("1d"))
        .arg(text("to", "End: RFC 3339; the newest sample by default"))
        .arg(
            text(
                "interval",
                "Time between evaluations of groups that do not say",
            )
            .default_value("1m")
            .value_parser(|s: &str| s.parse::<PromDuration>().map(|_| s.to_owned())),
        )
        .arg(
            text(
                "storage.tsdb.path",
                "The data directory; no server may be using it",
            )
            .default_value("data/"),
        )
        .arg(text(
            "alertmanager.config",
            "alertmanager.yml, to name the receivers",
        ))
        .arg(
            text("format", "table or json")
                .default_value("table")
                .value_parser(["table", "json"]),
        )
}

/// One time that an alert fired.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Firing {
    alert: String,
    group: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    /// Since when the expression held.
    active_at: String,
    starts_at: String,
    /// Nothing when it still fired at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    seconds: f64,
    receivers: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    from: String,
    to: String,
    evaluations: u64,
    /// Evaluations that failed, with the last error of each rule.
    failures: BTreeMap<String, String>,
    firings: Vec<Firing>,
}

/// Runs it; gives the exit code.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let json = m.get_one::<String>("format").is_some_and(|f| f == "json");
    match report(m) {
        Ok(r) if json => {
            let text = serde_json::to_string_pretty(&r).unwrap_or_default();
            print(&format!("{text}\n"));
            0
        }
        Ok(r) => {
            print(&table(&r));
            0
        }
        Err(e) => {
            complain(&format!("{e}\n"));
            1
        }
    }
}

fn shown(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |t| t.to_string())
}

/// The times that the flags name.
fn span(m: &ArgMatches, newest: i64) -> Result<(i64, i64), String> {
    let given = |name: &str| m.get_one::<String>(name).map(String::as_str);
    let moment = |name: &str, text: &str| {
        let t = text.parse::<Timestamp>();
        t.map(Timestamp::as_millisecond)
            .map_err(|e| format!("--{name} {text:?}: {e}"))
    };
    let to = match given("to") {
        Some(t) => moment("to", t)?,
        None if newest == i64::MIN => return Err("the data directory has no samples".into()),
        None => newest,
    };
    let from = given("from").unwrap_or("1d");
    let from = match from.parse::<PromDuration>() {
        Ok(d) => to - d.as_ms(),
        Err(_) => moment("from", from)?,
    };
    if from >= to {
        return Err(format!(
            "nothing lies between {} and {}",
            shown(from),
            shown(to)
        ));
    }
    Ok((from, to))
}

/// Time of the newest sample, ms; `i64::MIN` when there is none.
fn newest(data: &Db) -> i64 {
    let blocks = data.blocks();
    let in_blocks = blocks.iter().map(|b| b.max_t).max();
    let in_head = data.head_stats(TenantId::DEFAULT).max_t;
    in_blocks.map_or(in_head, |t| t.max(in_head))
}

fn report(m: &ArgMatches) -> Result<Report, String> {
    let text = |name: &str| m.get_one::<String>(name).map_or("", String::as_str);
    let interval: PromDuration = text("interval").parse().map_err(|e: String| e)?;
    let engine = Engine::default();
    let defaults = Defaults {
        interval_ms: interval.as_ms().max(1),
        offset_ms: 0,
        resend_ms: 0,
        language: Language::Metrics(ParseOptions::all()),
        grace_ms: 0,
    };
    let mut groups = Vec::new();
    for file in m.get_many::<String>("rules").into_iter().flatten() {
        let rules = load_rules(Path::new(file)).map_err(|e| e.to_string())?;
        for g in &rules.groups {
            groups.push(Group::new(file, g, defaults, None)?);
        }
    }
    let tree = match text("alertmanager.config") {
        "" => None,
        file => {
            let loaded = crate::config::alertmanager::load(Path::new(file));
            let config = loaded.map_err(|e| e.to_string())?.document;
            Some(Route::new(&config.route.ok_or("no routes provided")?))
        }
    };
    let data = super::data::open(Path::new(text("storage.tsdb.path")), true)?;
    let (from, to) = span(m, newest(&data))?;
    let settings = Settings {
        engine,
        external_labels: Vec::new(),
    };
    let host = Live::new(Arc::new(Db::in_memory()), String::new(), settings)
        .without_server()
        .over(Arc::new(data));
    let mut found = Found {
        open: BTreeMap::new(),
        closed: Vec::new(),
        tree,
    };
    let (mut evaluations, mut failures) = (0, BTreeMap::new());
    let mut last_shown = std::time::Instant::now();
    // All groups side by side, as they would have run, so that they see each other's series.
    let mut due: Vec<i64> = vec![from; groups.len()];
    if groups
        .iter()
        .any(|g| (to - from) / g.interval_ms > STEPS_MAX)
    {
        return Err(format!("more than {STEPS_MAX} evaluations of a group"));
    }
    while let Some((i, ts)) = due.iter().copied().enumerate().min_by_key(|d| d.1) {
        if ts > to {
            break;
        }
        let Some(g) = groups.get_mut(i) else { break };
        g.evaluate(&host, ts, &mut Nobody, &|| 0.0);
        evaluations += 1;
        found.note(g, ts);
        for r in &g.rules {
            if let Health::Bad(e) = &r.health {
                failures.insert(format!("{}/{}", g.config.name, r.name()), e.clone());
            }
        }
        if let Some(d) = due.get_mut(i) {
            *d += g.interval_ms;
        }
        if last_shown.elapsed().as_millis() > 500 {
            last_shown = std::time::Instant::now();
            let share = (ts - from) as f64 / (to - from) as f64;
            complain(&format!("\revaluating: {:3.0} %", share * 100.0));
        }
    }
    Ok(Report {
        from: shown(from),
        to: shown(to),
        evaluations,
        failures,
        firings: found.finish(to),
    })
}

/// Alerts that fire, by group and labels, and those that are over.
struct Found {
    open: BTreeMap<(String, Labels), (i64, Firing)>,
    closed: Vec<(i64, Firing)>,
    tree: Option<Route>,
}

impl Found {
    /// Takes what `g` says after its evaluation at `ts`.
    fn note(&mut self, g: &Group, ts: i64) {
        let mut firing = Vec::new();
        for r in &g.rules {
            let Some(a) = r.alerting() else { continue };
            for (labels, alert) in a.alerts.active() {
                if alert.state == State::Firing {
                    firing.push((g.key(), labels.clone()));
                    let key = (g.key(), labels.clone());
                    if self.open.contains_key(&key) {
                        continue;
                    }
                    let begun = alert.fired_at.unwrap_or(ts);
                    let one = Firing {
                        alert: r.name().to_owned(),
                        group: g.config.name.clone(),
                        labels: labels
                            .iter()
                            .map(|(n, v)| (n.to_owned(), v.to_owned()))
                            .collect(),
                        annotations: alert.annotations.clone(),
                        active_at: shown(alert.active_at),
                        starts_at: shown(begun),
                        ends_at: None,
                        seconds: 0.0,
                        receivers: self.receivers(labels),
                    };
                    self.open.insert(key, (begun, one));
                }
            }
        }
        let own = g.key();
        let over: Vec<_> = self
            .open
            .keys()
            .filter(|k| k.0 == own && !firing.contains(k))
            .cloned()
            .collect();
        for key in over {
            if let Some((begun, mut one)) = self.open.remove(&key) {
                one.ends_at = Some(shown(ts));
                one.seconds = (ts - begun) as f64 / 1000.0;
                self.closed.push((begun, one));
            }
        }
    }

    fn receivers(&self, labels: &Labels) -> Vec<String> {
        let Some(tree) = &self.tree else {
            return Vec::new();
        };
        let takers = tree.takers(&|name| labels.get(name).unwrap_or(""));
        takers.iter().map(|r| r.receiver().to_owned()).collect()
    }

    fn finish(mut self, to: i64) -> Vec<Firing> {
        for (begun, mut one) in self.open.into_values() {
            one.seconds = (to - begun) as f64 / 1000.0;
            self.closed.push((begun, one));
        }
        self.closed.sort_by(|a, b| {
            let key = |f: &Firing| (f.alert.clone(), f.labels.clone());
            a.0.cmp(&b.0).then_with(|| key(&a.1).cmp(&key(&b.1)))
        });
        self.closed.into_iter().map(|(_, f)| f).collect()
    }
}

fn table(r: &Report) -> String {
    let mut rows =
        vec![["STARTS", "ENDS", "FOR", "ALERT", "LABELS", "RECEIVERS"].map(str::to_owned)];
    for f in &r.firings {
        let labels: Vec<String> = f
            .labels
            .iter()
            .filter(|(n, _)| *n != "alertname")
            .map(|(n, v)| format!("{n}={v:?}"))
            .collect();
        let seconds = PromDuration::from_secs(f.seconds as i64);
        rows.push([
            f.starts_at.clone(),
            f.ends_at.clone().unwrap_or_else(|| "still".into()),
            seconds.to_string(),
            f.alert.clone(),
            labels.join(" "),
            f.receivers.join(", "),
        ]);
    }
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells.map(|(c, w)| format!("{c:w$}")).collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    out.push_str(&format!(
        "\n{} alerts in {} evaluations from {} to {}\n",
        r.firings.len(),
        r.evaluations,
        r.from,
        r.to
    ));
    for (rule, e) in &r.failures {
        out.push_str(&format!("failed: {rule}: {e}\n"));
    }
    out
}
