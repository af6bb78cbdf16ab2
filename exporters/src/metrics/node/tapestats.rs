//! Tape drives, from `/sys/class/scsi_tape`.

use super::read::{self, Outcome, Roots};
use super::settings::{Filter, Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const IGNORED: Flag = Flag::text(
    "collector.tapestats.ignored-devices",
    "^$",
    "Drives to leave out, as a regular expression",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("tapestats", &[IGNORED], build);

/// File, divisor, metric, help, kind. Times are in nanoseconds.
const FILES: &[(&str, f64, &str, &str, Kind)] = &[
    (
        "in_flight",
        1.0,
        "node_tape_io_now",
        "The number of I/Os currently outstanding to this device.",
        Kind::Gauge,
    ),
    (
        "io_ns",
        1e9,
        "node_tape_io_time_seconds_total",
        "The amount of time spent waiting for all I/O to complete (including read and write). This includes tape movement commands such as seeking between file or set marks and implicit tape movement such as when rewind on close tape devices are used.",
        Kind::Counter,
    ),
    (
        "other_cnt",
        1.0,
        "node_tape_io_others_total",
        "The number of I/Os issued to the tape drive other than read or write commands. The time taken to complete these commands uses the following calculation io_time_seconds_total-read_time_seconds_total-write_time_seconds_total",
        Kind::Counter,
    ),
    (
        "read_byte_cnt",
        1.0,
        "node_tape_read_bytes_total",
        "The number of bytes read from the tape drive.",
        Kind::Counter,
    ),
    (
        "read_cnt",
        1.0,
        "node_tape_reads_completed_total",
        "The number of read requests issued to the tape drive.",
        Kind::Counter,
    ),
    (
        "read_ns",
        1e9,
        "node_tape_read_time_seconds_total",
        "The amount of time spent waiting for read requests to complete.",
        Kind::Counter,
    ),
    (
        "resid_cnt",
        1.0,
        "node_tape_residual_total",
        "The number of times during a read or write we found the residual amount to be non-zero. This should mean that a program is issuing a read larger thean the block size on tape. For write not all data made it to tape.",
        Kind::Counter,
    ),
    (
        "write_byte_cnt",
        1.0,
        "node_tape_written_bytes_total",
        "The number of bytes written to the tape drive.",
        Kind::Counter,
    ),
    (
        "write_cnt",
        1.0,
        "node_tape_writes_completed_total",
        "The number of write requests issued to the tape drive.",
        Kind::Counter,
    ),
    (
        "write_ns",
        1e9,
        "node_tape_write_time_seconds_total",
        "The amount of time spent waiting for write requests to complete.",
        Kind::Counter,
    ),
];

fn build(s: &Settings) -> Result<Run, String> {
    let filter = Filter::excluding(s.pattern(&IGNORED)?);
    Ok(Box::new(move |r, out| collect(r, &filter, out)))
}

fn collect(r: &Roots, filter: &Filter, out: &mut Sink) -> Outcome {
    let folder = r.sys("class/scsi_tape");
    for (device, number) in read::numbered(&folder, "st")? {
        // st0a, st0l and st0m are the same drive in other modes.
        let drive = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        if !drive || !filter.keeps(&device) {
            continue;
        }
        for (file, divisor, name, help, kind) in FILES {
            if let Some(v) = read::number_if(&folder.join(&device).join("stats").join(file)) {
                let family = out.family(*name, *help, *kind);
                out.add(family, &[("device", &device)], v / divisor);
            }
        }
    }
    Ok(())
}
