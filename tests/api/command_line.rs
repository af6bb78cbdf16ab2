//! Flags, exit codes, tools.

use std::process::Output;

use crate::support::{Server, TempDir, process};

fn run(args: &[&str]) -> Output {
    process::binary()
        .args(args)
        .output()
        .expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn start_failures_end_with_code_2_and_say_why() {
    let dir = TempDir::new();
    let bad = dir.write("bad.yml", "scrape_configs:\n- job_name: a\n  nope: 1\n");
    let data = dir.path().join("data");
    let data = format!("--storage.tsdb.path={}", data.display());
    for (args, why) in [
        (
            vec!["prometheus", "--config.file=/nonexistent/p.yml"],
            "no such file or directory",
        ),
        (vec!["prometheus", "--nonsense"], "--nonsense"),
        (
            vec!["prometheus", "--query.timeout=soon"],
            "not a valid duration string: \"soon\"",
        ),
        (
            vec!["prometheus", "--storage.wal.sync=maybe"],
            "none of always, interval:<duration>, off",
        ),
        (
            vec!["prometheus", "--log.level=loud"],
            "none of debug, info, warn, error",
        ),
    ] {
        let out = run(&args);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
    }
    let file = format!("--config.file={bad}");
    let out = run(&["prometheus", &file, &data]);
    assert_eq!(out.status.code(), Some(2));
    assert!(
        text(&out.stderr).contains("line 3 column 3: field nope not found"),
        "{}",
        text(&out.stderr)
    );
    let out = run(&["prometheus", "--agent"]);
    assert_eq!(out.status.code(), Some(3));
}

#[test]
fn known_flags_without_effect_are_accepted_with_a_warning() {
    let s = Server::start(&[
        "--storage.tsdb.wal-compression",
        "--no-scrape.adjust-timestamps",
        "--rules.alert.for-grace-period=5m",
        "--enable-feature=exemplar-storage,promql-per-step-stats",
    ]);
    let log = s.log().join("\n");
    assert!(log.contains("flag is accepted without effect"), "{log}");
    assert!(log.contains("flag=--storage.tsdb.wal-compression"), "{log}");
    let flags = s.get("/api/v1/status/flags").data();
    assert_eq!(flags["scrape.adjust-timestamps"], "false");
}

#[test]
fn log_lines_have_the_familys_keys() {
    let s = Server::start(&["--log.format=logfmt"]);
    let log = s.log();
    let line = log.first().expect("a line");
    assert!(
        line.starts_with("time=20")
            && line.contains(" level=INFO source=")
            && line.contains(" msg="),
        "{line}"
    );
}

#[test]
fn check_config_answers_like_promtool() {
    let dir = TempDir::new();
    let good = dir.write("good.yml", "scrape_configs: [{job_name: a}]");
    let bad = dir.write("bad.yml", "scrape_configs: [{}]");
    let out = run(&["check", "config", &good]);
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stdout).contains("is valid prometheus config file syntax"));
    let out = run(&["check", "config", &good, &bad]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("FAILED: parsing YAML file"));
    assert!(text(&out.stderr).contains("job_name is empty"));
}

#[test]
fn check_ready_asks_the_server() {
    let s = Server::start(&[]);
    let url = format!("--url=http://{}", s.address);
    assert_eq!(run(&["check", "ready", &url]).status.code(), Some(0));
    assert_eq!(run(&["check", "healthy", &url]).status.code(), Some(0));
    assert_eq!(
        run(&["check", "ready", "--url=http://127.0.0.1:9"])
            .status
            .code(),
        Some(1)
    );
}

#[test]
fn the_binary_answers_to_prometheus_by_name() {
    let dir = TempDir::new();
    let link = dir.path().join("prometheus");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sextant"), &link).expect("a link");
    let out = std::process::Command::new(&link)
        .arg("--config.file=/nonexistent/p.yml")
        .output()
        .expect("the link starts");
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("/nonexistent/p.yml"));
    assert_eq!(run(&["version"]).status.code(), Some(0));
    assert!(text(&run(&["--version"]).stdout).starts_with("sextant, version "));
}

#[test]
fn check_metrics_reads_standard_input() {
    use std::io::Write as _;
    use std::process::Stdio;
    for (input, code) in [
        ("# HELP a_total x\n# TYPE a_total counter\na_total 1\n", 0),
        ("# TYPE a counter\na 1\n", 3),
        ("a{ 1\n", 1),
    ] {
        let mut child = process::binary()
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("written");
        drop(stdin);
        assert_eq!(
            child.wait().expect("an end").code(),
            Some(code),
            "{input:?}"
        );
    }
}

#[test]
fn alert_receivers_files_are_checked_and_their_routes_answered() {
    let dir = TempDir::new();
    let good = dir.write(
        "am.yml",
        "global: {slack_api_url: 'https://h/hush'}\n\
         route:\n  receiver: r\n  routes:\n  - {matchers: ['team=~\"a|b\"'], receiver: s}\n\
         receivers: [{name: r}, {name: s, slack_configs: [{channel: c}]}]\n",
    );
    let bad = dir.write(
        "bad.yml",
        "route: {receiver: r}\nreceivers: [{name: r, slack_configs: [{api_url: hush}]}]\n",
    );
    for verb in [["check", "alertmanager"], ["amtool", "check-config"]] {
        let out = run(&[verb[0], verb[1], &good]);
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        assert!(text(&out.stdout).contains(" - 2 receivers"));
        let out = run(&[verb[0], verb[1], &bad]);
        let said = text(&out.stdout) + &text(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{said}");
        assert!(said.contains("unsupported scheme \"\" for URL"), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
    let file = format!("--config.file={good}");
    let ask = |rest: &[&str]| {
        let mut args = vec!["amtool", "config", "routes", "test", &file];
        args.extend(rest);
        run(&args)
    };
    assert_eq!(text(&ask(&["team=b", "x=y"]).stdout), "s\n");
    assert_eq!(text(&ask(&[]).stdout), "r\n");
    assert_eq!(
        ask(&["team=b", "--verify.receivers=s"]).status.code(),
        Some(0)
    );
    assert_eq!(
        ask(&["team=b", "--verify.receivers=r"]).status.code(),
        Some(1)
    );
    assert_eq!(ask(&["team!=b"]).status.code(), Some(1));
}

#[test]
fn shipped_alerts_pass_their_own_tests() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../monitoring");
    let files = |folder: &str| -> Vec<String> {
        let listed = std::fs::read_dir(format!("{shipped}/{folder}")).expect("the folder");
        let paths = listed.map(|e| e.expect("an entry").path());
        paths.map(|p| p.to_string_lossy().into_owned()).collect()
    };
    let alerts = files("alerts");
    let mut check = vec!["check", "rules", "--lint=all", "--lint-fatal"];
    check.extend(alerts.iter().map(String::as_str));
    let out = run(&check);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let tests = files("tests");
    let mut test = vec!["test", "rules"];
    test.extend(tests.iter().map(String::as_str));
    let out = run(&test);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let config = format!("{shipped}/prometheus.yml");
    let out = run(&["check", "config", &config]);
    assert!(out.status.success(), "{}", text(&out.stderr));
}

#[test]
fn a_backtest_finds_what_would_have_fired() {
    let s = Server::start(&["--web.enable-remote-write-receiver"]);
    let from = crate::support::now_ms() / 60_000 * 60_000 - 3_600_000;
    let labels = crate::wire::labels(&[("__name__", "up"), ("job", "api")]);
    // Down from minute 10 to 20, and from 50 on.
    let down = |k: i64| (10..20).contains(&k) || k >= 50;
    let samples = (0..=60)
        .map(|k| (from + k * 60_000, if down(k) { 0.0 } else { 1.0 }))
        .collect();
    crate::wire::store(&s, &[(labels, samples)]);
    let (code, dir) = s.stop();
    assert_eq!(code, Some(0));
    let rules = dir.write(
        "rules.yml",
        "groups: [{name: g, rules: [\
         {record: 'job:up:min', expr: 'min by (job) (up)'},\
         {alert: Down, expr: 'job:up:min == 0', for: 2m, labels: {severity: page},\
          annotations: {text: '{{ $labels.job }}'}}]}]\n",
    );
    let routes = dir.write(
        "alertmanager.yml",
        "route: {receiver: rest, routes: [{receiver: pager, matchers: ['severity=page']}]}\n\
         receivers: [{name: rest}, {name: pager}]\n",
    );
    let data = dir.path().join("data").display().to_string();
    let args = [
        "backtest",
        &rules,
        "--from=1h",
        "--storage.tsdb.path",
        &data,
        "--alertmanager.config",
        &routes,
    ];
    let out = run(&[&args[..], &["--format=json"]].concat());
    assert!(out.status.success(), "{}", text(&out.stderr));
    let found: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let firings = found["firings"].as_array().expect("firings");
    assert_eq!(firings.len(), 2, "{found}");
    assert_eq!(firings[0]["seconds"], 480.0);
    assert_eq!(firings[0]["receivers"], serde_json::json!(["pager"]));
    assert_eq!(firings[0]["annotations"]["text"], "api");
    assert_eq!(firings[1]["endsAt"], serde_json::Value::Null);
    let table = text(&run(&args).stdout);
    assert!(
        table.contains("8m") && table.contains("still") && table.contains("2 alerts"),
        "{table}"
    );
    // Nothing was written to the data.
    let again = run(&[&args[..], &["--format=json"]].concat());
    assert_eq!(text(&again.stdout), text(&out.stdout));
    let empty = TempDir::new();
    let none = run(&[
        "backtest",
        &rules,
        "--storage.tsdb.path",
        &empty.path().display().to_string(),
    ]);
    assert!(!none.status.success() && text(&none.stderr).contains("not a data directory"));
}

#[test]
fn each_personality_prints_its_version_like_the_original() {
    let version = env!("CARGO_PKG_VERSION");
    for (verb, original) in [
        ("prometheus", "prometheus, version "),
        ("alertmanager", "alertmanager, version "),
        ("amtool", "amtool, version "),
        ("loki", "loki, version "),
        ("promtail", "promtail, version "),
        ("node-exporter", "node_exporter, version "),
        ("postgres-exporter", "postgres_exporter, version "),
        ("redis-exporter", "Redis Metrics Exporter v"),
    ] {
        for flag in ["--version", "-version"] {
            let out = run(&[verb, flag]);
            let said = text(&out.stdout);
            assert!(said.starts_with(&format!("{original}{version} ")), "{said}");
            assert_eq!(out.status.code(), Some(0), "{verb} {flag}");
        }
    }
}
