//! A user's 24 rules and routing, as they are: each rule that can fire is made to fire, and what
//! arrives at Slack, PagerDuty, mail and webhooks is what the original would have sent.
//!
//! The files are changed in three ways only: waits are seconds instead of minutes, placeholders of
//! addresses are those of the test's receivers, and each receiver has a webhook more. PagerDuty is
//! addressed by `routing_key`, since the address of `service_key` cannot be configured.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::hook::{Came, Hook};
use crate::support::mail::MailServer;
use crate::support::process::binary;
use crate::support::shared::shared;
use crate::support::{Server, TempDir, now_ms, wait};
use crate::wire::{Series, labels, store};

/// Rules that can never fire on a real system, and why.
const DEAD: [(&str, &str); 3] = [
    (
        "DatabaseConnectionPoolExhausted",
        "neither an exporter nor the user's application has db_pool_connections_*",
    ),
    (
        "RedisConnectionFailed",
        "the exporter is a client itself, and without Redis there is no redis_connected_clients",
    ),
    (
        "PostgreSQLSlowQueries",
        "a duration grows by one second each second, so its rate never comes near 60",
    ),
];

/// An alert of a rule: its severity, its labels besides those of the rule, its description. A `*`
/// in the description stands for a number that depends on the moment of the evaluation.
struct Expected {
    name: &'static str,
    severity: &'static str,
    component: &'static str,
    description: &'static str,
}

const EXPECTED: [Expected; 21] = {
    const fn e(
        name: &'static str,
        severity: &'static str,
        component: &'static str,
        description: &'static str,
    ) -> Expected {
        Expected {
            name,
            severity,
            component,
            description,
        }
    }
    [
        e(
            "APIDown",
            "critical",
            "api",
            "API instance api-1 has been down for more than 1 minute.",
        ),
        e(
            "HighErrorRate",
            "warning",
            "api",
            "Error rate is *% on api-1",
        ),
        e(
            "HighResponseTime",
            "warning",
            "api",
            "95th percentile response time is *s on api-1",
        ),
        e("HighCPUUsage", "warning", "api", "CPU usage is *% on api-1"),
        e(
            "HighMemoryUsage",
            "warning",
            "api",
            "Memory usage is 2GB on api-1",
        ),
        e(
            "HighRequestRate",
            "info",
            "api",
            "Request rate is * req/s on api-1",
        ),
        e(
            "PostgreSQLDown",
            "critical",
            "database",
            "PostgreSQL instance has been down for more than 1 minute.",
        ),
        e(
            "PostgreSQLTooManyConnections",
            "warning",
            "database",
            "95 active connections to PostgreSQL",
        ),
        e(
            "PostgreSQLReplicationLag",
            "warning",
            "database",
            "Replication lag is 45.5s",
        ),
        e(
            "DatabaseSizeGrowingRapidly",
            "info",
            "database",
            "Database growing at *B/hour",
        ),
        e(
            "RedisDown",
            "critical",
            "cache",
            "Redis instance has been down for more than 1 minute.",
        ),
        e(
            "RedisHighMemory",
            "warning",
            "cache",
            "Redis memory usage is 95%",
        ),
        e(
            "RedisRejectedConnections",
            "warning",
            "cache",
            "* connections/s rejected by Redis",
        ),
        e(
            "RedisHighEvictionRate",
            "warning",
            "cache",
            "* keys/s being evicted from Redis",
        ),
        e(
            "NodeDown",
            "critical",
            "infrastructure",
            "Node n1 has been down for more than 2 minutes.",
        ),
        e(
            "HighNodeCPU",
            "warning",
            "infrastructure",
            "CPU usage is *% on node n1",
        ),
        e(
            "HighNodeMemory",
            "warning",
            "infrastructure",
            "Memory usage is 90% on node n1",
        ),
        e(
            "DiskSpaceLow",
            "warning",
            "infrastructure",
            "Disk usage is 97% on n1:/",
        ),
        e(
            "DiskSpaceCritical",
            "critical",
            "infrastructure",
            "Disk usage is 97% on n1:/",
        ),
        e(
            "HighDiskIO",
            "warning",
            "infrastructure",
            "Disk I/O is *% on n1",
        ),
        e(
            "NetworkErrors",
            "warning",
            "infrastructure",
            "* network errors/s on n1",
        ),
    ]
};

/// Samples so old that they are about to leave the windows of the rules: the alerts fire at once,
/// and are over when the samples are out of sight.
fn samples() -> Vec<Series> {
    let now = now_ms();
    // Windows are five minutes long, and values are seen for as long.
    let (first, second) = (now - 265_000, now - 255_000);
    let mut out: Vec<Series> = Vec::new();
    let mut add = |pairs: &[(&str, &str)], points: Vec<(i64, f64)>| {
        out.push((labels(pairs), points));
    };
    let api = [("job", "openuser-api"), ("pod", "api-1")];
    let node = [("job", "node"), ("node", "n1")];
    let with = |name: &'static str, more: &[(&'static str, &'static str)]| {
        let mut all = vec![("__name__", name)];
        all.extend_from_slice(more);
        all
    };
    for (name, more, value) in [
        ("up", &api[..], 0.0),
        ("up", &[("job", "node-exporter"), ("node", "n1")], 0.0),
        ("process_resident_memory_bytes", &api, 2_147_483_648.0),
        ("pg_up", &[], 0.0),
        ("pg_stat_activity_count", &[("state", "active")], 60.0),
        ("pg_stat_activity_count", &[("state", "idle")], 35.0),
        ("pg_replication_lag", &[], 45.5),
        ("redis_up", &[], 0.0),
        ("redis_connected_clients", &[], 1.0),
        ("redis_memory_used_bytes", &[], 95.0),
        ("redis_memory_max_bytes", &[], 100.0),
        ("node_memory_MemAvailable_bytes", &node, 10.0),
        ("node_memory_MemTotal_bytes", &node, 100.0),
    ] {
        add(&with(name, more), vec![(second, value)]);
    }
    let disk = [("node", "n1"), ("mountpoint", "/")];
    add(
        &with("node_filesystem_avail_bytes", &disk),
        vec![(second, 3.0)],
    );
    add(
        &with("node_filesystem_size_bytes", &disk),
        vec![(second, 100.0)],
    );
    let requests = [("pod", "api-1"), ("status", "500")];
    for (name, more, growth) in [
        ("http_requests_total", &requests[..], 1e7),
        ("process_cpu_seconds_total", &api, 1e4),
        ("redis_rejected_connections_total", &[], 1e4),
        ("redis_evicted_keys_total", &[], 1e6),
        (
            "node_cpu_seconds_total",
            &[("node", "n1"), ("mode", "idle")],
            1.0,
        ),
        ("node_disk_io_time_seconds_total", &node, 1e4),
        ("node_network_receive_errs_total", &node, 1e5),
        ("node_network_transmit_errs_total", &node, 1e5),
        ("pg_stat_activity_max_tx_duration", &[], 10.0),
    ] {
        add(
            &with(name, more),
            vec![(first, 5.0), (second, 5.0 + growth)],
        );
    }
    for (le, growth) in [("1", 10.0), ("5", 100.0), ("+Inf", 100.0)] {
        let more = [("pod", "api-1"), ("le", le)];
        let points = vec![(first, 0.0), (second, growth)];
        add(&with("http_request_duration_seconds_bucket", &more), points);
    }
    // The window of this one is an hour long.
    let points = vec![(now - 3_565_000, 0.0), (now - 3_555_000, 1e14)];
    add(&with("pg_database_size_bytes", &[]), points);
    out
}

/// Whether a text is as expected, where `*` stands for a number.
fn like(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((before, after)) => {
            let number = text
                .strip_prefix(before)
                .and_then(|t| t.strip_suffix(after));
            number.is_some_and(|n| {
                n.contains(|c: char| c.is_ascii_digit())
                    && n.chars()
                        .all(|c| c.is_ascii_alphanumeric() || ".+-".contains(c))
            })
        }
    }
}

/// The user's files with the changes that the test needs.
fn files(dir: &TempDir, hook: &Hook, mail: &MailServer) -> Option<usize> {
    let folder = shared("openuser/monitoring/prometheus")?;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file of the user");
    let mut rules = 0;
    for name in [
        "alerts/api.yml",
        "alerts/database.yml",
        "alerts/infrastructure.yml",
    ] {
        let text = read(name);
        rules += text.matches("- alert:").count();
        let short = text.lines().map(|l| match l.trim_start() {
            t if t.starts_with("for: ") => l.replace(t, "for: 1s"),
            t if t.starts_with("interval: ") => l.replace(t, "interval: 1s"),
            _ => l.to_owned(),
        });
        dir.write(name, short.collect::<Vec<_>>().join("\n"));
    }
    let own = read("prometheus.yml");
    let global = own
        .split("# Alertmanager configuration")
        .next()
        .expect("a beginning");
    dir.write(
        "prometheus.yml",
        format!("{global}\nrule_files: ['alerts/*.yml']\n"),
    );
    let mut am = read("alertmanager.yml");
    for (from, to) in [
        (
            "'YOUR_SLACK_WEBHOOK_URL'".to_owned(),
            format!("'http://{}/slack'", hook.address),
        ),
        (
            "service_key: 'YOUR_PAGERDUTY_KEY'".into(),
            format!(
                "routing_key: k\n        url: 'http://{}/pagerduty'",
                hook.address
            ),
        ),
        (
            "smarthost: 'smtp.example.com:587'".into(),
            format!("smarthost: '{}'\n        require_tls: false", mail.address),
        ),
        (
            "  resolve_timeout: 5m".into(),
            format!(
                "  resolve_timeout: 5m\n  smtp_smarthost: '{}'\n  smtp_require_tls: false",
                mail.address
            ),
        ),
        ("group_wait: 10s".into(), "group_wait: 1s".into()),
        ("group_interval: 10s".into(), "group_interval: 1s".into()),
    ] {
        assert!(am.contains(&from), "{from}");
        am = am.replace(&from, &to);
    }
    for name in ["critical", "warning", "info"] {
        let head = format!("  - name: '{name}'\n");
        let more = format!(
            "    webhook_configs: [{{url: 'http://{}/{name}'}}]\n",
            hook.address
        );
        am = am.replace(&head, &format!("{head}{more}"));
    }
    dir.write("alertmanager.yml", am);
    Some(rules)
}

/// Bodies that came under a path, by alert and status.
fn by_alert(
    hook: &Hook,
    path: &str,
    key: impl Fn(&Value) -> Option<(String, String)>,
) -> BTreeMap<(String, String), Value> {
    let all = hook.all();
    let own = all.iter().filter(|c| c.path == path).map(Came::json);
    own.filter_map(|b| Some((key(&b)?, b))).collect()
}

fn text(v: &Value) -> String {
    v.as_str().unwrap_or_default().to_owned()
}

#[test]
fn each_rule_that_can_fire_fires_and_arrives() {
    let (hook, mail) = (Hook::new(), MailServer::new());
    let dir = TempDir::new();
    let Some(rules) = files(&dir, &hook, &mail) else {
        return;
    };
    assert_eq!(rules, EXPECTED.len() + DEAD.len());
    let mut command = binary();
    command.arg("up").arg(dir.path()).args([
        "--web.listen-address=127.0.0.1:0",
        &format!("--storage.tsdb.path={}", dir.path().join("data").display()),
    ]);
    let s = Server::run(command);
    s.wait_ready();
    store(&s, &samples());

    // Everything that can fire is told, and then its end; by all ways that the routing has.
    let webhook = |b: &Value| Some((text(&b["groupLabels"]["alertname"]), text(&b["status"])));
    let webhooks = || {
        let each =
            ["critical", "warning", "info"].map(|r| by_alert(&hook, &format!("/{r}"), webhook));
        each.into_iter().flatten().collect::<BTreeMap<_, _>>()
    };
    wait("all webhooks", || {
        let got = webhooks();
        let has =
            |name: &str, status: &str| got.contains_key(&(name.to_owned(), status.to_owned()));
        EXPECTED
            .iter()
            .all(|e| has(e.name, "firing") && has(e.name, "resolved"))
    });
    let got = webhooks();
    let told: BTreeSet<&str> = got.keys().map(|(name, _)| name.as_str()).collect();
    for (name, why) in DEAD {
        assert!(!told.contains(name), "{name} fired, though {why}");
    }
    for e in &EXPECTED {
        for status in ["firing", "resolved"] {
            let m = &got[&(e.name.to_owned(), status.to_owned())];
            assert_eq!(m["receiver"], e.severity, "{m}");
            let a = &m["alerts"][0];
            assert_eq!(a["labels"]["component"], e.component);
            assert_eq!(a["labels"]["environment"], "production");
            assert_eq!(
                m["groupLabels"],
                json!({"alertname": e.name, "cluster": "openuser"})
            );
            let description = text(&a["annotations"]["description"]);
            assert!(like(&description, e.description), "{description}");
        }
    }
    slack(&hook, &got);
    pagerduty(&hook);
    mails(&mail);
    assert_eq!(s.stop().0, Some(0));
}

/// Titles, texts and colours as the user wrote them; ends only where the user asked for them.
fn slack(hook: &Hook, webhooks: &BTreeMap<(String, String), Value>) {
    let key = |b: &Value| {
        let a = &b["attachments"][0];
        let place = format!("{} {}", text(&b["channel"]), text(&a["title"]));
        Some((place, text(&a["color"])))
    };
    let severities = [
        ("critical", "#alerts-critical", "🚨 CRITICAL: ", true),
        ("warning", "#alerts-warning", "⚠️ WARNING: ", true),
        ("info", "#alerts-info", "ℹ️ INFO: ", false),
    ];
    let places = [
        ("database", "#database-alerts", "🗄️ Database Alert: "),
        (
            "infrastructure",
            "#infrastructure-alerts",
            "🖥️ Infrastructure Alert: ",
        ),
    ];
    let mut wanted: Vec<(String, &str, &Expected)> = Vec::new();
    for e in &EXPECTED {
        for (severity, channel, title, ends) in severities {
            if e.severity == severity {
                let place = format!("{channel} {title}{}", e.name);
                wanted.push((place.clone(), "danger", e));
                if ends {
                    wanted.push((place, "good", e));
                }
            }
        }
        // Only critical alerts go on to the team of their component.
        for (component, channel, title) in places {
            if e.severity == "critical" && e.component == component {
                wanted.push((format!("{channel} {title}{}", e.name), "danger", e));
            }
        }
    }
    wait("all of Slack", || {
        let got = by_alert(hook, "/slack", key);
        wanted
            .iter()
            .all(|(p, c, _)| got.contains_key(&(p.clone(), (*c).to_owned())))
    });
    let got = by_alert(hook, "/slack", key);
    assert_eq!(got.len(), wanted.len(), "{:#?}", got.keys());
    for (place, color, e) in wanted {
        let b = &got[&(place, color.to_owned())];
        let a = &b["attachments"][0];
        assert!(like(&text(&a["text"]), e.description), "{b}");
        assert_eq!(b["username"], "Alertmanager");
        let url = text(&webhooks[&(e.name.to_owned(), "firing".to_owned())]["externalURL"]);
        let link = text(&a["title_link"]);
        assert!(
            link.starts_with(&format!("{url}/#/alerts?receiver=")),
            "{link}"
        );
        let state = if color == "danger" {
            "FIRING:1"
        } else {
            "RESOLVED"
        };
        let subject = format!("[{state}] {} openuser (", e.name);
        assert!(text(&a["fallback"]).starts_with(&subject), "{b}");
        if e.name == "APIDown" {
            let all = format!("{subject}api production openuser-api api-1 critical) | {link}");
            assert_eq!(text(&a["fallback"]), all);
        }
    }
}

/// Critical alerts begin and end an incident, the same one.
fn pagerduty(hook: &Hook) {
    let key = |b: &Value| Some((text(&b["dedup_key"]), text(&b["event_action"])));
    let critical: Vec<&Expected> = EXPECTED
        .iter()
        .filter(|e| e.severity == "critical")
        .collect();
    wait("all incidents", || {
        by_alert(hook, "/pagerduty", key).len() == 2 * critical.len()
    });
    let got = by_alert(hook, "/pagerduty", key);
    let mut begun = BTreeSet::new();
    for ((incident, action), b) in &got {
        assert_eq!(b["routing_key"], "k");
        if action == "trigger" {
            begun.insert(text(&b["payload"]["summary"]));
            assert!(
                got.contains_key(&(incident.clone(), "resolve".into())),
                "{incident}"
            );
            assert_eq!(b["payload"]["severity"], "error");
        }
    }
    let names: BTreeSet<String> = critical.iter().map(|e| e.name.to_owned()).collect();
    assert_eq!(begun, names);
}

/// Mails about critical alerts: to those on call, and to the team. Their ends are not mailed.
fn mails(server: &MailServer) {
    let critical: Vec<&Expected> = EXPECTED
        .iter()
        .filter(|e| e.severity == "critical")
        .collect();
    let teams = critical
        .iter()
        .filter(|e| ["database", "infrastructure"].contains(&e.component));
    let wanted = critical.len() + teams.clone().count();
    wait("all mails", || server.all().len() >= wanted);
    let all = server.all();
    assert_eq!(all.len(), wanted);
    for m in &all {
        assert_eq!(m.from, "alerts@openuser.example.com");
        assert!(m.text.contains("text/html"), "{}", m.text);
    }
    let on_call: Vec<_> = all
        .iter()
        .filter(|m| m.to == ["oncall@openuser.example.com"])
        .collect();
    assert_eq!(on_call.len(), critical.len());
    for m in on_call {
        // A siren is not ASCII.
        let subject = m.header("subject");
        assert!(
            subject.starts_with("=?") && subject.contains("CRITICAL"),
            "{subject}"
        );
        assert!(m.login.starts_with("AUTH PLAIN"), "{}", m.login);
    }
    for e in teams {
        let to = format!("{}-team@openuser.example.com", e.component);
        let subject = format!("[FIRING:1] {} openuser (", e.name);
        let there = all
            .iter()
            .any(|m| m.to == [to.clone()] && m.header("subject").starts_with(&subject));
        assert!(there, "{subject} to {to}");
    }
}
