//! What `deploy/` says is true: documents parse and fit together, and the command lines in them are
//! ours.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{expect_none, files_below, root, shown};

/// Ports under which the family is found.
const PORTS: [(&str, u64); 7] = [
    ("prometheus", 9090),
    ("alertmanager", 9093),
    ("loki", 3100),
    ("promtail", 9080),
    ("node-exporter", 9100),
    ("postgres-exporter", 9187),
    ("redis-exporter", 9121),
];

fn read(path: &str) -> String {
    fs::read_to_string(root().join("deploy").join(path)).expect("a file of deploy/")
}

fn documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn words(v: &Value) -> Vec<String> {
    let all = v.as_array().into_iter().flatten();
    all.filter_map(|w| w.as_str().map(str::to_owned)).collect()
}

/// What is wrong with a command line of ours: unknown verbs and flags.
fn problems_of(command: &[String]) -> Vec<String> {
    let Some((verb, rest)) = command.split_first() else {
        return vec!["no verb".into()];
    };
    let help = Command::new(env!("CARGO_BIN_EXE_sextant"))
        .args([verb, "--help"])
        .output()
        .expect("the binary runs");
    if !help.status.success() {
        return vec![format!("{verb} is no verb")];
    }
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let known: BTreeSet<&str> = help
        .split(|c: char| !(c.is_alphanumeric() || ".-_".contains(c)))
        .filter_map(|w| w.strip_prefix("--"))
        .collect();
    let flags = rest.iter().filter(|w| w.starts_with('-'));
    flags
        .map(|f| f.trim_start_matches('-').split('=').next().unwrap_or(""))
        .filter(|f| !known.contains(f))
        .map(|f| format!("{verb} has no --{f}"))
        .collect()
}

#[test]
fn compose_file_names_what_there_is() {
    let all = documents("compose.yml");
    let services = all[0]["services"].as_object().expect("services");
    let mut problems = Vec::new();
    for (name, port) in PORTS {
        let Some(s) = services.get(name) else {
            problems.push(format!("no service {name}"));
            continue;
        };
        let command = words(&s["command"]);
        if command.first().map(String::as_str) != Some(name) {
            problems.push(format!("{name} runs {command:?}"));
        }
        problems.extend(problems_of(&command));
        if words(&s["ports"]) != [format!("{port}:{port}")] {
            problems.push(format!("{name} has not port {port}"));
        }
        // The image asks at the main port.
        let asked = words(&s["healthcheck"]["test"]);
        let own = format!("--url=http://127.0.0.1:{port}");
        if port != 9090 && s["healthcheck"]["disable"] != true && asked.last() != Some(&own) {
            problems.push(format!("{name} is asked for its health by {asked:?}"));
        }
        if s["image"] != "sextant:latest" {
            problems.push(format!("{name} has image {}", s["image"]));
        }
        for volume in words(&s["volumes"]) {
            let from = volume.split(':').next().unwrap_or_default().to_owned();
            let missing = match from.starts_with('.') {
                true => !root().join("deploy").join(&from).exists(),
                false => !from.starts_with('/') && all[0]["volumes"].get(&from).is_none(),
            };
            if missing {
                problems.push(format!("{name} mounts {from}, which there is not"));
            }
        }
    }
    expect_none("deploy/compose.yml", &problems);
}

/// `kind/name` of a document.
fn identity(d: &Value) -> String {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text(&d["kind"]), text(&d["metadata"]["name"]))
}

#[test]
fn manifests_fit_together() {
    let mut all = documents("kubernetes/server.yaml");
    all.extend(documents("kubernetes/node.yaml"));
    let mut problems = Vec::new();
    let workloads: Vec<&Value> = all
        .iter()
        .filter(|d| matches!(d["kind"].as_str(), Some("StatefulSet" | "DaemonSet")))
        .collect();
    for w in &workloads {
        let pod = &w["spec"]["template"];
        if w["spec"]["selector"]["matchLabels"] != pod["metadata"]["labels"] {
            problems.push(format!("{} does not select its pods", identity(w)));
        }
        let mut volumes = words_of(&pod["spec"]["volumes"], &["name"]);
        volumes.extend(words_of(
            &w["spec"]["volumeClaimTemplates"],
            &["metadata", "name"],
        ));
        for c in pod["spec"]["containers"].as_array().into_iter().flatten() {
            problems.extend(problems_of(&words(&c["args"])));
            for mount in words_of(&c["volumeMounts"], &["name"]) {
                if !volumes.contains(&mount) {
                    problems.push(format!("{} mounts {mount}", identity(w)));
                }
            }
            let secure = &c["securityContext"];
            // The logs of pods belong to root.
            let root =
                c["name"] != "promtail" && pod["spec"]["securityContext"]["runAsNonRoot"] != true;
            if secure["readOnlyRootFilesystem"] != true
                || secure["allowPrivilegeEscalation"] != false
                || words(&secure["capabilities"]["drop"]) != ["ALL"]
                || root
            {
                problems.push(format!("{} may do too much", identity(w)));
            }
        }
        for map in words_of(&pod["spec"]["volumes"], &["configMap", "name"]) {
            if !all
                .iter()
                .any(|d| identity(d) == format!("ConfigMap/{map}"))
            {
                problems.push(format!("no ConfigMap {map}"));
            }
        }
    }
    let services = all.iter().filter(|d| d["kind"] == "Service");
    for s in services {
        let name = s["metadata"]["name"].as_str().unwrap_or_default();
        let port = &s["spec"]["ports"][0];
        let usual = PORTS.iter().find(|(n, _)| *n == name);
        if usual.is_none_or(|(_, p)| port["port"] != *p) {
            problems.push(format!("{} has port {}", identity(s), port["port"]));
        }
        let target = workloads
            .iter()
            .find(|w| w["spec"]["template"]["metadata"]["labels"] == s["spec"]["selector"]);
        let ports = target.map(|w| {
            let containers = &w["spec"]["template"]["spec"]["containers"];
            words_of(&containers[0]["ports"], &["name"])
        });
        let wanted = port["targetPort"].as_str().unwrap_or_default().to_owned();
        if ports.is_none_or(|p| !p.contains(&wanted)) {
            problems.push(format!("{} leads nowhere", identity(s)));
        }
    }
    problems.extend(rights(&all));
    problems.extend(accounts(&all));
    expect_none("deploy/kubernetes", &problems);
}

/// Texts at `path` of each element.
fn words_of(list: &Value, path: &[&str]) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    let found = all.map(|e| path.iter().fold(e, |v, p| &v[*p]));
    found
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect()
}

/// Whether the accounts of pods are there, and are bound to a role.
fn accounts(all: &[Value]) -> Vec<String> {
    let used = all
        .iter()
        .map(|d| &d["spec"]["template"]["spec"]["serviceAccountName"]);
    let used = used.filter_map(Value::as_str);
    let there =
        |kind: &str, name: &str| all.iter().any(|d| identity(d) == format!("{kind}/{name}"));
    let bound = |name: &str| {
        all.iter().any(|d| {
            let role = d["roleRef"]["name"].as_str().unwrap_or_default();
            words_of(&d["subjects"], &["name"])
                .iter()
                .any(|s| s == name)
                && there("ClusterRole", role)
        })
    };
    used.filter(|a| !there("ServiceAccount", a) || !bound(a))
        .map(|a| format!("account {a} may do nothing"))
        .collect()
}

/// Whether the role may see everything that discovery asks for.
fn rights(all: &[Value]) -> Vec<String> {
    let role = all.iter().find(|d| identity(d) == "ClusterRole/prometheus");
    let rules = role.map_or(&Value::Null, |r| &r["rules"]);
    let may = |group: &str, resource: &str| {
        let mut rules = rules.as_array().into_iter().flatten();
        rules.any(|r| {
            let verbs = words(&r["verbs"]);
            words(&r["apiGroups"]).iter().any(|g| g == group)
                && words(&r["resources"]).iter().any(|n| n == resource)
                && verbs.contains(&"list".to_owned())
                && verbs.contains(&"watch".to_owned())
        })
    };
    let asked = [
        ("", "nodes"),
        ("", "namespaces"),
        ("", "pods"),
        ("", "services"),
        ("", "endpoints"),
        ("discovery.k8s.io", "endpointslices"),
        ("networking.k8s.io", "ingresses"),
        ("apps", "replicasets"),
        ("batch", "jobs"),
    ];
    let denied = asked.iter().filter(|(g, r)| !may(g, r));
    denied
        .map(|(g, r)| format!("the role cannot watch {g}/{r}"))
        .collect()
}

#[test]
fn configurations_in_manifests_are_ours_to_read() {
    let dir = std::env::temp_dir().join(format!("sextant-deploy-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory");
    let mut problems = Vec::new();
    let check = |verb: &[&str], file: &std::path::Path, problems: &mut Vec<String>| {
        let out = Command::new(env!("CARGO_BIN_EXE_sextant"))
            .args(verb)
            .arg(file)
            .output()
            .expect("the binary runs");
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stdout).into_owned();
            let also = String::from_utf8_lossy(&out.stderr).into_owned();
            problems.push(format!("{}: {said}{also}", file.display()));
        }
    };
    let config = ["check", "config", "--syntax-only"];
    let alerting = ["check", "alertmanager"];
    let logs = ["loki", "-verify-config", "-config.file"];
    let agent = ["promtail", "-check-syntax", "-config.file"];
    let mut all = documents("kubernetes/server.yaml");
    all.extend(documents("kubernetes/node.yaml"));
    for d in all {
        for (name, text) in d["data"].as_object().into_iter().flatten() {
            let file = dir.join(name);
            fs::write(&file, text.as_str().unwrap_or_default()).expect("a file");
            match name.as_str() {
                "prometheus.yml" => check(&config, &file, &mut problems),
                "alertmanager.yml" => check(&alerting, &file, &mut problems),
                "loki-config.yml" => check(&logs, &file, &mut problems),
                "promtail-config.yml" => check(&agent, &file, &mut problems),
                other => problems.push(format!("nobody reads {other}")),
            }
        }
    }
    let own = root().join("deploy/config");
    check(&config, &own.join("prometheus.yml"), &mut problems);
    check(&alerting, &own.join("alertmanager.yml"), &mut problems);
    check(&logs, &own.join("loki-config.yml"), &mut problems);
    check(&agent, &own.join("promtail-config.yml"), &mut problems);
    fs::remove_dir_all(&dir).expect("the directory");
    expect_none("configurations of deploy/", &problems);
}

#[test]
fn every_document_parses() {
    for file in files_below(&root().join("deploy"), &["yml", "yaml"]) {
        let text = fs::read_to_string(&file).expect("a file");
        let all: Result<Vec<Value>, _> = serde_saphyr::from_multiple(&text);
        assert!(all.is_ok_and(|d| !d.is_empty()), "{}", shown(&file));
    }
}

#[test]
fn image_is_built_from_source_and_not_run_as_root() {
    let text = read("Containerfile");
    let mut problems = Vec::new();
    let stages = text.lines().filter(|l| l.starts_with("FROM ")).count();
    if stages != 2 {
        problems.push(format!("{stages} stages"));
    }
    let last = text.rsplit("\nFROM ").next().unwrap_or_default();
    let user = last.lines().find_map(|l| l.strip_prefix("USER "));
    if user.is_none_or(|u| u.starts_with('0') || u.starts_with("root")) {
        problems.push("runs as root".into());
    }
    for word in ["curl", "wget", "ADD http"] {
        if text.contains(word) {
            problems.push(format!("fetches with {word}"));
        }
    }
    let command = last.lines().find_map(|l| l.strip_prefix("CMD "));
    let command: Value = serde_json::from_str(command.unwrap_or("[]")).expect("a JSON list");
    problems.extend(problems_of(&words(&command)));
    expect_none("deploy/Containerfile", &problems);
}

#[test]
fn unit_is_hardened_and_understood() {
    let text = read("sextant.service");
    let mut problems = Vec::new();
    for line in [
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=@system-service",
    ] {
        if !text.lines().any(|l| l == line) {
            problems.push(format!("no {line}"));
        }
    }
    let start = text.lines().find_map(|l| l.strip_prefix("ExecStart="));
    let start = start.expect("ExecStart=");
    let mut words = start.split(' ').map(str::to_owned);
    let program = words.next().unwrap_or_default();
    problems.extend(problems_of(&words.collect::<Vec<_>>()));
    // systemd looks for the program: ours stands where it was built.
    let dir = std::env::temp_dir().join(format!("sextant-unit-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory");
    let file = dir.join("sextant.service");
    fs::write(&file, text.replace(&program, env!("CARGO_BIN_EXE_sextant"))).expect("a file");
    let verify = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&file)
        .output();
    match verify {
        Ok(out) => {
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            let own = said.lines().filter(|l| l.contains("sextant.service"));
            problems.extend(own.map(str::to_owned));
        }
        Err(_) => println!("skipped: there is no systemd-analyze"),
    }
    fs::remove_dir_all(&dir).expect("the directory");
    expect_none("deploy/sextant.service", &problems);
}
