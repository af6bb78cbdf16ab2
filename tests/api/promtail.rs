//! `sextant promtail`: files that are followed through the real binary, and kills in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
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

/// All lines, once at least `n` have come.
pub(crate) fn came(hook: &Hook, n: usize) -> Vec<Line> {
    until("lines", || {
        let all = lines(hook);
        (all.len() >= n).then_some(all)
    })
}

/// Their texts.
pub(crate) fn texts(all: &[Line]) -> Vec<&str> {
    all.iter().map(|l| l.0.as_str()).collect()
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
    run(dir, &config(hook, dir, labels, more))
}

fn run(dir: &Path, text: &str) -> Server {
    let file = dir.join("promtail.yml");
    fs::write(&file, text).expect("a configuration");
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
            let all = came(&hook, seen + want.len());
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

/// A line of the kill test: letter of its file, number in it.
type Numbered = (char, u64);

fn numbered(text: &str) -> Option<Numbered> {
    let (file, n) = text.split_once(' ')?;
    Some((file.chars().next()?, n.parse().ok()?))
}

/// The lines of each request, in order.
fn requests(came: &[Came]) -> Vec<Vec<Numbered>> {
    let of = |c: &Came| {
        let all = lines_of(std::slice::from_ref(c)).into_iter();
        all.filter_map(|(l, _)| numbered(&l)).collect()
    };
    came.iter().map(of).collect()
}

/// Numbers as `1-5 7-9`.
fn rows(all: &[u64]) -> String {
    let mut out = Vec::<(u64, u64)>::new();
    for n in all {
        match out.last_mut() {
            Some((_, last)) if *last + 1 == *n => *last = *n,
            _ => out.push((*n, *n)),
        }
    }
    let each = out.iter().map(|(a, b)| format!("{a}-{b}"));
    each.collect::<Vec<_>>().join(" ")
}

/// FNV-1a, as the ledger says which bytes a file begins with.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Where the ledger says that reading goes on: the first line of each file that is not done. Files
/// that the ledger does not know are younger than those.
fn saved(dir: &Path) -> BTreeMap<char, u64> {
    let ledger = fs::read_to_string(dir.join("positions.yaml.identities")).expect("a ledger");
    let number = |v: &Value| v.as_u64().expect("a number");
    let size = |v: &Value| usize::try_from(number(v)).expect("a size");
    let mut known = BTreeMap::new();
    let mut note = |r: &Value| {
        let inode = number(&r["identity"]["inode"]);
        known.insert(inode, r.clone());
    };
    // A kill may tear the last line.
    for line in ledger.split_inclusive('\n').filter(|l| l.ends_with('\n')) {
        let v: Value = serde_json::from_str(line).expect("a line");
        let saved = v["files"].as_array().into_iter().flatten();
        let noted = v.as_array().into_iter().flatten();
        saved.for_each(&mut note);
        noted.filter_map(|c| c.get("file")).for_each(&mut note);
    }
    let mut out = BTreeMap::new();
    for e in fs::read_dir(dir).expect("a folder").flatten() {
        let Some(r) = known.get(&e.metadata().expect("a file").ino()) else {
            continue;
        };
        let text = fs::read_to_string(e.path()).expect("a log");
        // The inode may be that of a file that was deleted.
        let head = size(&r["identity"]["head_len"]);
        if head > 0 && text.get(..head).map(fnv) != r["identity"]["head"].as_u64() {
            continue;
        }
        let rest = &text[size(&r["offset"])..];
        if let Some((file, n)) = rest.lines().find_map(numbered) {
            let first = out.entry(file).or_insert(n);
            *first = n.min(*first);
        }
    }
    out
}

/// What was delivered over several lives, and what of it may come again.
#[derive(Default)]
struct Lives {
    came: BTreeSet<Numbered>,
    /// Lines of requests after which the same life has sent another one: they were noted before.
    /// The rest is what is called the last unsynced batch.
    synced: BTreeSet<Numbered>,
    again: usize,
    longest: usize,
}

impl Lives {
    /// Takes in the requests of one life, before which the ledger said `saved`.
    fn add(&mut self, life: usize, requests: &[Vec<Numbered>], saved: &BTreeMap<char, u64>) {
        for file in FILES {
            let all = requests.iter().flatten().filter(|l| l.0 == file);
            let all: Vec<u64> = all.map(|l| l.1).collect();
            let row = all.windows(2).all(|w| w[1] == w[0] + 1);
            assert!(row, "life {life}: {file} out of order: {}", rows(&all));
            let again = all.iter().take_while(|n| self.came.contains(&(file, **n)));
            let again: Vec<u64> = again.copied().collect();
            let what = || format!("life {life}: {file}: {} after {saved:?}", rows(&all));
            // One run: all after it is new.
            let late = all.iter().skip(again.len()).copied();
            let late: Vec<u64> = late.filter(|n| self.came.contains(&(file, *n))).collect();
            assert!(
                late.is_empty(),
                "{}: {} came again later",
                what(),
                rows(&late)
            );
            let early = again.iter().copied();
            let early: Vec<u64> = early
                .filter(|n| self.synced.contains(&(file, *n)))
                .collect();
            assert!(
                early.is_empty(),
                "{}: {} came again though more was sent after them",
                what(),
                rows(&early)
            );
            if let (Some(first), Some(place)) = (all.first(), saved.get(&file)) {
                assert_eq!(first, place, "{}: where reading goes on", what());
            }
            self.again += again.len();
            self.longest = self.longest.max(again.len());
        }
        self.came.extend(requests.iter().flatten());
        let noted = requests.split_last().map_or(&[][..], |(_, before)| before);
        self.synced.extend(noted.iter().flatten());
    }
}

/// Files of the kill test: each in a stream of its own. The first one's rotated files keep the
/// names they are given, the other's move up and go in the end.
const FILES: [char; 2] = ['a', 'b'];
/// Rotated files of the second that are kept.
const KEPT: usize = 40;

/// Rotates both, for the time `rotation`.
fn rotate(dir: &Path, rotation: usize) {
    let name = |f: char, n: usize| match n {
        0 => dir.join(format!("{f}.log")),
        n => dir.join(format!("{f}.log.{n}")),
    };
    let [a, b] = FILES;
    fs::rename(name(a, 0), name(a, rotation)).expect("renamed");
    for n in (0..rotation.min(KEPT)).rev() {
        fs::rename(name(b, n), name(b, n + 1)).expect("renamed");
    }
}

/// Kills at any moment, during rotation: no line is lost, and what comes again is of the last
/// batch. `SEXTANT_AGENT_KILLS` says how often.
#[test]
fn kills_during_rotation_lose_nothing_and_repeat_no_more_than_the_last_batch() {
    let kills: usize = std::env::var("SEXTANT_AGENT_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20);
    // Answers take long enough for kills between the taking of a batch and its noting.
    let (dir, hook) = (TempDir::new(), Hook::slow(Duration::from_millis(10)));
    let log = |f: char| dir.path().join(format!("{f}.log"));
    let labels = serde_json::json!({"job": "t", "__path__": dir.path().join("*.log")});
    for f in FILES {
        append(&log(f), "the beginning\n");
    }
    // Positions are saved seldom and often; batches are small, so that lives have many.
    let start = |life: usize| {
        let text = config(&hook, dir.path(), &labels, "");
        let sync = ["sync_period: 10s", "sync_period: 50ms"][life % 2];
        let text = text.replace("sync_period: 100ms", sync);
        let text = text.replace("batchwait: 100ms", "batchwait: 50ms, batchsize: 2000");
        run(dir.path(), &text)
    };
    // What was rotated before the agent had ever seen it would be none of its business.
    let agent = start(0);
    wait("the first lines", || lines(&hook).len() == FILES.len());
    agent.kill();
    hook.settle();
    let (mut next, mut rotation, mut seen) = (0u64, 0usize, hook.count());
    let mut lives = Lives::default();
    for kill in 0..=kills {
        let places = saved(dir.path());
        let agent = start(kill);
        // The last life is not killed before it has all.
        let moment = 40 + (kill as u64 * 37) % 400;
        // Every other life is at work before the writers are.
        if kill % 2 == 1 {
            append(&log('a'), "wake\n");
            wait("the first request of a life", || hook.count() > seen);
        }
        for _ in 0..20 {
            for f in FILES {
                let some: String = (next..next + 50).map(|n| format!("{f} {n}\n")).collect();
                append(&log(f), &some);
            }
            next += 50;
            if next % 150 == 0 {
                rotation += 1;
                rotate(dir.path(), rotation);
            }
            std::thread::sleep(Duration::from_millis(moment / 20));
        }
        if kill == kills {
            let all = usize::try_from(next).expect("a count") * FILES.len();
            let deadline = Instant::now() + PATIENCE;
            let have = || -> BTreeSet<_> { requests(&hook.all()).into_iter().flatten().collect() };
            while have().len() < all {
                let have = have();
                let lost = |f: &char| (0..next).find(|n| !have.contains(&(*f, *n)));
                assert!(
                    Instant::now() < deadline,
                    "{} of {all} lines lost after {rotation} rotations, first {:?}",
                    all - have.len(),
                    FILES.iter().map(lost).collect::<Vec<_>>()
                );
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        agent.kill();
        hook.settle();
        let all = hook.all();
        lives.add(kill, &requests(&all[seen..]), &places);
        seen = all.len();
    }
    let Lives { again, longest, .. } = lives;
    println!(
        "{kills} kills, {rotation} rotations of {} files, {} lines, {seen} requests; \
         0 lost, {again} again, longest run {longest}",
        FILES.len(),
        lives.came.len(),
    );
}

/// The disk is full when a delivered batch is noted: lines go on, the next save repairs the ledger,
/// and after a kill nothing is lost and nothing comes again. A bound on the size of files stands for
/// the disk.
#[test]
fn a_full_disk_loses_nothing() {
    let (dir, hook) = (TempDir::new(), Hook::new());
    let log = |f: &str| dir.path().join(f);
    let labels = serde_json::json!({"job": "t", "__path__": log("*.log")});
    let text = config(&hook, dir.path(), &labels, "");
    // Nothing but new files and the end make it save.
    let text = text.replace("sync_period: 100ms", "sync_period: 1h");
    let text = text.replace("batchwait: 100ms", "batchwait: 10ms");
    let text = text + "target_config: {sync_period: 1s}\n";
    let file = dir.write("promtail.yml", &text);
    let start = |bounded: bool| {
        let bound = if bounded {
            "trap '' XFSZ; ulimit -f 8; "
        } else {
            ""
        };
        let mut c = std::process::Command::new("sh");
        c.arg("-c").arg(format!("{bound}exec \"$0\" \"$@\""));
        c.arg(process::binary().get_program());
        c.args(["promtail", &format!("-config.file={file}")]);
        Server::run(c)
    };
    append(&log("a.log"), "0\n");
    let agent = start(true);
    came(&hook, 1);
    let full = |a: &Server| a.log().iter().any(|l| l.contains("cannot be noted"));
    let mut n = 1;
    while !full(&agent) {
        assert!(n < 500, "the ledger never gets full");
        append(&log("a.log"), &format!("{n}\n"));
        n += 1;
        came(&hook, n);
    }
    // A save, and a place that is noted after it.
    append(&log("b.log"), "x\n");
    came(&hook, n + 1);
    append(&log("a.log"), "last\n");
    let all = came(&hook, n + 2);
    let ledger = || fs::read_to_string(log("positions.yaml.identities")).unwrap_or_default();
    let size = fs::metadata(log("a.log")).expect("a log").len();
    wait("the last place", || {
        ledger().contains(&format!("\"offset\":{size}"))
    });
    agent.kill();
    let mut want: Vec<String> = (0..n).map(|n| n.to_string()).collect();
    want.extend(["x".to_owned(), "last".to_owned()]);
    assert_eq!(texts(&all), want);
    append(&log("a.log"), "after\n");
    let agent = start(false);
    assert_eq!(texts(&came(&hook, n + 3))[n + 2..], ["after"]);
    assert_eq!(agent.stop().0, Some(0));
    assert_eq!(lines(&hook).len(), n + 3);
}

/// A new configuration while it runs: another file, the same positions; and a wrong one.
#[test]
fn the_configuration_is_read_again() {
    let (dir, hook) = (TempDir::new(), Hook::new());
    let log = |name: &str| dir.path().join(name);
    append(&log("a.log"), "one\n");
    append(&log("b.log"), "two\n");
    let text = |pattern: &str| {
        let labels = serde_json::json!({"job": "t", "__path__": log(pattern)});
        let text = config(&hook, dir.path(), &labels, "");
        text.replace(
            "http_listen_port: 0",
            "http_listen_port: 0, enable_runtime_reload: true",
        )
    };
    let agent = run(dir.path(), &text("a.log"));
    assert_eq!(texts(&came(&hook, 1)), ["one"]);
    let file = log("promtail.yml");
    let reload = || {
        let r = agent.request("POST", "/reload").send();
        (r.status, String::from_utf8_lossy(&r.body).into_owned())
    };
    let unchanged = "failed to reload config: config has not changed\n";
    assert_eq!(reload(), (500, unchanged.to_owned()));
    fs::write(&file, "nonsense: 1").expect("a configuration");
    let (status, said) = reload();
    assert_eq!(status, 500);
    assert!(
        said.starts_with("failed to reload config: Error new Config: "),
        "{said}"
    );
    append(&log("a.log"), "three\n");
    assert_eq!(texts(&came(&hook, 2)), ["one", "three"]);
    fs::write(&file, text("*.log")).expect("a configuration");
    assert_eq!(reload(), (200, String::new()));
    assert_eq!(texts(&came(&hook, 3)), ["one", "three", "two"]);
    let page = |path: &str| String::from_utf8(agent.get(path).body).expect("text");
    let numbers = page("/metrics");
    for line in [
        "promtail_config_reload_success_total 1",
        "promtail_config_reload_fail_total 2",
        "promtail_request_duration_seconds_count",
    ] {
        assert!(numbers.contains(line), "{line}: {numbers}");
    }
    let found = page("/service-discovery");
    assert!(found.starts_with("t (1 / 1 active targets)\n"), "{found}");
    assert!(found.contains("__path__="), "{found}");
    // A signal asks for the same.
    append(&log("c.txt"), "four\n");
    fs::write(&file, text("*.txt")).expect("a configuration");
    agent.signal("HUP");
    assert_eq!(came(&hook, 4)[3].0, "four");
}

/// `-stdin` sends what it reads and ends; flags add to what the file says.
#[test]
fn standard_input_is_sent() {
    let (dir, hook) = (TempDir::new(), Hook::new());
    let file = dir.write("c.yml", "server: {disable: true}");
    let mut child = process::binary()
        .args(["promtail", "-stdin", &format!("-config.file={file}")])
        .arg(format!(
            "-client.url=http://{}/loki/api/v1/push",
            hook.address
        ))
        .arg("-client.external-labels=cluster=x,job=other")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(b"one\r\n\ntwo").expect("written");
    drop(input);
    assert!(child.wait().expect("an end").success());
    let all = lines(&hook);
    assert_eq!(texts(&all), ["one", "two"]);
    let labels = &all[0].1;
    assert_eq!(
        (labels["job"].as_str(), labels["cluster"].as_str()),
        ("stdin", "x")
    );
}

/// Character sets, compressed files and the rate of all lines, as the configuration names them.
#[test]
fn files_are_read_as_their_job_says() {
    let (dir, hook) = (TempDir::new(), Hook::new());
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::write(at("a.log"), b"gr\xfc\xdfe\n").expect("written");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"packed 1\npacked 2\n").expect("packed");
    fs::write(at("b.gz"), gz.finish().expect("packed")).expect("written");
    let job = |name: &str, path: &str, more: &str| {
        format!(
            "- {{job_name: {name}, {more}, static_configs: [{{labels: {{job: {name}, __path__: '{}'}}}}]}}\n",
            at(path)
        )
    };
    let text = config(&hook, dir.path(), &serde_json::json!({"job": "t"}), "");
    let text = text
        + &job("latin", "a.log", "encoding: ISO-8859-1")
        + &job(
            "packed",
            "b.gz",
            "decompression: {enabled: true, format: gz}",
        )
        + "limits_config: {readline_rate_enabled: true, readline_rate: 1000, readline_rate_drop: false}\n\
           file_watch_config: {min_poll_frequency: 10ms, max_poll_frequency: 20ms}\n";
    let agent = run(dir.path(), &text);
    let all = came(&hook, 3);
    let all: BTreeSet<&str> = texts(&all).into_iter().collect();
    assert_eq!(all, BTreeSet::from(["grüße", "packed 1", "packed 2"]));
    assert_eq!(agent.stop().0, Some(0));
    let positions = fs::read_to_string(at("positions.yaml")).expect("positions");
    assert!(positions.contains("b.gz: \"2\""), "{positions}");
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
        (
            "server: {http_tls_config: {cert_file: x}}",
            "pages are not served over TLS",
        ),
        (
            "scrape_configs: [{job_name: a, azure_event_hubs: {event_hubs: [x]}}]",
            "source azure_event_hubs is not available",
        ),
        (
            "scrape_configs: [{job_name: a, encoding: klingon}]",
            "encoding \"klingon\" is not known",
        ),
        (
            "scrape_configs: [{job_name: a, decompression: {enabled: true}}]",
            "format \"\" is none of gz, z, bz2",
        ),
        (
            "limits_config: {readline_rate_enabled: true, readline_burst: 0}",
            "have to be above 0",
        ),
    ] {
        let (code, said) = run(yaml);
        assert_eq!(code, Some(1), "{yaml}: {said}");
        assert!(said.contains(want), "{yaml}: {said}");
    }
}
