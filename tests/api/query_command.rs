//! `sextant query`: promtool's questions, answers and exit codes.

use std::process::Output;

use crate::support::{Server, now_ms, process};
use crate::wire::{labels, store};

struct Asked {
    code: Option<i32>,
    said: String,
    complained: String,
}

fn ask(args: &[&str]) -> Asked {
    let out: Output = process::binary()
        .args(args)
        .output()
        .expect("the binary starts");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    Asked {
        code: out.status.code(),
        said: text(&out.stdout),
        complained: text(&out.stderr),
    }
}

/// A server with `m{job="a"} 1 1.5` and `m{job="b"} 2 2.5`, one second apart; the first time in s.
fn server() -> (Server, i64) {
    let s = Server::start(&["--web.enable-remote-write-receiver"]);
    let t = now_ms() / 1000 * 1000 - 60_000;
    let series = [("a", "1"), ("b", "2")].map(|(job, v)| {
        let l = labels(&[("__name__", "m"), ("job", job), ("x", "a\"b,c")]);
        let v: f64 = v.parse().expect("a number");
        (l, vec![(t, v), (t + 1000, v + 0.5)])
    });
    store(&s, &series);
    (s, t / 1000)
}

fn url(s: &Server) -> String {
    format!("http://{}", s.address)
}

#[test]
fn answers_have_the_text_of_promtool() {
    let (s, t) = server();
    let url = url(&s);
    let (t0, t1) = (t.to_string(), (t + 1).to_string());
    let at = format!("--time={t1}");
    let instant = |expr: &str| {
        let a = ask(&["query", "instant", &at, &url, expr]);
        assert_eq!(a.code, Some(0), "{}", a.complained);
        a.said
    };
    assert_eq!(instant("1.5"), format!("scalar: 1.5 @[{t1}]\n"));
    assert_eq!(instant("\"x\""), "x\n");
    assert_eq!(
        instant("m{job=\"a\"}"),
        format!("m{{job=\"a\", x=\"a\\\"b,c\"}} => 1.5 @[{t1}]\n")
    );
    assert_eq!(instant("sum(m)"), format!("{{}} => 4 @[{t1}]\n"));
    assert_eq!(instant("nothing"), "\n");
    assert_eq!(
        instant("m{job=\"b\"}[10s]"),
        format!("m{{job=\"b\", x=\"a\\\"b,c\"}} =>\n2 @[{t0}]\n2.5 @[{t1}]\n")
    );
    let (start, end) = (format!("--start={t0}"), format!("--end={t1}"));
    let a = ask(&[
        "promtool",
        "query",
        "range",
        &start,
        &end,
        "--step=1s",
        &url,
        "max(m)",
    ]);
    assert_eq!(a.said, format!("{{}} =>\n2 @[{t0}]\n2.5 @[{t1}]\n"));
    let a = ask(&["query", "series", "--match=m", &start, &end, &url]);
    assert_eq!(
        a.said,
        "{__name__=\"m\", job=\"a\", x=\"a\\\"b,c\"}\n{__name__=\"m\", job=\"b\", x=\"a\\\"b,c\"}\n"
    );
    let a = ask(&["query", "labels", "--match=m", &start, &end, &url, "job"]);
    assert_eq!(a.said, "a\nb\n");
}

#[test]
fn other_forms_are_a_flag_away() {
    let (s, t) = server();
    let url = url(&s);
    let t1 = (t + 1).to_string();
    let at = format!("--time={t1}");
    let form = |form: &str| {
        ask(&[
            "query",
            "instant",
            "-o",
            form,
            &at,
            &url,
            "sum by (job) (m)",
        ])
        .said
    };
    let json: serde_json::Value = serde_json::from_str(&form("json")).expect("JSON");
    assert_eq!(json[0]["metric"]["job"], "a");
    assert_eq!(json[0]["value"][1], "1.5");
    assert_eq!(
        form("csv"),
        format!("job,timestamp,value\na,{t1},1.5\nb,{t1},2.5\n")
    );
    let table = form("table");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["job", "timestamp", "value"]);
    assert_eq!(rows[2], ["b", &t1, "2.5"]);
    let a = ask(&["query", "series", "--output=csv", "--match=m", &url]);
    assert!(
        a.said.starts_with("__name__,job,x\nm,a,\"a\"\"b,c\"\n"),
        "{}",
        a.said
    );
    let (start, end) = (format!("--start={t}"), format!("--end={t1}"));
    let a = ask(&[
        "query",
        "range",
        "-o",
        "plot",
        "--step=1s",
        &start,
        &end,
        &url,
        "sum by (job) (m)",
    ]);
    assert!(
        a.said.contains("* {job=\"a\"}\n+ {job=\"b\"}\n"),
        "{}",
        a.said
    );
    assert!(a.said.contains("2.5000 |"), "{}", a.said);
}

#[test]
fn mistakes_end_with_a_code_and_a_reason() {
    let (s, _) = server();
    let url = url(&s);
    let range = |extra: &[&str]| {
        let mut args = vec!["query", "range"];
        args.extend_from_slice(extra);
        args.extend_from_slice(&[&url, "1"]);
        ask(&args)
    };
    for (a, why) in [
        (
            ask(&["query", "instant", &url, "sum("]),
            "query error: bad_data: invalid parameter \"query\": 1:5: parse error: ",
        ),
        (
            ask(&["query", "instant", "--time=soon", &url, "1"]),
            "error parsing time: cannot parse \"soon\" to a valid timestamp",
        ),
        (
            range(&["--start=20", "--end=10"]),
            "start time is not before end time",
        ),
        (range(&["--step=0s"]), "error parsing step: \"0s\""),
        (
            ask(&["query", "instant", "localhost:9090", "1"]),
            "\"localhost:9090\" is not the address of a server",
        ),
        (
            ask(&["query", "instant", "http://127.0.0.1:1", "1"]),
            "query error: ",
        ),
        (
            ask(&["query", "series", "--match={", &url]),
            "query error: bad_data: ",
        ),
        (
            ask(&["query", "instant", "--header=nope", &url, "1"]),
            "header \"nope\" is not NAME=VALUE",
        ),
        (
            ask(&[
                "query",
                "instant",
                "--http.config.file=/nonexistent.yml",
                &url,
                "1",
            ]),
            "/nonexistent.yml",
        ),
    ] {
        assert_eq!(a.code, Some(1), "{why}: {}", a.complained);
        assert!(a.complained.contains(why), "{why}: {}", a.complained);
        assert!(a.said.is_empty(), "{}", a.said);
    }
    // The command line itself.
    for args in [
        &["query", "instant", &url][..],
        &["query", "series", &url],
        &["query", "instant", "-o", "xml", &url, "1"],
        &["query"],
    ] {
        assert_eq!(ask(args).code, Some(1), "{args:?}");
    }
}
