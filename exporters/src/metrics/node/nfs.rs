//! The NFS client's counters, from `/proc/net/rpc/nfs`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("nfs", collect);

/// Procedures of version 2 by number.
pub(super) const VERSION_2: [&str; 18] = [
    "Null", "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write",
    "Create", "Remove", "Rename", "Link", "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat",
];
/// Procedures of version 3 by number.
pub(super) const VERSION_3: [&str; 22] = [
    "Null",
    "GetAttr",
    "SetAttr",
    "Lookup",
    "Access",
    "ReadLink",
    "Read",
    "Write",
    "Create",
    "MkDir",
    "SymLink",
    "MkNod",
    "Remove",
    "RmDir",
    "Rename",
    "Link",
    "ReadDir",
    "ReadDirPlus",
    "FsStat",
    "FsInfo",
    "PathConf",
    "Commit",
];
/// The client's procedures of version 4 in the kernel's order.
const VERSION_4: [&str; 59] = [
    "Null",
    "Read",
    "Write",
    "Commit",
    "Open",
    "OpenConfirm",
    "OpenNoattr",
    "OpenDowngrade",
    "Close",
    "Setattr",
    "FsInfo",
    "Renew",
    "SetClientID",
    "SetClientIDConfirm",
    "Lock",
    "Lockt",
    "Locku",
    "Access",
    "Getattr",
    "Lookup",
    "LookupRoot",
    "Remove",
    "Rename",
    "Link",
    "Symlink",
    "Create",
    "Pathconf",
    "StatFs",
    "ReadLink",
    "ReadDir",
    "ServerCaps",
    "DelegReturn",
    "GetACL",
    "SetACL",
    "FsLocations",
    "ReleaseLockowner",
    "Secinfo",
    "FsidPresent",
    "ExchangeID",
    "CreateSession",
    "DestroySession",
    "Sequence",
    "GetLeaseTime",
    "ReclaimComplete",
    "GetDeviceInfo",
    "LayoutGet",
    "LayoutCommit",
    "LayoutReturn",
    "SecinfoNoName",
    "TestStateID",
    "FreeStateID",
    "GetDeviceList",
    "BindConnToSession",
    "DestroyClientID",
    "Seek",
    "Allocate",
    "DeAllocate",
    "LayoutStats",
    "Clone",
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let text = read::text(&r.proc("net/rpc/nfs"))?;
    for row in read::rows(&text) {
        let number = |i: usize| read::field(&row, i).unwrap_or(0.0);
        match row.first().copied() {
            Some("net") => {
                out.counter(
                    "node_nfs_packets_total",
                    "Total NFSd network packets (sent+received) by protocol type.",
                    &[("protocol", "udp")],
                    number(2),
                );
                out.counter(
                    "node_nfs_packets_total",
                    "Total NFSd network packets (sent+received) by protocol type.",
                    &[("protocol", "tcp")],
                    number(3),
                );
                out.counter(
                    "node_nfs_connections_total",
                    "Total number of NFSd TCP connections.",
                    &[],
                    number(4),
                );
            }
            Some("rpc") => {
                out.counter(
                    "node_nfs_rpcs_total",
                    "Total number of RPCs performed.",
                    &[],
                    number(1),
                );
                out.counter(
                    "node_nfs_rpc_retransmissions_total",
                    "Number of RPC transmissions performed.",
                    &[],
                    number(2),
                );
                out.counter(
                    "node_nfs_rpc_authentication_refreshes_total",
                    "Number of RPC authentication refreshes performed.",
                    &[],
                    number(3),
                );
            }
            Some("proc2") => procedures("2", &VERSION_2, &row, out),
            Some("proc3") => procedures("3", &VERSION_3, &row, out),
            Some("proc4") => procedures("4", &VERSION_4, &row, out),
            _ => {}
        }
    }
    Ok(())
}

/// `procN COUNT n n n ...`: procedures that this kernel has not yet are zero.
fn procedures(proto: &str, names: &[&str], row: &[&str], out: &mut Sink) {
    for (i, name) in names.iter().enumerate() {
        out.counter(
            "node_nfs_requests_total",
            "Number of NFS procedures invoked.",
            &[("method", name), ("proto", proto)],
            read::field(row, i + 2).unwrap_or(0.0),
        );
    }
}
