//! The recorded cases of pipeline stages and relabelling.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use engine::model::{Labels, LabelsBuilder};
use exporters::emit::Sink;
use exporters::logs::entry::Entry;
use exporters::logs::numbers::Numbers;
use exporters::logs::settings::Node;
use exporters::logs::stages::{Outside, Pipeline};
use serde::Deserialize;

use super::language::Languages;
use crate::config::parse_yaml;
use crate::config::prometheus::RelabelConfig;
use crate::relabel::Relabel;
use crate::shared;

#[derive(Deserialize, Default)]
struct File {
    start_ns: i64,
    step_ns: i64,
    cases: Vec<Case>,
}

#[derive(Deserialize, Default)]
struct Input {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    lines: Vec<String>,
}

#[derive(Deserialize)]
struct Left {
    line: String,
    labels: BTreeMap<String, String>,
    timestamp_ns: i64,
    #[serde(default)]
    structured_metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    pipeline_stages: Option<Node>,
    relabel_configs: Option<Vec<RelabelConfig>>,
    input: Input,
    #[serde(default)]
    expect: Vec<Left>,
    #[serde(default)]
    expect_error: bool,
    #[serde(default)]
    expect_metrics: Vec<String>,
    #[serde(default)]
    order: String,
    expect_target: Option<bool>,
    #[serde(default)]
    expect_labels: BTreeMap<String, String>,
}

type Seen = (
    String,
    BTreeMap<String, String>,
    i64,
    BTreeMap<String, String>,
);

/// A sample as `name[a=b c=d] value`, histograms as `name[..] count=2 sum=10.5`.
fn samples(text: &str) -> Vec<String> {
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels
            .trim_end_matches('}')
            .replace('"', "")
            .replace(',', " ");
        if let Some(n) = name.strip_suffix("_count") {
            let key = format!("{n}[{labels}]");
            let sum = out.remove(&key).unwrap_or_default();
            out.insert(key, format!("count={value} {sum}"));
        } else if let Some(n) = name
            .strip_suffix("_sum")
            .filter(|n| text.contains(&format!("{n}_bucket")))
        {
            out.insert(format!("{n}[{labels}]"), format!("sum={value}"));
        } else {
            out.insert(format!("{name}[{labels}]"), value.to_owned());
        }
    }
    out.into_iter().map(|(k, v)| format!("{k} {v}")).collect()
}

fn run(file: &File, case: &Case, stages: &Node) -> Result<(), String> {
    let outside = Outside {
        language: Arc::new(Languages),
        numbers: Arc::new(Numbers::default()),
        rate: None,
        inspect: None,
    };
    let mut pipeline = match Pipeline::new(stages, &outside) {
        Ok(_) if case.expect_error => return Err("was not refused".into()),
        Ok(p) => p,
        Err(_) if case.expect_error => return Ok(()),
        Err(e) => return Err(e.to_string()),
    };
    let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
    let mut seen: Vec<Seen> = Vec::new();
    let mut take = |e: Entry| {
        let metadata = e.metadata.into_iter().collect();
        seen.push((e.line, (*e.labels).clone(), e.time_ns, metadata));
    };
    let labels = Arc::new(case.input.labels.clone());
    for (i, line) in case.input.lines.iter().enumerate() {
        let at = file.start_ns + i as i64 * file.step_ns;
        let entry = Entry::new(at, line.clone(), labels.clone());
        pipeline.process(entry, now, &mut take);
    }
    pipeline.finish(now, &mut take);
    let mut want: Vec<Seen> = case
        .expect
        .iter()
        .map(|l| {
            let metadata = l.structured_metadata.clone();
            (l.line.clone(), l.labels.clone(), l.timestamp_ns, metadata)
        })
        .collect();
    // What a nested pipeline gives left the original beside the rest, in no certain order.
    let nested = format!("{stages:?}").contains("Text(\"match\")");
    if nested || case.order == "any" {
        seen.sort();
        want.sort();
    }
    if seen != want {
        return Err(format!("\n  seen {seen:?}\n  want {want:?}"));
    }
    let mut sink = Sink::new();
    outside.numbers.collect(&mut sink, now);
    let have = samples(&sink.text());
    match case.expect_metrics.iter().find(|m| !have.contains(m)) {
        Some(m) => Err(format!("no {m:?} in {have:?}")),
        None => Ok(()),
    }
}

fn relabel(case: &Case, configs: &[RelabelConfig]) -> Result<(), String> {
    let rules = Relabel::compile(configs, true).map_err(|e| e.to_string())?;
    let mut b: LabelsBuilder = Labels::from_pairs(&case.input.labels).to_builder();
    let kept = rules.apply(&mut b);
    if kept != case.expect_target.unwrap_or(true) {
        return Err(format!("kept: {kept}"));
    }
    let left: BTreeMap<String, String> = b
        .iter()
        .filter(|(n, _)| !n.starts_with("__"))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect();
    if kept && left != case.expect_labels {
        return Err(format!("{left:?}, wanted {:?}", case.expect_labels));
    }
    Ok(())
}

#[test]
fn recorded_cases() {
    let Some(path) = shared::shared("conformance/log-agent/cases.yml") else {
        return;
    };
    let text = std::fs::read_to_string(path).unwrap();
    let file: File = parse_yaml(Path::new("cases.yml"), &text).unwrap();
    let mut wrong = Vec::new();
    for case in &file.cases {
        let result = match (&case.pipeline_stages, &case.relabel_configs) {
            (Some(stages), _) => run(&file, case, stages),
            (None, Some(rules)) => relabel(case, rules),
            (None, None) => Err("neither stages nor rules".into()),
        };
        if let Err(e) = result {
            wrong.push(format!("{}: {e}", case.id));
        }
    }
    println!("{} cases", file.cases.len());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn refused(stages: &str) -> String {
    let node: Node = parse_yaml(Path::new("s"), stages).unwrap();
    let outside = Outside {
        language: Arc::new(Languages),
        numbers: Arc::new(Numbers::default()),
        rate: None,
        inspect: None,
    };
    match Pipeline::new(&node, &outside) {
        Ok(_) => panic!("{stages} is taken"),
        Err(e) => e.to_string(),
    }
}

/// Wrong settings are named with the stage they stand in.
#[test]
fn wrong_settings_are_refused() {
    for (stages, want) in [
        ("- json: {}", "invalid json stage config: expressions"),
        ("- labels: {y: }", "got a boolean"),
        ("- static_labels: {a: 1}", "expected a text, got a number"),
        (
            "- static_labels: {a: yes}",
            "expected a text, got a boolean",
        ),
        (
            "- regex: {expression: '('}",
            "expression: error parsing regexp",
        ),
        (
            "- timestamp: {source: a, format: Unix, location: Nowhere/At}",
            "unknown time zone",
        ),
        (
            "- timestamp: {source: a, format: Unix, action_on_failure: x}",
            "none of skip, fudge",
        ),
        (
            "- match: {selector: '{}', stages: [{docker: {}}]}",
            "selector",
        ),
        (
            "- match: {selector: '{a=\"b\"}'}",
            "stages: action keep requires",
        ),
        (
            "- match: {selector: '{a=\"b\"}', stages: [{nosuch: {}}]}",
            "Unknown stage type: nosuch",
        ),
        ("- drop: {value: x}", "value needs a source"),
        ("- drop: {}", "at least one of"),
        ("- limit: {rate: 0, burst: 1}", "rate"),
        (
            "- limit: {rate: 1, burst: 1, by_label_name: a}",
            "needs drop",
        ),
        ("- sampling: {rate: 2}", "not between 0 and 1"),
        ("- tenant: {value: a, source: b}", "exactly one"),
        ("- multiline: {max_lines: 3}", "firstline is required"),
        (
            "- multiline: {firstline: x, max_wait_time: soon}",
            "not a duration",
        ),
        (
            "- metrics: {m: {type: Counter, config: {action: set}}}",
            "none of inc, add",
        ),
        ("- geoip: {}", "db_type: \"\" is none of"),
        ("- geoip: {db_type: asn}", "db is required"),
        (
            "- geoip: {db_type: asn, db: /nowhere/x.mmdb}",
            "/nowhere/x.mmdb",
        ),
        ("- labeldrop: a", "expected a list of labels"),
        (
            "- match: {selector: '{a=\"b\"} | json', action: drop}",
            "selector",
        ),
        ("- match: {selector: '{a=\"b\"', action: drop}", "selector"),
        (
            "- match: {selector: '{a=\"b\"}', action: drop, pipeline_name: ''}",
            "pipeline_name",
        ),
        ("- drop: {value: x, source: 5}", "source: expected a text"),
        ("- drop: {older_than: 1 day}", "not a duration"),
        ("- limit: {rate: x, burst: 1}", "expected a number"),
        (
            "- metrics: {'a b': {type: gauge, config: {action: inc}}}",
            "is not the name of a metric",
        ),
        (
            "- template: {source: a, template: '{{ env \"HOME\" }}'}",
            "env is left out, it reads the environment",
        ),
        ("docker: {}", "expected a list"),
        ("- docker", "must be a map"),
    ] {
        let said = refused(stages);
        assert!(said.contains(want), "{stages}: {said}");
    }
}

/// Cases that the recording does not have.
#[test]
fn metrics_of_odd_values() {
    let stages = "
        - json: {expressions: {v: , s: }}
        - metrics:
            up: {type: Counter, source: v, config: {action: add}}
            all: {type: Counter, source: v, config: {match_all: true, action: add}}
            some: {type: Counter, source: s, config: {action: inc, value: x}}
            level: {type: Gauge, source: v, prefix: my_, config: {action: sub}}";
    let node: Node = parse_yaml(Path::new("s"), stages).unwrap();
    let outside = Outside {
        language: Arc::new(Languages),
        numbers: Arc::new(Numbers::default()),
        rate: None,
        inspect: None,
    };
    let mut pipeline = Pipeline::new(&node, &outside).unwrap();
    for line in [
        "{\"v\": -3, \"s\": \"x\"}",
        "{\"v\": \"2.5\"}",
        "{\"v\": \"many\"}",
    ] {
        let entry = Entry::new(0, line.into(), Arc::default());
        pipeline.process(entry, 0, &mut |_| ());
    }
    let mut sink = Sink::new();
    outside.numbers.collect(&mut sink, 0);
    let have = samples(&sink.text());
    let want = [
        "my_level[] 0.5",
        "promtail_custom_some[] 1",
        "promtail_custom_up[] 2.5",
    ];
    assert_eq!(have, want);
}

/// What a pipeline makes of lines, each as `line {labels}`; times and metadata only where there are
/// any that say something.
fn made(stages: &str, labels: &[(&str, &str)], lines: &[&str]) -> Vec<String> {
    let node: Node = parse_yaml(Path::new("s"), stages).unwrap();
    let outside = Outside {
        language: Arc::new(Languages),
        numbers: Arc::new(Numbers::default()),
        rate: None,
        inspect: None,
    };
    let mut pipeline = Pipeline::new(&node, &outside).unwrap();
    let labels = labels
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    let labels = Arc::new(labels.collect::<BTreeMap<_, _>>());
    let mut out = Vec::new();
    let mut take = |e: Entry| {
        let pairs = |all: &mut dyn Iterator<Item = (&String, &String)>| {
            all.map(|(n, v)| format!("{n}={v}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let mut text = format!("{} {{{}}}", e.line, pairs(&mut e.labels.iter()));
        if !e.metadata.is_empty() {
            text += &format!(" [{}]", pairs(&mut e.metadata.iter().map(|(n, v)| (n, v))));
        }
        if e.time_ns != 7 {
            text += &format!(" @{}", e.time_ns);
        }
        out.push(text);
    };
    for line in lines {
        pipeline.process(
            Entry::new(7, (*line).to_owned(), labels.clone()),
            7,
            &mut take,
        );
    }
    pipeline.finish(7, &mut take);
    out
}

/// Settings and lines that are unusual: each stage does what the original's source says.
#[test]
fn unusual_settings_and_lines() {
    for (stages, lines, want) in [
        // Numbers stand for texts where the original reads them so.
        (
            "[json: {expressions: {s: }}, drop: {source: s, value: 500}]",
            &["{\"s\": 500}", "{\"s\": 50}"][..],
            &["{\"s\": 50} {a=b}"][..],
        ),
        ("[drop: {longer_than: 3}]", &["abc", "abcd"], &["abc {a=b}"]),
        ("[drop: {expression: ''}]", &["abc"], &[]),
        (
            "[drop: {source: '', expression: abc}]",
            &["abc"],
            &["abc {a=b}"],
        ),
        (
            "[drop: {source: [a, none], separator: '', expression: '^b$'}]",
            &["x"],
            &[],
        ),
        (
            "[multiline: {firstline: '^x', max_lines: '2'}]",
            &["x", "1", "2"],
            &["x\n1 {a=b}", "2 {a=b}"],
        ),
        // No bound, and a start line that is empty.
        (
            "[multiline: {firstline: '^x', max_lines: 0}]",
            &["x", "1", "2"],
            &["x\n1\n2 {a=b}"],
        ),
        (
            "[multiline: {firstline: '^$'}]",
            &["", "1", "2", ""],
            &["1\n2 {a=b}"],
        ),
        (
            "[limit: {rate: '1', burst: '1', drop: 'true'}]",
            &["1", "2"],
            &["1 {a=b}"],
        ),
        ("[sampling: {rate: '1'}]", &["1"], &["1 {a=b}"]),
        // Only what was extracted is packed; a label that was set without that stays.
        (
            "[static_labels: {c: d}, pack: {labels: [a, c, none], ingest_timestamp: false}]",
            &["x"],
            &["{\"a\":\"b\",\"_entry\":\"x\"} {c=d}"],
        ),
        (
            "[json: {expressions: {a: }}, pack: {labels: a, ingest_timestamp: 'false'}]",
            &["{}"],
            &["{\"_entry\":\"{}\"} {a=b}"],
        ),
        // A group inside a replaced one gets its own value, and stands nowhere.
        (
            "[replace: {expression: '(?P<o>a(?P<i>b)c)', replace: '<{{ .Value }}>'}, labels: {o: , i: }]",
            &["xabcx"],
            &["x<abc>x {a=b i=<b> o=<abc>}"],
        ),
        // `null` has no members, but is no mistake.
        (
            "[json: {expressions: {v: }, drop_malformed: true}, template: {source: t, template: '{{ .v }}'}, output: {source: t}]",
            &["null", "[]", "{\"v\": 1e3}", "{"],
            &["<no value> {a=b}", "1000 {a=b}"],
        ),
        // Any text is a name there.
        ("[static_labels: {a.b: c}]", &["x"], &["x {a=b a.b=c}"]),
        ("[eventlogmessage: {source: m}]", &["x"], &["x {a=b}"]),
        (
            "[json: {expressions: {m: }}, eventlogmessage: {source: m}, labels: {_: , k_extracted: , a_b: }]",
            &[
                "{\"m\": \":v\\r\\nk: 1\\r\\nk: \u{a0}2 \\r\\na b:3\"}",
                "{\"m\": null}",
            ],
            &[
                "{\"m\": \":v\\r\\nk: 1\\r\\nk: \u{a0}2 \\r\\na b:3\"} {_=v a=b a_b=3 k_extracted=2}",
            ],
        ),
        // Times: before 1970, and zones that have no name of a place.
        (
            "[regex: {expression: '(?P<t>.*)'}, timestamp: {source: t, format: Unix}]",
            &["-1.5", "1.5", "1.123456789", "x"],
            &[
                "-1.5 {a=b} @-500000000",
                "1.5 {a=b} @1500000000",
                "1.123456789 {a=b} @1123456789",
                "x {a=b} @1123456790",
            ],
        ),
        (
            "[regex: {expression: '(?P<t>.*)'}, timestamp: {source: t, format: '2006-01-02', location: ''}]",
            &["1970-01-02"],
            &["1970-01-02 {a=b} @86400000000000"],
        ),
        (
            "[structured_metadata: {x: a, w: none}]",
            &["l"],
            &["l {} [x=b]"],
        ),
        // Of a nested selector the line filters count too.
        (
            r#"[match: {selector: '{a="b"} |= "x" != "z"', action: drop}]"#,
            &["x", "xz", "y"],
            &["xz {a=b}", "y {a=b}"],
        ),
        (
            r#"[match: {selector: '{a=~"b|c",d=""} |~ "^[0-9]" !~ "9"', stages: [{static_labels: {m: "1"}}]}]"#,
            &["1", "19"],
            &["1 {a=b m=1}", "19 {a=b}"],
        ),
        (
            r#"[match: {selector: '{a!="x"}', action: drop}]"#,
            &["x"],
            &[],
        ),
        (
            r#"[match: {selector: '{z=""}', action: drop}]"#,
            &["x"],
            &[],
        ),
        ("[labelallow: [c]]", &["x"], &["x {}"]),
        (
            "[decolorize: ]",
            &["\u{1b}[1;31mred\u{1b}[0m"],
            &["red {a=b}"],
        ),
        (
            "[logfmt: {mapping: {k: , v: 'a.b'}}, labels: {k: , v: }]",
            &["k=1 a.b=\"2 3\" k=4 =5 k=6"],
            &["k=1 a.b=\"2 3\" k=4 =5 k=6 {a=b k=4 v=2 3}"],
        ),
    ] {
        assert_eq!(made(stages, &[("a", "b")], lines), want, "{stages}");
    }
}

/// Durations count in seconds.
#[test]
fn metrics_of_durations() {
    let stages = "
        - regex: {expression: '(?P<d>.*)'}
        - metrics: {d: {type: Histogram, config: {buckets: [1, 10]}}}";
    let node: Node = parse_yaml(Path::new("s"), stages).unwrap();
    let outside = Outside {
        language: Arc::new(Languages),
        numbers: Arc::new(Numbers::default()),
        rate: None,
        inspect: None,
    };
    let mut pipeline = Pipeline::new(&node, &outside).unwrap();
    for line in ["500ms", "1m30s", "0.25", "soon"] {
        pipeline.process(Entry::new(0, line.into(), Arc::default()), 0, &mut |_| ());
    }
    let mut sink = Sink::new();
    outside.numbers.collect(&mut sink, 0);
    let have = samples(&sink.text());
    let want = "promtail_custom_d[] count=3 sum=90.75".to_owned();
    assert!(have.contains(&want), "{have:?}");
}

/// Positions files that Promtail or a person has left.
#[test]
fn positions_are_read_as_they_are_found() {
    let file = std::env::temp_dir().join(format!("sextant-positions-{}", std::process::id()));
    let read = |text: &str, ignore: bool| {
        std::fs::write(&file, text).unwrap();
        let mut c = super::PromtailConfig::default();
        c.positions.filename = file.display().to_string();
        c.positions.ignore_invalid_yaml = ignore;
        super::known(&c).map(|(_, offsets)| offsets)
    };
    for empty in ["", "\n", "---\n", "positions:\n", "positions: {}\n"] {
        assert_eq!(read(empty, false), Ok(BTreeMap::new()), "{empty:?}");
    }
    let all = read(
        "positions:\n  /a.log: \"12\"\n  /b.log: 7\n  journal-j: s=1;i=2\n",
        false,
    );
    let all = all.unwrap();
    let of = |k: &str| all.get(k).map(String::as_str);
    assert_eq!(
        (of("/a.log"), of("/b.log"), of("journal-j")),
        (Some("12"), Some("7"), Some("s=1;i=2"))
    );
    for bad in [
        "positions: [1]\n",
        "{{",
        "positions:\n\t- x",
        "positions: {}\nversion: 2\n",
    ] {
        let e = read(bad, false).unwrap_err();
        assert!(e.starts_with("positions: "), "{bad:?}: {e}");
        assert_eq!(read(bad, true), Ok(BTreeMap::new()), "{bad:?}");
    }
    std::fs::remove_file(&file).unwrap();
}

/// Pods are those of this node, whatever else the file selects.
#[test]
fn only_pods_of_the_own_node_are_asked_for() {
    let text = "
job_name: k
kubernetes_sd_configs:
- {role: pod}
- {role: pod, selectors: [{role: pod, label: app=x, field: status.phase=Running}]}
- {role: pod, selectors: [{role: pod, field: spec.nodeName=n1}]}
- {role: service}
";
    let job: crate::config::promtail::JobConfig = parse_yaml(Path::new("j"), text).unwrap();
    let all = job.files("n1").kubernetes;
    let fields: Vec<_> = all
        .iter()
        .map(|k| k.selectors.first().map(|s| s.field.as_str()))
        .collect();
    assert_eq!(
        fields,
        [
            Some("spec.nodeName=n1"),
            Some("status.phase=Running,spec.nodeName=n1"),
            Some("spec.nodeName=n1"),
            None,
        ]
    );
    assert_eq!(all[1].selectors[0].label, "app=x");
}
