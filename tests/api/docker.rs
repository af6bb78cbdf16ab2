//! Targets from a Docker engine behind a socket.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::http::{Head, answer, answer_json, read_head};
use crate::support::{Server, TempDir, wait};

/// An engine of Docker: its containers, and what it was asked.
#[derive(Clone, Default)]
struct Engine {
    containers: Arc<Mutex<Vec<Value>>>,
    requests: Arc<Mutex<Vec<Head>>>,
}

impl Engine {
    fn listen(&self, socket: &Path) {
        let listener = UnixListener::bind(socket).expect("a socket");
        let engine = self.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let Some(head) = read_head(&mut stream) else {
                    continue;
                };
                match head.path.as_str() {
                    "/containers/json" => {
                        let all = json!(*engine.containers.lock().expect("containers"));
                        answer_json(&mut stream, &all);
                    }
                    "/networks" => answer_json(&mut stream, &networks()),
                    _ => answer(&mut stream, 404, "", r#"{"message":"page not found"}"#),
                }
                engine.requests.lock().expect("requests").push(head);
            }
        });
    }
}

fn networks() -> Value {
    json!([
        {"Id": "net1", "Name": "app_default", "Scope": "local", "Internal": false,
         "Ingress": false, "Labels": {"com.docker.compose.network": "default"}},
        {"Id": "net2", "Name": "back", "Scope": "local", "Internal": true, "Ingress": false,
         "Labels": null},
        {"Id": "net0", "Name": "host", "Scope": "local", "Internal": false, "Ingress": false}
    ])
}

fn container(id: &str, mode: &str, networks: Value, ports: Value) -> Value {
    json!({
        "Id": id, "Names": [format!("/{id}"), "/alias"], "Image": "web:1", "ImageID": "sha256:1",
        "Labels": {"com.docker.compose.service": id}, "Ports": ports, "State": "running",
        "HostConfig": {"NetworkMode": mode}, "NetworkSettings": {"Networks": networks}
    })
}

fn discovered(s: &Server, job: &str) -> Vec<Value> {
    let data = s.get("/api/v1/targets").data();
    let active = data["activeTargets"].as_array().expect("targets").clone();
    let own = active.into_iter().filter(|t| t["scrapePool"] == job);
    let mut all: Vec<Value> = own
        .map(|mut t| {
            let labels = t["discoveredLabels"].as_object_mut().expect("labels");
            labels.retain(|n, _| n.starts_with("__meta_docker_") || n == "__address__");
            labels.sort_keys();
            t["discoveredLabels"].take()
        })
        .collect();
    all.sort_by_key(ToString::to_string);
    all
}

fn addresses(s: &Server, job: &str) -> Vec<String> {
    let all = discovered(s, job).into_iter();
    all.map(|l| l["__address__"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn containers_are_found_once_their_engine_is_there() {
    let dir = TempDir::new();
    let socket = dir.path().join("docker.sock");
    let host = format!("host: 'unix://{}', refresh_interval: 1s", socket.display());
    // Targets that differ in nothing but meta labels would be one.
    let own = "relabel_configs: [{source_labels: [__meta_docker_container_name], target_label: c}]";
    let s = Server::with_config(
        &format!(
            "global: {{scrape_interval: 1h}}\nscrape_configs:\n\
             - {{job_name: first, {own}, docker_sd_configs: [{{{host}, filters: [{{name: label, values: \
             [a, b]}}]}}]}}\n\
             - {{job_name: all, docker_sd_configs: [{{{host}, match_first_network: false, port: \
             9000, host_networking_host: 'here:1'}}]}}\n"
        ),
        &[],
    );
    let told = |job: &str| {
        let log = s.log();
        let own = log.iter().filter(|l| l.contains(&format!("job={job} ")));
        own.filter(|l| l.contains("No such file")).count()
    };
    wait("the reason", || told("first") == 1 && told("all") == 1);
    let failures = "prometheus_sd_refresh_failures_total{config=\"first\",mechanism=\"docker\"} ";
    let page = s.get("/metrics").text();
    let failures = page.lines().find_map(|l| l.strip_prefix(failures));
    assert!(failures.is_some_and(|n| n != "0"), "{failures:?}");
    let engine = Engine::default();
    let web = json!({
        "back": {"NetworkID": "net2", "IPAddress": "10.2.0.2"},
        "app_default": {"NetworkID": "net1", "IPAddress": "10.1.0.2"}
    });
    let ports = json!([
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 9090, "Type": "tcp"},
        {"PrivatePort": 53, "Type": "udp"}
    ]);
    let empty = json!({"host": {"NetworkID": "net0", "IPAddress": ""}});
    *engine.containers.lock().expect("containers") = vec![
        container("web", "app_default", web, ports),
        container("side", "container:web", json!({}), Value::Null),
        container("agent", "host", empty, json!([])),
        json!({"Id": "nameless", "Names": null}),
    ];
    engine.listen(&socket);
    wait("the containers", || discovered(&s, "first").len() == 4);
    let of = |id: &str, mode: &str| {
        json!({
            "__meta_docker_container_id": id,
            "__meta_docker_container_name": format!("/{id}"),
            "__meta_docker_container_image": "web:1",
            "__meta_docker_container_image_id": "sha256:1",
            "__meta_docker_container_network_mode": mode,
            "__meta_docker_container_label_com_docker_compose_service": id,
            "__meta_docker_network_scope": "local",
            "__meta_docker_network_ingress": "false",
            "__meta_docker_network_internal": "false",
        })
    };
    let with = |base: &Value, more: Value| {
        let mut all = base.as_object().expect("labels").clone();
        all.extend(more.as_object().expect("labels").clone());
        all.sort_keys();
        Value::Object(all)
    };
    let app = |base: Value| {
        with(
            &base,
            json!({
                "__meta_docker_network_id": "net1",
                "__meta_docker_network_name": "app_default",
                "__meta_docker_network_ip": "10.1.0.2",
                "__meta_docker_network_label_com_docker_compose_network": "default",
            }),
        )
    };
    let web = app(of("web", "app_default"));
    let wanted = vec![
        with(
            &web,
            json!({
                "__address__": "10.1.0.2:80",
                "__meta_docker_port_private": "80",
                "__meta_docker_port_public": "8080",
                "__meta_docker_port_public_ip": "0.0.0.0",
            }),
        ),
        with(
            &app(of("side", "container:web")),
            json!({"__address__": "10.1.0.2:80"}),
        ),
        with(
            &web,
            json!({
                "__address__": "10.1.0.2:9090",
                "__meta_docker_port_private": "9090",
            }),
        ),
        with(
            &of("agent", "host"),
            json!({
                "__address__": "localhost",
                "__meta_docker_network_id": "net0",
                "__meta_docker_network_name": "host",
            }),
        ),
    ];
    let mut wanted = wanted;
    wanted.sort_by_key(ToString::to_string);
    assert_eq!(discovered(&s, "first"), wanted);
    wait("every network", || addresses(&s, "all").len() == 7);
    let mut all = addresses(&s, "all");
    all.sort();
    assert_eq!(
        all,
        [
            "10.1.0.2:80",
            "10.1.0.2:9000",
            "10.1.0.2:9090",
            "10.2.0.2:80",
            "10.2.0.2:9000",
            "10.2.0.2:9090",
            "here:1"
        ]
    );
    let asked = engine.requests.lock().expect("requests").clone();
    let filters = asked.iter().filter_map(|r| r.parameter("filters"));
    assert!(filters.into_iter().any(|f| f == r#"{"label":["a","b"]}"#));

    // What is gone is gone; what cannot be asked keeps what it had.
    engine.containers.lock().expect("containers").truncate(1);
    wait("the rest", || addresses(&s, "first").len() == 2);
    std::fs::remove_file(&socket).expect("the socket");
    wait("the reason again", || told("first") == 2);
    assert_eq!(addresses(&s, "first").len(), 2);
}
