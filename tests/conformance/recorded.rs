//! Recorded answers of the originals, compared with the real binary's by their own checkers.

#[path = "../support/mod.rs"]
#[allow(unused_imports, reason = "each test binary uses a part of it")]
mod support;

use std::process::Command;

use support::Server;
use support::process::binary;

/// The settings the answers were recorded with.
const SETTINGS: &str = "auth_enabled: false
limits_config:
  reject_old_samples: false
  ingestion_rate_mb: 200
  ingestion_burst_size_mb: 200
  per_stream_rate_limit: 200MB
  per_stream_rate_limit_burst: 200MB
  discover_service_name: []
  discover_log_levels: false
  shard_aggregations: [approx_topk]
";

#[test]
fn recorded_answers_of_loki() {
    let Some(dir) = support::shared::shared("conformance/logql/differential") else {
        return;
    };
    let server = Server::loki(SETTINGS);
    let url = format!("http://{}", server.address);
    if let Some(text) = check(&dir, &[url]) {
        assert!(text.trim_end().ends_with(" 0 failed"), "{text}");
    }
}

/// Runs `check.py` of `dir`; gives what it prints. Fails with it when the checker does.
fn check(dir: &std::path::Path, args: &[String]) -> Option<String> {
    let checker = dir.join("check.py");
    let checked = Command::new("python3").arg(checker).args(args).output();
    let Ok(checked) = checked else {
        println!("skipped: there is no python3 to run the checker");
        return None;
    };
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    println!("{text}");
    assert!(
        checked.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    Some(text)
}

/// The checker of alerting calls us by the names of the originals.
fn check_alerting(kinds: &[&str], more: &[&str]) {
    let Some(dir) = support::shared::shared("conformance/alerting") else {
        return;
    };
    let us = binary().get_program().to_string_lossy().into_owned();
    let outside = "http://prom.example.test:9090/prom";
    let mut args: Vec<String> = kinds.iter().map(|k| format!("--kind={k}")).collect();
    args.extend([
        format!("--amtool={us} amtool"),
        format!("--promtool={us} promtool"),
        format!(
            "--prometheus={us} prometheus --config.file={{config}} --storage.tsdb.path={{storage}} \
             --web.listen-address={{listen}} --web.external-url={outside}"
        ),
        format!(
            "--am={us} alertmanager --config.file={{config}} --storage.path={{storage}} \
             --web.listen-address={{listen}} --web.external-url={{external_url}} \
             --cluster.listen-address="
        ),
    ]);
    args.extend(more.iter().map(|m| (*m).to_owned()));
    check(&dir, &args);
}

#[test]
fn recorded_answers_of_the_tools_of_alerting() {
    let tools = [
        "routes",
        "templates",
        "promtemplates",
        "ruletests",
        "badconfigs",
    ];
    check_alerting(&tools, &[]);
}

/// Moments count here, to half a second; a machine that is busy with other tests gets more
/// attempts before that is our fault.
#[test]
fn recorded_notifications() {
    check_alerting(&["sending", "scenarios"], &["--retries=5", "--jobs=4"]);
}
