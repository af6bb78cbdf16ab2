//! Debian's amtool against our server: each verb that talks to one, and our reading of a file
//! beside its own.

use std::process::{Command, Output};

use serde_json::Value;

use crate::programs::installed;
use crate::support::process::binary;
use crate::support::{Server, TempDir, wait};

const CONFIG: &str = "global: {resolve_timeout: 10m}\n\
    route: {receiver: all, group_by: [alertname], routes: [{matchers: ['severity=page'], receiver: pager}]}\n\
    receivers: [{name: all}, {name: pager}]\n";

fn start(dir: &TempDir) -> Server {
    let file = |n: &str| dir.path().join(n).display().to_string();
    let mut command = binary();
    command.arg("alertmanager").args([
        format!("--config.file={}", file("am.yml")),
        format!("--storage.path={}", file("data")),
        "--web.listen-address=127.0.0.1:0".into(),
        "--cluster.listen-address=127.0.0.1:0".into(),
    ]);
    let s = Server::run(command);
    s.wait_ready();
    s
}

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn each_verb_of_amtool_is_understood() {
    if !installed("amtool") {
        return;
    }
    let dir = TempDir::new();
    let file = dir.write("am.yml", CONFIG);
    let s = start(&dir);
    let run = |args: &[&str]| {
        let mut c = Command::new("amtool");
        c.arg(format!("--alertmanager.url=http://{}", s.address));
        // Defaults of whoever runs the test are none of its own.
        c.env("HOME", dir.path()).args(args);
        c.output().expect("it ends")
    };
    let tool = |args: &[&str]| {
        let out = run(args);
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{args:?}: {error}");
        text(&out)
    };
    let json = |args: &[&str]| -> Value {
        let all: Vec<&str> = ["-o", "json"].iter().chain(args).copied().collect();
        let out = tool(&all);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
    };

    tool(&[
        "alert",
        "add",
        "Disk",
        "severity=page",
        "host=a",
        "--annotation=summary=it is full",
    ]);
    tool(&["alert", "add", "alertname=Net", "host=b"]);
    let all = json(&["alert", "query"]);
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    let one = json(&["alert", "query", "host=~a|c", "--receiver=pager"]);
    assert_eq!(one[0]["annotations"]["summary"], "it is full", "{one}");
    assert!(tool(&["alert", "query", "Disk"]).contains("it is full"));
    assert!(tool(&["-o", "extended", "alert", "query", "Net"]).contains("host=\"b\""));

    let id = tool(&[
        "silence",
        "add",
        "-a",
        "me",
        "-c",
        "why",
        "-d",
        "2h",
        "alertname=Disk",
    ]);
    let id = id.trim();
    let silences = json(&["silence", "query"]);
    assert_eq!(silences[0]["id"], id);
    assert_eq!(tool(&["silence", "query", "-q"]).trim(), id);
    wait("the silence", || {
        json(&["alert", "query"])
            .as_array()
            .is_some_and(|a| a.len() == 1)
    });
    let hushed = json(&["alert", "query", "--silenced"]);
    assert_eq!(hushed[0]["status"]["silencedBy"][0], id, "{hushed}");
    tool(&["silence", "update", "-d", "3h", "-c", "still", id]);
    let silences = json(&["silence", "query", "--created-by=me"]);
    assert_eq!(silences[0]["comment"], "still");
    assert_eq!(silences[0]["id"], id, "it was changed in place");
    tool(&["silence", "expire", id]);
    assert_eq!(tool(&["silence", "query", "-q"]).trim(), "");
    let expired = json(&["silence", "query", "--expired"]);
    assert!(
        expired.as_array().is_some_and(|a| !a.is_empty()),
        "{expired}"
    );
    let mut import = silences.clone();
    import[0]["comment"] = "imported".into();
    let import = dir.write("silences.json", import.to_string());
    tool(&["silence", "import", "--force", &import]);
    let silences = json(&["silence", "query"]);
    assert_eq!(silences[0]["comment"], "imported", "{silences}");

    assert!(tool(&["config", "show"]).contains("resolve_timeout: 10m"));
    assert!(tool(&["config", "routes", "show"]).contains("pager"));
    for (labels, receiver) in [("severity=page", "pager"), ("severity=x", "all")] {
        assert_eq!(tool(&["config", "routes", "test", labels]).trim(), receiver);
    }
    let verify = [
        "config",
        "routes",
        "test",
        "--verify.receivers=all",
        "severity=page",
    ];
    assert!(!run(&verify).status.success());
    let shown = tool(&["-o", "extended", "cluster", "show"]);
    assert!(
        shown.contains("ready") && shown.contains("127.0.0.1:"),
        "{shown}"
    );

    // What needs no server: theirs and ours say the same.
    let template = ["template", "render", "--template.glob=/dev/null"];
    let words = "--template.text={{ len .Alerts }} {{ \"x\" | toUpper }}";
    let own = |args: &[&str]| {
        let out = binary().arg("amtool").args(args).output();
        let out = out.expect("it ends");
        (out.status.code(), text(&out))
    };
    let theirs = |args: &[&str]| {
        let out = run(args);
        (out.status.code(), text(&out))
    };
    let render: Vec<&str> = template.iter().chain(&[words]).copied().collect();
    assert_eq!(own(&render), theirs(&render));
    let routes = format!("--config.file={file}");
    let routes = ["config", "routes", "test", &routes, "severity=page"];
    assert_eq!(own(&routes), theirs(&routes));
    assert_eq!(own(&["check-config", &file]).0, Some(0));
    assert_eq!(theirs(&["check-config", &file]).0, Some(0));
}
