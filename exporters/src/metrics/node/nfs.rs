//! The NFS client's counters, from `/proc/net/rpc/nfs`.

use std::collections::HashMap;
use std::path::Path;

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("nfs", collect).whole();

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

/// How many values a line of these files has after its name.
pub(super) enum Width {
    /// So many.
    Exactly(usize),
    /// At least one.
    Any,
    /// At least so many, of which only those count.
    First(usize),
    /// As many as its first value says, and at least so many.
    Counted(usize),
}

impl Width {
    fn suits(&self, values: &[f64]) -> bool {
        match self {
            Self::Exactly(n) => values.len() == *n,
            Self::Any => !values.is_empty(),
            Self::First(n) => values.len() >= *n,
            Self::Counted(least) => values
                .split_first()
                .is_some_and(|(n, rest)| *n == rest.len() as f64 && rest.len() >= *least),
        }
    }
}

/// The lines of one of the kernel's files about RPC.
pub(super) struct Lines(HashMap<&'static str, Vec<f64>>);

impl Lines {
    /// Reads them. A line that is not `known`, or does not have its width, is an error.
    pub(super) fn read(path: &Path, known: &[(&'static str, Width)]) -> Result<Self, Problem> {
        let text = read::text(path)?;
        let mut lines = HashMap::new();
        for row in read::rows(&text) {
            let wrong = || {
                let line = row.join(" ");
                Problem::format(path, format_args!("{line:?} is not understood"))
            };
            let (name, fields) = row.split_first().ok_or_else(wrong)?;
            let known = known.iter().find(|(n, _)| n == name);
            let (name, width) = known.ok_or_else(wrong)?;
            let fields = match width {
                Width::First(n) => fields.get(..*n).unwrap_or(fields),
                _ => fields,
            };
            let values: Option<Vec<f64>> = fields.iter().map(|f| read::count(f)).collect();
            let values = values.filter(|v| width.suits(v)).ok_or_else(wrong)?;
            lines.insert(*name, values);
        }
        Ok(Self(lines))
    }

    /// A value of a line; zero when this kernel does not have it.
    pub(super) fn get(&self, line: &str, i: usize) -> f64 {
        let values = self.0.get(line).map_or(&[][..], Vec::as_slice);
        values.get(i).copied().unwrap_or(0.0)
    }
}

/// The client's lines.
const LINES: [(&str, Width); 5] = [
    ("net", Width::Exactly(4)),
    ("rpc", Width::Exactly(3)),
    ("proc2", Width::Counted(VERSION_2.len())),
    ("proc3", Width::Counted(VERSION_3.len())),
    ("proc4", Width::Counted(0)),
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let lines = Lines::read(&r.proc("net/rpc/nfs"), &LINES)?;
    for (i, protocol) in [(1, "udp"), (2, "tcp")] {
        out.counter(
            "node_nfs_packets_total",
            "Total NFSd network packets (sent+received) by protocol type.",
            &[("protocol", protocol)],
            lines.get("net", i),
        );
    }
    for (line, i, name, help) in [
        (
            "net",
            3,
            "node_nfs_connections_total",
            "Total number of NFSd TCP connections.",
        ),
        (
            "rpc",
            0,
            "node_nfs_rpcs_total",
            "Total number of RPCs performed.",
        ),
        (
            "rpc",
            1,
            "node_nfs_rpc_retransmissions_total",
            "Number of RPC transmissions performed.",
        ),
        (
            "rpc",
            2,
            "node_nfs_rpc_authentication_refreshes_total",
            "Number of RPC authentication refreshes performed.",
        ),
    ] {
        out.counter(name, help, &[], lines.get(line, i));
    }
    for (line, proto, names) in [
        ("proc2", "2", &VERSION_2[..]),
        ("proc3", "3", &VERSION_3),
        ("proc4", "4", &VERSION_4),
    ] {
        // The first value is how many there are.
        for (i, name) in names.iter().enumerate() {
            out.counter(
                "node_nfs_requests_total",
                "Number of NFS procedures invoked.",
                &[("method", name), ("proto", proto)],
                lines.get(line, i + 1),
            );
        }
    }
    Ok(())
}
