//! Mounts of NFS servers, from `/proc/self/mountstats`.

use std::collections::HashSet;

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("mountstats", collect).on_request();

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
const TCP: [usize; 10] = [1, 2, 4, 5, 6, 7, 9, 10, 11, 12];
/// The same over UDP, which connects to nothing and is never idle.
const UDP: [usize; 10] = [1, usize::MAX, usize::MAX, 2, 3, 4, 6, 7, 8, 9];

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

/// A mount while its lines are read.
struct Mount<'a> {
    export: &'a str,
    mountpoint: &'a str,
    protocol: String,
    address: String,
    transports: usize,
    /// Whether the same export by the same way was not there before: then its numbers are shown.
    first: bool,
    operations: bool,
}

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let text = read::text(&r.proc("self/mountstats"))?;
    let mut seen = HashSet::new();
    let mut mount: Option<Mount<'_>> = None;
    for row in read::rows(&text) {
        if let [
            "device",
            export,
            "mounted",
            "on",
            mountpoint,
            "with",
            "fstype",
            kind,
            ..,
        ] = row.as_slice()
        {
            mount = (*kind == "nfs" || *kind == "nfs4").then(|| Mount {
                export,
                mountpoint,
                protocol: String::new(),
                address: String::new(),
                transports: 0,
                first: false,
                operations: false,
            });
            continue;
        }
        let Some(m) = &mut mount else { continue };
        if row.first() == Some(&"opts:") {
            m.options(row.get(1).unwrap_or(&""));
            let key = (m.export, m.protocol.clone(), m.address.clone());
            m.first = seen.insert(key);
            let labels = [
                ("export", m.export),
                ("protocol", &m.protocol),
                ("mountaddr", &m.address),
                ("mountpoint", m.mountpoint),
            ];
            out.gauge(
                "node_mountstats_nfs_mountpoint_info",
                "Info metric for an NFS mountpoint.",
                &labels,
                1.0,
            );
        } else if m.first {
            m.line(&row, out);
        }
    }
    Ok(())
}

impl Mount<'_> {
    fn options(&mut self, list: &str) {
        let of = |key: &str| {
            let mut pairs = list.split(',').filter_map(|o| o.split_once('='));
            pairs.find(|(k, _)| *k == key).map(|(_, v)| v.to_owned())
        };
        self.protocol = of("proto").unwrap_or_default();
        let host = || {
            let host = self.export.rsplit_once(":/").map_or("", |(h, _)| h);
            host.to_owned()
        };
        self.address = of("mountaddr").unwrap_or_else(host);
    }

    fn line(&mut self, row: &[&str], out: &mut Sink) {
        let Some((key, fields)) = row.split_first() else {
            self.operations = false;
            return;
        };
        let export = ("export", self.export);
        let protocol = ("protocol", self.protocol.as_str());
        let address = ("mountaddr", self.address.as_str());
        let labels = [export, protocol, address];
        match *key {
            "age:" => {
                if let Some(v) = read::field(fields, 0) {
                    out.counter(
                        "node_mountstats_nfs_age_seconds_total",
                        "The age of the NFS mount in seconds.",
                        &labels,
                        v,
                    );
                }
            }
            "bytes:" => numbers(&BYTES, fields, &labels, out),
            "events:" => numbers(&EVENTS, fields, &labels, out),
            "xprt:" => {
                let transport = self.transports.to_string();
                self.transports += 1;
                let places = match fields.first() {
                    Some(&"udp") => &UDP,
                    _ => &TCP,
                };
                let labels = [export, protocol, address, ("transport", &transport)];
                for ((name, help, kind), i) in TRANSPORT.iter().zip(places) {
                    // The first field is the protocol.
                    let v = i.checked_add(1).and_then(|i| read::field(fields, i));
                    let family = out.family(*name, *help, *kind);
                    out.add(family, &labels, v.unwrap_or(0.0));
                }
            }
            "per-op" => self.operations = true,
            name if self.operations => {
                let operation = name.trim_end_matches(':');
                let labels = [export, protocol, address, ("operation", operation)];
                for (i, divisor, name, help) in OPERATION {
                    let v = fields.get(i).and_then(|f| f.parse::<u64>().ok());
                    if let Some(v) = v {
                        out.counter(name, help, &labels, (v % MANTISSA) as f64 / divisor);
                    }
                }
            }
            _ => {}
        }
    }
}

fn numbers(metrics: &[Metric], fields: &[&str], labels: &[(&str, &str)], out: &mut Sink) {
    for ((name, help), field) in metrics
        .iter()
        .zip(fields)
        .filter(|((n, _), _)| !n.is_empty())
    {
        if let Some(v) = read::parse(field) {
            out.counter(*name, *help, labels, v);
        }
    }
}
