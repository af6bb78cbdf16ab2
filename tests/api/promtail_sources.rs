//! `sextant promtail`: sources that are no files, through the real binary; and the agent inside
//! `sextant up`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use serde_json::{Value, json};

use super::promtail::{append, came, lines, texts};
use crate::support::client::Request;
use crate::support::hook::Hook;
use crate::support::process::binary;
use crate::support::{Server, TempDir, until, wait};

/// An agent whose only job is `job` (YAML in braces, without its name).
fn agent(hook: &Hook, dir: &Path, job: &str) -> Server {
    let text = format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: 0}}\n\
         positions: {{filename: {}/positions.yaml, sync_period: 100ms}}\n\
         clients: [{{url: 'http://{}/loki/api/v1/push', batchwait: 50ms}}]\n\
         scrape_configs:\n- {{job_name: t, {job}}}\n",
        dir.display(),
        hook.address
    );
    let file = dir.join("promtail.yml");
    std::fs::write(&file, text).expect("a configuration");
    let mut command = binary();
    command.env("PATH", format!("{}:/usr/bin:/bin", dir.display()));
    command
        .arg("promtail")
        .arg(format!("-config.file={}", file.display()));
    Server::run(command)
}

/// Where the agent said that `what` listens.
fn address(s: &Server, what: &str) -> String {
    until(what, || {
        let log = s.log();
        let line = log.iter().find(|l| l.contains(what))?;
        let (_, rest) = line.split_once("address=")?;
        Some(rest.split(' ').next()?.to_owned())
    })
}

const SYSLOG_RULES: &str = "relabel_configs: [\
    {source_labels: [__syslog_message_hostname], target_label: host},\
    {source_labels: [__syslog_message_severity], target_label: level},\
    {source_labels: [__syslog_message_app_name], target_label: app},\
    {source_labels: [__syslog_connection_ip_address], target_label: from},\
    {source_labels: [__syslog_message_sd_x_1_k], target_label: sd}]";

#[test]
fn syslog_over_tcp_in_both_framings() {
    let (dir, hook) = (TempDir::new(), Hook::new());
    let job = format!(
        "syslog: {{listen_address: '127.0.0.1:0', label_structured_data: true, labels: {{job: s}}}}, {SYSLOG_RULES}"
    );
    let s = agent(&hook, dir.path(), &job);
    let mut c = TcpStream::connect(address(&s, "syslog listening")).expect("a connection");
    let one = "<165>1 2003-10-11T22:14:15.003Z h1 app - ID47 [x@1 k=\"v\"] counted";
    write!(
        c,
        "{} {one}<11>1 - h2 - - - - a line\nnonsense\n",
        one.len()
    )
    .expect("sent");
    let all = came(&hook, 2);
    assert_eq!(texts(&all), ["counted", "a line"]);
    let want = [
        ("app", "app"),
        ("from", "127.0.0.1"),
        ("host", "h1"),
        ("job", "s"),
        ("level", "notice"),
        ("sd", "v"),
    ];
    let want = want.map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(all[0].1, BTreeMap::from(want));
    assert_eq!(all[1].1["level"], "error");
    // What makes no sense ends the connection, and is counted.
    let mut rest = Vec::new();
    c.read_to_end(&mut rest).expect("an end");
    let metrics = String::from_utf8(s.get("/metrics").body).expect("text");
    assert!(
        metrics.contains("promtail_syslog_target_entries_total 2"),
        "{metrics}"
    );
    assert!(
        metrics.contains("promtail_syslog_target_parsing_errors_total 1"),
        "{metrics}"
    );
    assert_eq!(s.get("/ready").status, 200);
    assert_eq!(s.stop().0, Some(0));
}

#[test]
fn syslog_over_udp_in_the_old_format() {
    let (dir, hook) = (TempDir::new(), Hook::new());
    let job = format!(
        "syslog: {{listen_address: '127.0.0.1:0', listen_protocol: udp, syslog_format: rfc3164, \
         labels: {{job: s}}}}, {SYSLOG_RULES}"
    );
    let s = agent(&hook, dir.path(), &job);
    let to = address(&s, "syslog listening");
    let c = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    c.send_to(
        b"<34>Oct 11 22:14:15 mymachine su[7]: 'su root' failed\n",
        to,
    )
    .expect("sent");
    let all = came(&hook, 1);
    assert_eq!(texts(&all), ["'su root' failed"]);
    assert_eq!(all[0].1["host"], "mymachine");
    assert_eq!(all[0].1["app"], "su");
    assert_eq!(all[0].1["level"], "critical");
}

#[test]
fn syslog_over_tls_takes_those_with_a_certificate() {
    let (dir, hook) = (TempDir::new(), Hook::new());
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key"));
    let ca = ca.expect("an authority");
    let mut own = CertificateParams::new(Vec::new()).expect("parameters");
    own.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().expect("an address"))];
    let key = KeyPair::generate().expect("a key");
    let certificate = own.signed_by(&key, &ca).expect("a certificate");
    let ca_file = dir.write("ca.pem", ca.pem());
    let cert_file = dir.write("own.pem", certificate.pem());
    let key_file = dir.write("own.key", key.serialize_pem());
    let job = format!(
        "syslog: {{listen_address: '127.0.0.1:0', labels: {{job: s}}, use_rfc5424_message: true, \
         use_incoming_timestamp: true, tls_config: {{cert_file: {cert_file}, key_file: {key_file}, \
         ca_file: {ca_file}}}}}"
    );
    let s = agent(&hook, dir.path(), &job);
    let to = address(&s, "syslog listening");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = || {
        let b = rustls::ClientConfig::builder_with_provider(provider.clone());
        let b = b.with_safe_default_protocol_versions().expect("versions");
        b.with_root_certificates(roots.clone())
    };
    let secret = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let mine = config()
        .with_client_auth_cert(vec![certificate.der().clone()], secret)
        .expect("a certificate");
    let send = |config: rustls::ClientConfig| {
        let name = rustls_pki_types::ServerName::try_from("127.0.0.1").expect("a name");
        let tls = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut c = rustls::StreamOwned::new(tls, TcpStream::connect(&to).expect("a connection"));
        let sent = c.write_all(b"<1>1 2024-01-01T00:00:00Z h - - - - secret\n");
        let flushed = sent.and_then(|()| c.flush());
        c.conn.send_close_notify();
        flushed.and_then(|()| c.flush())
    };
    drop(send(config().with_no_client_auth()));
    send(mine).expect("sent");
    let all = came(&hook, 1);
    assert_eq!(texts(&all), ["<1>1 2024-01-01T00:00:00Z h - - - - secret"]);
    assert_eq!(s.stop().0, Some(0));
    assert_eq!(lines(&hook).len(), 1);
}

#[test]
fn pushes_of_others_go_through_the_pipeline() {
    let (dir, hook) = (TempDir::new(), Hook::new());
    let s = agent(
        &hook,
        dir.path(),
        "loki_push_api: {server: {http_listen_address: 127.0.0.1, http_listen_port: 0}, \
         labels: {via: agent, a: section}}, \
         pipeline_stages: [{drop: {expression: noise}}, {static_labels: {stage: s}}], \
         relabel_configs: [{action: labeldrop, regex: secret}, \
         {source_labels: [a, b], target_label: both}]",
    );
    let to = address(&s, "push API listening");
    let body = json!({"streams": [{"stream": {"a": "b", "b": "c", "secret": "x", "stage": "y"},
        "values": [["1", "one"], ["2", "noise"], ["3", "two", {"k": "v"}]]}]});
    let pushed = Request::new(&to, "POST", "/loki/api/v1/push")
        .header("Content-Type", "application/json")
        .body(body.to_string())
        .send();
    assert_eq!(pushed.status, 204);
    let raw = Request::new(&to, "POST", "/promtail/api/v1/raw").body("three\r\r\n\nfour");
    assert_eq!(raw.send().status, 204);
    let bad = Request::new(&to, "POST", "/loki/api/v1/push").body("no snappy");
    assert_eq!(bad.send().status, 400);
    let mut all = came(&hook, 4);
    all.sort();
    assert_eq!(texts(&all), ["four", "one", "three", "two"]);
    // Labels of the section win over those of the stream, rules see what has won, and stages come
    // last. Bare lines have the section's, without rules.
    let labels = |all: &[(&str, &str)]| -> BTreeMap<String, String> {
        all.iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect()
    };
    let section = [("a", "section"), ("stage", "s"), ("via", "agent")];
    let mut of_stream = labels(&section);
    of_stream.extend(labels(&[("b", "c"), ("both", "section;c")]));
    assert_eq!(all[1].1, of_stream);
    assert_eq!(all[0].1, labels(&section));
}

/// The journal's tool in this test prints what a file holds, from the entry after its cursor on.
const JOURNALCTL: &str = r#"#!/bin/sh
echo "$@" >> "$(dirname "$0")/called"
case "$*" in
*--after-cursor=c2*) printf '__CURSOR=c2b\n__REALTIME_TIMESTAMP=3000000\nMESSAGE=too old\n_HOSTNAME=h\n\n__CURSOR=c3\n__REALTIME_TIMESTAMP=4102444800000000\nMESSAGE=three\n_HOSTNAME=h\n\n';;
*) printf '__CURSOR=c1\n__REALTIME_TIMESTAMP=1000000\nPRIORITY=3\nMESSAGE=one\n_HOSTNAME=h\n\n__CURSOR=c2\n__REALTIME_TIMESTAMP=2000000\nMESSAGE=two\n_HOSTNAME=h\n\n';;
esac
exec sleep 60
"#;

#[test]
fn the_journal_goes_on_at_its_cursor() {
    let (dir, hook) = (TempDir::new(), Hook::new());
    let tool = dir.write("journalctl", JOURNALCTL);
    std::fs::set_permissions(tool, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let job = "journal: {labels: {job: j}, matches: _TRANSPORT=kernel}, relabel_configs: [\
               {source_labels: [__journal__hostname], target_label: host},\
               {source_labels: [__journal_priority_keyword], target_label: level}]";
    let s = agent(&hook, dir.path(), job);
    let mut all = came(&hook, 2);
    // Two streams, in no certain order.
    all.sort();
    assert_eq!(texts(&all), ["one", "two"]);
    assert_eq!(all[0].1["level"], "error");
    assert_eq!(all[1].1["host"], "h");
    assert_eq!(s.stop().0, Some(0));
    let positions = std::fs::read_to_string(dir.path().join("positions.yaml")).expect("positions");
    assert!(positions.contains("\"journal-t\": \"c2\""), "{positions}");
    let s = agent(&hook, dir.path(), job);
    assert_eq!(texts(&came(&hook, 3))[2..], ["three"]);
    assert_eq!(s.stop().0, Some(0));
    let called = std::fs::read_to_string(dir.path().join("called")).expect("calls");
    assert!(called.contains("-- _TRANSPORT=kernel"), "{called}");
}

/// One piece of a container's output.
#[derive(Debug, Clone)]
struct Piece {
    container: &'static str,
    kind: u8,
    time: &'static str,
    text: String,
}

/// A Docker engine on a socket: container `tty` has a terminal, `plain` has none.
#[derive(Clone, Default)]
struct Engine {
    pieces: Arc<Mutex<Vec<Piece>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Engine {
    fn listen(&self, socket: &Path) {
        let listener = UnixListener::bind(socket).expect("a socket");
        let engine = self.clone();
        std::thread::spawn(move || {
            for c in listener.incoming().map_while(Result::ok) {
                let engine = engine.clone();
                std::thread::spawn(move || engine.serve(c));
            }
        });
    }

    fn say(&self, container: &'static str, kind: u8, time: &'static str, text: &str) {
        self.pieces.lock().expect("pieces").push(Piece {
            container,
            kind,
            time,
            text: text.to_owned(),
        });
    }

    fn serve(&self, stream: UnixStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let (mut path, mut line) = (String::new(), String::new());
            loop {
                line.clear();
                match reader.read_line(&mut line) {
                    Ok(n) if n > 0 => {}
                    _ => return,
                }
                if path.is_empty() {
                    path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            self.asked.lock().expect("asked").push(path.clone());
            let container = |id: &str| {
                json!({"Id": id, "Names": [format!("/{id}")], "Image": "i", "ImageID": "x",
                    "Labels": {"com.docker.compose.service": "web"}, "Ports": [
                        {"PrivatePort": 80, "Type": "tcp"}, {"PrivatePort": 81, "Type": "tcp"}],
                    "HostConfig": {"NetworkMode": "n"}, "State": "running",
                    "NetworkSettings": {"Networks": {"n": {"NetworkID": "n1", "IPAddress": "10.0.0.1"}}}})
            };
            let (route, query) = path.split_once('?').unwrap_or((&path, ""));
            let answer: Value = match route.rsplit_once("/containers/").map_or(route, |r| r.1) {
                "json" => json!([container("plain"), container("tty")]),
                "plain/json" => json!({"Config": {"Tty": false}}),
                "tty/json" => json!({"Config": {"Tty": true}}),
                "plain/logs" => return self.logs(reader.into_inner(), "plain", query),
                "tty/logs" => return self.logs(reader.into_inner(), "tty", query),
                _ => json!([{"Id": "n1", "Name": "n", "Scope": "local"}]),
            };
            let body = answer.to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if reader.get_mut().write_all(head.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn logs(&self, mut to: UnixStream, container: &str, query: &str) {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut ok = to.write_all(head.as_bytes()).is_ok();
        // Times are seconds of one minute: `12:00:SS`, after 1704110400.
        let since = query.split('&').find_map(|p| p.strip_prefix("since="));
        let since: f64 = since.and_then(|s| s.parse().ok()).unwrap_or(0.0);
        let mut sent = 0;
        while ok {
            let all = self.pieces.lock().expect("pieces").clone();
            for p in all.iter().skip(sent).filter(|p| p.container == container) {
                let second: f64 = p.time.parse().unwrap_or(0.0);
                if 1_704_110_400.0 + second < since {
                    continue;
                }
                let text = format!("2024-01-01T12:00:{}.000000000Z {}", p.time, p.text);
                let mut frame = Vec::new();
                if container != "tty" {
                    frame.extend([p.kind, 0, 0, 0]);
                    frame.extend(u32::try_from(text.len()).unwrap_or(0).to_be_bytes());
                }
                frame.extend(text.as_bytes());
                let size = format!("{:x}\r\n", frame.len());
                ok &= to
                    .write_all(&[size.as_bytes(), &frame, b"\r\n"].concat())
                    .is_ok();
            }
            sent = all.len();
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn containers_are_read_through_their_engine() {
    let (dir, hook) = (TempDir::new(), Hook::new());
    let engine = Engine::default();
    let socket = dir.path().join("docker.sock");
    engine.listen(&socket);
    let long = "x".repeat(16 * 1024);
    engine.say("plain", 1, "01", "out\r\n");
    engine.say("plain", 2, "02", "err\n");
    engine.say("plain", 1, "03", &long);
    engine.say("plain", 1, "04", "-end\n");
    engine.say("tty", 1, "05", "terminal\r\n");
    let job = format!(
        "docker_sd_configs: [{{host: 'unix://{}', refresh_interval: 1s}}], relabel_configs: [\
         {{source_labels: [__meta_docker_container_name], regex: '/(.*)', target_label: container}},\
         {{source_labels: [__meta_docker_container_log_stream], target_label: stream}},\
         {{source_labels: [__meta_docker_container_label_com_docker_compose_service], \
         target_label: service}}]",
        socket.display()
    );
    let s = agent(&hook, dir.path(), &job);
    let of = |container: &str| {
        let all = lines(&hook).into_iter();
        all.filter(|l| l.1["container"] == container)
            .collect::<Vec<_>>()
    };
    wait("both containers", || lines(&hook).len() >= 4);
    let mut plain = of("plain");
    // Two streams, in no certain order.
    plain.sort_by(|a, b| b.1.cmp(&a.1));
    let whole = format!("{long}-end");
    assert_eq!(texts(&plain), ["out", &whole, "err"]);
    assert_eq!(
        (plain[0].1["stream"].as_str(), plain[2].1["stream"].as_str()),
        ("stdout", "stderr")
    );
    assert_eq!(plain[0].1["service"], "web");
    assert_eq!(texts(&of("tty")), ["terminal"]);
    assert_eq!(s.stop().0, Some(0));
    let positions = std::fs::read_to_string(dir.path().join("positions.yaml")).expect("positions");
    assert!(
        positions.contains("\"cursor-plain\": \"1704110403\""),
        "{positions}"
    );

    // Nothing twice after an orderly stop, and nothing lost of what came in between.
    engine.say("plain", 1, "06", "while nobody looked\n");
    let s = agent(&hook, dir.path(), &job);
    wait("the line in between", || lines(&hook).len() >= 5);
    engine.say("plain", 1, "07", "last\n");
    wait("the last line", || lines(&hook).len() >= 6);
    assert_eq!(of("plain").len(), 5);
    assert_eq!(s.stop().0, Some(0));
    assert_eq!(lines(&hook).len(), 6);
}

#[test]
fn everything_together_stores_the_logs_of_its_host() {
    let dir = TempDir::new();
    dir.write("prometheus.yml", "");
    let log = dir.path().join("logs/a.log");
    append(&log, "{\"level\": \"warn\", \"message\": \"hello\"}\n");
    dir.write(
        "loki/promtail-config.yml",
        format!(
            "server: {{http_listen_port: 0}}\nclients: [{{url: 'http://loki:3100/loki/api/v1/push'}}]\n\
             positions: {{filename: /nonexistent/positions.yaml, sync_period: 100ms}}\n\
             scrape_configs:\n- job_name: a\n  static_configs:\n  - labels: {{job: own, __path__: '{}'}}\n  \
             pipeline_stages:\n  - json: {{expressions: {{level: , message: }}}}\n  \
             - labels: {{level: }}\n  - output: {{source: message}}\n",
            log.display()
        ),
    );
    let start = || {
        let mut command = binary();
        command.arg("up").arg(dir.path()).args([
            "--web.listen-address=127.0.0.1:0",
            &format!("--storage.tsdb.path={}", dir.path().join("data").display()),
        ]);
        let s = Server::run(command);
        s.wait_ready();
        s
    };
    let stored = |s: &Server| {
        let answer = s.query("/loki/api/v1/query_range", &[("query", "{job=\"own\"}")]);
        let result = answer.json()["data"]["result"].clone();
        let streams = result.as_array().cloned().unwrap_or_default().into_iter();
        let lines = streams.flat_map(|s| {
            let level = s["stream"]["level"].as_str().unwrap_or_default().to_owned();
            let values = s["values"].as_array().cloned().unwrap_or_default();
            values
                .into_iter()
                .map(move |v| format!("{level} {}", v[1].as_str().unwrap_or("")))
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        lines
    };
    let s = start();
    wait("the first line", || stored(&s) == ["warn hello"]);
    assert_eq!(s.stop().0, Some(0));
    append(&log, "{\"level\": \"info\", \"message\": \"again\"}\n");
    let s = start();
    wait("the second line", || stored(&s).len() >= 2);
    assert_eq!(stored(&s), ["info again", "warn hello"]);
    assert_eq!(s.stop().0, Some(0));
}
