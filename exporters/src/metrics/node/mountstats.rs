//! Mounts of NFS servers, from `/proc/self/mountstats`.

use std::collections::HashSet;
use std::path::Path;

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("mountstats", collect).on_request().whole();

type Metric = (&'static str, &'static str);

/// The kernel's times and sizes overflow; what is left of them fits a float.
const MANTISSA: u64 = 1 << 53;
/// Milliseconds of a second.
const MILLI: f64 = 1000.0;

/// Numbers of the `bytes` line in its order.
const BYTES: [Metric; 8] = [
    (
        "node_mountstats_nfs_read_bytes_total",
        "Number of bytes read using the read() syscall.",
    ),
    (
        "node_mountstats_nfs_write_bytes_total",
        "Number of bytes written using the write() syscall.",
    ),
    (
        "node_mountstats_nfs_direct_read_bytes_total",
        "Number of bytes read using the read() syscall in O_DIRECT mode.",
    ),
    (
        "node_mountstats_nfs_direct_write_bytes_total",
        "Number of bytes written using the write() syscall in O_DIRECT mode.",
    ),
    (
        "node_mountstats_nfs_total_read_bytes_total",
        "Number of bytes read from the NFS server, in total.",
    ),
    (
        "node_mountstats_nfs_total_write_bytes_total",
        "Number of bytes written to the NFS server, in total.",
    ),
    (
        "node_mountstats_nfs_read_pages_total",
        "Number of pages read directly via mmap()'d files.",
    ),
    (
        "node_mountstats_nfs_write_pages_total",
        "Number of pages written directly via mmap()'d files.",
    ),
];

/// Numbers of the `events` line in its order.
const EVENTS: [Metric; 27] = [
    (
        "node_mountstats_nfs_event_inode_revalidate_total",
        "Number of times cached inode attributes are re-validated from the server.",
    ),
    (
        "node_mountstats_nfs_event_dnode_revalidate_total",
        "Number of times cached dentry nodes are re-validated from the server.",
    ),
    (
        "node_mountstats_nfs_event_data_invalidate_total",
        "Number of times an inode cache is cleared.",
    ),
    (
        "node_mountstats_nfs_event_attribute_invalidate_total",
        "Number of times cached inode attributes are invalidated.",
    ),
    (
        "node_mountstats_nfs_event_vfs_open_total",
        "Number of times cached inode attributes are invalidated.",
    ),
    (
        "node_mountstats_nfs_event_vfs_lookup_total",
        "Number of times a directory lookup has occurred.",
    ),
    (
        "node_mountstats_nfs_event_vfs_access_total",
        "Number of times permissions have been checked.",
    ),
    (
        "node_mountstats_nfs_event_vfs_update_page_total",
        "Number of updates (and potential writes) to pages.",
    ),
    (
        "node_mountstats_nfs_event_vfs_read_page_total",
        "Number of pages read directly via mmap()'d files.",
    ),
    (
        "node_mountstats_nfs_event_vfs_read_pages_total",
        "Number of times a group of pages have been read.",
    ),
    (
        "node_mountstats_nfs_event_vfs_write_page_total",
        "Number of pages written directly via mmap()'d files.",
    ),
    (
        "node_mountstats_nfs_event_vfs_write_pages_total",
        "Number of times a group of pages have been written.",
    ),
    (
        "node_mountstats_nfs_event_vfs_getdents_total",
        "Number of times directory entries have been read with getdents().",
    ),
    (
        "node_mountstats_nfs_event_vfs_setattr_total",
        "Number of times directory entries have been read with getdents().",
    ),
    (
        "node_mountstats_nfs_event_vfs_flush_total",
        "Number of pending writes that have been forcefully flushed to the server.",
    ),
    (
        "node_mountstats_nfs_event_vfs_fsync_total",
        "Number of times fsync() has been called on directories and files.",
    ),
    (
        "node_mountstats_nfs_event_vfs_lock_total",
        "Number of times locking has been attempted on a file.",
    ),
    (
        "node_mountstats_nfs_event_vfs_file_release_total",
        "Number of times files have been closed and released.",
    ),
    // A counter that the kernel no longer moves.
    ("", ""),
    (
        "node_mountstats_nfs_event_truncation_total",
        "Number of times files have been truncated.",
    ),
    (
        "node_mountstats_nfs_event_write_extension_total",
        "Number of times a file has been grown due to writes beyond its existing end.",
    ),
    (
        "node_mountstats_nfs_event_silly_rename_total",
        "Number of times a file was removed while still open by another process.",
    ),
    (
        "node_mountstats_nfs_event_short_read_total",
        "Number of times the NFS server gave less data than expected while reading.",
    ),
    (
        "node_mountstats_nfs_event_short_write_total",
        "Number of times the NFS server wrote less data than expected while writing.",
    ),
    (
        "node_mountstats_nfs_event_jukebox_delay_total",
        "Number of times the NFS server indicated EJUKEBOX; retrieving data from offline storage.",
    ),
    (
        "node_mountstats_nfs_event_pnfs_read_total",
        "Number of NFS v4.1+ pNFS reads.",
    ),
    (
        "node_mountstats_nfs_event_pnfs_write_total",
        "Number of NFS v4.1+ pNFS writes.",
    ),
];

/// Numbers of a transport.
const TRANSPORT: [(&str, &str, Kind); 10] = [
    (
        "node_mountstats_nfs_transport_bind_total",
        "Number of times the client has had to establish a connection from scratch to the NFS server.",
        Kind::Counter,
    ),
    (
        "node_mountstats_nfs_transport_connect_total",
        "Number of times the client has made a TCP connection to the NFS server.",
        Kind::Counter,
    ),
    (
        "node_mountstats_nfs_transport_idle_time_seconds",
        "Duration since the NFS mount last saw any RPC traffic, in seconds.",
        Kind::Gauge,
    ),
    (
        "node_mountstats_nfs_transport_sends_total",
        "Number of RPC requests for this mount sent to the NFS server.",
        Kind::Counter,
    ),
    (
        "node_mountstats_nfs_transport_receives_total",
        "Number of RPC responses for this mount received from the NFS server.",
        Kind::Counter,
    ),
    (
        "node_mountstats_nfs_transport_bad_transaction_ids_total",
        "Number of times the NFS server sent a response with a transaction ID unknown to this client.",
        Kind::Counter,
    ),
    (
        "node_mountstats_nfs_transport_backlog_queue_total",
        "Total number of items added to the RPC backlog queue.",
        Kind::Counter,
    ),
    (
        "node_mountstats_nfs_transport_maximum_rpc_slots",
        "Maximum number of simultaneously active RPC requests ever used.",
        Kind::Gauge,
    ),
    (
        "node_mountstats_nfs_transport_sending_queue_total",
        "Total number of items added to the RPC transmission sending queue.",
        Kind::Counter,
    ),
    (
        "node_mountstats_nfs_transport_pending_queue_total",
        "Total number of items added to the RPC transmission pending queue.",
        Kind::Counter,
    ),
];
/// Their fields in the `xprt` line over TCP, from the port on.
const FIELDS: [usize; 10] = [1, 2, 4, 5, 6, 7, 9, 10, 11, 12];
/// Fields of that line, by version of the statistics.
const TCP: [usize; 2] = [10, 13];
/// The same over UDP, which connects to nothing and is never idle: three fields less.
const UDP: [usize; 2] = [7, 10];
/// Fewest fields over RDMA, which has ten of those of TCP and then its own.
const RDMA_MIN: usize = 20;
/// How many of its fields are those of TCP.
const RDMA_SHARED: usize = 10;

/// Numbers of an operation: field, divisor, metric.
const OPERATION: [(usize, f64, &str, &str); 8] = [
    (
        0,
        1.0,
        "node_mountstats_nfs_operations_requests_total",
        "Number of requests performed for a given operation.",
    ),
    (
        1,
        1.0,
        "node_mountstats_nfs_operations_transmissions_total",
        "Number of times an actual RPC request has been transmitted for a given operation.",
    ),
    (
        2,
        1.0,
        "node_mountstats_nfs_operations_major_timeouts_total",
        "Number of times a request has had a major timeout for a given operation.",
    ),
    (
        3,
        1.0,
        "node_mountstats_nfs_operations_sent_bytes_total",
        "Number of bytes sent for a given operation, including RPC headers and payload.",
    ),
    (
        4,
        1.0,
        "node_mountstats_nfs_operations_received_bytes_total",
        "Number of bytes received for a given operation, including RPC headers and payload.",
    ),
    (
        5,
        MILLI,
        "node_mountstats_nfs_operations_queue_time_seconds_total",
        "Duration all requests spent queued for transmission for a given operation before they were sent, in seconds.",
    ),
    (
        6,
        MILLI,
        "node_mountstats_nfs_operations_response_time_seconds_total",
        "Duration all requests took to get a reply back after a request for a given operation was transmitted, in seconds.",
    ),
    (
        7,
        MILLI,
        "node_mountstats_nfs_operations_request_time_seconds_total",
        "Duration all requests took from when a request was enqueued to when it was completely handled for a given operation, in seconds.",
    ),
];

/// A mount with its statistics, if it is one of NFS.
struct Mount<'a> {
    export: &'a str,
    point: &'a str,
    stats: Option<Stats<'a>>,
}

/// Statistics of a mount, checked field by field.
#[derive(Default)]
struct Stats<'a> {
    age: f64,
    bytes: Vec<f64>,
    events: Vec<f64>,
    /// Protocol and numbers of each connection, in the order of those of TCP.
    transports: Vec<(&'a str, Vec<f64>)>,
    operations: Vec<(&'a str, Vec<u64>)>,
}

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let path = r.proc("self/mountstats");
    let text = read::text(&path)?;
    let mounts = mounts(&path, &text)?;
    // The same mounts in the same order.
    let path = r.proc("self/mountinfo");
    let text = read::text(&path)?;
    let addresses = addresses(&path, &text)?;
    let (mut points, mut devices) = (HashSet::new(), HashSet::new());
    for (i, mount) in mounts.iter().enumerate() {
        let Some(stats) = &mount.stats else { continue };
        let address = addresses.get(i).copied().unwrap_or("");
        for (protocol, _) in &stats.transports {
            let labels = [
                ("export", mount.export),
                ("protocol", protocol),
                ("mountaddr", address),
            ];
            let [export, protocol, address] = labels;
            if points.insert((labels, mount.point)) {
                out.gauge(
                    "node_mountstats_nfs_mountpoint_info",
                    "Info metric for an NFS mountpoint.",
                    &[export, protocol, address, ("mountpoint", mount.point)],
                    1.0,
                );
            }
            // The same export by the same way has the same numbers.
            if !devices.insert(labels) {
                break;
            }
            stats.emit(labels, out);
        }
    }
    Ok(())
}

/// Every mount; what is not understood is an error, because its neighbours would be mistaken.
fn mounts<'a>(path: &Path, text: &'a str) -> Result<Vec<Mount<'a>>, Problem> {
    let mut all = Vec::new();
    let mut rows = read::rows(text);
    while let Some(row) = rows.next() {
        if row.first() != Some(&"device") {
            continue;
        }
        let [
            _,
            export,
            "mounted",
            "on",
            point,
            "with",
            "fstype",
            kind,
            more @ ..,
        ] = row.as_slice()
        else {
            return Err(wrong(path, &row));
        };
        let stats = match (more.first(), *kind) {
            (None, _) => None,
            (Some(version), "nfs" | "nfs4") => {
                let version = version.trim_start_matches("statvers=");
                Some(Stats::read(path, version, &mut rows)?)
            }
            _ => return Err(wrong(path, &row)),
        };
        all.push(Mount {
            export,
            point,
            stats,
        });
    }
    Ok(all)
}

/// The server of every mount, empty for what has none.
fn addresses<'a>(path: &Path, text: &'a str) -> Result<Vec<&'a str>, Problem> {
    let each = text.lines().map(|line| {
        // 36 35 98:0 / /mnt rw,noatime shared:1 - nfs host:/export rw,addr=192.0.2.1
        let fields: Vec<&str> = line.split(' ').collect();
        match fields.as_slice() {
            [_, _, _, _, _, _, .., "-", _, _, options] => {
                let mut pairs = options.split(',').filter_map(|o| o.split_once('='));
                Ok(pairs.find(|(k, _)| *k == "addr").map_or("", |(_, v)| v))
            }
            _ => Err(wrong(path, &fields)),
        }
    });
    each.collect()
}

fn wrong(path: &Path, row: &[&str]) -> Problem {
    let line = row.join(" ");
    Problem::format(path, format_args!("{line:?} is not understood"))
}

impl<'a> Stats<'a> {
    fn read(
        path: &Path,
        version: &str,
        rows: &mut impl Iterator<Item = Vec<&'a str>>,
    ) -> Result<Self, Problem> {
        let mut s = Self::default();
        for row in rows.by_ref() {
            let numbers = |from: usize| {
                let fields = row.get(from..).unwrap_or_default().iter();
                let all: Option<Vec<f64>> = fields.map(|f| read::count(f)).collect();
                all.ok_or_else(|| wrong(path, &row))
            };
            match row.as_slice() {
                [] | ["per-op", ..] => break,
                ["age:", seconds, ..] => {
                    s.age = read::parse(seconds).ok_or_else(|| wrong(path, &row))?;
                }
                ["bytes:", ..] => s.bytes = numbers(1)?,
                ["events:", ..] => s.events = numbers(1)?,
                ["xprt:", protocol, _, ..] => {
                    let numbers = transport(version, protocol, numbers(2)?);
                    let numbers = numbers.ok_or_else(|| wrong(path, &row))?;
                    s.transports.push((protocol, numbers));
                }
                ["age:" | "xprt:" | "opts:"] | ["xprt:", _] => return Err(wrong(path, &row)),
                _ => {}
            }
            let fits = |n: usize, all: usize| n == 0 || n == all;
            if !fits(s.bytes.len(), BYTES.len()) || !fits(s.events.len(), EVENTS.len()) {
                return Err(wrong(path, &row));
            }
        }
        for row in rows {
            let Some((name, fields)) = row.split_first() else {
                break;
            };
            let numbers: Option<Vec<u64>> = fields.iter().map(|f| f.parse().ok()).collect();
            match numbers.filter(|n| n.len() >= OPERATION.len()) {
                Some(n) => s.operations.push((name.trim_end_matches(':'), n)),
                None => return Err(wrong(path, &row)),
            }
        }
        Ok(s)
    }

    fn emit(&self, labels: [(&str, &str); 3], out: &mut Sink) {
        out.counter(
            "node_mountstats_nfs_age_seconds_total",
            "The age of the NFS mount in seconds.",
            &labels,
            self.age,
        );
        numbers(&BYTES, &self.bytes, &labels, out);
        numbers(&EVENTS, &self.events, &labels, out);
        let [export, protocol, address] = labels;
        for (i, (_, fields)) in self.transports.iter().enumerate() {
            let transport = i.to_string();
            let labels = [export, protocol, address, ("transport", &*transport)];
            for ((name, help, kind), place) in TRANSPORT.iter().zip(FIELDS) {
                let family = out.family(*name, *help, *kind);
                let v = fields.get(place).copied().unwrap_or(0.0);
                out.add(family, &labels, v);
            }
        }
        for (operation, fields) in &self.operations {
            let labels = [export, protocol, address, ("operation", *operation)];
            for (i, divisor, name, help) in OPERATION {
                let v = fields.get(i).copied().unwrap_or(0);
                // Only times are known to overflow.
                let v = if divisor == MILLI { v % MANTISSA } else { v };
                out.counter(name, help, &labels, v as f64 / divisor);
            }
        }
    }
}

/// The numbers of an `xprt` line in the order of TCP; none when there are too many or too few.
fn transport(version: &str, protocol: &str, fields: Vec<f64>) -> Option<Vec<f64>> {
    let place = match version {
        "1.0" => 0,
        "1.1" => 1,
        _ => return None,
    };
    let right = match protocol {
        "tcp" => TCP.get(place) == Some(&fields.len()),
        "udp" => UDP.get(place) == Some(&fields.len()),
        "rdma" => place == 1 && fields.len() >= RDMA_MIN,
        _ => false,
    };
    let mut fields = right.then_some(fields)?;
    match protocol {
        "udp" => drop(fields.splice(2..2, [0.0; 3])),
        "rdma" => fields.truncate(RDMA_SHARED),
        _ => {}
    }
    Some(fields)
}

/// Shows all of `metrics`; what the mount does not tell is zero.
fn numbers(metrics: &[Metric], fields: &[f64], labels: &[(&str, &str)], out: &mut Sink) {
    for (i, (name, help)) in metrics.iter().enumerate() {
        if !name.is_empty() {
            let v = fields.get(i).copied().unwrap_or(0.0);
            out.counter(*name, *help, labels, v);
        }
    }
}
