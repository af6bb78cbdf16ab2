//! Multipath devices and the state of their paths, from `/sys/block/dm-*`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("dmmultipath", collect).whole();

/// Bytes of the unit in which the kernel tells sizes.
const SECTOR: f64 = 512.0;

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let block = r.sys("block");
    for (sysfs_name, _) in read::numbered(&block, "dm-")? {
        let folder = block.join(&sysfs_name);
        let uuid = match read::word(&folder.join("dm/uuid")) {
            // No device of the mapper.
            Err(p) if p.is_absent() => continue,
            uuid => uuid?,
        };
        if !uuid.starts_with("mpath-") {
            continue;
        }
        let device = read::word(&folder.join("dm/name"))?;
        let suspended = read::count_in(&folder.join("dm/suspended"))?;
        let sectors = read::count_in(&folder.join("size"))?;
        let labels = [("device", device.as_str()), ("sysfs_name", &sysfs_name)];
        let [a, b] = labels;
        out.gauge(
            "node_dmmultipath_device_info",
            "Non-numeric information about a DM-multipath device.",
            &[a, b, ("uuid", &uuid)],
            1.0,
        );
        out.gauge(
            "node_dmmultipath_device_active",
            "Whether the multipath device-mapper device is active (1) or suspended (0).",
            &labels,
            f64::from(u8::from(suspended != 1.0)),
        );
        out.gauge(
            "node_dmmultipath_device_size_bytes",
            "Size of the multipath device in bytes, read from /sys/block/<dm>/size.",
            &labels,
            sectors * SECTOR,
        );
        let (mut paths, mut active) = (0u32, 0u32);
        for path in read::names(&folder.join("slaves")).unwrap_or_default() {
            let state = read::word(&block.join(&path).join("device/state"))?;
            paths += 1;
            // SCSI says running, NVMe live.
            active += u32::from(state == "running" || state == "live");
            out.gauge(
                "node_dmmultipath_path_state", "Reports the underlying device state for a multipath path, as read from /sys/block/<dev>/device/state.",
                &[("device", &device), ("path", &path), ("state", &state)],
                1.0,
            );
        }
        out.gauge(
            "node_dmmultipath_device_paths",
            "Number of paths for a multipath device.",
            &labels,
            f64::from(paths),
        );
        out.gauge(
            "node_dmmultipath_device_paths_active",
            "Number of paths in active state (SCSI running or NVMe live) for a multipath device.",
            &labels,
            f64::from(active),
        );
        out.gauge(
            "node_dmmultipath_device_paths_failed",
            "Number of paths not in active state for a multipath device.",
            &labels,
            f64::from(paths - active),
        );
    }
    Ok(())
}
