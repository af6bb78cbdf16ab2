//! The recorded answers of Loki, replayed against the real binary by their own checker.

#[path = "../support/mod.rs"]
#[allow(unused_imports, reason = "each test binary uses a part of it")]
mod support;

use std::process::Command;

use support::Server;

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
    let checked = Command::new("python3")
        .arg(dir.join("check.py"))
        .arg(format!("http://{}", server.address))
        .output();
    let Ok(checked) = checked else {
        println!("skipped: there is no python3 to run the checker");
        return;
    };
    let text = String::from_utf8_lossy(&checked.stdout);
    println!("{text}");
    assert!(
        checked.status.success() && text.trim_end().ends_with(" 0 failed"),
        "{text}\n{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}
