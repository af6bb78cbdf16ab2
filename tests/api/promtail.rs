//! `sextant promtail`: files that are followed through the real binary, and kills in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use engine::wire::loki::decode_protobuf;
use serde_json::Value;

use crate::support::hook::{Came, Hook};
use crate::support::shared::shared;
use crate::support::{PATIENCE, Server, TempDir, process, until, wait};

pub(crate) type Line = (String, BTreeMap<String, String>);

/// Every line that has come, in order.
pub(crate) fn lines(hook: &Hook) -> Vec<Line> {
    lines_of(&hook.all())
}

fn lines_of(requests: &[Came]) -> Vec<Line> {
    let mut out = Vec::new();
    for came in requests {
        let raw = snap::raw::Decoder::new()
            .decompress_vec(&came.body)
            .expect("snappy");
        for s in decode_protobuf(&raw).expect("a push request") {
            let own = |(n, v): &(std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
                (n.to_string(), v.to_string())
            };
            let labels: BTreeMap<String, String> = s.labels.iter().map(own).collect();
            out.extend(
                s.entries
                    .iter()
                    .map(|e| (e.line.to_string(), labels.clone())),
            );
        }
    }
    out
}

fn config(hook: &Hook, dir: &Path, labels: &Value, more: &str) -> String {
    format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: 0}}\n\
         positions: {{filename: {0}/positions.yaml, sync_period: 100ms}}\n\
         clients:\n- {{url: 'http://{1}/loki/api/v1/push', batchwait: 100ms}}\n\
         scrape_configs:\n- job_name: t\n  static_configs:\n  - targets: [localhost]\n    \
         labels: {labels}\n{more}",
        dir.display(),
        hook.address,
    )
}

fn start(hook: &Hook, dir: &Path, labels: &Value, more: &str) -> Server {
    let file = dir.join("promtail.yml");
    fs::write(&file, config(hook, dir, labels, more)).expect("a configuration");
    let mut command = process::binary();
    command
        .arg("promtail")
        .arg(format!("-config.file={}", file.display()));
    Server::run(command)
}

pub(crate) fn append(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    file.expect("a file")
        .write_all(text.as_bytes())
        .expect("written");
}

/// One recorded scenario.
fn scenario(id: &str, steps: &[Value]) {
    let (dir, hook) = (TempDir::new(), Hook::new());
    let at = |name: &Value| dir.path().join(name.as_str().unwrap_or_default());
    let here = |v: &str| v.replace("$DIR", &dir.path().display().to_string());
    let mut agent: Option<Server> = None;
    let mut seen = 0;
    for step in steps {
        let text = step["text"].as_str().unwrap_or_default();
        if let Some(a) = step.get("start_agent") {
            let mut labels = serde_json::json!({"job": "t"});
            for (k, v) in a["labels"].as_object().into_iter().flatten() {
                labels[k] = v.clone();
            }
            for (key, label) in [("path", "__path__"), ("path_exclude", "__path_exclude__")] {
                if let Some(p) = a[key].as_str() {
                    labels[label] = dir.path().join(p).display().to_string().into();
                }
            }
            agent = Some(start(&hook, dir.path(), &labels, ""));
        } else if step.get("stop_agent").is_some() {
            let code = agent.take().map(|a| a.stop().0);
            assert_eq!(code, Some(Some(0)), "{id}: stop");
        } else if let Some(f) = step.get("write") {
            drop(fs::remove_file(at(f)));
            append(&at(f), text);
        } else if let Some(f) = step.get("append") {
            append(&at(f), text);
        } else if let Some(f) = step.get("rename") {
            fs::rename(at(f), at(&step["to"])).expect("renamed");
        } else if let Some(f) = step.get("delete") {
            fs::remove_file(at(f)).expect("deleted");
        } else if let Some(f) = step.get("truncate") {
            fs::write(at(f), "").expect("cut");
        } else if let Some(want) = step["expect_lines"].as_array() {
            let want: Vec<&str> = want.iter().filter_map(Value::as_str).collect();
            let all = until(id, || {
                let all = lines(&hook);
                (all.len() >= seen + want.len()).then_some(all)
            });
            let got: Vec<&str> = all.iter().skip(seen).map(|l| l.0.as_str()).collect();
            assert_eq!(got, want, "{id}");
            if let Some(labels) = step["labels"].as_object() {
                let each = labels.iter();
                let want: BTreeMap<String, String> = each
                    .map(|(k, v)| (k.clone(), here(v.as_str().unwrap_or_default())))
                    .collect();
                assert_eq!(all[seen].1, want, "{id}");
            }
            seen = all.len();
        } else if let Some(want) = step["expect_positions"].as_object() {
            let file = fs::read_to_string(dir.path().join("positions.yaml")).expect("positions");
            for (path, offset) in want {
                let line = format!(
                    "{}: \"{}\"",
                    here(path),
                    offset.as_str().unwrap_or_default()
                );
                assert!(
                    file.starts_with("positions:\n") && file.contains(&line),
                    "{id}: {file}"
                );
            }
        } else {
            panic!("{id}: unknown step {step}");
        }
    }
}

#[test]
fn recorded_scenarios_of_files() {
    let Some(path) = shared("conformance/log-agent/cases.yml") else {
        return;
    };
    let text = fs::read_to_string(path).expect("cases");
    let cases: Value = serde_saphyr::from_str(&text).expect("YAML");
    let cases = cases["file_cases"].as_array().expect("cases");
    assert!(!cases.is_empty());
    std::thread::scope(|s| {
        for c in cases {
            let (id, steps) = (c["id"].as_str().expect("an id"), c["steps"].as_array());
            s.spawn(move || scenario(id, steps.expect("steps")));
        }
    });
}

/// Kills at any moment, during rotation: no line is lost. `SEXTANT_AGENT_KILLS` says how often.
#[test]
fn kills_during_rotation_lose_nothing() {
    let kills: u64 = std::env::var("SEXTANT_AGENT_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(5);
    let (dir, hook) = (TempDir::new(), Hook::new());
    let log = dir.path().join("a.log");
    let labels = serde_json::json!({"job": "t", "__path__": log.display().to_string()});
    let (mut next, mut rotation) = (0u64, 0u64);
    append(&log, "the beginning\n");
    // What was rotated before the agent had ever seen it would be none of its business.
    let agent = start(&hook, dir.path(), &labels, "");
    wait("the first line", || hook.count() > 0);
    agent.kill();
    let mut starts = Vec::new();
    for kill in 0..kills {
        starts.push(hook.count());
        let agent = start(&hook, dir.path(), &labels, "");
        let moment = 40 + (kill * 37) % 200;
        for _ in 0..20 {
            let some: String = (next..next + 50).map(|n| format!("line {n}\n")).collect();
            next += 50;
            append(&log, &some);
            if next % 150 == 0 {
                rotation += 1;
                let name = format!("a.log.{rotation}");
                fs::rename(&log, dir.path().join(name)).expect("renamed");
            }
            std::thread::sleep(Duration::from_millis(moment / 20));
        }
        agent.kill();
    }
    starts.push(hook.count());
    let agent = start(&hook, dir.path(), &labels, "");
    append(&log, "the end\n");
    let missing = || {
        let came: BTreeSet<u64> = numbers(&hook.all()).into_iter().collect();
        (0..next).filter(|n| !came.contains(n)).collect::<Vec<_>>()
    };
    let deadline = Instant::now() + PATIENCE;
    while !missing().is_empty() {
        let m = missing();
        assert!(
            Instant::now() < deadline,
            "{} of {next} lines lost, {:?} to {:?}, after {rotation} rotations",
            m.len(),
            m.first(),
            m.last()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(agent);
    let all = hook.all();
    let mut twice = 0;
    for at in starts {
        let (before, since) = all.split_at(at);
        let before: BTreeSet<u64> = numbers(before).into_iter().collect();
        let first = numbers(since).into_iter().min();
        // What comes again is the end of what came before: the batch whose place was not saved.
        let again = before.range(first.unwrap_or(u64::MAX)..).count();
        twice += again;
    }
    println!("{kills} kills, {rotation} rotations, {next} lines, {twice} twice");
}

/// The numbers of the lines in requests.
fn numbers(came: &[Came]) -> Vec<u64> {
    let all = lines_of(came).into_iter();
    all.filter_map(|(l, _)| l.strip_prefix("line ")?.parse().ok())
        .collect()
}

/// Pages, numbers, and what is refused.
#[test]
fn the_command_line_says_what_is_wrong() {
    let dir = TempDir::new();
    let run = |yaml: &str| {
        let file = dir.write("c.yml", yaml);
        let mut c = process::binary();
        c.args(["promtail", "-check-syntax", &format!("-config.file={file}")]);
        let out = c.output().expect("it runs");
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    };
    assert_eq!(run("scrape_configs: [{job_name: a}]").0, Some(0));
    for (yaml, want) in [
        ("nonsense: 1", "field nonsense not found"),
        (
            "scrape_configs: [{job_name: a}, {job_name: a}]",
            "used twice",
        ),
        (
            "scrape_configs: [{job_name: a, kafka: {topics: [x]}}]",
            "source kafka is not available",
        ),
        (
            "scrape_configs: [{job_name: a, syslog: {listen_protocol: icmp, listen_address: ':1'}}]",
            "none of tcp, udp",
        ),
        (
            "scrape_configs: [{job_name: a, syslog: {listen_address: ':1', no: 1}}]",
            "field no not found",
        ),
        (
            "scrape_configs: [{job_name: a, pipeline_stages: [{nosuch: {}}]}]",
            "Unknown stage type: nosuch",
        ),
        ("clients: [{tenant_id: x}]", "client url is required"),
    ] {
        let (code, said) = run(yaml);
        assert_eq!(code, Some(1), "{yaml}: {said}");
        assert!(said.contains(want), "{yaml}: {said}");
    }
}
