//! Groups over a store in memory.

use std::sync::Arc;

use engine::metrics::Db;
use engine::model::{Labels, is_stale};
use query::promql::{Engine, ParseOptions, SampleValue};

use super::alert::{Outgoing, State};
use super::group::{Defaults, Group, Nobody, Outlet};
use super::rule::{Element, Health, Host as _, Restoring, Written};
use super::{Language, Live, Settings};
use crate::config::prometheus::RuleGroup;
use crate::config::yaml;

const MIN: i64 = 60_000;

fn host(db: &Arc<Db>) -> Live {
    let settings = Settings {
        engine: Engine::default(),
        external_labels: vec![("cluster".into(), "c".into())],
    };
    Live::new(Arc::clone(db), "http://here/p".into(), settings).without_server()
}

fn group(text: &str, restoring: Option<Restoring>) -> Group {
    let file = std::path::Path::new("r.yml");
    let config: RuleGroup = yaml::parse(file, text).expect("a group");
    let defaults = Defaults {
        interval_ms: MIN,
        offset_ms: 0,
        resend_ms: MIN,
        language: Language::Metrics(ParseOptions::default()),
        grace_ms: 0,
    };
    Group::new("r.yml", &config, defaults, restoring).expect("rules that compile")
}

fn put(host: &Live, labels: &[(&str, &str)], ts: i64, v: f64) {
    let written = Written {
        labels: Labels::from_pairs(labels.iter().copied()),
        value: SampleValue::Float(v),
    };
    host.store(&[written], ts);
}

fn ask(host: &Live, text: &str, ts: i64) -> Vec<(String, f64)> {
    let show = |e: Element| match e.value {
        SampleValue::Float(v) => (e.labels.to_string(), v),
        SampleValue::Histogram(_) => (e.labels.to_string(), f64::NAN),
    };
    let found = host.query_text(text, ts).expect("an answer");
    let mut all: Vec<_> = found.into_iter().map(show).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn run(g: &mut Group, host: &Live, ts: i64) {
    g.evaluate(host, ts, &mut Nobody, &|| 0.0);
}

#[derive(Default)]
struct Kept(Vec<(String, Outgoing)>);

impl Outlet for Kept {
    fn send(&mut self, text: &str, alerts: Vec<Outgoing>) {
        self.0
            .extend(alerts.into_iter().map(|a| (text.to_owned(), a)));
    }
}

#[test]
fn later_rules_see_earlier_ones_and_what_is_gone_ends() {
    let db = Arc::new(Db::in_memory());
    let host = host(&db);
    let mut g = group(
        "{name: g, labels: {team: t}, rules: [\
           {record: 'a:sum', expr: 'sum by (job) (m)', labels: {job: ''}},\
           {record: b, expr: 'a:sum * 2'},\
           {record: c, expr: 'm > 5'}]}",
        None,
    );
    put(&host, &[("__name__", "m"), ("job", "x")], MIN, 10.0);
    run(&mut g, &host, MIN);
    assert_eq!(
        ask(&host, "a:sum", MIN),
        [("{__name__=\"a:sum\", team=\"t\"}".into(), 10.0)]
    );
    assert_eq!(
        ask(&host, "b", MIN),
        [("{__name__=\"b\", team=\"t\"}".into(), 20.0)]
    );
    assert_eq!(ask(&host, "c", MIN).len(), 1);
    put(&host, &[("__name__", "m"), ("job", "x")], 2 * MIN, 1.0);
    run(&mut g, &host, 2 * MIN);
    assert!(
        ask(&host, "c", 2 * MIN).is_empty(),
        "ended at once, not after five minutes"
    );
    assert_eq!(ask(&host, "b", 2 * MIN)[0].1, 2.0);
    // A rule that fails ends nothing.
    put(&host, &[("__name__", "m"), ("job", "y")], 3 * MIN, 1.0);
    put(&host, &[("__name__", "m"), ("job", "x")], 3 * MIN, 1.0);
    run(&mut g, &host, 3 * MIN);
    assert!(matches!(&g.rules[0].health, Health::Bad(e) if e.contains("same labelset")));
    assert_eq!(ask(&host, "a:sum", 3 * MIN)[0].1, 1.0);
}

#[test]
fn alerts_are_texts_labels_and_series() {
    let db = Arc::new(Db::in_memory());
    let host = host(&db);
    let mut g = group(
        "{name: g, rules: [{alert: A, expr: 'm > 1', for: 1m,\
           labels: {severity: '{{ if gt $value 5.0 }}page{{ else }}warn{{ end }}', gone: '{{ \"\" }}'},\
           annotations: {text: '{{ $labels.job }} at {{ $externalLabels.cluster }} {{ $value }} {{ $labels.__name__ }}',\
                         bad: '{{ $value | nofunc2 }}'}}]}"
            .replace("{{ $value | nofunc2 }}", "{{ first (query \"none\") }}")
            .as_str(),
        None,
    );
    let mut out = Kept::default();
    for k in 1..=3 {
        put(&host, &[("__name__", "m"), ("job", "x")], k * MIN, 7.5);
        g.evaluate(&host, k * MIN, &mut out, &|| 0.0);
    }
    let [(text, a), ..] = &out.0[..] else {
        panic!("nothing was sent")
    };
    assert_eq!(text, "m > 1");
    assert_eq!(
        a.labels.to_string(),
        "{alertname=\"A\", job=\"x\", severity=\"page\"}"
    );
    assert_eq!(a.annotations["text"], "x at c 7.5 m");
    assert!(a.annotations["bad"].starts_with("<error expanding template: "));
    assert_eq!((a.starts_at, a.ends_at), (2 * MIN, 6 * MIN));
    let series = ask(&host, "ALERTS", 3 * MIN);
    assert_eq!(series.len(), 1);
    assert!(
        series[0].0.contains("alertstate=\"firing\"") && series[0].0.contains("severity=\"page\"")
    );
    assert_eq!(ask(&host, "ALERTS_FOR_STATE", 3 * MIN)[0].1, 60.0);
    // The pending series ended when the alert fired.
    let pending = host.query_text("ALERTS{alertstate=\"pending\"}[5m]", 3 * MIN);
    assert!(pending.is_err(), "a range is no answer of a rule");
    assert!(
        ask(
            &host,
            "last_over_time(ALERTS{alertstate=\"pending\"}[5m])",
            3 * MIN
        )
        .len()
            == 1
    );
    assert!(ask(&host, "ALERTS{alertstate=\"pending\"}", 3 * MIN).is_empty());
}

#[test]
fn alerts_go_on_after_a_restart() {
    let restoring = Restoring {
        tolerance_ms: 60 * MIN,
        grace_ms: 10 * MIN,
    };
    let text =
        |hold: &str| format!("{{name: g, rules: [{{alert: A, expr: 'm > 0', for: {hold}}}]}}");
    // Held since minute 1, last seen at 20, back at 30, restored at the second evaluation.
    for (hold, expected) in [
        // Had fired: fires at the next evaluation.
        ("15m", 1),
        // Five minutes were left, less than the grace: ten from now on.
        ("24m", 31 + 10 - 24),
        // Long enough left: the outage does not count.
        ("60m", 1 + 31 - 20),
        // Not patient enough to be restored at all.
        ("5m", 30),
    ] {
        let db = Arc::new(Db::in_memory());
        let host = host(&db);
        let mut before = group(&text(hold), None);
        for k in 1..=20 {
            put(&host, &[("__name__", "m")], k * MIN, 1.0);
            run(&mut before, &host, k * MIN);
        }
        let mut after = group(&text(hold), Some(restoring));
        for k in 30..=31 {
            put(&host, &[("__name__", "m")], k * MIN, 1.0);
            run(&mut after, &host, k * MIN);
            // What is not known yet is not written over.
            assert_eq!(ask(&host, "count(ALERTS_FOR_STATE)", k * MIN), []);
        }
        let alerts = &after.rules[0].alerting().expect("an alerting rule").alerts;
        let (_, a) = alerts.active().next().expect("an alert");
        assert_eq!(a.active_at, expected * MIN, "{hold}");
        put(&host, &[("__name__", "m")], 32 * MIN, 1.0);
        run(&mut after, &host, 32 * MIN);
        assert_eq!(ask(&host, "count(ALERTS_FOR_STATE)", 32 * MIN)[0].1, 1.0);
    }
}

#[test]
fn a_changed_group_takes_over_rule_by_rule() {
    let db = Arc::new(Db::in_memory());
    let host = host(&db);
    let mut old = group(
        "{name: g, rules: [{alert: A, expr: 'm > 0', for: 10m}, {record: r, expr: m}, {record: gone, expr: m}]}",
        None,
    );
    put(&host, &[("__name__", "m")], MIN, 1.0);
    run(&mut old, &host, MIN);
    let mut new = group(
        "{name: g, rules: [{record: r, expr: 'm + 1'}, {alert: A, expr: 'm >= 0', for: 2m}]}",
        None,
    );
    assert!(!new.same(&old));
    new.inherit(old);
    put(&host, &[("__name__", "m")], 3 * MIN, 1.0);
    run(&mut new, &host, 3 * MIN);
    let alerts = &new.rules[1].alerting().expect("an alerting rule").alerts;
    let (_, a) = alerts.active().next().expect("an alert");
    assert_eq!((a.state, a.active_at), (State::Firing, MIN));
    assert!(ask(&host, "gone", 3 * MIN).is_empty());
    assert_eq!(ask(&host, "r", 3 * MIN)[0].1, 2.0);
    let left = new.leave(&host);
    let stale = |w: &Written| matches!(w.value, SampleValue::Float(v) if is_stale(v));
    assert!(left.len() == 3 && left.iter().all(stale), "{left:?}");
}

#[test]
fn a_query_offset_reads_and_writes_in_the_past() {
    let db = Arc::new(Db::in_memory());
    let host = host(&db);
    let mut g = group(
        "{name: g, query_offset: 1m, rules: [{record: r, expr: m}]}",
        None,
    );
    put(&host, &[("__name__", "m")], MIN, 1.0);
    put(&host, &[("__name__", "m")], 2 * MIN, 2.0);
    run(&mut g, &host, 2 * MIN);
    assert_eq!(ask(&host, "r", MIN)[0].1, 1.0);
    assert_eq!(ask(&host, "timestamp(r)", 2 * MIN)[0].1, 60.0);
}
