//! Two instances of alerting that tell each thing once.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use serde_json::{Value, json};

use crate::support::hook::Hook;
use crate::support::process::binary;
use crate::support::{Server, TempDir, until, wait};

/// Longer than a busy machine takes to send a message and to tell the other instance of it.
const PEER_TIMEOUT: &str = "--cluster.peer-timeout=5s";

fn config(hook: &Hook) -> String {
    format!(
        "route: {{receiver: r, group_by: [alertname], group_wait: 0s, group_interval: 1s}}\n\
         receivers: [{{name: r, webhook_configs: [{{url: 'http://{}/'}}]}}]\n",
        hook.address
    )
}

/// Starts an instance with its data in `dir/name`.
fn start(dir: &TempDir, name: &str, flags: &[String]) -> Server {
    let mut command = binary();
    let file = |n: &str| dir.path().join(n).display().to_string();
    command
        .arg("alertmanager")
        .arg(format!("--config.file={}", file("am.yml")))
        .arg(format!("--storage.path={}", file(name)))
        .arg(format!("--cluster.peer-name={name}"))
        .args([
            "--web.listen-address=127.0.0.1:0",
            "--cluster.listen-address=127.0.0.1:0",
            "--cluster.reconnect-interval=1s",
            PEER_TIMEOUT,
        ])
        .args(flags);
    let s = Server::run(command);
    s.wait_ready();
    s
}

fn cluster(s: &Server) -> Value {
    s.get("/api/v2/status").json()["cluster"].clone()
}

/// Where the instance `name` answers others, as `s` sees it.
fn address(s: &Server, name: &str) -> String {
    until("the address of an instance", || {
        let c = cluster(s);
        let own = c["peers"].as_array()?.iter().find(|p| p["name"] == name)?;
        Some(own["address"].as_str()?.to_owned())
    })
}

fn peer(s: &Server, name: &str) -> String {
    format!("--cluster.peer={}", address(s, name))
}

/// Waits until both see both.
fn met(both: [&Server; 2]) {
    for s in both {
        wait("two members", || {
            let c = cluster(s);
            c["status"] == "ready" && c["peers"].as_array().is_some_and(|p| p.len() == 2)
        });
    }
}

fn metric(s: &Server, name: &str) -> String {
    let text = s.get("/metrics").text();
    let line = text.lines().find(|l| l.split(' ').next() == Some(name));
    line.and_then(|l| l.split(' ').nth(1))
        .unwrap_or("")
        .to_owned()
}

fn post(s: &Server, name: &str, ends: &str) {
    let alerts = json!([{
        "labels": {"alertname": name}, "startsAt": "2020-01-01T00:00:00Z", "endsAt": ends,
    }]);
    let r = s.request("POST", "/api/v2/alerts").body(alerts.to_string());
    assert_eq!(r.send().status, 200);
}

const LATER: &str = "2120-01-01T00:00:00Z";
const BEFORE: &str = "2021-01-01T00:00:00Z";

#[test]
fn a_pair_tells_once_and_one_of_it_tells_too() {
    let hook = Hook::new();
    let dir = TempDir::new();
    dir.write("am.yml", config(&hook));
    let a = start(&dir, "a", &[]);
    let b = start(&dir, "b", &[peer(&a, "a")]);
    met([&a, &b]);
    assert_eq!(metric(&a, "alertmanager_cluster_enabled"), "1");
    assert_eq!(metric(&b, "alertmanager_cluster_members"), "2");
    assert_eq!(metric(&b, "alertmanager_peer_position"), "1");

    // A silence of one is one of both, and so is its end.
    let silence = json!({
        "matchers": [{"name": "alertname", "value": "S", "isRegex": false}],
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": LATER, "createdBy": "me", "comment": "why",
    });
    let r = b.request("POST", "/api/v2/silences");
    let id = r.body(silence.to_string()).send().json()["silenceID"].clone();
    let path = format!("/api/v2/silence/{}", id.as_str().expect("a name"));
    wait("the silence", || a.get(&path).status == 200);
    assert_eq!(a.request("DELETE", &path).send().status, 200);
    wait("its end", || {
        b.get(&path).json()["status"]["state"] == "expired"
    });

    // Both have the alert; the first one tells, and the second one learns of it.
    post(&a, "A", LATER);
    post(&b, "A", LATER);
    assert_eq!(hook.take()["status"], "firing");
    wait("the log of the other one", || {
        metric(&b, "alertmanager_nflog_entries") == "1"
    });
    post(&a, "A", BEFORE);
    post(&b, "A", BEFORE);
    assert_eq!(hook.take()["status"], "resolved");
    // The group ends when the second one has looked and found everything told.
    wait("the end of the group", || {
        metric(&b, "alertmanager_dispatcher_aggregation_groups") == "0"
    });
    assert_eq!(hook.count(), 0, "told once: {:?}", hook.all());

    // One dies: the other one goes on.
    a.kill();
    post(&b, "B", LATER);
    let m = hook.take();
    assert_eq!(m["groupLabels"]["alertname"], "B");
    wait("the death", || {
        metric(&b, "alertmanager_cluster_members") == "1"
    });

    // It comes back, learns what was told meanwhile, and does not tell it again.
    let a = start(&dir, "a", &[peer(&b, "b")]);
    met([&a, &b]);
    wait("what was told", || {
        metric(&a, "alertmanager_nflog_entries") == "2"
    });
    post(&a, "B", LATER);
    post(&a, "B", BEFORE);
    post(&b, "B", BEFORE);
    let m = hook.take();
    assert_eq!(m["status"], "resolved", "{m}");
    assert_eq!(a.stop().0, Some(0));
    assert_eq!(b.stop().0, Some(0));
}

/// Takes connections and does `what` with each.
fn stranger(what: fn(std::net::TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || what(stream));
        }
    });
    address
}

#[test]
fn peers_that_hang_or_lie_keep_nothing_from_being_told() {
    let hook = Hook::new();
    let dir = TempDir::new();
    dir.write("am.yml", config(&hook));
    let silent = stranger(|mut s| {
        let mut all = Vec::new();
        drop(s.read_to_end(&mut all));
    });
    let endless = stranger(|mut s| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"rows\":[";
        drop(s.write_all(head.as_bytes()));
        while s.write_all(&[b' '; 65536]).is_ok() {}
    });
    let liar = stranger(|mut s| {
        drop(s.read(&mut [0; 4096]));
        let body = "{\"version\":1,\"from\":{\"name\":\"\",\"address\":\"x\",\"start\":\"\"},\
            \"members\":[],\"upto\":18446744073709551615,\"more\":true,\"rows\":[]}";
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        drop(s.write_all(head.as_bytes()));
        drop(s.write_all(body.as_bytes()));
    });
    let mut flags: Vec<String> = [silent, endless, liar]
        .iter()
        .map(|p| format!("--cluster.peer={p}"))
        .collect();
    flags.push("--cluster.settle-timeout=3s".into());
    let s = start(&dir, "a", &flags);
    post(&s, "A", LATER);
    assert_eq!(hook.take()["status"], "firing");
    assert_eq!(metric(&s, "alertmanager_cluster_members"), "1");
    assert_eq!(metric(&s, "alertmanager_cluster_failed_peers"), "3");

    // Questions that are none are refused.
    let own = address(&s, "a");
    let ask = |body: &str| {
        let r = crate::support::client::Request::new(&own, "POST", "/cluster/v1/pull");
        r.body(body).send().status
    };
    let question = |label: &str, name: &str| {
        json!({
            "version": 1, "label": label, "members": [], "start": "", "after": 0, "wait_ms": 0,
            "from": {"name": name, "address": "127.0.0.1:1", "start": "x"},
        })
        .to_string()
    };
    assert_eq!(ask("nonsense"), 400);
    assert_eq!(ask(&question("", "")), 400);
    assert_eq!(ask(&question("other", "x")), 403);
    assert_eq!(ask(&"x".repeat(70_000)), 413);
    assert_eq!(ask(&question("", "x")), 200);
    // An instance that nobody can reach gets no place, so nobody waits for it.
    assert_eq!(metric(&s, "alertmanager_cluster_members"), "1");
    assert_eq!(s.stop().0, Some(0));
}

#[test]
fn with_certificates_only_those_who_have_one_meet() {
    let hook = Hook::new();
    let dir = TempDir::new();
    dir.write("am.yml", config(&hook));
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key"));
    let ca = ca.expect("an authority");
    let mut own = CertificateParams::new(Vec::new()).expect("parameters");
    own.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().expect("an address"))];
    let key = KeyPair::generate().expect("a key");
    let certificate = own.signed_by(&key, &ca).expect("a certificate");
    dir.write("ca.pem", ca.pem());
    dir.write("own.pem", certificate.pem());
    dir.write("own.key", key.serialize_pem());
    let tls = dir.write(
        "tls.yml",
        "tls_server_config: {cert_file: own.pem, key_file: own.key, client_ca_file: ca.pem, \
         client_auth_type: RequireAndVerifyClientCert}\n\
         tls_client_config: {cert_file: own.pem, key_file: own.key, ca_file: ca.pem}\n",
    );
    let tls = format!("--cluster.tls-config={tls}");
    let a = start(&dir, "a", std::slice::from_ref(&tls));
    let b = start(&dir, "b", &[peer(&a, "a"), tls]);
    met([&a, &b]);
    let plain = start(
        &dir,
        "c",
        &[peer(&a, "a"), "--cluster.settle-timeout=2s".into()],
    );
    wait("the end of its patience", || {
        cluster(&plain)["status"] == "ready"
    });
    assert_eq!(metric(&plain, "alertmanager_cluster_members"), "1");
    assert_eq!(metric(&a, "alertmanager_cluster_members"), "2");
}
