//! `sextant node-exporter`: flags, pages, and what upstream's exporter prints over its fixtures.

use std::path::Path;
use std::process::Command;

use crate::support::shared::shared;
use crate::support::{Server, TempDir, process};

/// Collectors that upstream's end-to-end run switches on.
const SWITCHED_ON: &str = "arp bcache bcachefs bonding btrfs buddyinfo cgroups conntrack cpu \
    cpufreq cpu_vulnerabilities diskstats dmi drbd edac entropy fibrechannel filefd hwmon \
    infiniband interrupts ipvs kernel_hung ksmd lnstat loadavg mdadm meminfo meminfo_numa \
    mountstats netdev netstat nfs nfsd pcidevice pressure processes qdisc rapl schedstat slabinfo \
    sockstat softirqs stat sysctl textfile thermal_zone udp_queues vmstat watchdog wifi xfrm xfs \
    zfs zoneinfo";

/// Its other flags. Paths are relative to the folder with the fixtures.
const FLAGS: &[&str] = &[
    "--path.rootfs=collector/fixtures",
    "--path.procfs=collector/fixtures/proc",
    "--path.sysfs=collector/fixtures/sys",
    "--path.udev.data=collector/fixtures/udev/data",
    "--no-collector.selinux",
    "--no-collector.filesystem",
    "--no-collector.timex",
    "--no-collector.uname",
    "--no-collector.arp.netlink",
    "--collector.arp.device-exclude=nope",
    "--collector.bcache.priorityStats",
    "--collector.cpu.info",
    "--collector.cpu.info.bugs-include=^(cpu_meltdown|spectre_.*|mds)$",
    "--collector.cpu.info.flags-include=^(aes|avx.?|constant_tsc)$",
    "--collector.hwmon.chip-include=(applesmc|asus_nb_wmi|coretemp|hwmon4|ieee80211|nct6779)",
    "--collector.netclass.ignore-invalid-speed",
    "--collector.netclass.ignored-devices=(dmz|int)",
    "--collector.netdev.device-include=lo",
    "--collector.qdisc.device-include=(wlan0|eth0)",
    "--collector.qdisc.fixtures=collector/fixtures/qdisc/",
    "--collector.stat.softirq",
    "--collector.sysctl.include-info=kernel.seccomp.actions_avail",
    "--collector.sysctl.include=fs.file-nr",
    "--collector.sysctl.include=fs.file-nr:total,current,max",
    "--collector.sysctl.include=kernel.threads-max",
    "--collector.textfile.directory=collector/fixtures/textfile/two_metric_files/",
    "--collector.wifi.fixtures=collector/fixtures/wifi",
    "--runtime.gomaxprocs=1",
];

fn start(flags: &[&str]) -> Server {
    start_in(Path::new("."), flags)
}

fn start_in(folder: &Path, flags: &[&str]) -> Server {
    let mut command = process::binary();
    command
        .current_dir(folder)
        .args(["node-exporter", "--web.listen-address=127.0.0.1:0"])
        .args(flags);
    Server::run(command)
}

#[test]
fn every_line_of_upstreams_end_to_end_run() {
    let Some(node) = shared("conformance/exporters/node") else {
        return;
    };
    let Some(tool) = shared("conformance/exporters/node_e2e_diff.py") else {
        return;
    };
    let dir = TempDir::new();
    let unpacked = Command::new("tar")
        .arg("xzf")
        .arg(node.join("fixtures.tar.gz"))
        .arg("-C")
        .arg(dir.path())
        .status();
    assert!(unpacked.expect("tar").success());
    let switched: Vec<String> = SWITCHED_ON
        .split_whitespace()
        .map(|c| format!("--collector.{c}"))
        .collect();
    let mut flags: Vec<&str> = switched.iter().map(String::as_str).collect();
    flags.extend(FLAGS);
    let s = start_in(dir.path(), &flags);
    let page = s.get("/metrics");
    assert_eq!(page.status, 200);
    let file = dir.write("actual.prom", &page.body);
    let out = Command::new("python3")
        .arg(tool)
        .arg(node.join("e2e-output.txt"))
        .arg(file)
        .arg("-v")
        .output()
        .expect("python3");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}");
    assert!(said.contains(" passed, 0 failed"), "{said}");
}

#[test]
fn this_host_is_shown() {
    let s = start(&["--collector.processes", "--collector.tcpstat"]);
    let page = s.get("/metrics");
    assert_eq!(page.status, 200);
    let kind = page.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let text = page.text();
    for family in [
        "node_cpu_seconds_total{",
        "node_memory_MemTotal_bytes ",
        "node_load1 ",
        "node_uname_info{",
        "node_boot_time_seconds ",
        "node_network_receive_bytes_total{",
        "node_processes_pids ",
        // A state that no connection is in is there as well.
        "node_tcp_connection_states{state=\"closing\"} ",
        "node_tcp_connection_states{state=\"listen\"} ",
        "node_selinux_enabled ",
        "node_time_seconds ",
        "node_exporter_build_info{",
        "process_cpu_seconds_total ",
        "go_goroutines ",
        "go_gc_duration_seconds{quantile=\"0.5\"} 0",
        "go_gc_duration_seconds_count 0",
        "promhttp_metric_handler_requests_in_flight 1",
        "node_scrape_collector_success{collector=\"cpu\"} 1",
        "node_scrape_collector_duration_seconds{collector=\"cpu\"} ",
    ] {
        let found = text.lines().any(|l| l.starts_with(family));
        assert!(found, "{family}: {text}");
    }
    assert!(s.get("/").text().contains("href=\"/metrics\""));
    assert_eq!(s.get("/nowhere").status, 404);
}

#[test]
fn a_scrape_may_ask_for_some_collectors() {
    let s = start(&["--web.disable-exporter-metrics", "--no-collector.arp"]);
    let families = |query: &str| {
        let text = s.get(&format!("/metrics?{query}")).text();
        let lines = text.lines().filter_map(|l| l.strip_prefix("# TYPE "));
        let names = lines.filter_map(|l| l.split(' ').next().map(str::to_owned));
        names.collect::<Vec<_>>()
    };
    assert_eq!(
        families("collect[]=loadavg"),
        [
            "node_exporter_build_info",
            "node_load1",
            "node_load15",
            "node_load5",
            "node_scrape_collector_duration_seconds",
            "node_scrape_collector_success"
        ]
    );
    let without = families("exclude[]=loadavg&exclude[]=cpu");
    assert!(without.contains(&"node_boot_time_seconds".into()));
    assert!(!without.contains(&"node_load1".into()));
    for (query, why) in [
        (
            "collect[]=loadavg&exclude[]=cpu",
            "Combined collect and exclude",
        ),
        ("collect[]=nope", "missing collector: nope"),
        ("exclude[]=nope", "missing collector: nope"),
        ("collect[]=arp", "disabled collector: arp"),
    ] {
        let answer = s.get(&format!("/metrics?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.text().contains(why), "{query}: {}", answer.text());
    }
}

#[test]
fn only_what_is_asked_for_runs() {
    let flags = [
        "--collector.disable-defaults",
        "--collector.loadavg",
        "--web.telemetry-path=/m",
        "--web.disable-exporter-metrics",
        "--path.procfs=/nowhere",
    ];
    let s = start(&flags);
    assert_eq!(s.get("/metrics").status, 404);
    let page = s.get("/m");
    // A collector without its source is told by its metric, not by the page.
    assert_eq!(page.status, 200);
    let text = page.text();
    assert!(text.contains("node_scrape_collector_success{collector=\"loadavg\"} 0"));
    assert!(!text.contains("node_load1"), "{text}");
    assert_eq!(text.matches("node_scrape_collector_success{").count(), 1);
}

#[test]
fn wrong_flags_are_told_and_end_the_start() {
    for (flags, why) in [
        (
            vec![
                "--collector.netdev.device-include=a",
                "--collector.netdev.device-exclude=b",
            ],
            "--collector.netdev.device-exclude and --collector.netdev.device-include are mutually exclusive",
        ),
        (
            vec!["--collector.filesystem.mount-timeout=soon"],
            "--collector.filesystem.mount-timeout \"soon\" is not a duration",
        ),
        (
            vec!["--collector.vmstat.fields=("],
            "--collector.vmstat.fields \"(\" is not a regular expression",
        ),
        (vec!["--collector.nonsense"], "--collector.nonsense"),
        (
            vec!["--web.telemetry-path=x"],
            "does not begin with a slash",
        ),
        (vec!["--web.listen-address=nowhere"], "listen on nowhere"),
    ] {
        let out = process::binary()
            .arg("node-exporter")
            .args(&flags)
            .output()
            .expect("the binary starts");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success(), "{flags:?}");
        assert!(said.contains(why), "{flags:?}: {said}");
    }
}

#[test]
fn a_link_with_the_originals_name_takes_its_grammar() {
    let dir = TempDir::new();
    let link = dir.path().join("node_exporter");
    let own = process::binary();
    std::os::unix::fs::symlink(own.get_program(), &link).expect("a link");
    let mut command = Command::new(&link);
    command.args([
        "--web.listen-address=127.0.0.1:0",
        "--no-collector.arp",
        "--collector.filesystem.mount-points-exclude=^/(sys|proc|dev|host|etc)($|/)",
    ]);
    let s = Server::run(command);
    assert_eq!(s.get("/metrics").status, 200);
}

#[test]
fn files_of_other_programs_are_shown_as_they_fit() {
    let dir = TempDir::new();
    dir.write("a/a.prom", "# HELP m A.\n# TYPE m counter\nm{f=\"a\"} 1\n");
    dir.write("a/b.prom", "# HELP m B.\n# TYPE m counter\nm{f=\"b\"} 2\n");
    dir.write(
        "b/h.prom",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 1\nh_count 3\n",
    );
    dir.write("b/bad.prom", "x 1 1395066363000\n");
    dir.write("b/no.txt", "y 1\n");
    let flag = format!("--collector.textfile.directory={}/*", dir.path().display());
    let s = start(&[
        "--collector.disable-defaults",
        "--collector.textfile",
        &flag,
    ]);
    let text = s.get("/metrics").text();
    for line in [
        "# HELP m A.",
        "m{f=\"a\"} 1",
        "h_bucket{le=\"+Inf\"} 3",
        "h_count 3",
        "node_textfile_scrape_error 1",
        "node_scrape_collector_success{collector=\"textfile\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    for absent in ["m{f=\"b\"}", "\nx 1", "\ny 1", "bad.prom"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
}
