//! PCI devices: what they are, how fast their links run, from `/sys/bus/pci/devices`.

use std::path::Path;

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("pcidevice", collect).on_request();

/// File, factor, metric, help.
const NUMBERS: &[(&str, f64, &str, &str)] = &[
    (
        "max_link_speed",
        1e9,
        "node_pcidevice_max_link_transfers_per_second",
        "Value of maximum link's transfers per second (T/s)",
    ),
    (
        "max_link_width",
        1.0,
        "node_pcidevice_max_link_width",
        "Value of maximum link's width (number of lanes)",
    ),
    (
        "current_link_speed",
        1e9,
        "node_pcidevice_current_link_transfers_per_second",
        "Value of current link's transfers per second (T/s)",
    ),
    (
        "current_link_width",
        1.0,
        "node_pcidevice_current_link_width",
        "Value of current link's width (number of lanes)",
    ),
    (
        "d3cold_allowed",
        1.0,
        "node_pcidevice_d3cold_allowed",
        "Whether the PCIe device supports D3cold power state (0/1).",
    ),
    (
        "numa_node",
        1.0,
        "node_pcidevice_numa_node",
        "NUMA node number for the PCI device. -1 indicates unknown or not available.",
    ),
    (
        "sriov_drivers_autoprobe",
        1.0,
        "node_pcidevice_sriov_drivers_autoprobe",
        "Whether SR-IOV drivers autoprobe is enabled for the device (0/1).",
    ),
    (
        "sriov_numvfs",
        1.0,
        "node_pcidevice_sriov_numvfs",
        "Number of Virtual Functions (VFs) currently enabled for SR-IOV.",
    ),
    (
        "sriov_totalvfs",
        1.0,
        "node_pcidevice_sriov_totalvfs",
        "Total number of Virtual Functions (VFs) supported by the device.",
    ),
    (
        "sriov_vf_total_msix",
        1.0,
        "node_pcidevice_sriov_vf_total_msix",
        "Total number of MSI-X vectors for Virtual Functions.",
    ),
];

const POWER_STATES: [&str; 7] = ["D0", "D1", "D2", "D3hot", "D3cold", "unknown", "error"];

/// File and label.
const FACTS: [(&str, &str); 6] = [
    ("class", "class_id"),
    ("vendor", "vendor_id"),
    ("device", "device_id"),
    ("subsystem_vendor", "subsystem_vendor_id"),
    ("subsystem_device", "subsystem_device_id"),
    ("revision", "revision"),
];

/// `0000:01:00.0` in its four parts.
fn location(text: &str) -> Option<[&str; 4]> {
    let (segment, rest) = text.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    Some([segment, bus, device, function])
}

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("bus/pci/devices");
    for name in read::names(&folder)? {
        if let Some(place) = location(&name) {
            device(&folder.join(&name), place, out);
        }
    }
    Ok(())
}

fn device(folder: &Path, [segment, bus, device, function]: [&str; 4], out: &mut Sink) {
    let place = [
        ("segment", segment),
        ("bus", bus),
        ("device", device),
        ("function", function),
    ];
    // The device hangs below its bridge, or below the root of its bus.
    let real = std::fs::canonicalize(folder).ok();
    let parent = real
        .as_deref()
        .and_then(|p| p.parent()?.file_name()?.to_str())
        .and_then(location)
        .unwrap_or(["*"; 4]);
    let facts = FACTS.map(|(file, label)| (label, read::word_or_empty(&folder.join(file))));
    let mut labels = place.to_vec();
    labels.extend(
        [
            "parent_segment",
            "parent_bus",
            "parent_device",
            "parent_function",
        ]
        .into_iter()
        .zip(parent),
    );
    labels.extend(facts.iter().map(|(n, v)| (*n, v.as_str())));
    out.gauge(
        "node_pcidevice_info",
        "Non-numeric data from /sys/bus/pci/devices/<location>, value is always 1.",
        &labels,
        1.0,
    );
    for (file, factor, name, help) in NUMBERS {
        let word = read::word_or_empty(&folder.join(file));
        // "8.0 GT/s PCIe"
        let number = word.split_whitespace().next().and_then(read::parse);
        // Less than nothing is the kernel's word for unknown.
        if let Some(v) = number.filter(|v| *v >= 0.0) {
            out.gauge(*name, *help, &place, v * factor);
        }
    }
    if let Ok(current) = read::word(&folder.join("power_state")) {
        for state in POWER_STATES {
            let [a, b, c, d] = place;
            out.gauge(
                "node_pcidevice_power_state",
                "PCIe device power state, one of: D0, D1, D2, D3hot, D3cold, unknown or error.",
                &[a, b, c, d, ("state", state)],
                f64::from(u8::from(state == current)),
            );
        }
    }
}
