//! `sextant redis-exporter` and `sextant postgres-exporter` against real servers.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::shared::shared;
use crate::support::{Server, TempDir, process, wait};

/// A child that is killed when dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn quiet(command: &mut Command) -> Program {
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .spawn();
    Program(child.expect("the program starts"))
}

fn free_port() -> u16 {
    let l = TcpListener::bind("127.0.0.1:0").expect("bind");
    l.local_addr().expect("address").port()
}

/// Says that a program is missing; on the machine that decides it must be there.
fn missing(name: &str) {
    assert!(std::env::var_os("CI").is_none(), "{name} is not installed");
    println!("skipped: {name} is not installed");
}

/// Families of a page with their types.
fn families(text: &str) -> BTreeMap<&str, &str> {
    let types = text.lines().filter_map(|l| l.strip_prefix("# TYPE "));
    types.filter_map(|l| l.split_once(' ')).collect()
}

/// Families of the recorded shape `file` that `text` lacks or has with another type, but those
/// that `excused` names.
fn differences(file: &Path, text: &str, excused: &[&str]) -> Vec<String> {
    let recorded = std::fs::read_to_string(file).expect("a shape");
    let recorded: serde_json::Value = serde_json::from_str(&recorded).expect("JSON");
    let have = families(text);
    let mut out = Vec::new();
    for (name, want) in recorded.as_object().expect("families") {
        let runtime = name.starts_with("go_") || name.starts_with("process_");
        if runtime || excused.contains(&name.as_str()) {
            continue;
        }
        let (want, have) = (want["type"].as_str(), have.get(name.as_str()).copied());
        if want != have {
            out.push(format!("{name}: recorded {want:?}, here {have:?}"));
        }
    }
    out
}

fn redis(dir: &TempDir, port: u16, more: &[&str]) -> Program {
    let folder = dir.path().join(port.to_string());
    std::fs::create_dir_all(&folder).expect("a folder");
    quiet(
        Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--repl-diskless-sync-delay", "0"])
            .arg("--dir")
            .arg(folder)
            .args(more),
    )
}

fn redis_cli(port: u16, words: &[&str]) -> String {
    let out = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(words)
        .output()
        .expect("redis-cli");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn redis_exporter(address: &str, flags: &[&str]) -> Server {
    let mut command = process::binary();
    command
        .env("REDIS_ADDR", address)
        .args(["redis-exporter", "-web.listen-address=127.0.0.1:0"])
        .args(flags);
    Server::run(command)
}

#[test]
fn a_redis_master_and_its_replica() {
    if Command::new("redis-server")
        .arg("--version")
        .output()
        .is_err()
    {
        return missing("redis-server");
    }
    let dir = TempDir::new();
    let (master, replica) = (free_port(), free_port());
    let _a = redis(
        &dir,
        master,
        &["--maxmemory", "64mb", "--slowlog-log-slower-than", "0"],
    );
    let _b = redis(
        &dir,
        replica,
        &["--replicaof", &format!("127.0.0.1 {master}")],
    );
    wait("the replica", || {
        redis_cli(replica, &["info", "replication"]).contains("master_link_status:up")
    });
    redis_cli(master, &["set", "k", "v", "ex", "1000"]);
    redis_cli(master, &["-n", "1", "set", "k", "v"]);
    let user = [
        "acl", "setuser", "watcher", "on", ">secret", "+@all", "~*", "&*",
    ];
    redis_cli(master, &user);
    let s = redis_exporter(&format!("127.0.0.1:{master}"), &[]);
    let text = s.get("/metrics").text();
    for line in [
        "redis_up 1",
        "redis_db_keys{db=\"db0\"} 1",
        "redis_db_keys{db=\"db1\"} 1",
        "redis_db_keys{db=\"db15\"} 0",
        "redis_db_keys_expiring{db=\"db0\"} 1",
        "redis_memory_max_bytes 6.7108864e+07",
        "redis_connected_slaves 1",
        "redis_commands_total{cmd=\"set\"} 2",
        "redis_exporter_last_scrape_error{err=\"\"} 0",
        "redis_exporter_scrapes_total 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    assert!(text.contains("role=\"master\""), "{text}");
    assert!(text.contains("redis_connected_slave_lag_seconds{slave_ip=\"127.0.0.1\""));
    assert!(text.contains("redis_commands_latencies_usec_bucket{cmd=\"set\",le=\"+Inf\"} 2"));
    // Since it was recorded this counter is called one.
    let excused = ["redis_expired_time_cap_reached_total"];
    if let Some(shape) = shared("conformance/exporters/redis/shape-1.45.0.json") {
        let found = differences(&shape, &text, &excused);
        assert!(found.is_empty(), "{found:#?}");
    }
    // Another server, and the same one as another user.
    let of = |target: &str| s.query("/scrape", &[("target", target)]).text();
    let replica = of(&format!("redis://127.0.0.1:{replica}"));
    assert!(replica.contains("redis_up 1\n"), "{replica}");
    assert!(
        replica.contains("redis_master_link_up{master_host=\"127.0.0.1\""),
        "{replica}"
    );
    assert!(replica.contains("redis_slave_info{"), "{replica}");
    let watcher = of(&format!("redis://watcher:secret@127.0.0.1:{master}"));
    assert!(watcher.contains("redis_up 1\n"), "{watcher}");
    let stranger = of(&format!("redis://watcher:wrong@127.0.0.1:{master}"));
    assert!(stranger.contains("redis_up 0\n"), "{stranger}");
    assert!(!stranger.contains("wrong\""), "{stranger}");
}

#[test]
fn a_redis_that_is_not_there_costs_one_deadline() {
    // Takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let silent = listener.local_addr().expect("an address").to_string();
    let s = redis_exporter("127.0.0.1:1", &["-connection-timeout=1s"]);
    for path in ["/metrics".to_owned(), format!("/scrape?target={silent}")] {
        let page = s.get(&path);
        assert_eq!(page.status, 200);
        let text = page.text();
        assert!(text.contains("redis_up 0\n"), "{text}");
        assert!(
            text.contains("redis_exporter_last_scrape_error{err=\""),
            "{text}"
        );
    }
    let answer = s.get("/scrape");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.text(), "'target' parameter must be specified\n");
    let answer = s.get("/scrape?target=ftp://x");
    assert_eq!(answer.status, 400);
    assert_eq!(s.get("/health").text(), "ok");
}

/// The folder with PostgreSQL's own programs.
fn postgres_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let found = versions.filter_map(|v| Some(v.ok()?.path().join("bin")));
    found.filter(|b| b.join("initdb").is_file()).max()
}

/// A command of PostgreSQL, which does not run as root.
fn postgres(program: &Path) -> Command {
    if rustix::process::getuid().is_root() {
        let mut c = Command::new("runuser");
        c.args(["-u", "postgres", "--"]).arg(program);
        c
    } else {
        Command::new(program)
    }
}

/// A PostgreSQL server that ends when dropped.
struct Postgres {
    programs: PathBuf,
    data: PathBuf,
    port: u16,
}

impl Postgres {
    fn start(programs: &Path, data: &Path) -> Self {
        let port = free_port();
        let sockets = data.parent().expect("a parent").display().to_string();
        let options =
            format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={sockets}");
        let started = postgres(&programs.join("pg_ctl"))
            .arg("-D")
            .arg(data)
            .args(["-w", "-t", "120", "-o", &options, "-l"])
            .arg(data.join("log"))
            .arg("start")
            .stdout(Stdio::null())
            .status();
        assert!(started.expect("pg_ctl").success());
        Self {
            programs: programs.to_owned(),
            data: data.to_owned(),
            port,
        }
    }

    fn sql(&self, text: &str) -> String {
        let out = postgres(&self.programs.join("psql"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-qAt", "-p"])
            .arg(self.port.to_string())
            .args(["-c", text])
            .output()
            .expect("psql");
        assert!(out.status.success(), "{out:?}");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stopped = postgres(&self.programs.join("pg_ctl"))
            .arg("-D")
            .arg(&self.data)
            .args(["-m", "immediate", "stop"])
            .stdout(Stdio::null())
            .status();
        drop(stopped);
    }
}

fn postgres_exporter(variables: &[(&str, &str)], flags: &[&str]) -> Server {
    let mut command = process::binary();
    command
        .envs(variables.iter().copied())
        .args(["postgres-exporter", "--web.listen-address=127.0.0.1:0"])
        .args(flags);
    Server::run(command)
}

/// Families that upstream has given up or renamed since they were recorded.
const GONE: &[&str] = &[
    "pg_stat_database_active_time",
    "pg_stat_database_checksum_failures",
    "pg_stat_database_checksum_last_failure",
    "pg_stat_database_idle_in_transaction_time",
    "pg_stat_database_session_time",
    "pg_stat_database_sessions",
    "pg_stat_database_sessions_abandoned",
    "pg_stat_database_sessions_fatal",
    "pg_stat_database_sessions_killed",
    "pg_stat_replication_reply_time",
];

#[test]
fn a_postgresql_primary_and_its_standby() {
    let Some(programs) = postgres_programs() else {
        return missing("postgresql");
    };
    let dir = TempDir::new();
    if rustix::process::getuid().is_root() {
        let owned = Command::new("chown")
            .arg("postgres")
            .arg(dir.path())
            .status();
        assert!(owned.expect("chown").success());
    }
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let made = postgres(&programs.join("initdb"))
        .args(["-A", "trust", "-U", "postgres", "-N", "-D"])
        .arg(&a)
        .stdout(Stdio::null())
        .status();
    assert!(made.expect("initdb").success());
    let mut settings = std::fs::read_to_string(a.join("postgresql.conf")).expect("settings");
    settings.push_str("wal_level=logical\nfsync=off\n");
    std::fs::write(a.join("postgresql.conf"), settings).expect("settings");
    let primary = Postgres::start(&programs, &a);
    primary.sql("CREATE TABLE t (i int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)");
    primary.sql("SELECT pg_create_logical_replication_slot('lazy', 'test_decoding')");
    let copied = postgres(&programs.join("pg_basebackup"))
        .args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-R",
            "-c",
            "fast",
            "-C",
            "-S",
            "standby",
            "-p",
        ])
        .arg(primary.port.to_string())
        .arg("-D")
        .arg(&b)
        .status();
    assert!(copied.expect("pg_basebackup").success());
    let standby = Postgres::start(&programs, &b);
    wait("replication", || {
        primary.sql("SELECT state FROM pg_stat_replication") == "streaming"
    });
    let name = |p: &Postgres| {
        format!(
            "postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable",
            p.port
        )
    };
    let s = postgres_exporter(&[("DATA_SOURCE_NAME", &name(&primary))], &[]);
    let text = s.get("/metrics").text();
    for line in [
        "pg_up 1",
        "pg_exporter_last_scrape_error 0",
        "pg_replication_is_replica 0",
        "pg_replication_lag_seconds 0",
        "pg_replication_lag 0",
        "pg_settings_shared_buffers_bytes 1.34217728e+08",
        "pg_settings_checkpoint_timeout_seconds 300",
        "pg_settings_log_min_duration_statement_seconds -1",
        "pg_settings_fsync 0",
        "pg_locks_count{datname=\"postgres\",mode=\"sireadlock\"} 0",
        "pg_replication_slots_active{slot_name=\"lazy\",database=\"postgres\"} 0",
        "pg_stat_user_tables_n_tup_ins{datname=\"postgres\",schemaname=\"public\",relname=\"t\"} 100",
        "pg_scrape_collector_success{collector=\"stat_database\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    assert!(
        !text.contains("collector_success{collector=\"wal\"} 0"),
        "{text}"
    );
    assert_eq!(
        text.matches("pg_scrape_collector_success{").count(),
        text.matches("_success{collector").count()
    );
    assert!(
        !text
            .lines()
            .any(|l| l.starts_with("pg_scrape_collector_success{") && l.ends_with(" 0")),
        "{text}"
    );
    for family in [
        "pg_postmaster_start_time_seconds ",
        "pg_static{version=\"PostgreSQL ",
        "pg_stat_replication_pg_wal_lsn_diff{",
    ] {
        assert!(
            text.lines().any(|l| l.starts_with(family)),
            "{family}: {text}"
        );
    }
    for state in ["active", "idle in transaction (aborted)", "disabled"] {
        let row = format!("pg_stat_activity_count{{datname=\"template1\",state=\"{state}\",");
        assert!(text.contains(&row), "{row}: {text}");
    }
    if let Some(shape) = shared("conformance/exporters/postgres/shape-0.11.1.json") {
        // Settings come and go with versions of the server; the rest is the exporter's.
        let found = differences(&shape, &text, GONE);
        let found: Vec<_> = found
            .iter()
            .filter(|f| !f.starts_with("pg_settings_"))
            .collect();
        assert!(found.is_empty(), "{found:#?}");
    }
    // The second scrape goes over the same connection, and a new one when that is gone.
    primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'postgres_exporter'");
    assert!(s.get("/metrics").text().contains("\npg_up 1\n"));
    let target = format!("127.0.0.1:{}/postgres?sslmode=disable", standby.port);
    let config = s.dir.write(
        "postgres_exporter.yml",
        "auth_modules:\n  own:\n    type: userpass\n    userpass:\n      username: postgres\n      password: x\n    options:\n      sslmode: disable\n",
    );
    let flags = [
        format!("--config.file={config}"),
        "--no-collector.wal".into(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let several = format!("{},{}", name(&primary), name(&standby));
    let s = postgres_exporter(&[("DATA_SOURCE_NAME", &several)], &flags);
    for module in ["", "own"] {
        let page = s.query("/probe", &[("target", &target), ("auth_module", module)]);
        assert_eq!(page.status, 200, "{}", page.text());
        let text = page.text();
        assert!(text.contains("\npg_replication_is_replica 1\n"), "{text}");
        assert!(!text.contains("pg_wal_segments"), "{text}");
    }
    let both = s.get("/metrics").text();
    for p in [&primary, &standby] {
        let line = format!("pg_up{{server=\"127.0.0.1:{}\"}} 1", p.port);
        assert!(both.lines().any(|l| l == line), "{line}: {both}");
    }
}

#[test]
fn a_postgresql_that_is_not_there_is_told_by_a_metric() {
    let dir = TempDir::new();
    let password = dir.write("password", "secret\n");
    let variables = [
        ("DATA_SOURCE_URI", "127.0.0.1:1/postgres?sslmode=disable"),
        ("DATA_SOURCE_USER", "watcher"),
        ("DATA_SOURCE_PASS_FILE", &password),
    ];
    let s = postgres_exporter(&variables, &[]);
    let page = s.get("/metrics");
    assert_eq!(page.status, 200);
    let text = page.text();
    assert!(text.contains("\npg_up 0\n"), "{text}");
    assert!(text.contains("pg_exporter_last_scrape_error 1"), "{text}");
    assert!(!text.contains("pg_stat_"), "{text}");
    assert_eq!(s.get("/probe").status, 400);
    let unknown = s.query(
        "/probe",
        &[("target", "127.0.0.1:1"), ("auth_module", "nope")],
    );
    assert_eq!(unknown.status, 400);
    assert_eq!(unknown.text(), "auth_module nope not found\n");
    assert!(s.log().iter().all(|l| !l.contains("secret")));
    let out = process::binary()
        .arg("postgres-exporter")
        .env("DATA_SOURCE_NAME", "host=h password=secret sslmode=maybe")
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        !out.status.success() && said.contains("sslmode \"maybe\""),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
}
