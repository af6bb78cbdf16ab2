//! A user's whole monitoring folder and compose file, as they are.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::support::process::binary;
use crate::support::shared::shared;
use crate::support::{Server, TempDir, wait};

/// Jobs of the user's `prometheus.yml` that need a cluster.
const IN_CLUSTER: [&str; 6] = [
    "openuser-api",
    "celery-worker",
    "node-exporter",
    "kubernetes-apiservers",
    "kubernetes-nodes",
    "kubernetes-pods",
];

#[test]
fn the_users_folder_starts_with_one_command() {
    let Some(folder) = shared("openuser/monitoring") else {
        return;
    };
    let data = TempDir::new();
    let mut command = binary();
    command
        .env_remove("KUBERNETES_SERVICE_HOST")
        .arg("up")
        .arg(&folder)
        .arg("--web.listen-address=127.0.0.1:0")
        .arg(format!("--storage.tsdb.path={}", data.path().display()));
    let s = Server::run(command);
    s.wait_ready();
    // Whatever does not need a cluster runs: jobs with fixed targets, rules, alerting.
    let jobs = ["prometheus", "postgresql", "redis"];
    wait("the other jobs", || {
        let data = s.get("/api/v1/targets").data();
        let active = data["activeTargets"].as_array().expect("targets");
        let tried = |job: &str| {
            let of = |t: &&Value| t["scrapePool"] == job && t["health"] != "unknown";
            active.iter().any(|t| of(&t))
        };
        jobs.iter().all(|j| tried(j))
    });
    let groups = s.get("/api/v1/rules").data();
    let groups = groups["groups"].as_array().expect("groups");
    let rules: usize = groups
        .iter()
        .map(|g| g["rules"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!((groups.len(), rules), (4, 24));
    assert_eq!(s.get("/api/v2/status").status, 200);
    let log = s.log();
    for job in IN_CLUSTER {
        let why = "does not run in a Kubernetes cluster";
        let own = |l: &&String| l.contains(&format!("job={job} ")) && l.contains(why);
        assert_eq!(log.iter().filter(own).count(), 1, "{job}");
    }
    assert_eq!(s.stop().0, Some(0));
}

/// A service of a compose file: its command line and environment.
struct Part {
    name: String,
    command: Vec<String>,
    environment: BTreeMap<String, String>,
}

fn parts(text: &str) -> Vec<Part> {
    let file: Value = serde_saphyr::from_str(text).expect("YAML");
    let services = file["services"].as_object().expect("services");
    // Compose takes the second dollar away.
    let word = |v: &Value| v.as_str().expect("a text").replace("$$", "$");
    services
        .iter()
        .map(|(name, s)| Part {
            name: name.clone(),
            command: match &s["command"] {
                Value::Array(words) => words.iter().map(word).collect(),
                Value::String(line) => line.split(' ').map(str::to_owned).collect(),
                _ => Vec::new(),
            },
            environment: match &s["environment"] {
                Value::Object(all) => all.iter().map(|(n, v)| (n.clone(), word(v))).collect(),
                Value::Array(all) => all
                    .iter()
                    .filter_map(|e| word(e).split_once('=').map(|(n, v)| (n.into(), v.into())))
                    .collect(),
                _ => BTreeMap::new(),
            },
        })
        .collect()
}

/// The flags with which tests start a part beside the user's own, so that no port is taken twice.
fn elsewhere(part: &str) -> Option<&'static [&'static str]> {
    match part {
        "prometheus" | "node-exporter" | "postgres-exporter" | "redis-exporter" => {
            Some(&["--web.listen-address=127.0.0.1:0"])
        }
        "alertmanager" => Some(&[
            "--web.listen-address=127.0.0.1:0",
            "--cluster.listen-address=",
        ]),
        "loki" | "promtail" => Some(&[
            "-server.http-listen-address=127.0.0.1",
            "-server.http-listen-port=0",
        ]),
        _ => None,
    }
}

/// A path of a container where it is on this machine.
fn here(word: &str, folder: &Path, data: &Path) -> String {
    let prometheus = folder.join("monitoring/prometheus");
    let loki = folder.join("monitoring/loki");
    let places = [
        ("/etc/prometheus/", prometheus.clone()),
        ("/etc/alertmanager/", prometheus),
        ("/etc/loki/", loki.clone()),
        ("/etc/promtail/", loki),
    ];
    for (there, here) in places {
        if let Some((flag, file)) = word.split_once(there) {
            return format!("{flag}{}/{file}", here.display());
        }
    }
    for there in ["=/prometheus", "=/alertmanager"] {
        if let Some(flag) = word.strip_suffix(there) {
            return format!("{flag}={}", data.display());
        }
    }
    word.to_owned()
}

/// The user's `alertmanager.yml`, which the original refuses for two reasons, without these.
fn repaired(folder: &Path, data: &TempDir) -> String {
    let file = folder.join("monitoring/prometheus/alertmanager.yml");
    let text = std::fs::read_to_string(file).expect("the user's file");
    let text = text.replace("YOUR_SLACK_WEBHOOK_URL", "http://127.0.0.1:9/slack");
    let global = "global:\n  smtp_smarthost: '127.0.0.1:9'\n";
    data.write("alertmanager.yml", text.replacen("global:\n", global, 1))
}

#[test]
fn each_part_takes_the_users_command_line() {
    let Some(folder) = shared("openuser") else {
        return;
    };
    let file = folder.join("docker-compose.monitoring.yml");
    let text = std::fs::read_to_string(file).expect("the user's file");
    let mut started = 0;
    for part in parts(&text) {
        let Some(more) = elsewhere(&part.name) else {
            continue;
        };
        let data = TempDir::new();
        let mut command = binary();
        command.arg(&part.name).envs(&part.environment);
        let own = part.command.iter();
        let mut own: Vec<String> = own.map(|w| here(w, &folder, data.path())).collect();
        if part.name == "alertmanager" {
            own[0] = format!("--config.file={}", repaired(&folder, &data));
        }
        if part.name == "promtail" {
            // Its places are kept with the test, not where the user's agent has them.
            let file = own[0].split_once('=').map_or("", |(_, f)| f);
            let text = std::fs::read_to_string(file).expect("the user's file");
            let place = data.path().join("positions.yaml");
            let text = text.replace("/tmp/positions.yaml", &place.display().to_string());
            own[0] = format!("-config.file={}", data.write("promtail.yml", text));
        }
        command.args(own);
        if part.name == "loki" {
            command.arg(format!("-common.path-prefix={}", data.path().display()));
        }
        command.args(more);
        let s = Server::run(command);
        wait(&part.name, || s.get("/").status < 500);
        // What compose files and manifests of ours ask.
        if matches!(part.name.as_str(), "prometheus" | "alertmanager" | "loki") {
            s.wait_for("/-/healthy", 200);
        }
        started += 1;
    }
    assert_eq!(started, 7);
}
