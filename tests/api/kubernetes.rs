//! Targets from a cluster: the labels of each role, changes, what goes wrong, a user's jobs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::kubernetes::Cluster;
use crate::support::process::binary;
use crate::support::shared::shared;
use crate::support::{Server, TempDir, target, until, wait};

type Labels = BTreeMap<String, String>;

/// What discovery says of the targets of `job`, in the order of their addresses.
fn discovered(s: &Server, job: &str) -> Vec<Labels> {
    let data = s.get("/api/v1/targets").data();
    let mut all: Vec<Labels> = targets(&data, job)
        .map(|t| {
            let labels = t["discoveredLabels"].as_object().expect("labels");
            let own = |n: &str| n.starts_with("__meta_") || n == "__address__" || n == "instance";
            let labels = labels.iter().filter(|(n, _)| own(n));
            labels
                .map(|(n, v)| (n.clone(), v.as_str().unwrap_or_default().to_owned()))
                .collect()
        })
        .collect();
    all.sort_by(|a, b| a["__address__"].cmp(&b["__address__"]).then(a.cmp(b)));
    all
}

fn targets<'d>(data: &'d Value, job: &'d str) -> impl Iterator<Item = &'d Value> {
    let active = data["activeTargets"].as_array().expect("targets");
    active.iter().filter(move |t| t["scrapePool"] == job)
}

fn addresses(s: &Server, job: &str) -> Vec<String> {
    let all = discovered(s, job).into_iter();
    all.filter_map(|mut l| l.remove("__address__")).collect()
}

/// Labels as they are expected: `__meta_kubernetes_` is left out of the names.
fn labels(address: &str, pairs: &[(&str, &str)]) -> Labels {
    let long = |n: &str| match n {
        "instance" => n.to_owned(),
        n => format!("__meta_kubernetes_{n}"),
    };
    let own = [("__address__".to_owned(), address.to_owned())];
    let rest = pairs.iter().map(|(n, v)| (long(n), (*v).to_owned()));
    own.into_iter().chain(rest).collect()
}

fn with(base: &[(&str, &str)], more: &[(&str, &str)]) -> Vec<(String, String)> {
    let all = base.iter().chain(more);
    all.map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

fn expect(s: &Server, job: &str, wanted: Vec<Labels>) {
    let n = wanted.len();
    wait(job, || discovered(s, job).len() == n);
    for (got, wanted) in discovered(s, job).into_iter().zip(wanted) {
        assert_eq!(got, wanted, "{job}");
    }
}

fn node(name: &str, ip: &str, zone: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"topology/zone": zone}, "annotations": {"a.b": "c"}},
        "spec": {"providerID": format!("cloud://{name}")},
        "status": {
            "addresses": [
                {"type": "Hostname", "address": name},
                {"type": "ExternalIP", "address": "203.0.113.1"},
                {"type": "InternalIP", "address": ip},
                {"type": "InternalIP", "address": "10.9.9.9"}
            ],
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": "True"}
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}
        }
    })
}

fn pod(namespace: &str, name: &str, ip: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": namespace, "uid": format!("uid-{name}"),
            "labels": {"app": "web", "app.kubernetes.io/part-of": ""},
            "annotations": {"prometheus.io/scrape": "true"},
            "ownerReferences": [
                {"kind": "Other", "name": "o", "controller": false},
                {"kind": "ReplicaSet", "name": "web-1", "controller": true}
            ]
        },
        "spec": {
            "nodeName": "n1",
            "containers": [
                {"name": "web", "image": "web:1", "ports": [
                    {"name": "http", "containerPort": 8080, "protocol": "TCP"},
                    {"name": "more", "containerPort": 8081, "protocol": "TCP"}
                ]},
                {"name": "helper", "image": "helper:1", "ports": null}
            ],
            "initContainers": [{"name": "setup", "image": "setup:1"}]
        },
        "status": {
            "phase": "Running", "podIP": ip, "hostIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "web", "containerID": "containerd://w"}],
            "initContainerStatuses": [{"name": "setup", "containerID": "containerd://s"}]
        }
    })
}

fn service(name: &str, spec: Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "prod", "labels": {"team": "a"}},
        "spec": spec
    })
}

fn fill(c: &Cluster) {
    for (i, zone) in ["a", "b", "c"].iter().enumerate() {
        c.put(
            "nodes",
            node(&format!("n{}", i + 1), &format!("10.0.0.{}", i + 1), zone),
        );
    }
    let tiers = json!({"metadata": {"name": "prod", "labels": {"tier": "gold"}}});
    c.put("namespaces", tiers);
    c.put("pods", pod("prod", "web-1-x", "fd00::1"));
    c.put("pods", pod("test", "web-1-y", "10.1.0.9"));
    let mut starting = pod("prod", "web-1-z", "");
    starting["status"]["podIP"] = Value::Null;
    c.put("pods", starting);
    let owner = json!([{"kind": "Deployment", "name": "web", "controller": true}]);
    let set = json!({"name": "web-1", "namespace": "prod", "ownerReferences": owner});
    c.put("replicasets", json!({ "metadata": set }));
    let port = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    c.put(
        "services",
        service(
            "web",
            json!({
                "type": "LoadBalancer", "clusterIP": "10.2.0.1", "loadBalancerIP": "198.51.100.7",
                "ports": port, "ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "PreferDualStack"
            }),
        ),
    );
    c.put(
        "services",
        service(
            "out",
            json!({
                "type": "ExternalName", "externalName": "example.org", "ports": port
            }),
        ),
    );
    let to = |name: &str| json!({"kind": "Pod", "namespace": "prod", "name": name});
    c.put(
        "endpoints",
        json!({
            "metadata": {"name": "web", "namespace": "prod", "labels": {"e": "f"}},
            "subsets": [{
                "addresses": [{"ip": "fd00::1", "nodeName": "n1", "targetRef": to("web-1-x")}],
                "notReadyAddresses": [{"ip": "10.1.0.2", "hostname": "h2"}],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]
            }]
        }),
    );
    let slice = |name: &str, family: &str, ip: &str| {
        json!({
            "metadata": {
                "name": name, "namespace": "prod", "labels": {"kubernetes.io/service-name": "web"}
            },
            "addressType": family,
            "endpoints": [{
                "addresses": [ip], "nodeName": "n1", "zone": "a", "hostname": "h1",
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "targetRef": to("web-1-x"), "deprecatedTopology": {"kubernetes.io/hostname": "n1"}
            }],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "h2c"}]
        })
    };
    c.put("endpointslices", slice("web-6", "IPv6", "fd00::1"));
    c.put("endpointslices", slice("web-4", "IPv4", "10.1.0.1"));
    let nothing = json!({"metadata": {"name": "void", "namespace": "prod"}, "endpoints": null,
        "ports": null, "addressType": "IPv4"});
    c.put("endpointslices", nothing);
    c.put(
        "ingresses",
        json!({
            "metadata": {"name": "front", "namespace": "prod"},
            "spec": {
                "ingressClassName": "nginx",
                "tls": [{"hosts": ["*.example.org"]}],
                "rules": [
                    {"host": "a.example.org", "http": {"paths": [{"path": "/x"}, {"path": ""}]}},
                    {"host": "example.org"}
                ]
            }
        }),
    );
}

#[test]
fn each_role_gives_the_labels_of_its_objects() {
    let cluster = Cluster::new();
    fill(&cluster);
    let api = format!("api_server: 'http://{}'", cluster.address);
    let prod = "namespaces: {names: [prod]}";
    let all = "attach_metadata: {node: true, namespace: true, deployment: true}";
    let jobs = [
        ("node", String::new()),
        ("pod", format!(", {prod}, {all}")),
        ("service", format!(", {prod}")),
        ("endpoints", format!(", {prod}, {all}")),
        ("endpointslice", format!(", {prod}")),
        ("ingress", ", attach_metadata: {namespace: true}".to_owned()),
    ];
    let mut yaml = "global: {scrape_interval: 1h}\nscrape_configs:\n".to_owned();
    // Targets that differ in nothing but meta labels would be one.
    let own = "relabel_configs: [{source_labels: [__meta_kubernetes_pod_container_name, \
               __meta_kubernetes_ingress_path], target_label: own}]";
    for (role, more) in &jobs {
        yaml += &format!(
            "- {{job_name: {role}, {own}, kubernetes_sd_configs: [{{role: {role}, \
             {api}{more}}}]}}\n"
        );
    }
    yaml += &format!(
        "- {{job_name: bare, {own}, kubernetes_sd_configs: [{{role: pod, {api}, namespaces: \
         {{names: [test, none]}}}}]}}\n"
    );
    yaml += &format!(
        "- {{job_name: selected, kubernetes_sd_configs: [{{role: node, {api}, selectors: \
         [{{role: node, label: 'topology/zone=b', field: 'metadata.name=n2'}}]}}]}}\n"
    );
    let s = Server::with_config(&yaml, &[]);

    let of_node = |name: &str, zone: &str| {
        with(
            &[
                ("node_annotation_a_b", "c"),
                ("node_annotationpresent_a_b", "true"),
                ("node_labelpresent_topology_zone", "true"),
            ],
            &[("node_name", name), ("node_label_topology_zone", zone)],
        )
    };
    let nodes = [
        ("n1", "10.0.0.1", "a"),
        ("n2", "10.0.0.2", "b"),
        ("n3", "10.0.0.3", "c"),
    ];
    let kubelet = |(name, ip, zone): (&str, &str, &str)| {
        let mut l = labels(
            &format!("{ip}:10250"),
            &[
                ("instance", name),
                ("node_provider_id", &format!("cloud://{name}")),
                ("node_condition_memorypressure", "false"),
                ("node_condition_ready", "true"),
                ("node_address_Hostname", name),
                ("node_address_ExternalIP", "203.0.113.1"),
                ("node_address_InternalIP", ip),
            ],
        );
        add(&mut l, &of_node(name, zone));
        l
    };
    expect(&s, "node", nodes.map(kubelet).to_vec());
    expect(&s, "selected", vec![kubelet(nodes[1])]);

    let of_pod = [
        ("namespace", "prod"),
        ("pod_name", "web-1-x"),
        ("pod_uid", "uid-web-1-x"),
        ("pod_ip", "fd00::1"),
        ("pod_host_ip", "10.0.0.1"),
        ("pod_node_name", "n1"),
        ("pod_phase", "Running"),
        ("pod_ready", "true"),
        ("pod_label_app", "web"),
        ("pod_labelpresent_app", "true"),
        ("pod_labelpresent_app_kubernetes_io_part_of", "true"),
        ("pod_annotation_prometheus_io_scrape", "true"),
        ("pod_annotationpresent_prometheus_io_scrape", "true"),
        ("pod_controller_kind", "ReplicaSet"),
        ("pod_controller_name", "web-1"),
    ];
    let of_deployment = [("pod_deployment_name", "web")];
    let of_namespace = [
        ("namespace_label_tier", "gold"),
        ("namespace_labelpresent_tier", "true"),
    ];
    let container = |name: &'static str, image: &'static str, init: &'static str| {
        [
            ("pod_container_name", name),
            ("pod_container_image", image),
            ("pod_container_init", init),
        ]
    };
    let port = |name: &'static str, number: &'static str| {
        [
            ("pod_container_port_name", name),
            ("pod_container_port_number", number),
            ("pod_container_port_protocol", "TCP"),
        ]
    };
    let web = container("web", "web:1", "false");
    let make = |address: &str, parts: &[&[(&str, &str)]]| labels(address, &parts.concat());
    let id = [("pod_container_id", "containerd://w")];
    // An address without a port must not be one of IPv6: the others are not shown.
    let mut wanted = [
        make("[fd00::1]:8080", &[&web, &port("http", "8080"), &id]),
        make("[fd00::1]:8081", &[&web, &port("more", "8081"), &id]),
    ];
    for l in &mut wanted {
        *l = join(l, &[&of_pod, &of_deployment, &of_namespace]);
        add(l, &of_node("n1", "a"));
    }
    expect(&s, "pod", wanted.to_vec());
    let setup = [("pod_container_id", "containerd://s")];
    let other = [
        ("namespace", "test"),
        ("pod_name", "web-1-y"),
        ("pod_uid", "uid-web-1-y"),
        ("pod_ip", "10.1.0.9"),
    ];
    let helper = container("helper", "helper:1", "false");
    let wanted = [
        make("10.1.0.9", &[&helper]),
        make(
            "10.1.0.9",
            &[&container("setup", "setup:1", "true"), &setup],
        ),
        make("10.1.0.9:8080", &[&web, &port("http", "8080"), &id]),
        make("10.1.0.9:8081", &[&web, &port("more", "8081"), &id]),
    ];
    let mut wanted = wanted.map(|l| join(&join(&l, &[&of_pod]), &[&other]));
    wanted.sort_by(|a, b| a["__address__"].cmp(&b["__address__"]).then(a.cmp(b)));
    expect(&s, "bare", wanted.to_vec());

    let of_service = |name: &'static str| {
        [
            ("service_name", name),
            ("service_label_team", "a"),
            ("service_labelpresent_team", "true"),
        ]
    };
    let service_port = [
        ("namespace", "prod"),
        ("service_port_name", "http"),
        ("service_port_number", "80"),
        ("service_port_protocol", "TCP"),
    ];
    let external = [
        ("service_type", "ExternalName"),
        ("service_external_name", "example.org"),
    ];
    let balanced = [
        ("service_type", "LoadBalancer"),
        ("service_cluster_ip", "10.2.0.1"),
        ("service_loadbalancer_ip", "198.51.100.7"),
    ];
    expect(
        &s,
        "service",
        vec![
            make(
                "out.prod.svc:80",
                &[&service_port, &of_service("out"), &external],
            ),
            make(
                "web.prod.svc:80",
                &[&service_port, &of_service("web"), &balanced],
            ),
        ],
    );

    let of_endpoints = [
        ("namespace", "prod"),
        ("endpoints_name", "web"),
        ("endpoints_label_e", "f"),
        ("endpoints_labelpresent_e", "true"),
    ];
    let endpoint_port = [
        ("endpoint_port_name", "http"),
        ("endpoint_port_protocol", "TCP"),
    ];
    let not_ready = [("endpoint_ready", "false"), ("endpoint_hostname", "h2")];
    let ready = [
        ("endpoint_ready", "true"),
        ("endpoint_node_name", "n1"),
        ("endpoint_address_target_kind", "Pod"),
        ("endpoint_address_target_name", "web-1-x"),
    ];
    let common: [&[(&str, &str)]; 3] = [&of_endpoints, &of_service("web"), &of_namespace];
    let mut first = make(
        "[fd00::1]:8080",
        &[&endpoint_port, &ready, &web, &port("http", "8080")],
    );
    let mut undeclared = make("[fd00::1]:8081", &[&web, &port("more", "8081")]);
    for l in [&mut first, &mut undeclared] {
        *l = join(&join(l, &common), &[&of_pod, &of_deployment]);
        add(l, &of_node("n1", "a"));
    }
    let other = join(
        &make("10.1.0.2:8080", &[&endpoint_port, &not_ready]),
        &common,
    );
    expect(&s, "endpoints", vec![other, first, undeclared]);

    let of_slice = [
        ("namespace", "prod"),
        ("endpointslice_name", "web-6"),
        ("endpointslice_label_kubernetes_io_service_name", "web"),
        (
            "endpointslice_labelpresent_kubernetes_io_service_name",
            "true",
        ),
    ];
    let endpoint = [
        ("endpointslice_address_type", "IPv6"),
        ("endpointslice_port", "8080"),
        ("endpointslice_port_name", "http"),
        ("endpointslice_port_protocol", "TCP"),
        ("endpointslice_port_app_protocol", "h2c"),
        ("endpointslice_endpoint_conditions_ready", "true"),
        ("endpointslice_endpoint_conditions_serving", "true"),
        ("endpointslice_endpoint_conditions_terminating", "false"),
        ("endpointslice_endpoint_hostname", "h1"),
        ("endpointslice_endpoint_node_name", "n1"),
        ("endpointslice_endpoint_zone", "a"),
        ("endpointslice_address_target_kind", "Pod"),
        ("endpointslice_address_target_name", "web-1-x"),
        (
            "endpointslice_endpoint_topology_kubernetes_io_hostname",
            "n1",
        ),
        (
            "endpointslice_endpoint_topology_present_kubernetes_io_hostname",
            "true",
        ),
    ];
    let common: [&[(&str, &str)]; 3] = [&of_slice, &of_service("web"), &of_pod];
    let first = make("[fd00::1]:8080", &[&endpoint, &web, &port("http", "8080")]);
    let undeclared = make("[fd00::1]:8081", &[&web, &port("more", "8081")]);
    // The slice of the service's second family gives nothing, and the empty one neither.
    let wanted = [first, undeclared].map(|l| join(&l, &common));
    expect(&s, "endpointslice", wanted.to_vec());

    let of_ingress = [
        ("namespace", "prod"),
        ("ingress_name", "front"),
        ("ingress_class_name", "nginx"),
    ];
    let path = |address: &str, scheme: &str, path: &str| {
        let own = [
            ("ingress_host", address),
            ("ingress_scheme", scheme),
            ("ingress_path", path),
        ];
        make(address, &[&of_ingress, &of_namespace, &own])
    };
    expect(
        &s,
        "ingress",
        vec![
            path("a.example.org", "https", "/"),
            path("a.example.org", "https", "/x"),
            path("example.org", "http", "/"),
        ],
    );
}

fn add(to: &mut Labels, more: &[(String, String)]) {
    let more = more.iter();
    to.extend(more.map(|(n, v)| (format!("__meta_kubernetes_{n}"), v.clone())));
}

fn join(to: &Labels, parts: &[&[(&str, &str)]]) -> Labels {
    let mut out = to.clone();
    out.extend(labels(&to["__address__"], &parts.concat()));
    out
}

#[test]
fn changes_are_followed_across_broken_watches_and_lost_versions() {
    let cluster = Cluster::new();
    cluster.put("nodes", node("n1", "10.0.0.1", "a"));
    let s = Server::with_config(
        &format!(
            "global: {{scrape_interval: 1h}}\nscrape_configs:\n- job_name: j\n  \
             kubernetes_sd_configs: [{{role: node, api_server: 'http://{}'}}]\n",
            cluster.address
        ),
        &[],
    );
    let see = |wanted: &[&str]| {
        let wanted: Vec<String> = wanted.iter().map(|n| format!("10.0.0.{n}:10250")).collect();
        wait("targets", || addresses(&s, "j") == wanted);
    };
    let lists = || {
        let all = cluster.requests().into_iter();
        all.filter(|r| r.parameter("watch").is_none()).count()
    };
    see(&["1"]);
    cluster.put("nodes", node("n2", "10.0.0.2", "a"));
    see(&["1", "2"]);
    cluster.put("nodes", node("n2", "10.0.0.5", "b"));
    see(&["1", "5"]);
    cluster.remove("nodes", "n1");
    see(&["5"]);
    // Each event is counted, whether or not it makes another target.
    let counted = |event: &str| {
        let line =
            format!("prometheus_sd_kubernetes_events_total{{event=\"{event}\",role=\"node\"}} ");
        let all = String::from_utf8(s.get("/metrics").body).expect("text");
        let found = all.lines().find_map(|l| l.strip_prefix(&line));
        found.and_then(|n| n.parse::<u64>().ok()).expect("a number")
    };
    assert_eq!(
        (counted("add"), counted("update"), counted("delete")),
        (2, 1, 1)
    );
    let before = lists();
    // A bookmark is a version to go on from, though no node has it.
    cluster.bookmark();
    cluster.disconnect();
    cluster.put("nodes", node("n3", "10.0.0.6", "a"));
    see(&["5", "6"]);
    assert_eq!(
        lists(),
        before,
        "a broken watch is resumed, not listed again"
    );
    // What happened while nobody watched, and is no longer known as changes.
    cluster.change_unseen(|c| {
        c.remove("nodes", "n2");
        c.put("nodes", node("n4", "10.0.0.7", "a"));
    });
    see(&["6", "7"]);
    // What a new list has besides what was known is added, and what it lacks was deleted.
    assert_eq!((counted("add"), counted("delete")), (4, 2));
    assert!(counted("update") >= 1);
    assert!(lists() > before);
    let watches = cluster.requests();
    let watches: Vec<_> = watches
        .iter()
        .filter(|r| r.parameter("watch") == Some("true"))
        .collect();
    assert!(watches.iter().all(|r| {
        r.parameter("allowWatchBookmarks") == Some("true")
            && r.parameter("timeoutSeconds").is_some()
            && r.parameter("resourceVersion").is_some_and(|v| v != "0")
    }));
    let log = s.log();
    let told = |l: &&String| l.contains(" from=") && !l.contains("discovered again");
    for l in log.iter().filter(told) {
        assert!(l.contains("cut off") || l.contains("503: "), "{l}");
    }
}

#[test]
fn what_is_forbidden_is_told_once_and_tried_again() {
    let cluster = Cluster::new();
    fill(&cluster);
    cluster.forbid("pods", true);
    let api = format!("api_server: 'http://{}'", cluster.address);
    let s = Server::with_config(
        &format!(
            "global: {{scrape_interval: 1h}}\nscrape_configs:\n\
             - {{job_name: pods, kubernetes_sd_configs: [{{role: pod, {api}}}]}}\n\
             - {{job_name: ends, kubernetes_sd_configs: [{{role: endpoints, {api}}}]}}\n\
             - {{job_name: nodes, kubernetes_sd_configs: [{{role: node, {api}}}]}}\n"
        ),
        &[],
    );
    wait("the nodes", || addresses(&s, "nodes").len() == 3);
    let told = |job: &str| {
        let log = s.log();
        let own = log
            .iter()
            .filter(|l| l.contains(&format!("job={job} ")) && l.contains("cannot list resource"));
        own.count()
    };
    wait("the reasons", || told("pods") == 1 && told("ends") == 1);
    let asked = || {
        let all = cluster.requests().into_iter();
        all.filter(|r| r.path == "/api/v1/pods").count()
    };
    let before = asked();
    wait("more attempts", || asked() >= before + 2);
    assert_eq!((told("pods"), told("ends")), (1, 1));
    let page = s.get("/metrics").text();
    let line = |l: &&str| l.starts_with("prometheus_sd_kubernetes_failures_total ");
    let failed = page.lines().find(line).and_then(|l| l.split(' ').nth(1));
    let failed: f64 = failed.and_then(|n| n.parse().ok()).expect("a number");
    assert!(failed >= 2.0, "{failed}");
    // Without its pods an endpoint would lack labels that it has.
    assert_eq!(addresses(&s, "ends").len(), 0);
    cluster.forbid("pods", false);
    wait("the pods", || addresses(&s, "pods").len() == 5);
    wait("the endpoints", || addresses(&s, "ends").len() == 3);
    let log = s.log();
    assert!(log.iter().any(|l| l.contains("discovered again")));
}

/// Files as a pod has them.
fn service_account(dir: &TempDir, ca: &str, token: &str) -> String {
    dir.write("account/ca.crt", ca);
    dir.write("account/token", token);
    dir.write("account/namespace", "monitoring");
    dir.path().join("account").display().to_string()
}

#[test]
fn a_kubeconfig_leads_to_the_cluster() {
    let (cluster, ca) = Cluster::with_tls("secret");
    cluster.put("nodes", node("n1", "10.0.0.1", "a"));
    let dir = TempDir::new();
    service_account(&dir, &ca, "wrong");
    let config = |user: &str| {
        format!(
            "current-context: x\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://{}', certificate-authority: \
             account/ca.crt}}}}]\nusers: [{{name: u, user: {user}}}]\n",
            cluster.address
        )
    };
    let good = dir.write("good", config("{tokenFile: account/token}"));
    let exec = dir.write("exec", config("{exec: {command: aws}}"));
    let s = Server::with_config(
        &format!(
            "global: {{scrape_interval: 1h}}\nscrape_configs:\n\
             - {{job_name: j, kubernetes_sd_configs: [{{role: node, kubeconfig_file: '{good}'}}]}}\n\
             - {{job_name: e, kubernetes_sd_configs: [{{role: node, kubeconfig_file: '{exec}'}}]}}\n"
        ),
        &[],
    );
    wait("both refusals", || {
        let log = s.log().join("\n");
        log.contains("401: Unauthorized") && log.contains("exec is not supported")
    });
    // The file is read at every request.
    dir.write("account/token", "secret");
    wait("the node", || addresses(&s, "j") == ["10.0.0.1:10250"]);
    assert_eq!(addresses(&s, "e").len(), 0);
}

#[test]
fn the_users_jobs_are_discovered_relabelled_and_scraped() {
    let Some(folder) = shared("openuser/monitoring/prometheus") else {
        return;
    };
    let (cluster, ca) = Cluster::with_tls("secret");
    let dir = TempDir::new();
    let account = service_account(&dir, &ca, "secret");
    let text = std::fs::read_to_string(folder.join("prometheus.yml")).expect("the user's file");
    let own = "/var/run/secrets/kubernetes.io/serviceaccount";
    assert!(text.contains(own));
    // Only the place of the files in a pod, and how often, are others here.
    let text = text
        .replace(own, &account)
        .replace("interval: 15s", "interval: 1s");
    dir.write("prometheus.yml", text);

    let app = target::serve("app 1\n");
    let (host, port) = app.split_once(':').expect("a port");
    let (_, api_port) = cluster.address.split_once(':').expect("a port");
    let api_port: u16 = api_port.parse().expect("a number");
    let mut labelled = node("n1", host, "a");
    labelled["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] = json!(api_port);
    cluster.put("nodes", labelled);
    let annotated = |name: &str, app: &str, annotations: Value| {
        let mut p = pod("openuser", name, host);
        p["metadata"]["labels"] = json!({"app": app, "tier": "x"});
        p["metadata"]["annotations"] = annotations;
        p["spec"]["initContainers"] = json!([]);
        p["spec"]["containers"] = json!([{"name": "c", "image": "i", "ports": [
            {"name": "http", "containerPort": port.parse::<u16>().expect("a number")}
        ]}]);
        p
    };
    let scraped = json!({"prometheus.io/scrape": "true", "prometheus.io/port": port,
        "prometheus.io/path": "/own/metrics"});
    cluster.put("pods", annotated("api-1", "openuser-api", json!({})));
    cluster.put(
        "pods",
        annotated("worker-1", "openuser-celery-worker", json!({})),
    );
    cluster.put("pods", annotated("other-1", "other", scraped));
    let ends = |namespace: &str, name: &str, port_name: &str| {
        json!({
            "metadata": {"name": name, "namespace": namespace},
            "subsets": [{"addresses": [{"ip": host}],
                "ports": [{"name": port_name, "port": api_port, "protocol": "TCP"}]}]
        })
    };
    for (namespace, name) in [("default", "kubernetes"), ("prod", "kubernetes")] {
        cluster.put("endpoints", ends(namespace, name, "https"));
        let s = json!({"metadata": {"name": name, "namespace": namespace}, "spec": {}});
        cluster.put("services", s);
    }

    let mut command = binary();
    command
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", api_port.to_string())
        .env("SEXTANT_SERVICE_ACCOUNT_DIR", &account)
        .args(["prometheus", "--web.listen-address=127.0.0.1:0"])
        .arg(format!(
            "--config.file={}",
            dir.path().join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            dir.path().join("data").display()
        ));
    let s = Server::run(command);
    s.wait_ready();
    let one = |job: &str| {
        until(job, || {
            let data = s.get("/api/v1/targets").data();
            let all: Vec<Value> = targets(&data, job).cloned().collect();
            (all.len() == 1 && all[0]["health"] != "unknown").then(|| all[0].clone())
        })
    };
    let shown = |job: &str, url: &str, health: &str, labels: &[(&str, &str)]| {
        let t = one(job);
        assert_eq!(t["scrapeUrl"], url, "{t}");
        assert_eq!(t["health"], health, "{t}");
        let mut all: BTreeMap<&str, &str> = labels.iter().copied().collect();
        all.insert("job", job);
        assert_eq!(t["labels"], json!(all));
    };
    let api = format!("{host}:8000");
    shown(
        "openuser-api",
        &format!("http://{api}/metrics"),
        "down",
        &[
            ("instance", &api),
            ("namespace", "openuser"),
            ("pod", "api-1"),
        ],
    );
    shown(
        "celery-worker",
        &format!("http://{app}/metrics"),
        "up",
        &[
            ("instance", &app),
            ("namespace", "openuser"),
            ("pod", "worker-1"),
        ],
    );
    shown(
        "kubernetes-pods",
        &format!("http://{app}/own/metrics"),
        "up",
        &[
            ("app", "other"),
            ("instance", &app),
            ("kubernetes_namespace", "openuser"),
            ("kubernetes_pod_name", "other-1"),
            ("tier", "x"),
        ],
    );
    shown(
        "kubernetes-apiservers",
        &format!("https://{}/metrics", cluster.address),
        "up",
        &[("instance", &cluster.address)],
    );
    shown(
        "kubernetes-nodes",
        &format!("https://{}/metrics", cluster.address),
        "up",
        &[("instance", "n1"), ("topology_zone", "a")],
    );
    let kubelet = format!("http://{}/metrics", cluster.address);
    let t = one("node-exporter");
    assert_eq!(
        (&t["scrapeUrl"], &t["labels"]["node"]),
        (&json!(kubelet), &json!("n1"))
    );
}

#[test]
fn outside_a_cluster_jobs_wait_and_others_run() {
    let address = target::serve("a 1\n");
    let dir = TempDir::new();
    dir.write(
        "prometheus.yml",
        format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
             - {{job_name: inside, kubernetes_sd_configs: [{{role: pod}}]}}\n\
             - {{job_name: outside, static_configs: [{{targets: ['{address}']}}]}}\n"
        ),
    );
    let mut command = binary();
    command
        .env_remove("KUBERNETES_SERVICE_HOST")
        .args(["prometheus", "--web.listen-address=127.0.0.1:0"])
        .arg(format!(
            "--config.file={}",
            dir.path().join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            dir.path().join("data").display()
        ));
    let s = Server::run(command);
    s.wait_ready();
    wait("the other job", || {
        let data = s.get("/api/v1/targets").data();
        targets(&data, "outside").any(|t| t["health"] == "up")
    });
    let told = || {
        let log = s.log();
        let own = log.iter().filter(|l| l.contains("job=inside"));
        own.filter(|l| l.contains("does not run in a Kubernetes cluster"))
            .count()
    };
    wait("the reason", || told() == 1);
}
