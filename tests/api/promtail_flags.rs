//! `sextant promtail`: the flags of its command line, and which of them win over the file.

use std::io::Write as _;
use std::process::{Output, Stdio};

use crate::promtail::{lines, texts};
use crate::support::hook::Hook;
use crate::support::{TempDir, process};

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the agent over `input` until it ends.
fn run(args: &[&str], input: &str) -> Output {
    let mut child = process::binary()
        .arg("promtail")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("its input");
    // What does not read its input may have ended.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    child.wait_with_output().expect("an end")
}

/// The configuration that counts, as it is printed.
fn printed(yaml: &str, args: &[&str]) -> serde_json::Value {
    let dir = TempDir::new();
    let file = format!("-config.file={}", dir.write("c.yml", yaml));
    let mut all = vec![file.as_str(), "-print-config-stderr", "-check-syntax"];
    all.extend(args);
    let out = run(&all, "");
    let said = text_of(&out.stderr);
    assert!(out.status.success(), "{args:?}: {said}");
    serde_saphyr::from_str(&said).expect("YAML")
}

/// Each flag sets its place, whatever the file says there.
#[test]
fn flags_win_over_the_file() {
    let file = "
server: {http_listen_port: 1, http_path_prefix: /a, log_level: error}
client: {url: 'http://old/', tenant_id: old, batchwait: 7s}
clients: [{url: 'http://other/', tenant_id: other, external_labels: {a: file}}]
positions: {filename: /old, sync_period: 7s}
limits_config: {readline_rate: 7, max_streams: 7}
target_config: {sync_period: 7s}
";
    let of_file = printed(file, &[]);
    assert_eq!(of_file["server"]["http_listen_port"], 1);
    assert_eq!(of_file["clients"][1]["tenant_id"], "old");
    assert_eq!(of_file["limits_config"]["readline_rate_drop"], true);
    for (flag, place, want) in [
        ("client.url=http://new/", "/clients/1/url", "http://new/"),
        (
            "client.batch-wait=1500ms",
            "/clients/1/batchwait",
            "1s500ms",
        ),
        ("client.batch-size-bytes=42", "/clients/1/batchsize", "42"),
        (
            "client.max-retries=3",
            "/clients/1/backoff_config/max_retries",
            "3",
        ),
        (
            "client.min-backoff=2s",
            "/clients/1/backoff_config/min_period",
            "2s",
        ),
        (
            "client.max-backoff=1m",
            "/clients/1/backoff_config/max_period",
            "1m",
        ),
        ("client.timeout=3s", "/clients/1/timeout", "3s"),
        ("client.tenant-id=new", "/clients/1/tenant_id", "new"),
        (
            "client.drop-rate-limited-batches",
            "/clients/1/drop_rate_limited_batches",
            "true",
        ),
        (
            "client.external-labels=a=b,c=d",
            "/clients/1/external_labels/a",
            "b",
        ),
        // To the other clients too, where their own labels win.
        (
            "client.external-labels=a=b,c=d",
            "/clients/0/external_labels/a",
            "file",
        ),
        (
            "client.external-labels=a=b,c=d",
            "/clients/0/external_labels/c",
            "d",
        ),
        (
            "client.stream-lag-labels=a,b",
            "/options/stream_lag_labels",
            "a,b",
        ),
        ("positions.file=/new", "/positions/filename", "/new"),
        ("positions.sync-period=1s", "/positions/sync_period", "1s"),
        (
            "positions.ignore-invalid-yaml",
            "/positions/ignore_invalid_yaml",
            "true",
        ),
        ("target.sync-period=3s", "/target_config/sync_period", "3s"),
        (
            "file-watch.min-poll-frequency=10ms",
            "/global/file_watch_config/min_poll_frequency",
            "10ms",
        ),
        (
            "file-watch.max-poll-frequency=1s",
            "/global/file_watch_config/max_poll_frequency",
            "1s",
        ),
        (
            "limit.readline-rate=1.5",
            "/limits_config/readline_rate",
            "1.5",
        ),
        (
            "limit.readline-burst=5",
            "/limits_config/readline_burst",
            "5",
        ),
        (
            "limit.readline-rate-enabled",
            "/limits_config/readline_rate_enabled",
            "true",
        ),
        (
            "limit.readline-rate-drop=false",
            "/limits_config/readline_rate_drop",
            "false",
        ),
        ("max-streams=9", "/limits_config/max_streams", "9"),
        (
            "max-line-size-truncate=T",
            "/limits_config/max_line_size_truncate",
            "true",
        ),
        (
            "server.http-listen-address=::1",
            "/server/http_listen_address",
            "::1",
        ),
        ("server.http-listen-port=2", "/server/http_listen_port", "2"),
        ("server.path-prefix=/b", "/server/http_path_prefix", "/b"),
        ("server.disable", "/server/disable", "true"),
        (
            "server.enable-runtime-reload",
            "/server/enable_runtime_reload",
            "true",
        ),
        (
            "server.graceful-shutdown-timeout=5s",
            "/server/graceful_shutdown_timeout",
            "5s",
        ),
        ("log.level=debug", "/server/log_level", "debug"),
        ("log.format=json", "/server/log_format", "json"),
    ] {
        let config = printed(file, &[&format!("-{flag}")]);
        let found = config.pointer(place);
        let found = found.unwrap_or_else(|| panic!("{flag}: no {place} in {config}"));
        let found = found
            .as_str()
            .map_or_else(|| found.to_string(), str::to_owned);
        assert_eq!(found, want, "{flag}");
    }
    // The last one counts; a value may follow in a word of its own.
    let config = printed(file, &["-max-streams=1", "--max-streams", "2"]);
    assert_eq!(config["limits_config"]["max_streams"], 2);
    // The old form without a URL is no client, but its labels are everybody's.
    let file = "{client: {external_labels: {c: d}}, clients: [{url: 'http://a/'}]}";
    let config = printed(file, &["-client.tenant-id=x"]);
    assert_eq!(
        config["clients"].as_array().map(Vec::len),
        Some(1),
        "{config}"
    );
    assert_eq!(config["clients"][0]["external_labels"]["c"], "d");
    // Of several files the first that exists.
    let dir = TempDir::new();
    let file = dir.write("c.yml", "clients: [{url: 'http://a/'}]");
    let out = run(
        &[&format!("-config.file=/no/such, {file}"), "-check-syntax"],
        "",
    );
    assert!(out.status.success(), "{}", text_of(&out.stderr));
}

/// A line is sent without any file, in batches as large as flags say, for the tenant they say.
#[test]
fn standard_input_needs_no_file() {
    let hook = Hook::new();
    let url = format!("-client.url=http://{}/loki/api/v1/push", hook.address);
    let out = run(
        &[
            "-stdin",
            &url,
            "-client.batch-size-bytes=1",
            "-client.tenant-id",
            "t",
            "-log.level=error",
        ],
        "one\ntwo\n",
    );
    assert!(out.status.success(), "{}", text_of(&out.stderr));
    assert_eq!(texts(&lines(&hook)), ["one", "two"]);
    let all = hook.all();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|c| c.header("x-scope-orgid") == Some("t")));
}

/// Headers of the file come along, but for those that say what the agent itself has to say.
#[test]
fn headers_of_the_file_yield_to_those_of_the_agent() {
    let (dir, hook) = (TempDir::new(), Hook::new());
    let yaml = format!(
        "clients: [{{url: 'http://{}/loki/api/v1/push', tenant_id: t, headers: {{X-Own: a, \
         X-Scope-OrgID: other, Content-Type: text/plain, User-Agent: me}}}}]\n\
         scrape_configs: [{{job_name: j, pipeline_stages: [{{match: {{selector: '{{job=\"stdin\"}} |= \"two\"', \
         stages: [{{tenant: {{value: u}}}}]}}}}]}}]",
        hook.address
    );
    let file = format!("-config.file={}", dir.write("c.yml", &yaml));
    let out = run(&["-stdin", &file], "one\ntwo\n");
    assert!(out.status.success(), "{}", text_of(&out.stderr));
    let mut tenants = Vec::new();
    for came in hook.all() {
        assert_eq!(came.header("x-own"), Some("a"));
        assert_eq!(came.header("content-type"), Some("application/x-protobuf"));
        assert!(came.header("user-agent").is_some_and(|a| a != "me"));
        tenants.push(came.header("x-scope-orgid").unwrap_or_default().to_owned());
    }
    tenants.sort();
    assert_eq!(tenants, ["t", "u"]);
}

/// What each stage did is told; entries are printed and not sent.
#[test]
fn stages_are_inspected() {
    let dir = TempDir::new();
    let file = dir.write(
        "c.yml",
        "
clients: [{url: 'http://127.0.0.1:1/loki/api/v1/push'}]
scrape_configs:
- job_name: a
  pipeline_stages:
  - regex: {expression: '^(?P<level>\\w+) (?P<rest>.*)'}
  - labels: {level: ''}
  - output: {source: rest}
  - output: {source: none}
  - drop: {expression: secret}
",
    );
    let file = format!("-config.file={file}");
    let out = run(
        &["-stdin", "-dry-run", "-inspect", &file],
        "info hello\nwarn secret\n",
    );
    assert!(out.status.success());
    let (printed, said) = (text_of(&out.stdout), text_of(&out.stderr));
    assert_eq!(printed.lines().count(), 1, "{printed}");
    assert!(
        printed.contains("level=\"info\"") && printed.ends_with("\thello\n"),
        "{printed}"
    );
    for want in [
        "[inspect: regex stage]: \n{stages.Entry}.Extracted[\"level\"]:\n\t+: info\n",
        "[inspect: labels stage]: \n{stages.Entry}.Entry.Labels[\"level\"]:\n\t+: info\n",
        "[inspect: output stage]: \n{stages.Entry}.Entry.Entry.Line:\n\t-: info hello\n\t+: hello\n",
        "[inspect: output stage]: none\n",
        "[inspect: drop stage]: \nthe entry was dropped, or waits\n",
    ] {
        assert!(said.contains(want), "{want}: {said}");
    }
}

/// Wrong command lines: one message, and the exit code of the original.
#[test]
fn wrong_flags_are_named() {
    let dir = TempDir::new();
    let file = format!("-config.file={}", dir.write("c.yml", "{}"));
    for (args, code, want) in [
        (
            &["-nosuch=1"][..],
            2,
            "flag provided but not defined: -nosuch",
        ),
        (
            &["-client.batch-wait=1y"],
            2,
            "flag -client.batch-wait: \"1y\" is not a duration",
        ),
        (
            &["-client.max-retries=x"],
            2,
            "flag -client.max-retries: \"x\" is not a whole number",
        ),
        (&["-client.url=:x"], 2, "flag -client.url: "),
        (
            &["-client.external-labels=a"],
            2,
            "flag -client.external-labels: \"a\" is not name=value",
        ),
        (
            &["-limit.readline-rate=x"],
            2,
            "flag -limit.readline-rate: \"x\" is not a number",
        ),
        (&["-max-line-size=x"], 2, "flag -max-line-size: "),
        (
            &["-server.http-listen-port=70000"],
            2,
            "-server.http-listen-port: \"70000\" is not a port",
        ),
        (
            &["-dry-run=maybe"],
            2,
            "flag -dry-run: \"maybe\" is not true or false",
        ),
        (
            &["-server.http-tls-cert-path=/x"],
            2,
            "pages are not served over TLS",
        ),
        (&["-config.file=/no/such"], 1, "/no/such does not exist"),
        (&["-check-syntax"], 1, "Invalid config file"),
        (&["-log.level=loud"], 1, "loud"),
        (
            &["-log.format=xml"],
            1,
            "log.format \"xml\" is none of logfmt, json",
        ),
        (&["-stdin"], 1, "client"),
    ] {
        let mut all = vec![];
        if !args
            .iter()
            .any(|a| a.starts_with("-config") || a.starts_with("-check"))
        {
            all.push(file.as_str());
        }
        all.extend(args);
        let out = run(&all, "");
        let said = text_of(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(want), "{args:?}: {said}");
        assert!(said.lines().count() <= 3, "{args:?}: {said}");
    }
    // What has no meaning here is said, and does no harm.
    let out = run(
        &[
            &file,
            "-check-syntax",
            "-server.grpc-listen-port=0",
            "-server.grpc.num-workers",
            "3",
        ],
        "",
    );
    let said = text_of(&out.stdout) + &text_of(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert_eq!(
        said.matches("flag is accepted without effect").count(),
        2,
        "{said}"
    );
    let out = run(&["-version"], "");
    assert!(out.status.success());
    assert!(
        text_of(&out.stdout).starts_with("promtail"),
        "{}",
        text_of(&out.stdout)
    );
}
