//! `sextant redis-exporter`: what is asked about on request only, and who may ask.

use std::process::Command;

use crate::database_exporters::{free_port, missing, redis, redis_cli, redis_exporter};
use crate::support::{Server, TempDir, wait};

/// A server with keys of every kind; none when there is no Redis.
fn with_keys(dir: &TempDir) -> Option<(crate::database_exporters::Program, u16)> {
    if Command::new("redis-server")
        .arg("--version")
        .output()
        .is_err()
    {
        missing("redis-server");
        return None;
    }
    let port = free_port();
    let program = redis(dir, port, &[]);
    wait("the server", || redis_cli(port, &["ping"]).trim() == "PONG");
    for words in [
        &["set", "visitors", "42"][..],
        &["set", "motto", "take care"],
        &["set", "a,b", "1"],
        &["rpush", "user:list", "a", "b"],
        &["sadd", "user:set", "a", "b", "c"],
        &["hset", "user:hash", "a", "1"],
        &["zadd", "user:zset", "1", "a"],
        &["pfadd", "user:log", "a", "b"],
        &["-n", "3", "set", "other", "7"],
        &["xadd", "events", "1000-0", "f", "v"],
        &["xadd", "events", "2000-0", "f", "v"],
        &["xgroup", "create", "events", "readers", "0"],
        &[
            "xreadgroup",
            "group",
            "readers",
            "one",
            "count",
            "1",
            "streams",
            "events",
            ">",
        ],
    ] {
        redis_cli(port, words);
    }
    Some((program, port))
}

/// Every line is on the page.
fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l == *line), "{line}: {text}");
    }
}

#[test]
fn keys_streams_and_groups_are_shown_on_request() {
    let dir = TempDir::new();
    let Some((_redis, port)) = with_keys(&dir) else {
        return;
    };
    let address = format!("127.0.0.1:{port}");
    let flags = [
        "-check-keys=user:*,db3=oth*",
        "-check-single-keys=visitors,motto,a%2Cb,nobody",
        "-count-keys=user:*,db3=*",
        "-check-streams=ev*",
        "-check-key-groups=^(user):",
        "-max-distinct-key-groups=1",
        "-check-keys-batch-size=2",
        "-append-instance-role-label",
        "-ping-on-connect",
    ];
    let s = redis_exporter(&address, &flags);
    let text = s.get("/metrics").text();
    let role = "instance_role=\"master\"";
    let lines = [
        format!("redis_key_size{{db=\"db0\",key=\"visitors\",{role}}} 2"),
        format!("redis_key_value{{db=\"db0\",key=\"visitors\",{role}}} 42"),
        format!("redis_key_value{{db=\"db0\",key=\"a,b\",{role}}} 1"),
        format!("redis_key_value_as_string{{db=\"db0\",key=\"motto\",val=\"take care\",{role}}} 1"),
        format!("redis_key_size{{db=\"db0\",key=\"user:list\",{role}}} 2"),
        format!("redis_key_size{{db=\"db0\",key=\"user:set\",{role}}} 3"),
        format!("redis_key_size{{db=\"db0\",key=\"user:hash\",{role}}} 1"),
        format!("redis_key_size{{db=\"db0\",key=\"user:zset\",{role}}} 1"),
        format!("redis_key_size{{db=\"db0\",key=\"user:log\",{role}}} 2"),
        format!("redis_key_value{{db=\"db3\",key=\"other\",{role}}} 7"),
        format!("redis_keys_count{{db=\"db0\",key=\"user:*\",{role}}} 5"),
        format!("redis_keys_count{{db=\"db3\",key=\"*\",{role}}} 1"),
        format!("redis_stream_length{{db=\"db0\",stream=\"events\",{role}}} 2"),
        format!("redis_stream_first_entry_id{{db=\"db0\",stream=\"events\",{role}}} 1000"),
        format!("redis_stream_last_entry_id{{db=\"db0\",stream=\"events\",{role}}} 2000"),
        format!(
            "redis_stream_group_consumers{{db=\"db0\",stream=\"events\",group=\"readers\",{role}}} 1"
        ),
        format!(
            "redis_stream_group_consumer_messages_pending{{db=\"db0\",stream=\"events\",group=\"readers\",consumer=\"one\",{role}}} 1"
        ),
        format!("redis_number_of_distinct_key_groups{{db=\"db0\",{role}}} 2"),
        format!("redis_key_group_count{{db=\"db0\",key_group=\"unclassified\",{role}}} 4"),
        format!("redis_key_group_count{{db=\"db0\",key_group=\"overflow\",{role}}} 5"),
        format!("redis_up{{{role}}} 1"),
        format!("redis_db_keys{{db=\"db0\",{role}}} 9"),
    ];
    has(&text, &lines.each_ref().map(String::as_str));
    for family in [
        "redis_key_memory_usage_bytes{",
        "redis_exporter_last_scrape_ping_time_seconds{",
    ] {
        assert!(text.contains(family), "{family}: {text}");
    }
    // A HyperLogLog is no text, and what is not there is not shown.
    assert!(!text.contains("key=\"user:log\",val="), "{text}");
    assert!(!text.contains("nobody"), "{text}");
    let of = |params: &[(&str, &str)]| {
        let target = [("target", address.as_str())];
        let all: Vec<_> = target.iter().chain(params).copied().collect();
        s.query("/scrape", &all)
    };
    let page = of(&[("check-keys", "mot*"), ("check-single-keys", "visitors")]).text();
    assert!(
        page.contains("key=\"motto\"") && !page.contains("key=\"user:list\""),
        "{page}"
    );
    let wrong = of(&[("count-keys", "a=b=c")]);
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("count-keys"), "{}", wrong.text());
}

#[test]
fn scripts_clients_and_the_configuration_are_shown_on_request() {
    let dir = TempDir::new();
    let Some((_redis, port)) = with_keys(&dir) else {
        return;
    };
    let good = dir.write("good.lua", "return {'sum', tostring(40 + 2)}");
    let empty = dir.write("empty.lua", "return {}");
    let bad = dir.write("bad.lua", "return {'a', 'no number'}");
    let flags = [
        format!("-script={good},{empty},{bad}"),
        "-export-client-list".into(),
        "-export-client-port".into(),
        "-include-config-metrics".into(),
        "-include-rdb-file-size-metric".into(),
        "-exclude-latency-histogram-metrics".into(),
        "-redis-only-metrics".into(),
        "-disable-scrape-endpoint".into(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let s = redis_exporter(&format!("127.0.0.1:{port}"), &flags);
    redis_cli(port, &["config", "set", "requirepass", ""]);
    let text = s.get("/metrics").text();
    let lines = [
        format!("redis_script_values{{key=\"sum\",filename=\"{good}\"}} 42"),
        format!("redis_script_result{{filename=\"{good}\"}} 1"),
        format!("redis_script_result{{filename=\"{empty}\"}} 2"),
        format!("redis_script_result{{filename=\"{bad}\"}} 0"),
        "redis_up 1".into(),
        "redis_config_key_value{key=\"databases\",value=\"16\"} 1".into(),
        "redis_config_client_output_buffer_limit_bytes{class=\"pubsub\",limit=\"hard\"} 3.3554432e+07".into(),
        "redis_rdb_current_size_bytes 0".into(),
    ];
    has(&text, &lines.each_ref().map(String::as_str));
    let client = text
        .lines()
        .find(|l| l.starts_with("redis_connected_client_info{"));
    let client = client.expect("a client");
    for part in [
        "name=\"redis_exporter\"",
        "host=\"127.0.0.1\"",
        ",port=\"",
        "user=\"default\"",
    ] {
        assert!(client.contains(part), "{part}: {client}");
    }
    for absent in [
        "requirepass",
        "latencies_usec",
        "process_cpu",
        "exporter_build_info",
    ] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    assert_eq!(s.get("/scrape?target=x").status, 404);
    assert_eq!(s.get("/discover-cluster-nodes").status, 400);
    assert_eq!(s.get("/-/reload").status, 400);
}

#[test]
fn keys_of_a_cluster_are_asked_at_their_nodes() {
    if Command::new("redis-server")
        .arg("--version")
        .output()
        .is_err()
    {
        return missing("redis-server");
    }
    let dir = TempDir::new();
    // The bus of a node has a port of its own, which must be one, too.
    let ports: Vec<u16> = std::iter::repeat_with(free_port)
        .filter(|p| *p < 50_000)
        .take(3)
        .collect();
    let _nodes: Vec<_> = ports
        .iter()
        .map(|p| redis(&dir, *p, &["--cluster-enabled", "yes"]))
        .collect();
    for p in &ports {
        wait("a node", || redis_cli(*p, &["ping"]).trim() == "PONG");
    }
    for (i, p) in ports.iter().enumerate() {
        let (from, to) = (i * 5462, ((i + 1) * 5462 - 1).min(16_383));
        redis_cli(
            *p,
            &[
                "cluster",
                "addslotsrange",
                &from.to_string(),
                &to.to_string(),
            ],
        );
        redis_cli(*p, &["cluster", "set-config-epoch", &(i + 1).to_string()]);
        redis_cli(*p, &["cluster", "meet", "127.0.0.1", &ports[0].to_string()]);
    }
    for p in &ports {
        wait("the cluster", || {
            let state = redis_cli(*p, &["cluster", "info"]);
            state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:3")
        });
    }
    // One key for each node.
    for key in ["a", "b", "c", "d", "e", "f"] {
        redis_cli(ports[0], &["-c", "set", key, "5"]);
    }
    let flags = ["-is-cluster", "-check-single-keys=a,b,c,d,e,f"];
    let s: Server = redis_exporter(&format!("127.0.0.1:{}", ports[0]), &flags);
    let text = s.get("/metrics").text();
    for key in ["a", "b", "c", "d", "e", "f"] {
        let line = format!("redis_key_value{{db=\"db0\",key=\"{key}\"}} 5");
        has(&text, &[&line]);
    }
    has(&text, &["redis_cluster_known_nodes 3"]);
    let nodes = s.get("/discover-cluster-nodes");
    assert_eq!(nodes.status, 200);
    let nodes = nodes.text();
    for p in &ports {
        assert!(
            nodes.contains(&format!("\"redis://127.0.0.1:{p}\"")),
            "{nodes}"
        );
    }
}

#[test]
fn pages_have_a_user_and_servers_a_file_of_passwords() {
    let dir = TempDir::new();
    let passwords = dir.write("passwords.json", "{}");
    let file = format!("-redis.password-file={passwords}");
    let flags = [
        "-basic-auth-username=me",
        "-basic-auth-password=secret",
        &file,
    ];
    let s = redis_exporter("127.0.0.1:1", &flags);
    for path in ["/metrics", "/health", "/scrape?target=127.0.0.1:1"] {
        let refused = s.get(path);
        assert_eq!(refused.status, 401, "{path}");
        let asks = refused.header("www-authenticate").unwrap_or_default();
        assert!(asks.starts_with("Basic realm="), "{asks}");
    }
    let as_user = |path: &str| {
        s.request("GET", path)
            .header("authorization", "Basic bWU6c2VjcmV0")
            .send()
    };
    assert_eq!(as_user("/metrics").status, 200);
    assert_eq!(as_user("/-/reload").text(), "ok");
    dir.write("passwords.json", "{\"x\": 5}");
    let broken = as_user("/-/reload");
    assert_eq!(broken.status, 500);
    for (flags, wanted) in [
        (
            &["-basic-auth-password=a", "-basic-auth-hash-password=b"][..],
            "mutually exclusive",
        ),
        (&["-tls-server-cert-file=x"], "--web.config.file"),
        (&["-check-keys=a=b=c"], "check-keys"),
        (&["-script=/nowhere.lua"], "--script"),
        (
            &["-check-search-indexes=(", "-include-search-indexes-metrics"],
            "check-search-indexes",
        ),
        (&["-check-key-groups=\"a"], "quote"),
    ] {
        let out = crate::support::process::binary()
            .arg("redis-exporter")
            .args(flags)
            .output()
            .expect("the binary starts");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(
            !out.status.success() && said.contains(wanted),
            "{flags:?}: {said}"
        );
    }
}
