//! `sextant logcli`: flags, outputs and exit codes as logcli has them.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::process::binary;
use crate::support::{Server, TempDir, now_ms};

/// Runs the tool in UTC, with nothing of the environment that concerns it.
fn tool(args: &[&str]) -> Command {
    let mut c = binary();
    for name in [
        "LOKI_ADDR",
        "LOKI_ORG_ID",
        "LOKI_USERNAME",
        "LOKI_BEARER_TOKEN",
    ] {
        c.env_remove(name);
    }
    c.env("TZ", "UTC").arg("logcli").args(args);
    c
}

fn out(o: &Output) -> String {
    String::from_utf8_lossy(&o.stdout).into_owned()
}

fn err(o: &Output) -> String {
    String::from_utf8_lossy(&o.stderr).into_owned()
}

/// Runs the tool against a server; it must succeed.
fn run(s: &Server, args: &[&str]) -> Output {
    let addr = format!("--addr=http://{}", s.address);
    let o = tool(args).arg(addr).output().expect("the tool runs");
    assert_eq!(o.status.code(), Some(0), "{args:?}: {}{}", out(&o), err(&o));
    o
}

/// 2023-11-14T22:13:20Z.
const FIRST: i64 = 1_700_000_000;

/// Entries, one a second from [`FIRST`] on.
fn filled(entries: &[(Value, &str)]) -> Server {
    let s = Server::loki(
        "limits_config:
  reject_old_samples: false
  discover_log_levels: false
  discover_service_name: []
",
    );
    for (i, (labels, line)) in entries.iter().enumerate() {
        let time = (FIRST + i as i64) * 1_000_000_000;
        let body = json!({"streams": [{"stream": labels, "values": [[time.to_string(), line]]}]});
        let a = s
            .request("POST", "/loki/api/v1/push")
            .header("Content-Type", "application/json")
            .body(body.to_string())
            .send();
        assert_eq!(a.status, 204, "{}", a.text());
    }
    s
}

/// The range that [`filled`] fills.
const RANGE: [&str; 2] = ["--from=2023-11-14T22:00:00Z", "--to=2023-11-14T23:00:00Z"];

fn query(s: &Server, more: &[&str], query: &str) -> Output {
    let mut args = vec!["query"];
    args.extend(RANGE);
    args.extend(more);
    args.push(query);
    run(s, &args)
}

fn three() -> Server {
    filled(&[
        (json!({"app": "a", "host": "h1"}), "one"),
        (json!({"app": "a", "host": "host2"}), "two"),
        (json!({"app": "a", "host": "h1"}), "three"),
    ])
}

#[test]
fn entries_have_three_forms() {
    let s = three();
    let o = query(&s, &[], "{app=\"a\"}");
    assert_eq!(
        out(&o),
        "2023-11-14T22:13:22Z {host=\"h1\"}    three\n\
         2023-11-14T22:13:21Z {host=\"host2\"} two\n\
         2023-11-14T22:13:20Z {host=\"h1\"}    one\n"
    );
    let said = err(&o);
    assert!(said.contains("/loki/api/v1/query_range?"), "{said}");
    assert!(said.contains("Common labels: {app=\"a\"}"), "{said}");
    let o = query(&s, &["--quiet", "-o", "raw", "--forward"], "{app=\"a\"}");
    assert_eq!(
        (out(&o).as_str(), err(&o).as_str()),
        ("one\ntwo\nthree\n", "")
    );
    let o = query(&s, &["-q", "--output=jsonl", "--limit=1"], "{app=\"a\"}");
    let v: Value = serde_json::from_str(&out(&o)).expect("one object");
    assert_eq!(
        v,
        json!({"labels": {}, "line": "three", "timestamp": "2023-11-14T22:13:22Z"})
    );
    let o = query(
        &s,
        &[
            "-q",
            "--output=jsonl",
            "--limit=1",
            "--include-common-labels",
        ],
        "{app=\"a\"}",
    );
    let v: Value = serde_json::from_str(&out(&o)).expect("one object");
    assert_eq!(v["labels"], json!({"app": "a", "host": "h1"}));
}

#[test]
fn labels_are_chosen() {
    let s = three();
    let shown = |flags: &[&str]| {
        let mut all = vec!["-q", "--limit=1"];
        all.extend(flags);
        let o = query(&s, &all, "{app=\"a\"}");
        out(&o).trim_end().to_owned()
    };
    let at = "2023-11-14T22:13:22Z";
    assert_eq!(shown(&["--no-labels"]), format!("{at} three"));
    // One entry has everything in common with itself.
    assert_eq!(shown(&[]), format!("{at} {{}} three"));
    assert_eq!(
        shown(&["--labels-length=8"]),
        format!("{at} {{}}       three")
    );
    assert_eq!(
        shown(&["--include-label=app"]),
        format!("{at} {{app=\"a\"}} three")
    );
    assert_eq!(
        shown(&["--include-common-labels", "--exclude-label=app"]),
        format!("{at} {{host=\"h1\"}} three")
    );
    let both = [
        "--include-common-labels",
        "--exclude-label=app",
        "--exclude-label=host",
    ];
    assert_eq!(shown(&both), format!("{at} {{}} three"));
    let o = query(
        &s,
        &["--exclude-label=app", "--include-label=host"],
        "{app=\"a\"}",
    );
    let said = err(&o);
    assert!(said.contains("Ignoring labels key: app"), "{said}");
    assert!(said.contains("Print only labels key: host"), "{said}");
    let coloured = shown(&["--colored-output"]);
    assert!(
        coloured.contains("\x1b[") && coloured.ends_with("three"),
        "{coloured:?}"
    );
}

#[test]
fn times_are_in_the_chosen_zone() {
    let s = three();
    let from = [
        "query",
        "-q",
        "--no-labels",
        "--forward",
        "--from=2023-11-14T23:13:21",
    ];
    let addr = format!("--addr=http://{}", s.address);
    let zone = |z: &str| {
        let o = tool(&from)
            .args(["--to=2023-11-15T01:00:00", z, &addr, "{app=\"a\"}"])
            .env("TZ", "XXX-1")
            .output()
            .expect("the tool runs");
        out(&o)
    };
    assert_eq!(
        zone("--timezone=Local"),
        "2023-11-14T23:13:21+01:00 two\n2023-11-14T23:13:22+01:00 three\n"
    );
    assert_eq!(zone("--timezone=UTC"), "");
}

#[test]
fn many_entries_come_in_batches() {
    let all: Vec<(Value, String)> = (0..25)
        .map(|i| {
            (
                json!({"app": "a", "n": (i % 3).to_string()}),
                format!("line {i}"),
            )
        })
        .collect();
    let all: Vec<(Value, &str)> = all.iter().map(|(l, t)| (l.clone(), t.as_str())).collect();
    let s = filled(&all);
    let want: Vec<String> = (0..25).map(|i| format!("line {i}")).collect();
    for (limit, n) in [("--limit=0", 25), ("--limit=12", 12)] {
        let o = query(
            &s,
            &["--batch=4", "-o=raw", "--forward", limit],
            "{app=\"a\"}",
        );
        let lines: Vec<String> = out(&o).lines().map(str::to_owned).collect();
        assert_eq!(lines, want[..n]);
        assert!(
            err(&o).matches("query_range").count() >= n / 4,
            "{}",
            err(&o)
        );
        let o = query(&s, &["--batch=4", "-o=raw", limit], "{app=\"a\"}");
        let mut lines: Vec<String> = out(&o).lines().map(str::to_owned).collect();
        lines.reverse();
        assert_eq!(lines, want[25 - n..]);
    }
    // Numbers come at once.
    let o = query(
        &s,
        &["-q", "--step=600"],
        "sum(count_over_time({app=\"a\"}[1h]))",
    );
    let v: Value = serde_json::from_str(&out(&o)).expect("JSON");
    assert_eq!(v[0]["values"][2][1], "25", "{v}");
}

#[test]
fn streams_and_sizes_are_told() {
    let s = three();
    let ask = |verb: &str, more: &[&str]| {
        let mut args = vec![verb, "-q"];
        args.extend(RANGE);
        args.extend(more);
        out(&run(&s, &args))
    };
    assert_eq!(ask("labels", &[]), "app\nhost\n");
    assert_eq!(ask("labels", &["host"]), "h1\nhost2\n");
    let selector = "{app=\"a\"}";
    assert_eq!(
        ask("series", &[selector]),
        "{app=\"a\", host=\"h1\"}\n{app=\"a\", host=\"host2\"}\n"
    );
    assert_eq!(
        ask("series", &["--analyze-labels", "{}"]),
        "Total Streams:  2\nUnique Labels:  2\n\nLabel Name  Unique Values  Found In Streams\n\
         host        2              2\napp         1              2\n"
    );
    let stats = ask("stats", &[selector]);
    assert!(
        stats.starts_with("{\n  bytes: 11B\n")
            && stats.ends_with("  streams: 2\n  entries: 3\n}\n"),
        "{stats}"
    );
    let v: Value = serde_json::from_str(&ask("volume", &[selector])).expect("JSON");
    assert_eq!(
        (&v[0]["metric"], &v[0]["value"][1]),
        (&json!({"app": "a"}), &json!("11"))
    );
    let v: Value =
        serde_json::from_str(&ask("volume", &["--targetLabels=host", selector])).expect("JSON");
    assert_eq!(v[0]["metric"], json!({"host": "h1"}));
    let v: Value =
        serde_json::from_str(&ask("volume", &["--aggregateByLabels", selector])).expect("JSON");
    assert_eq!(v.as_array().map(Vec::len), Some(2));
    let v: Value =
        serde_json::from_str(&ask("volume_range", &["--step=10m", selector])).expect("JSON");
    assert_eq!(v[0]["values"][0][1], "11", "{v}");
}

#[test]
fn numbers_at_one_time() {
    let s = three();
    let count = "count_over_time({app=\"a\"}[1m])";
    let o = run(
        &s,
        &["instant-query", "-q", "--now=2023-11-14T22:13:30Z", count],
    );
    let v: Value = serde_json::from_str(&out(&o)).expect("JSON");
    assert_eq!(v[0]["value"], json!([FIRST + 10, "2"]));
    let o = run(
        &s,
        &[
            "--stats",
            "instant-query",
            "--now=2023-11-14T22:13:30Z",
            count,
        ],
    );
    assert!(
        err(&o).contains("Summary.TotalLinesProcessed"),
        "{}",
        err(&o)
    );
}

#[test]
fn fields_are_listed() {
    let s = filled(&[
        (json!({"app": "a"}), "took=5ms name=x"),
        (json!({"app": "a"}), "took=7ms"),
    ]);
    let ask = |more: &[&str]| {
        let mut args = vec!["detected-fields", "-q"];
        args.extend(RANGE);
        args.extend(more);
        out(&run(&s, &args))
    };
    assert_eq!(
        ask(&["{app=\"a\"}"]),
        "label: name  type: string    cardinality: 1\nlabel: took  type: duration  cardinality: 2\n"
    );
    assert_eq!(ask(&["{app=\"a\"}", "took"]), "5ms\n7ms\n");
}

fn with_input(args: &[&str], input: &str) -> Output {
    let mut child = tool(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool runs");
    let mut stdin = child.stdin.take().expect("its input");
    // It may refuse the query before it reads.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    child.wait_with_output().expect("its end")
}

#[test]
fn standard_input_is_searched_without_a_server() {
    let input = "level=info a=1\nlevel=error a=2\r\nno pairs\nlevel=error a=3";
    for query in [
        "|= \"error\" | logfmt | a > 2",
        "{x=\"y\"} |= \"error\" | logfmt | a > 2",
    ] {
        let o = with_input(&["--stdin", "query", "-q", "-o", "raw", query], input);
        assert_eq!(
            (o.status.code(), out(&o).as_str()),
            (Some(0), "level=error a=3\n"),
            "{}",
            err(&o)
        );
    }
    let o = with_input(
        &["query", "--stdin", "-o=jsonl", "| logfmt | a=\"1\""],
        input,
    );
    let v: Value = serde_json::from_str(&out(&o)).expect("one object");
    assert_eq!(v["labels"], json!({"a": "1", "level": "info"}));
    for (args, part) in [
        (
            vec!["--stdin", "query", "rate({a=\"b\"}[1m])"],
            "answers log queries only",
        ),
        (vec!["--stdin", "query", "|= "], "parse error"),
        (vec!["--stdin", "labels"], "--stdin is for query"),
    ] {
        let o = with_input(&args, input);
        assert_eq!(o.status.code(), Some(1), "{args:?}");
        assert!(err(&o).contains(part), "{args:?}: {}", err(&o));
    }
    let o = with_input(&["fmt"], "sum(rate({a=\"b\"}[1m]))by(c)");
    assert_eq!(out(&o), "sum by (c)(rate({a=\"b\"}[1m]))\n");
}

#[test]
fn what_fails_says_so_and_ends_with_one() {
    let s = three();
    let addr = format!("http://{}", s.address);
    for (args, part) in [
        (
            vec!["query", "{a="],
            "Error response from server: parse error",
        ),
        (
            vec!["query", "--from=yesterday", "{a=\"b\"}"],
            "--from \"yesterday\" is not a time",
        ),
        (
            vec!["query", "--since=x", "{a=\"b\"}"],
            "--since \"x\" is not a duration",
        ),
        (
            vec!["tail", "{a="],
            "Error response from server: parse error",
        ),
        (
            vec!["instant-query", "{a=\"b\"}"],
            "not supported as an instant query type",
        ),
    ] {
        let o = tool(&args)
            .env("LOKI_ADDR", &addr)
            .output()
            .expect("the tool runs");
        assert_eq!(o.status.code(), Some(1), "{args:?}");
        assert!(err(&o).contains(part), "{args:?}: {}", err(&o));
    }
    let gone = tool(&["labels", "--addr=http://127.0.0.1:1", "--retries=2"])
        .output()
        .expect("the tool runs");
    assert_eq!(gone.status.code(), Some(1));
    assert_eq!(
        err(&gone).matches("trying again").count(),
        2,
        "{}",
        err(&gone)
    );
    for wrong in [
        vec!["query"],
        vec!["query", "-o", "xml", "{}"],
        vec!["nosuch"],
    ] {
        let o = tool(&wrong).output().expect("the tool runs");
        assert_ne!(o.status.code(), Some(0), "{wrong:?}");
    }
}

#[test]
fn tenants_and_credentials_are_sent() {
    let dir = TempDir::new();
    let token = dir.write("token", "from file\n");
    for (flags, want) in [
        (
            vec!["--org-id=t1", "--username=u", "--password=p"],
            vec!["x-scope-orgid: t1", "authorization: basic dtpw"],
        ),
        (
            vec!["--bearer-token=abc", "--query-tags=a=b", "--nocache"],
            vec![
                "authorization: bearer abc",
                "x-query-tags: a=b",
                "cache-control: no-cache",
            ],
        ),
        (
            vec!["--auth-header=X-Own", "--bearer-token-file", &token],
            vec!["x-own: bearer from file"],
        ),
    ] {
        let l = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = format!("--addr=http://{}", l.local_addr().expect("an address"));
        let mut child = tool(&["labels", "-q", &addr])
            .args(&flags)
            .stdout(Stdio::null())
            .spawn()
            .expect("the tool runs");
        let (mut c, _) = l.accept().expect("a request");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            std::io::Read::read_exact(&mut c, &mut byte).expect("a request");
            head.push(byte[0]);
        }
        let body = "{\"status\":\"success\"}";
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        c.write_all(answer.as_bytes()).expect("an answer");
        assert!(child.wait().expect("its end").success());
        let head = String::from_utf8_lossy(&head).to_lowercase();
        for w in want {
            assert!(head.contains(w), "{w}: {head}");
        }
    }
}

#[test]
fn a_tail_prints_what_comes() {
    use std::io::BufRead as _;
    let s = Server::loki("");
    let addr = format!("--addr=http://{}", s.address);
    let push = |line: &str| {
        let time = format!("{}000000", now_ms());
        let body = json!({"streams": [{"stream": {"app": "a"}, "values": [[time, line]]}]});
        let a = s
            .request("POST", "/loki/api/v1/push")
            .header("Content-Type", "application/json")
            .body(body.to_string())
            .send();
        assert_eq!(a.status, 204, "{}", a.text());
    };
    for verb in [&["tail"][..], &["query", "--tail"]] {
        push("before");
        let mut child = tool(verb)
            .args([&addr, "-q", "--no-labels", "--since=5m", "{app=\"a\"}"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tool runs");
        let mut lines = std::io::BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut until = |what: &str| loop {
            let line = lines.next().expect("a line").expect("text");
            if line.ends_with(what) {
                return;
            }
        };
        until("before");
        push("after");
        until("after");
        drop(child.kill());
        drop(child.wait());
    }
}
