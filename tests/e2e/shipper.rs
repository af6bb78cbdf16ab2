//! Debian's syslog-ng as a shipper: what it reads from a file arrives once, whatever stands in the
//! lines, and also when the server is killed in between.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::logs::lines;
use crate::programs::{free_port, installed, start};
use crate::support::process::binary;
use crate::support::{Server, TempDir, wait};

/// Lines written before and after the server is killed.
const COUNT: usize = 300;

/// Reads a file, posts JSON to `port`; lines that were not taken are sent again.
fn settings(dir: &TempDir, port: u16) -> String {
    let input = dir.path().join("input.log").display().to_string();
    format!(
        r#"@version: 3.35
options {{ stats-freq(0); time-reopen(1); }};
source s_file {{ file("{input}" flags(no-parse) follow-freq(0.2)); }};
rewrite r_json {{
  subst("[\\\\]", "\\\\", value("MESSAGE"), flags("global"));
  subst("[\"]", "\\\"", value("MESSAGE"), flags("global"));
  subst("\t", "\\t", value("MESSAGE"), flags("global"));
}};
destination d_loki {{
  http(
    url("http://127.0.0.1:{port}/loki/api/v1/push") method("POST")
    headers("Content-Type: application/json") user-agent("shipper")
    batch-lines(25) batch-timeout(200) workers(1) retries(100000)
    body-prefix('{{"streams":[') delimiter(",") body-suffix("]}}")
    body('{{"stream":{{"app":"shipped"}},"values":[["${{R_UNIXTIME}}${{R_USEC}}000","${{MESSAGE}}",{{"from":"syslog-ng"}}]]}}')
  );
}};
log {{ source(s_file); rewrite(r_json); destination(d_loki); flags(flow-control); }};
"#
    )
}

fn server(dir: &TempDir, port: u16) -> Server {
    let mut command = binary();
    command
        .arg("loki")
        .arg(format!(
            "-config.file={}",
            dir.path().join("loki.yml").display()
        ))
        .arg(format!(
            "-common.path-prefix={}",
            dir.path().join("data").display()
        ))
        .arg("-server.http-listen-address=127.0.0.1")
        .arg(format!("-server.http-listen-port={port}"));
    let s = Server::run(command);
    s.wait_for("/ready", 200);
    s
}

/// Lines with all that JSON has to escape, and more.
fn text(from: usize) -> String {
    let mut out = String::new();
    for i in from..from + COUNT {
        let odd = [
            "plain",
            "\"quoted\"",
            "back\\slash \\n",
            "grüße ☃",
            "tab\there",
            "{\"a\":1}",
        ];
        writeln!(out, "{i:04} {} level=warn", odd[i % odd.len()]).expect("a string");
    }
    out
}

#[test]
fn what_syslog_ng_ships_arrives_once() {
    if !installed("syslog-ng") {
        return;
    }
    let dir = TempDir::new();
    dir.write("loki.yml", "");
    let input = dir.write("input.log", text(0));
    let port = free_port();
    let config = dir.write("syslog-ng.conf", settings(&dir, port));
    let state = |name: &str| dir.path().join(name).display().to_string();
    let s = server(&dir, port);
    let _shipper = start(
        "syslog-ng",
        &[
            "--foreground".to_owned(),
            "--no-caps".to_owned(),
            format!("--cfgfile={config}"),
            format!("--persist-file={}", state("persist")),
            format!("--control={}", state("control")),
            format!("--pidfile={}", state("pid")),
        ],
    );
    let query = "{app=\"shipped\", service_name=\"shipped\"} | from=\"syslog-ng\" | detected_level=\"warn\"";
    wait("the first lines", || lines(&s, query).len() >= COUNT / 2);
    s.kill();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(input)
        .expect("the file");
    file.write_all(text(COUNT).as_bytes()).expect("more lines");
    let s = server(&dir, port);
    wait("all lines", || lines(&s, query).len() >= 2 * COUNT);
    let sent = text(0) + &text(COUNT);
    let mut sent: Vec<&str> = sent.lines().collect();
    sent.sort_unstable();
    let mut got = lines(&s, query);
    got.sort_unstable();
    assert_eq!(got, sent);
}
