//! `sextant redis-exporter` and `sextant postgres-exporter` against real servers.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use exporters::metrics::postgres::{collectors, families};

use crate::support::shared::shared;
use crate::support::{Server, TempDir, exposed, process, until, wait};

/// A child that is killed when dropped.
pub(crate) struct Program(Child);

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

pub(crate) fn free_port() -> u16 {
    let l = TcpListener::bind("127.0.0.1:0").expect("bind");
    l.local_addr().expect("address").port()
}

/// Says that a program is missing; on the machine that decides it must be there.
pub(crate) fn missing(name: &str) {
    assert!(std::env::var_os("CI").is_none(), "{name} is not installed");
    println!("skipped: {name} is not installed");
}

/// The table of families whose form has changed.
const NAMES: &str = include_str!("../../exporters/docs/names.md");

/// Compares a page with the recorded one in `file`, if that is at hand.
fn compare(file: &str, page: &str, title: &str, all: bool) {
    if let Some(recorded) = shared(&format!("conformance/exporters/{file}")) {
        let recorded = std::fs::read_to_string(recorded).expect("a page");
        let found = exposed::complaints(&recorded, page, (NAMES, title), all);
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// What dashboards and rules need of `exporter` is on one of `pages`.
fn has_what_is_needed(exporter: &str, pages: &[&str]) {
    if let Some(list) = shared("conformance/exporters/needed.csv") {
        let list = std::fs::read_to_string(list).expect("a list");
        let found = exposed::missing(&list, exporter, pages);
        assert!(found.is_empty(), "{found:#?}");
    }
}

pub(crate) fn redis(dir: &TempDir, port: u16, more: &[&str]) -> Program {
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

pub(crate) fn redis_cli(port: u16, words: &[&str]) -> String {
    let out = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(words)
        .output()
        .expect("redis-cli");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

pub(crate) fn redis_exporter(address: &str, flags: &[&str]) -> Server {
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
    wait("the replica's keys", || {
        redis_cli(replica, &["-n", "1", "exists", "k"]).trim() == "1"
    });
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
    let title = "redis_exporter 1.45.0";
    compare("redis/master-1.45.0.prom", &text, title, true);
    has_what_is_needed("redis", &[&text]);
    // Another server, and the same one as another user.
    let of = |target: &str| s.query("/scrape", &[("target", target)]).text();
    let replica = of(&format!("redis://127.0.0.1:{replica}"));
    assert!(replica.contains("redis_up 1\n"), "{replica}");
    assert!(
        replica.contains("redis_master_link_up{master_host=\"127.0.0.1\""),
        "{replica}"
    );
    assert!(replica.contains("redis_slave_info{"), "{replica}");
    compare("redis/replica-scrape-1.45.0.prom", &replica, title, false);
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

impl Postgres {
    /// Its data source name.
    fn name(&self) -> String {
        format!(
            "postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable",
            self.port
        )
    }

    /// A session that runs `text` and stays until dropped.
    fn session(&self, text: &str) -> Program {
        use std::io::Write;
        let mut child = Command::new(self.programs.join("psql"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-qAt", "-p"])
            .arg(self.port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql");
        let input = child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{text};").expect("psql reads");
        Program(child)
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

/// Collectors that run on request.
const EVERYTHING: &[&str] = &[
    "--collector.buffercache_summary",
    "--collector.database_wraparound",
    "--collector.long_running_transactions",
    "--collector.process_idle",
    "--collector.stat_activity_autovacuum",
    "--collector.stat_checkpointer",
    "--collector.stat_statements",
    "--collector.stat_statements.include_query",
    "--collector.stat_wal_receiver",
    "--collector.statio_user_indexes",
    "--collector.xlog_location",
];

/// Families that a server of this version, at rest, has nothing to say about.
const AT_REST: &[&str] = &[
    "pg_stat_activity_autovacuum_timestamp_seconds",
    // Since 16 and 17.
    "pg_buffercache_summary_",
    "pg_stat_checkpointer_",
    // Until 17.
    "pg_stat_bgwriter_",
    "pg_stat_progress_vacuum_max_dead_tuples",
    "pg_stat_progress_vacuum_num_dead_tuples",
];

/// With everything switched on and a vacuum at work, every family that we know is shown.
fn everything_is_shown(primary: &Postgres, standby: &Postgres) {
    primary.sql("CREATE TABLE big AS SELECT generate_series(1, 20000) AS i");
    primary.sql("DELETE FROM big");
    let _idle = primary.session("SELECT 1");
    // Slow enough to be seen: a page costs a tenth of a second.
    let slow = "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1";
    let _vacuum = primary.session(&format!("{slow};\nVACUUM big"));
    let of = |p: &Postgres| postgres_exporter(&[("DATA_SOURCE_NAME", &p.name())], EVERYTHING);
    let (primary, standby) = (of(primary), of(standby));
    // Every family that a server at rest of this version, or with that vacuum, can show.
    let page = until(
        "a vacuum, an idle session and a word of the primary",
        || {
            let pages = [&primary, &standby].map(|s| s.get("/metrics").text());
            let shown = pages.each_ref().map(|p| exposed::forms(p));
            let lacking = families().find(|f| {
                let excused = AT_REST.iter().any(|a| f.name.starts_with(a));
                !excused && !shown.iter().any(|p| p.contains_key(f.name))
            });
            if let Some(family) = &lacking {
                eprintln!("still waiting for {family:?}");
            }
            lacking.is_none().then_some(pages)
        },
    );
    for line in page.iter().flat_map(|p| p.lines()) {
        let failed = line.starts_with("pg_scrape_collector_success{") && line.ends_with(" 0");
        assert!(!failed, "{line}");
    }
}

#[test]
fn families_of_postgresql_are_those_of_upstream() {
    let Some(list) = shared("conformance/exporters/postgres/upstream-master.tsv") else {
        return;
    };
    let list = std::fs::read_to_string(list).expect("a list");
    let ours: Vec<_> = families().collect();
    for line in list.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [collector, default, name, kind, labels, _] = cells[..] else {
            panic!("six cells: {line}");
        };
        // Servers before 10 are not supported.
        if name.ends_with("_pg_xlog_location_diff") {
            continue;
        }
        let found = ours.iter().find(|f| f.name == name);
        let found = found.unwrap_or_else(|| panic!("missing: {line}"));
        assert_eq!(found.collector, collector, "{line}");
        if kind != "?" {
            assert_eq!(found.kind.word(), kind, "{line}");
        }
        let labels = labels.trim_start_matches("[]string{}");
        let wanted: BTreeSet<&str> = labels.split(',').filter(|l| !l.is_empty()).collect();
        let here: BTreeSet<&str> = found.labels.iter().copied().collect();
        assert_eq!(here, wanted, "{line}");
        let runs = collectors().any(|(c, on)| c == collector && on);
        // The start time is on the first page of the dashboard that most people use.
        assert_eq!(runs, default == "on" || collector == "postmaster", "{line}");
    }
}

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
    settings.push_str(
        "wal_level=logical\nfsync=off\nmax_slot_wal_keep_size=1GB\n\
         shared_preload_libraries='pg_stat_statements'\n",
    );
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
            "repmgr_slot_7",
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
    let s = postgres_exporter(&[("DATA_SOURCE_NAME", &primary.name())], &[]);
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
    // Nobody else is at work, and the panel of active sessions is not empty.
    let own = "pg_stat_activity_count{datname=\"postgres\",state=\"active\",usename=\"postgres\",application_name=\"postgres_exporter\",";
    let own = text.lines().find(|l| l.starts_with(own));
    assert!(own.is_some_and(|l| l.ends_with(" 1")), "{own:?}: {text}");
    let title = "postgres_exporter 0.11.1";
    // Settings come and go with versions of the server.
    if text.contains("short_version=\"15.") {
        let page = "postgres/primary-0.11.1.prom";
        compare(page, &text, title, true);
        let s = postgres_exporter(&[("DATA_SOURCE_NAME", &standby.name())], &[]);
        let text = s.get("/metrics").text();
        compare("postgres/standby-0.11.1.prom", &text, title, false);
    }
    has_what_is_needed("postgres", &[&text]);
    primary.sql("CREATE EXTENSION pg_stat_statements");
    everything_is_shown(&primary, &standby);
    statements_of_the_user(&primary);
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
    let several = format!("{},{}", primary.name(), standby.name());
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

/// Statements of a user, one per kind of column.
const STATEMENTS: &str = r#"
pg_shop:
  query: "SELECT 'a' AS kind, true AS open, 3 AS orders, 7 AS total, 'on'::text AS state,
    '1m30s'::text AS took, NULL::int AS nothing, 5 AS spare, TIMESTAMPTZ '1970-01-01 00:01:00+00' AS at,
    ARRAY[0.5, 1.0] AS wait, ARRAY[1, 2] AS wait_bucket, 1.5 AS wait_sum, 4 AS wait_count, 9 AS extra"
  cache_seconds: 3600
  metrics:
    - kind: {usage: LABEL, description: Kind}
    - open: {usage: LABEL, description: Open}
    - orders: {usage: GAUGE, description: Orders}
    - total: {usage: COUNTER, description: Total}
    - state: {usage: MAPPEDMETRIC, description: State, metric_mapping: {"on": 1, "off": 0}}
    - took: {usage: DURATION, description: Took}
    - nothing: {usage: GAUGE, description: Nothing}
    - spare: {usage: DISCARD, description: Spare}
    - at: {usage: GAUGE, description: At}
    - wait: {usage: HISTOGRAM, description: Wait}
pg_broken:
  query: SELECT nothing FROM nowhere
  metrics: [{n: {usage: COUNTER, description: Calls}}]
pg_where:
  query: SELECT current_database() AS datname, 1 AS here
  metrics:
    - datname: {usage: LABEL, description: Name}
    - here: {usage: GAUGE, description: Here}
pg_main:
  query: SELECT current_database() AS datname, 1 AS here
  master: true
  metrics: [{datname: {usage: LABEL, description: Name}}, {here: {usage: GAUGE, description: Here}}]
pg_old:
  query: SELECT 1 AS n
  runonserver: "<9.0.0"
  metrics: [{n: {usage: GAUGE, description: Old}}]
"#;

/// Statements of the user, databases that are found, constant labels.
fn statements_of_the_user(primary: &Postgres) {
    for database in ["one", "two"] {
        primary.sql(&format!("CREATE DATABASE {database}"));
    }
    let dir = TempDir::new();
    let file = dir.write("queries.yaml", STATEMENTS);
    let flags = [
        format!("--extend.query-path={file}"),
        "--constantLabels=site=here, wrong".into(),
        "--auto-discover-databases".into(),
        "--exclude-databases=two".into(),
        "--metric-prefix=db".into(),
        "--disable-default-metrics".into(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let s = postgres_exporter(&[("DATA_SOURCE_NAME", &primary.name())], &flags);
    let text = s.get("/metrics").text();
    let tail = format!("server=\"127.0.0.1:{}\",site=\"here\"}}", primary.port);
    let row = format!("{{kind=\"a\",open=\"true\",{tail}");
    let bucket = |le: &str| row.replace("server=", &format!("le=\"{le}\",server="));
    for line in [
        format!("db_shop_orders{row} 3"),
        format!("db_shop_total{row} 7"),
        format!("db_shop_state{row} 1"),
        format!("db_shop_took_milliseconds{row} 90000"),
        format!("db_shop_nothing{row} NaN"),
        format!("db_shop_at{row} 60"),
        format!("db_shop_wait_bucket{} 1", bucket("0.5")),
        format!("db_shop_wait_bucket{} 2", bucket("1")),
        format!("db_shop_wait_bucket{} 4", bucket("+Inf")),
        format!("db_shop_wait_sum{row} 1.5"),
        format!("db_shop_wait_count{row} 4"),
        format!("db_shop_extra{row} 9"),
        format!("db_where_here{{datname=\"postgres\",{tail} 1"),
        format!("db_where_here{{datname=\"one\",{tail} 1"),
        format!("db_main_here{{datname=\"postgres\",{tail} 1"),
        "db_up{site=\"here\"} 1".into(),
        // A statement that fails is an error of the scrape, and of nothing else.
        "db_exporter_last_scrape_error{site=\"here\"} 1".into(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    for family in [
        "db_shop_total counter",
        "db_shop_extra untyped",
        "db_shop_wait histogram",
    ] {
        assert!(
            text.contains(&format!("# TYPE {family}\n")),
            "{family}: {text}"
        );
    }
    let loaded = "db_exporter_user_queries_load_error{filename=\"";
    let loaded = text.lines().find(|l| l.starts_with(loaded));
    assert!(loaded.is_some_and(|l| l.ends_with(" 0")), "{text}");
    for absent in [
        "db_shop_spare",
        "db_old",
        "db_main_here{datname=\"one\"",
        "\"two\"",
        "db_stat_",
    ] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    // A file that cannot be used is told, and the rest goes on.
    let file = dir.write("queries.yaml", "pg_x: [");
    let flag = format!("--extend.query-path={file}");
    let s = postgres_exporter(&[("DATA_SOURCE_NAME", &primary.name())], &[&flag]);
    let text = s.get("/metrics").text();
    assert!(
        text.contains("pg_exporter_user_queries_load_error{filename=\""),
        "{text}"
    );
    assert!(text.contains("\npg_up 1\n"), "{text}");
    let map = process::binary()
        .args(["postgres-exporter", "--dumpmaps"])
        .output()
        .expect("the binary starts");
    assert!(map.status.success());
    let map = String::from_utf8_lossy(&map.stdout);
    assert!(
        map.contains("pg_stat_database_conflicts_confl_lock"),
        "{map}"
    );
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
