//! Trees of the kernel's files that are unusual and right, and some that are wrong: what older and
//! younger kernels write, what is missing in containers, what is not understood.

use std::path::PathBuf;

use super::{Node, Roots, Settings};
use crate::emit::Sink;

/// A folder that is removed when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let folder = format!("sextant-node-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        drop(std::fs::remove_dir_all(&folder));
        for part in ["proc", "sys"] {
            std::fs::create_dir_all(folder.join(part)).expect("a folder");
        }
        Self(folder)
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let file = self.0.join(path);
        let folder = file.parent().expect("a parent");
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(file, text).expect("a file");
        self
    }

    fn link(&self, path: &str, to: &str) -> &Self {
        let link = self.0.join(path);
        std::fs::create_dir_all(link.parent().expect("a parent")).expect("a folder");
        std::os::unix::fs::symlink(to, link).expect("a link");
        self
    }

    /// What `collector` shows, without help and types, and whether it succeeded.
    fn ask(&self, collector: &str, flags: &[(&str, &str)]) -> (Vec<String>, bool) {
        let mut settings = Settings::default();
        settings.none_by_default = true;
        settings.switch(collector, true);
        for (name, value) in flags {
            settings.give(name, vec![(*value).to_owned()]);
        }
        let roots = Roots {
            procfs: self.0.join("proc"),
            sysfs: self.0.join("sys"),
            rootfs: self.0.clone(),
            udev: self.0.join("udev"),
        };
        let node = Node::new(roots, &settings).expect("flags");
        let selection = node.select(&[], &[]).expect("all");
        let mut sink = Sink::new();
        let problems = node.scrape(&selection, &mut sink);
        let text = sink.text();
        let shown = text.lines().filter(|l| !l.starts_with('#'));
        let shown = shown.filter(|l| !l.starts_with("node_scrape_collector"));
        (shown.map(str::to_owned).collect(), problems.is_empty())
    }

    fn shows(&self, collector: &str, lines: &[&str]) {
        let (shown, good) = self.ask(collector, &[]);
        assert!(good, "{collector}: {shown:#?}");
        for line in lines {
            assert!(
                shown.iter().any(|l| l == line),
                "{collector}: {line}: {shown:#?}"
            );
        }
    }

    /// The collector gives up and shows nothing.
    fn refuses(&self, collector: &str) {
        let (shown, good) = self.ask(collector, &[]);
        assert!(!good && shown.is_empty(), "{collector}: {shown:#?}");
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn processors_come_and_go() {
    let t = Tree::new("cpu");
    t.write("proc/stat", "cpu 1 1 1 1\ncpu0 100 0 0 300\ncpu2 200\n");
    for (cpu, online, package) in [(0, "1", "0"), (1, "0", "-1"), (2, "1", "0")] {
        let folder = format!("sys/devices/system/cpu/cpu{cpu}");
        t.write(&format!("{folder}/online"), online)
            .write(&format!("{folder}/topology/physical_package_id"), package)
            .write(&format!("{folder}/topology/core_id"), &cpu.to_string())
            .write(
                &format!("{folder}/thermal_throttle/core_throttle_count"),
                "5",
            );
    }
    t.shows(
        "cpu",
        &[
            "node_cpu_online{cpu=\"0\"} 1",
            "node_cpu_online{cpu=\"1\"} 0",
            "node_cpu_seconds_total{cpu=\"2\",mode=\"user\"} 2",
            // A kernel with few modes.
            "node_cpu_seconds_total{cpu=\"2\",mode=\"steal\"} 0",
            "node_cpu_core_throttles_total{package=\"0\",core=\"2\"} 5",
        ],
    );
    let (shown, _) = t.ask("cpu", &[]);
    assert!(
        !shown.iter().any(|l| l.contains("package=\"-1\"")),
        "{shown:#?}"
    );
    t.write("proc/stat", "cpu0 100 x\n");
    assert!(!t.ask("cpu", &[]).1);
    // The frequency belongs to another collector.
    t.write("proc/stat", "cpu0 1\n");
    t.write("proc/cpuinfo", "processor\t: 0\nvendor\t: acme\n");
    let (shown, good) = t.ask("cpu", &[("collector.cpu.info", "true")]);
    assert!(
        good && shown.iter().any(|l| l.contains("vendor=\"acme\"")),
        "{shown:#?}"
    );
    assert!(!shown.iter().any(|l| l.contains("frequency")), "{shown:#?}");
}

#[test]
fn kernels_with_fewer_lines() {
    let t = Tree::new("older");
    t.write("proc/stat", "intr 5\nbtime 7\n");
    t.shows(
        "stat",
        &[
            "node_intr_total 5",
            "node_forks_total 0",
            "node_procs_blocked 0",
        ],
    );
    t.write("proc/net/xfrm_stat", "XfrmInError 3\n");
    t.shows(
        "xfrm",
        &[
            "node_xfrm_in_error_packets_total 3",
            "node_xfrm_acquire_error_packets_total 0",
        ],
    );
    t.write("proc/net/rpc/nfs", "rpc 3 2 1\nproc4 2 8 9\n");
    t.shows(
        "nfs",
        &[
            "node_nfs_rpcs_total 3",
            "node_nfs_connections_total 0",
            "node_nfs_requests_total{method=\"Read\",proto=\"4\"} 9",
            "node_nfs_requests_total{method=\"Clone\",proto=\"4\"} 0",
        ],
    );
    t.write("proc/net/rpc/nfsd", "th 8 0 0.000 0.000\nio 5 6\n");
    t.shows(
        "nfsd",
        &[
            "node_nfsd_server_threads 8",
            "node_nfsd_disk_bytes_written_total 6",
        ],
    );
    t.write(
        "proc/net/softnet_stat",
        "0a 0 0 0 0 0 0 0 1\n0b 0 0 0 0 0 0 0 2\n",
    );
    t.shows(
        "softnet",
        &[
            "node_softnet_processed_total{cpu=\"1\"} 11",
            "node_softnet_flow_limit_count_total{cpu=\"0\"} 0",
        ],
    );
    t.write("proc/net/sockstat", "sockets: used 9\nRAW: mem -1\n");
    t.shows(
        "sockstat",
        &[
            "node_sockstat_sockets_used 9",
            "node_sockstat_RAW_inuse 0",
            "node_sockstat_RAW_mem -1",
        ],
    );
    t.write(
        "proc/pressure/memory",
        "some avg10=0.00 avg60=0 avg300=0 total=2000000\nfull avg10=0 avg60=0 avg300=0 total=1\n",
    );
    t.shows(
        "pressure",
        &["node_pressure_memory_waiting_seconds_total 2"],
    );
    t.write(
        "proc/diskstats",
        "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 1 sda1 1 2 3 4\n",
    );
    let (shown, good) = t.ask("diskstats", &[("collector.diskstats.device-exclude", "")]);
    assert!(
        good && !shown.iter().any(|l| l.contains("sda1")),
        "{shown:#?}"
    );
    assert!(
        shown
            .iter()
            .any(|l| l == "node_disk_io_now{device=\"sda\"} 9"),
        "{shown:#?}"
    );
    t.write("proc/cgroups", "#name\ncpu\t-1\t2\t1\n");
    t.shows("cgroups", &["node_cgroups_cgroups{subsys_name=\"cpu\"} 2"]);
    t.write("proc/net/arp", "IP address HW type Flags HW address Mask Device\n192.0.2.1 0x1 0x0 00:00:00:00:00:00 * eth0\n");
    t.shows("arp", &["node_arp_entries{device=\"eth0\"} 1"]);
}

#[test]
fn numbers_of_64_bits() {
    let t = Tree::new("large");
    t.write(
        "proc/meminfo",
        "MemTotal: 18446744073709551615 kB\nHugePages_Total: 3\n",
    );
    t.shows(
        "meminfo",
        &[
            // The kernel's own arithmetic.
            "node_memory_MemTotal_bytes 1.8446744073709552e+19",
            "node_memory_HugePages_Total 3",
        ],
    );
    t.write(
        "proc/swaps",
        "Filename Type Size Used Priority\n/dev/sda2 partition 1024 0 -2\n",
    );
    t.shows(
        "swap",
        &[
            "node_swap_size_bytes{device=\"/dev/sda2\",swap_type=\"partition\"} 1.048576e+06",
            "node_swap_priority{device=\"/dev/sda2\",swap_type=\"partition\"} -2",
        ],
    );
}

#[test]
fn what_is_not_understood_is_not_shown_in_part() {
    let t = Tree::new("wrong");
    for (collector, file, text) in [
        (
            "arp",
            "net/arp",
            "192.0.2.1 0x1 0x2 00:00:00:00:00:00 * eth0\nx y\n",
        ),
        (
            "buddyinfo",
            "buddyinfo",
            "Node 0, zone DMA 1 2\nNode 0, zone DMA32 1\n",
        ),
        ("cgroups", "cgroups", "cpu 1 2 1\nmemory 1 x 1\n"),
        (
            "diskstats",
            "diskstats",
            "8 0 sdx 1 2 3 4 5 6 7 8 9 10 11\n8 0 sdy 1 x\n",
        ),
        ("entropy", "sys/kernel/random/entropy_avail", "-1"),
        ("interrupts", "interrupts", ""),
        ("lnstat", "net/stat/arp_cache", "entries\nzz\n"),
        (
            "mdadm",
            "mdstat",
            "md0 : active raid1 a[0] b[1]\n      8 blocks [2/2]\n\n",
        ),
        ("meminfo", "meminfo", "MemTotal: 5 kB\nMemFree: 5 MB\n"),
        ("netstat", "net/netstat", "TcpExt: A B\nTcpExt: 1\n"),
        ("nfs", "net/rpc/nfs", "rpc 1 2 3\nproc3 22 1\n"),
        ("nfsd", "net/rpc/nfsd", "io 1 2\nunheard 1\n"),
        ("slabinfo", "slabinfo", "kmalloc 1 2 3\n"),
        ("sockstat", "net/sockstat", "TCP: inuse 5\nUDP: inuse\n"),
        ("softirqs", "softirqs", " CPU0\nHI: 5\nTIMER: -1\n"),
        ("softnet", "net/softnet_stat", "1 2 3\n"),
        ("stat", "stat", "intr 5\nctxt x\n"),
        ("swap", "swaps", "Filename\n/dev/sda2 partition 1\n"),
        ("udp_queues", "net/udp", "head\n 1: 0:0 0:0 07 0:0\n"),
        ("vmstat", "vmstat", "pgfault\n"),
        ("xfrm", "net/xfrm_stat", "XfrmInError x\n"),
    ] {
        t.write(&format!("proc/{file}"), text).refuses(collector);
    }
}

/// One mount of NFS over one connection. `protocol` and its numbers are those of `xprt:`.
fn nfs(export: &str, transport: &str) -> String {
    format!(
        "device {export} mounted on /mnt with fstype nfs4 statvers=1.1\n\
         \topts:\trw,proto=tcp,mountaddr=198.51.100.9\n\tage:\t5\n\
         \tbytes:\t1 2 3 4 5 6 7 8\n\txprt:\t{transport}\n\
         \tper-op statistics\n\t READ: 1 2 0 3 18446744073709551615 5 6 7 0\n\n"
    )
}

#[test]
fn mounts_of_nfs_are_told_apart_by_server_and_protocol() {
    let t = Tree::new("nfs");
    let tcp = "tcp 832 0 1 0 11 4 5 0 6 0 2 0 0";
    let rdma = "rdma 0 1 2 0 12 7 8 0 9 0 1 2 3 4 5 6 7 8 9 10";
    let text = format!(
        "device proc mounted on /proc with fstype proc\n{}{}",
        nfs("host:/a", tcp),
        nfs("host:/b", rdma)
    );
    t.write("proc/self/mountstats", &text).write(
        "proc/self/mountinfo",
        "20 1 0:5 / /proc rw - proc proc rw\n\
         21 1 0:6 / /mnt rw shared:1 - nfs4 host:/a rw,vers=4.2,addr=192.0.2.7\n\
         22 1 0:7 / /mnt rw shared:2 - nfs4 host:/b rw,addr=192.0.2.8\n",
    );
    let a = "export=\"host:/a\",protocol=\"tcp\",mountaddr=\"192.0.2.7\"";
    let b = "export=\"host:/b\",protocol=\"rdma\",mountaddr=\"192.0.2.8\"";
    let lines = [
        format!("node_mountstats_nfs_mountpoint_info{{{a},mountpoint=\"/mnt\"}} 1"),
        format!("node_mountstats_nfs_transport_idle_time_seconds{{{a},transport=\"0\"}} 11"),
        format!("node_mountstats_nfs_transport_sends_total{{{b},transport=\"0\"}} 7"),
        format!("node_mountstats_nfs_transport_maximum_rpc_slots{{{b},transport=\"0\"}} 0"),
        format!("node_mountstats_nfs_event_vfs_open_total{{{a}}} 0"),
        format!(
            "node_mountstats_nfs_operations_received_bytes_total{{{a},operation=\"READ\"}} 1.8446744073709552e+19"
        ),
    ];
    t.shows("mountstats", &lines.each_ref().map(String::as_str));
    t.write("proc/self/mountstats", &nfs("host:/a", "tcp 1 2 3"));
    t.refuses("mountstats");
}

#[test]
fn arrays_in_every_state() {
    let t = Tree::new("md");
    t.write(
        "proc/mdstat",
        "Personalities : [raid1]\n\
         md0 : active raid1 sda[0] sdb[1](F)\n      100 blocks [2/1] [U_]\n      \
         [==>..] recovery = 12.6% (12/100) finish=1min speed=1K/sec\n\n\
         md1 : inactive sdc[0](S)\n      50 blocks super 1.2\n\n\
         md2 : active (auto-read-only) raid0 sdd[0] sde[1]\n      80 blocks\n\nunused devices: <none>\n",
    );
    for (device, level, disks) in [
        ("md0", "raid1", "11 (10)"),
        ("md1", "container", ""),
        ("md3", "raid0", "2"),
    ] {
        let folder = format!("sys/block/{device}/md");
        for (file, text) in [
            ("level", level),
            ("raid_disks", disks),
            ("array_state", "clean"),
            ("metadata_version", "1.2"),
            ("uuid", "x"),
            ("degraded", "1"),
        ] {
            t.write(&format!("{folder}/{file}"), text);
        }
    }
    t.shows(
        "mdadm",
        &[
            "node_md_blocks_synced{device=\"md0\"} 12",
            "node_md_state{device=\"md0\",state=\"recovering\"} 1",
            "node_md_disks{device=\"md0\",state=\"failed\"} 1",
            "node_md_disks{device=\"md1\",state=\"spare\"} 1",
            "node_md_disks{device=\"md1\",state=\"active\"} 0",
            "node_md_disks_required{device=\"md2\"} 2",
            "node_md_raid_disks{device=\"md0\"} 11",
            "node_md_degraded{device=\"md0\"} 1",
            "node_md_degraded{device=\"md1\"} 0",
        ],
    );
    let (shown, _) = t.ask("mdadm", &[]);
    assert!(
        !shown
            .iter()
            .any(|l| l.starts_with("node_md_raid_disks{device=\"md1\""))
    );
}

#[test]
fn devices_of_the_bus_have_names() {
    let t = Tree::new("pci");
    let real = "sys/devices/pci0000:00/0000:00:1f.6";
    for (file, text) in [
        ("class", "0x020000"),
        ("vendor", "0x8086"),
        ("device", "0x1533"),
        ("subsystem_vendor", "0x15d9"),
        ("subsystem_device", "0x1533"),
        ("revision", "0x3"),
        ("max_link_speed", "Unknown"),
        ("max_link_width", "8"),
        ("current_link_speed", "2.5 GT/s PCIe"),
        ("numa_node", "-1"),
        ("d3cold_allowed", "1"),
    ] {
        t.write(&format!("{real}/{file}"), text);
    }
    t.link(
        "sys/bus/pci/devices/0000:00:1f.6",
        "../../../devices/pci0000:00/0000:00:1f.6",
    );
    let place = "{segment=\"0000\",bus=\"00\",device=\"1f\",function=\"6\"}";
    let lines = [
        format!("node_pcidevice_max_link_transfers_per_second{place} -1"),
        format!("node_pcidevice_max_link_width{place} 8"),
        format!("node_pcidevice_current_link_transfers_per_second{place} 2.5e+09"),
        format!("node_pcidevice_current_link_width{place} -1"),
        format!("node_pcidevice_sriov_numvfs{place} 0"),
        format!("node_pcidevice_d3cold_allowed{place} 1"),
    ];
    t.shows("pcidevice", &lines.each_ref().map(String::as_str));
    let list = t.0.join("pci.ids");
    t.write(
        "pci.ids",
        "8086  Intel\n\t1533  I210\nC 02  Network\n\t00  Ethernet\n",
    );
    let list = list.to_string_lossy();
    let flags = [
        ("collector.pcidevice.names", "true"),
        ("collector.pcidevice.idsfile", &*list),
    ];
    let (shown, _) = t.ask("pcidevice", &flags);
    let info = shown.iter().find(|l| l.starts_with("node_pcidevice_info{"));
    let info = info.expect("a device");
    for part in [
        "parent_bus=\"*\"",
        "revision=\"0x03\"",
        "vendor_name=\"Intel\"",
        "device_name=\"I210\"",
        "subsystem_vendor_name=\"15d9\"",
        "class_name=\"Ethernet\"",
    ] {
        assert!(info.contains(part), "{part}: {info}");
    }
    assert!(!shown.iter().any(|l| l.contains("numa_node")), "{shown:#?}");
    t.write(&format!("{real}/current_link_speed"), "fast")
        .refuses("pcidevice");
}

#[test]
fn subsystems_and_cards() {
    let t = Tree::new("class");
    let folder = "sys/class/nvme-subsystem/nvme-subsys0";
    for (file, text) in [
        ("subsysnqn", "nqn.x"),
        ("model", "M"),
        ("serial", "S"),
        ("iopolicy", "numa"),
        ("nvme0/state", "live"),
        ("nvme0/transport", "tcp"),
        ("nvme0/address", "a"),
        ("nvme1/state", "deleting (no IO)"),
        ("nvme1/transport", "tcp"),
        ("nvme1/address", "a"),
        ("nvme0n1/size", "1"),
    ] {
        t.write(&format!("{folder}/{file}"), text);
    }
    let one = "subsystem=\"nvme-subsys0\"";
    let lines = [
        format!("node_nvmesubsystem_paths{{{one}}} 2"),
        format!("node_nvmesubsystem_paths_live{{{one}}} 1"),
        format!(
            "node_nvmesubsystem_path_state{{{one},controller=\"nvme1\",transport=\"tcp\",state=\"deleting\"}} 1"
        ),
        format!("node_nvmesubsystem_namespace_info{{{one},device=\"nvme0n1\"}} 1"),
    ];
    t.shows("nvmesubsystem", &lines.each_ref().map(String::as_str));
    let card = "sys/class/drm/card0/device";
    t.write(&format!("{card}/uevent"), "DRIVER=amdgpu\n")
        .write(&format!("{card}/gpu_busy_percent"), "4")
        .write("sys/class/drm/card1/device/uevent", "DRIVER=i915\n")
        .write("sys/class/drm/card0-DP-1/status", "connected");
    t.shows(
        "drm",
        &[
            "node_drm_gpu_busy_percent{card=\"card0\"} 4",
            "node_drm_memory_vram_used_bytes{card=\"card0\"} 0",
        ],
    );
    assert!(!t.ask("drm", &[]).0.iter().any(|l| l.contains("card1")));
}

#[test]
fn routes_of_this_host_can_be_asked_for() {
    let t = Tree::new("routes");
    // Without routes there is nothing to show, which is right as well.
    assert!(t.ask("network_route", &[]).1);
}

#[test]
fn older_names_of_flags() {
    let given = |flags: &[(&str, &str)]| {
        let mut s = Settings::default();
        for (name, value) in flags {
            s.give(name, vec![(*value).to_owned()]);
        }
        s.switch("qdisc", true);
        s.switch("systemd", true);
        Node::new(Roots::default(), &s).map(drop)
    };
    for (new, old) in [
        (
            "collector.netdev.device-include",
            "collector.netdev.device-whitelist",
        ),
        (
            "collector.netdev.device-exclude",
            "collector.netdev.device-blacklist",
        ),
        (
            "collector.qdisc.device-exclude",
            "collector.qdisk.device-exclude",
        ),
        (
            "collector.systemd.unit-include",
            "collector.systemd.unit-whitelist",
        ),
        (
            "collector.diskstats.device-exclude",
            "collector.diskstats.ignored-devices",
        ),
        (
            "collector.filesystem.fs-types-exclude",
            "collector.filesystem.ignored-fs-types",
        ),
    ] {
        assert_eq!(given(&[(old, "x")]), Ok(()), "{old}");
        let e = given(&[(old, "x"), (new, "y")]).expect_err(old);
        assert_eq!(e, format!("--{old} and --{new} are mutually exclusive"));
    }
}

#[test]
fn sensors_of_all_kinds() {
    let t = Tree::new("hwmon");
    for (file, text) in [
        ("name", "zz top\n"),
        ("beep_enable", "1\n"),
        ("vrm", "90\n"),
        ("update_interval", "1500\n"),
        ("temp1_input", "45000\n"),
        ("temp1", "44000\n"),
        ("temp1_fault", "1\n"),
        ("temp1_type", "4\n"),
        ("temp1_label", "\n"),
        ("temp06_input", "6000\n"),
        ("pwm1", "120\n"),
        ("fan1_fault", "0\n"),
        ("humidity1_alarm", "1\n"),
        ("intrusion0", "4\n"),
        ("freq1_input", "1234000000\n"),
        ("freq1_label", "Sclk X\n"),
        ("freq2_input", "5\n"),
        ("power1_accuracy", "20%\n"),
        ("in_input", "3\n"),
    ] {
        t.write(&format!("sys/class/hwmon/hwmon0/{file}"), text);
    }
    t.shows(
        "hwmon",
        &[
            "node_hwmon_beep_enabled{chip=\"zz_top\",sensor=\"beep_enable0\"} 1",
            "node_hwmon_voltage_regulator_version{chip=\"zz_top\",sensor=\"vrm0\"} 90",
            "node_hwmon_update_interval_seconds{chip=\"zz_top\",sensor=\"update_interval0\"} 1.5",
            "node_hwmon_temp_celsius{chip=\"zz_top\",sensor=\"temp1\"} 44",
            "node_hwmon_temp_input_celsius{chip=\"zz_top\",sensor=\"temp1\"} 45",
            "node_hwmon_temp_fault{chip=\"zz_top\",sensor=\"temp1\"} 1",
            "node_hwmon_temp_type{chip=\"zz_top\",sensor=\"temp1\"} 4",
            "node_hwmon_sensor_label{chip=\"zz_top\",label=\"\",sensor=\"temp1\"} 1",
            "node_hwmon_temp_celsius{chip=\"zz_top\",sensor=\"temp6\"} 6",
            "node_hwmon_pwm{chip=\"zz_top\",sensor=\"pwm1\"} 120",
            "node_hwmon_fan_fault{chip=\"zz_top\",sensor=\"fan1\"} 0",
            "node_hwmon_humidity_alarm{chip=\"zz_top\",sensor=\"humidity1\"} 1",
            "node_hwmon_intrusion{chip=\"zz_top\",sensor=\"intrusion0\"} 4",
            "node_hwmon_freq_freq_mhz{chip=\"zz_top\",sensor=\"sclk_x\"} 1234",
        ],
    );
    let (shown, _) = t.ask("hwmon", &[]);
    for none in [
        "accuracy",
        "sensor=\"freq2\"",
        "node_hwmon_in_",
        "node_hwmon_in{",
    ] {
        assert!(
            !shown.iter().any(|l| l.contains(none)),
            "{none}: {shown:#?}"
        );
    }
}

#[test]
fn chips_of_one_device_have_names_of_their_own() {
    let t = Tree::new("chips");
    t.write("sys/devices/platform/dup/uevent", "");
    for (chip, name) in [(3, "aa"), (4, "bb"), (5, "bb")] {
        let folder = format!("sys/class/hwmon/hwmon{chip}");
        t.write(&format!("{folder}/name"), name)
            .write(&format!("{folder}/temp1_input"), "2000")
            .link(&format!("{folder}/device"), "../../../devices/platform/dup");
    }
    let value =
        |chip: &str| format!("node_hwmon_temp_celsius{{chip=\"{chip}\",sensor=\"temp1\"}} 2");
    let lines = [
        "platform_dup_aa",
        "platform_dup_hwmon4",
        "platform_dup_hwmon5",
    ]
    .map(value);
    t.shows("hwmon", &lines.each_ref().map(String::as_str));
}

#[test]
fn adapters_count_as_they_can() {
    let t = Tree::new("adapters");
    let port = "sys/class/infiniband/mlx5_9/ports/3";
    t.write("sys/class/infiniband/mlx5_9/fw_ver", "1.2.3\n");
    for (file, text) in [
        ("state", "1: DOWN\n"),
        ("phys_state", "3: Disabled\n"),
        ("rate", "2.5 Gb/sec (1X SDR)\n"),
        ("counters/VL15_dropped", "5\n"),
        ("counters/port_xmit_wait", "N/A (no PMA)\n"),
        ("counters/port_rcv_data", "9223372036854775807\n"),
        ("hw_counters/lifespan", "12345\n"),
        ("hw_counters/rp_cnp_handled", "7\n"),
    ] {
        t.write(&format!("{port}/{file}"), text);
    }
    let of =
        |name: &str, v: &str| format!("node_infiniband_{name}{{device=\"mlx5_9\",port=\"3\"}} {v}");
    let lines = [
        of("state_id", "1"),
        of("rate_bytes_per_second", "3.125e+08"),
        of("vl15_dropped_total", "5"),
        // Four lanes, in 64 bits.
        of("port_data_received_bytes_total", "1.8446744073709552e+19"),
        of("lifespan_seconds", "12"),
        of("rp_cnp_packets_handled_total", "7"),
    ];
    t.shows("infiniband", &lines.each_ref().map(String::as_str));
    let host = "sys/class/fc_host/host";
    t.write(&format!("{host}7/port_state"), "Unknown\n")
        .write(&format!("{host}7/statistics/rx_frames"), "0x10\n")
        .write(&format!("{host}8/port_state"), "Online\n")
        .write(&format!("{host}8/statistics/rx_frames"), "16\n")
        .write(&format!("{host}8/statistics/tx_frames"), "0x10\n");
    t.shows(
        "fibrechannel",
        &[
            // Switched off: nothing is counted.
            "node_fibrechannel_rx_frames_total{fc_host=\"host7\"} 0",
            "node_fibrechannel_nos_total{fc_host=\"host7\"} 0",
            "node_fibrechannel_rx_frames_total{fc_host=\"host8\"} 16",
            "node_fibrechannel_tx_frames_total{fc_host=\"host8\"} 16",
        ],
    );
    t.write(&format!("{host}8/statistics/tx_frames"), "many\n");
    t.refuses("fibrechannel");
    t.write(&format!("{port}/counters/VL15_dropped"), "\n");
    t.refuses("infiniband");
}

#[test]
fn names_of_newer_kernels_and_versions() {
    let t = Tree::new("newer");
    t.write("sys/class/power_supply/BAT7/time_to_empty_now", "3600\n")
        .write("sys/class/power_supply/BAT7/time_to_full_now", "60\n")
        .write("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_avg_freq", "1234567\n")
        .write(
            "proc/zoneinfo",
            "Node 0, zone      DMA\n  pages free     3973\n        scanned  77\n      nr_mlock_stack 5\n",
        );
    t.shows(
        "powersupplyclass",
        &[
            "node_power_supply_time_to_empty_seconds{power_supply=\"BAT7\"} 3600",
            "node_power_supply_time_to_full_seconds{power_supply=\"BAT7\"} 60",
        ],
    );
    let average = "node_cpu_frequency_avg_hertz{cpu=\"0\"} 1.234567e+09";
    t.shows("cpufreq", &[average]);
    t.shows(
        "zoneinfo",
        &[
            "node_zoneinfo_scanned_pages{node=\"0\",zone=\"DMA\"} 77",
            "node_zoneinfo_nr_mlock_stack_pages{node=\"0\",zone=\"DMA\"} 5",
        ],
    );
}
