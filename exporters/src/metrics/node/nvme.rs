//! NVMe controllers and namespaces, from `/sys/class/nvme`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;
use std::path::Path;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("nvme", collect);

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("class/nvme");
    for device in read::names(&folder)? {
        let folder = folder.join(&device);
        let fact = |file: &str| read::word_or_empty(&folder.join(file));
        out.gauge(
            "node_nvme_info",
            "Non-numeric data from /sys/class/nvme/<device>, value is always 1.",
            &[
                ("device", &device),
                ("firmware_revision", &fact("firmware_rev")),
                ("model", &fact("model")),
                ("serial", &fact("serial")),
                ("state", &fact("state")),
                ("cntlid", &fact("cntlid")),
            ],
            1.0,
        );
        for (name, rest) in read::numbered(&folder, &device)? {
            // nvme0n1, and nvme0c1n1 where several paths lead to it.
            let Some((path, nsid)) = rest.rsplit_once('n') else {
                continue;
            };
            let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
            let controller = path.strip_prefix('c').unwrap_or(path);
            if !nsid.is_empty() && digits(nsid) && digits(controller) {
                namespace(&folder.join(name), &device, nsid, out);
            }
        }
    }
    Ok(())
}

fn namespace(folder: &Path, device: &str, nsid: &str, out: &mut Sink) {
    let labels = [("device", device), ("nsid", nsid)];
    let number = |file: &str| read::number_if(&folder.join(file)).unwrap_or(0.0);
    let block = number("queue/logical_block_size");
    let ana = read::word(&folder.join("ana_state"));
    let ana = ana.unwrap_or_else(|_| "unknown".into());
    let [d, n] = labels;
    out.gauge(
        "node_nvme_namespace_info",
        "Information about NVMe namespaces. Value is always 1",
        &[d, n, ("ana_state", &ana)],
        1.0,
    );
    let size = number("size") * block;
    out.gauge("node_nvme_namespace_capacity_bytes", "Capacity of the NVMe namespace in bytes. Computed as namespace_size * namespace_logical_block_size", &labels, size);
    out.gauge("node_nvme_namespace_size_bytes", "Size of the NVMe namespace in bytes. Available in /sys/class/nvme/<device>/<namespace>/size", &labels, size);
    out.gauge("node_nvme_namespace_used_bytes", "Used space of the NVMe namespace in bytes. Available in /sys/class/nvme/<device>/<namespace>/nuse", &labels, number("nuse") * block);
    out.gauge("node_nvme_namespace_logical_block_size_bytes", "Logical block size of the NVMe namespace in bytes. Usually 4Kb. Available in /sys/class/nvme/<device>/<namespace>/queue/logical_block_size", &labels, block);
}
