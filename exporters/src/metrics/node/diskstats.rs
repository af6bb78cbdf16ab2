//! Disks: counters from `/proc/diskstats`, facts from the udev database.

use std::collections::HashMap;
use std::path::Path;

use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Filter, Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const INCLUDE: Flag = Flag::text(
    "collector.diskstats.device-include",
    "",
    "Disks to show, as a regular expression; excludes device-exclude",
);
const EXCLUDE: Flag = Flag::text(
    "collector.diskstats.device-exclude",
    r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$",
    "Disks to leave out, as a regular expression; excludes device-include",
);
const IGNORED: Flag = Flag::text(
    "collector.diskstats.ignored-devices",
    "",
    "Older name of device-exclude",
);

/// The collector.
pub(super) const ENTRY: Entry =
    Entry::with("diskstats", &[INCLUDE, EXCLUDE, IGNORED], build).whole();

/// Bytes of a sector, whatever the disk's own sectors have.
const SECTOR: f64 = 512.0;
/// Milliseconds as seconds.
const MS: f64 = 1e-3;

/// Factor, metric, help, kind, in the order of the fields after the name.
const FIELDS: &[(f64, &str, &str, Kind)] = &[
    (
        1.0,
        "node_disk_reads_completed_total",
        "The total number of reads completed successfully.",
        Kind::Counter,
    ),
    (
        1.0,
        "node_disk_reads_merged_total",
        "The total number of reads merged.",
        Kind::Counter,
    ),
    (
        SECTOR,
        "node_disk_read_bytes_total",
        "The total number of bytes read successfully.",
        Kind::Counter,
    ),
    (
        MS,
        "node_disk_read_time_seconds_total",
        "The total number of seconds spent by all reads.",
        Kind::Counter,
    ),
    (
        1.0,
        "node_disk_writes_completed_total",
        "The total number of writes completed successfully.",
        Kind::Counter,
    ),
    (
        1.0,
        "node_disk_writes_merged_total",
        "The number of writes merged.",
        Kind::Counter,
    ),
    (
        SECTOR,
        "node_disk_written_bytes_total",
        "The total number of bytes written successfully.",
        Kind::Counter,
    ),
    (
        MS,
        "node_disk_write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
        Kind::Counter,
    ),
    (
        1.0,
        "node_disk_io_now",
        "The number of I/Os currently in progress.",
        Kind::Gauge,
    ),
    (
        MS,
        "node_disk_io_time_seconds_total",
        "Total seconds spent doing I/Os.",
        Kind::Counter,
    ),
    (
        MS,
        "node_disk_io_time_weighted_seconds_total",
        "The weighted # of seconds spent doing I/Os.",
        Kind::Counter,
    ),
    (
        1.0,
        "node_disk_discards_completed_total",
        "The total number of discards completed successfully.",
        Kind::Counter,
    ),
    (
        1.0,
        "node_disk_discards_merged_total",
        "The total number of discards merged.",
        Kind::Counter,
    ),
    (
        1.0,
        "node_disk_discarded_sectors_total",
        "The total number of sectors discarded successfully.",
        Kind::Counter,
    ),
    (
        MS,
        "node_disk_discard_time_seconds_total",
        "This is the total number of seconds spent by all discards.",
        Kind::Counter,
    ),
    (
        1.0,
        "node_disk_flush_requests_total",
        "The total number of flush requests completed successfully",
        Kind::Counter,
    ),
    (
        MS,
        "node_disk_flush_requests_time_seconds_total",
        "This is the total number of seconds spent by all flush requests.",
        Kind::Counter,
    ),
];

/// Counters that every device has.
const COUNTERS_MIN: usize = 11;

fn build(s: &Settings) -> Result<Run, String> {
    let filter = Filter::new(s, &INCLUDE, s.either(&EXCLUDE, &IGNORED)?)?;
    Ok(Box::new(move |r, out| collect(r, &filter, out)))
}

fn collect(r: &Roots, filter: &Filter, out: &mut Sink) -> Outcome {
    let path = r.proc("diskstats");
    let text = read::text(&path)?;
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let row: Vec<&str> = line.split_whitespace().collect();
        let wrong = || Problem::format(&path, format_args!("{line:?} is not understood"));
        let [major, minor, device, counters @ ..] = row.as_slice() else {
            return Err(wrong());
        };
        let numbers = [major, minor]
            .into_iter()
            .chain(counters.iter().take(FIELDS.len()));
        if !numbers.clone().all(|n| read::count(n).is_some()) {
            return Err(wrong());
        }
        // Partitions of very old kernels have fewer.
        if counters.len() < COUNTERS_MIN || !filter.keeps(device) {
            continue;
        }
        facts(r, (major, minor), device, out);
        for (value, (factor, name, help, kind)) in numbers.skip(2).zip(FIELDS) {
            let v = read::count(value).unwrap_or(0.0);
            let family = out.family(*name, *help, *kind);
            // Dividing by 1000 rounds once, multiplying by 0.001 twice.
            let v = if *factor == MS {
                v / 1000.0
            } else {
                v * factor
            };
            out.add(family, &[("device", device)], v);
        }
    }
    Ok(())
}

/// What udev knows of a device; nothing where there is no udev.
fn facts(r: &Roots, (major, minor): (&str, &str), device: &str, out: &mut Sink) {
    let text = read::text(&r.udev.join(format!("b{major}:{minor}"))).unwrap_or_default();
    let known: HashMap<&str, &str> = text
        .lines()
        .filter_map(|l| l.strip_prefix("E:")?.split_once('='))
        .collect();
    let of = |key: &str| known.get(key).copied().unwrap_or("");
    let serial = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"]
        .iter()
        .map(|k| of(k))
        .find(|s| !s.is_empty())
        .unwrap_or("");
    let rotational = rotational(&r.sys("block").join(device));
    out.gauge(
        "node_disk_info",
        "Info of /sys/block/<block_device>.",
        &[
            ("device", device),
            ("major", major),
            ("minor", minor),
            ("path", of("ID_PATH")),
            ("wwn", of("ID_WWN")),
            ("model", of("ID_MODEL")),
            ("serial", serial),
            ("revision", of("ID_REVISION")),
            ("rotational", rotational),
        ],
        1.0,
    );
    if !of("DM_NAME").is_empty() {
        out.gauge(
            "node_disk_device_mapper_info",
            "Info about disk device mapper.",
            &[
                ("device", device),
                ("name", of("DM_NAME")),
                ("uuid", of("DM_UUID")),
                ("vg_name", of("DM_VG_NAME")),
                ("lv_name", of("DM_LV_NAME")),
                ("lv_layer", of("DM_LV_LAYER")),
            ],
            1.0,
        );
    }
    if !of("ID_FS_TYPE").is_empty() {
        out.gauge(
            "node_disk_filesystem_info",
            "Info about disk filesystem.",
            &[
                ("device", device),
                ("type", of("ID_FS_TYPE")),
                ("usage", of("ID_FS_USAGE")),
                ("uuid", of("ID_FS_UUID")),
                ("version", of("ID_FS_VERSION")),
            ],
            1.0,
        );
    }
    if of("ID_ATA").is_empty() {
        return;
    }
    for (key, name, help) in [
        (
            "ID_ATA_WRITE_CACHE",
            "node_disk_ata_write_cache",
            "ATA disk has a write cache.",
        ),
        (
            "ID_ATA_WRITE_CACHE_ENABLED",
            "node_disk_ata_write_cache_enabled",
            "ATA disk has its write cache enabled.",
        ),
        (
            "ID_ATA_ROTATION_RATE_RPM",
            "node_disk_ata_rotation_rate_rpm",
            "ATA disk rotation rate in RPMs (0 for SSDs).",
        ),
    ] {
        if let Some(v) = known.get(key).and_then(|v| read::parse(v)) {
            out.gauge(name, help, &[("device", device)], v);
        }
    }
}

fn rotational(block: &Path) -> &'static str {
    match read::word(&block.join("queue/rotational")).as_deref() {
        Ok("1") => "1",
        _ => "0",
    }
}
