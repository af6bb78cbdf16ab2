//! The NFS server's counters, from `/proc/net/rpc/nfsd`.

use super::Entry;
use super::nfs::{Lines, VERSION_2, VERSION_3, Width};
use super::read::{Outcome, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("nfsd", collect).whole();

/// Operations of version 4 by number, from the first one in use; unnamed ones are not shown.
const VERSION_4: [&str; 37] = [
    "Access",
    "Close",
    "Commit",
    "Create",
    "DelegPurge",
    "DelegReturn",
    "GetAttr",
    "GetFH",
    "Link",
    "Lock",
    "Lockt",
    "Locku",
    "Lookup",
    "LookupRoot",
    "Nverify",
    "Open",
    "OpenAttr",
    "OpenConfirm",
    "OpenDgrd",
    "PutFH",
    "",
    "",
    "Read",
    "ReadDir",
    "ReadLink",
    "Remove",
    "Rename",
    "Renew",
    "RestoreFH",
    "SaveFH",
    "SecInfo",
    "SetAttr",
    "SetClientID",
    "SetClientIDConfirm",
    "Verify",
    "Write",
    "RelLockOwner",
];
/// Number of the first of them.
const FIRST: usize = 3;

/// Line, field, metric, help, kind.
const NUMBERS: &[(&str, usize, &str, &str, Kind)] = &[
    (
        "rc",
        1,
        "node_nfsd_reply_cache_hits_total",
        "Total number of NFSd Reply Cache hits (client lost server response).",
        Kind::Counter,
    ),
    (
        "rc",
        2,
        "node_nfsd_reply_cache_misses_total",
        "Total number of NFSd Reply Cache an operation that requires caching (idempotent).",
        Kind::Counter,
    ),
    (
        "rc",
        3,
        "node_nfsd_reply_cache_nocache_total",
        "Total number of NFSd Reply Cache non-idempotent operations (rename/delete/…).",
        Kind::Counter,
    ),
    (
        "fh",
        1,
        "node_nfsd_file_handles_stale_total",
        "Total number of NFSd stale file handles",
        Kind::Counter,
    ),
    (
        "io",
        1,
        "node_nfsd_disk_bytes_read_total",
        "Total NFSd bytes read.",
        Kind::Counter,
    ),
    (
        "io",
        2,
        "node_nfsd_disk_bytes_written_total",
        "Total NFSd bytes written.",
        Kind::Counter,
    ),
    (
        "th",
        1,
        "node_nfsd_server_threads",
        "Total number of NFSd kernel threads that are running.",
        Kind::Gauge,
    ),
    (
        "ra",
        1,
        "node_nfsd_read_ahead_cache_size_blocks",
        "How large the read ahead cache is in blocks.",
        Kind::Gauge,
    ),
    (
        "ra",
        12,
        "node_nfsd_read_ahead_cache_not_found_total",
        "Total number of NFSd read ahead cache not found.",
        Kind::Counter,
    ),
    (
        "net",
        4,
        "node_nfsd_connections_total",
        "Total number of NFSd TCP connections.",
        Kind::Counter,
    ),
    (
        "rpc",
        1,
        "node_nfsd_server_rpcs_total",
        "Total number of NFSd RPCs.",
        Kind::Counter,
    ),
];

/// Line, field, metric, help, label, value.
const LABELLED: &[(&str, usize, &str, &str, &str, &str)] = &[
    (
        "net",
        2,
        "node_nfsd_packets_total",
        "Total NFSd network packets (sent+received) by protocol type.",
        "proto",
        "udp",
    ),
    (
        "net",
        3,
        "node_nfsd_packets_total",
        "Total NFSd network packets (sent+received) by protocol type.",
        "proto",
        "tcp",
    ),
    (
        "rpc",
        3,
        "node_nfsd_rpc_errors_total",
        "Total number of NFSd RPC errors by error type.",
        "error",
        "fmt",
    ),
    (
        "rpc",
        4,
        "node_nfsd_rpc_errors_total",
        "Total number of NFSd RPC errors by error type.",
        "error",
        "auth",
    ),
    (
        "rpc",
        5,
        "node_nfsd_rpc_errors_total",
        "Total number of NFSd RPC errors by error type.",
        "error",
        "cInt",
    ),
];

/// The server's lines.
const LINES: [(&str, Width); 12] = [
    ("rc", Width::Exactly(3)),
    ("fh", Width::Exactly(5)),
    ("io", Width::Exactly(2)),
    // What follows is a histogram that only old kernels fill.
    ("th", Width::First(2)),
    ("ra", Width::Exactly(12)),
    ("net", Width::Exactly(4)),
    ("rpc", Width::Exactly(5)),
    ("proc2", Width::Counted(VERSION_2.len())),
    ("proc3", Width::Counted(VERSION_3.len())),
    ("proc4", Width::Counted(2)),
    // The last operation is younger than the others.
    ("proc4ops", Width::Counted(FIRST + VERSION_4.len() - 1)),
    ("wdeleg_getattr", Width::Any),
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let lines = Lines::read(&r.proc("net/rpc/nfsd"), &LINES)?;
    for (line, i, name, help, kind) in NUMBERS {
        let family = out.family(*name, *help, *kind);
        out.add(family, &[], lines.get(line, i - 1));
    }
    for (line, i, name, help, label, value) in LABELLED {
        out.counter(*name, *help, &[(label, value)], lines.get(line, i - 1));
    }
    // The number of values comes before the values.
    for (line, proto, first, names) in [
        ("proc2", "2", 1, &VERSION_2[..]),
        ("proc3", "3", 1, &VERSION_3),
        ("proc4ops", "4", 1 + FIRST, &VERSION_4),
        ("wdeleg_getattr", "4", 0, &["WdelegGetattr"]),
    ] {
        for (i, name) in names.iter().enumerate().filter(|(_, n)| shown(n)) {
            out.counter(
                "node_nfsd_requests_total",
                "Total number NFSd Requests by method and protocol.",
                &[("method", name), ("proto", proto)],
                lines.get(line, first + i),
            );
        }
    }
    Ok(())
}

/// The procedure that does nothing is not shown.
fn shown(name: &str) -> bool {
    !name.is_empty() && name != "Null"
}
