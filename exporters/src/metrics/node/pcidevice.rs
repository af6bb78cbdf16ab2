//! PCI devices: what they are, how fast their links run, from `/sys/bus/pci/devices`.

use std::path::Path;

use super::pci_ids::Names;
use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::Sink;

const NAMES: Flag = Flag::switch(
    "collector.pcidevice.names",
    false,
    "Show names of devices and classes; needs the list pci.ids",
);
const LIST: Flag = Flag::text(
    "collector.pcidevice.idsfile",
    "",
    "The list pci.ids, when it is not at its usual place",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("pcidevice", &[NAMES, LIST], build)
    .on_request()
    .whole();

/// Usual places of the list.
const LISTS: [&str; 2] = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];

/// What a number is.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// `8.0 GT/s PCIe`; less than nothing when it is not known.
    Speed,
    /// A number; less than nothing when it is not known.
    Width,
    /// A number; nothing when the file is not there.
    Count,
    /// A switch; off when the file is not there.
    Switch,
    /// A number that is not shown when it is not known.
    Node,
}

/// File, form, metric, help.
const NUMBERS: &[(&str, Form, &str, &str)] = &[
    (
        "max_link_speed",
        Form::Speed,
        "node_pcidevice_max_link_transfers_per_second",
        "Value of maximum link's transfers per second (T/s)",
    ),
    (
        "max_link_width",
        Form::Width,
        "node_pcidevice_max_link_width",
        "Value of maximum link's width (number of lanes)",
    ),
    (
        "current_link_speed",
        Form::Speed,
        "node_pcidevice_current_link_transfers_per_second",
        "Value of current link's transfers per second (T/s)",
    ),
    (
        "current_link_width",
        Form::Width,
        "node_pcidevice_current_link_width",
        "Value of current link's width (number of lanes)",
    ),
    (
        "d3cold_allowed",
        Form::Switch,
        "node_pcidevice_d3cold_allowed",
        "Whether the PCIe device supports D3cold power state (0/1).",
    ),
    (
        "numa_node",
        Form::Node,
        "node_pcidevice_numa_node",
        "NUMA node number for the PCI device. -1 indicates unknown or not available.",
    ),
    (
        "sriov_drivers_autoprobe",
        Form::Switch,
        "node_pcidevice_sriov_drivers_autoprobe",
        "Whether SR-IOV drivers autoprobe is enabled for the device (0/1).",
    ),
    (
        "sriov_numvfs",
        Form::Count,
        "node_pcidevice_sriov_numvfs",
        "Number of Virtual Functions (VFs) currently enabled for SR-IOV.",
    ),
    (
        "sriov_totalvfs",
        Form::Count,
        "node_pcidevice_sriov_totalvfs",
        "Total number of Virtual Functions (VFs) supported by the device.",
    ),
    (
        "sriov_vf_total_msix",
        Form::Count,
        "node_pcidevice_sriov_vf_total_msix",
        "Total number of MSI-X vectors for Virtual Functions.",
    ),
];

const POWER_STATES: [&str; 7] = ["D0", "D1", "D2", "D3hot", "D3cold", "unknown", "error"];

/// File, label, digits.
const FACTS: [(&str, &str, usize); 6] = [
    ("class", "class_id", 6),
    ("vendor", "vendor_id", 4),
    ("device", "device_id", 4),
    ("subsystem_vendor", "subsystem_vendor_id", 4),
    ("subsystem_device", "subsystem_device_id", 4),
    ("revision", "revision", 2),
];

fn build(s: &Settings) -> Result<Run, String> {
    let names = s.on(&NAMES).then(|| {
        let list = s.text(&LIST);
        let places: Vec<&str> = match list {
            "" => LISTS.to_vec(),
            list => vec![list],
        };
        let text = places.iter().find_map(|p| read::text(Path::new(p)).ok());
        Names::read(&text.unwrap_or_default())
    });
    Ok(Box::new(move |r, out| collect(r, names.as_ref(), out)))
}

/// `0000:01:00.0` in its four parts.
fn location(text: &str) -> Option<[String; 4]> {
    let (segment, rest) = text.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let hex = |t: &str| u32::from_str_radix(t, 16).ok();
    Some([
        format!("{:04x}", hex(segment)?),
        format!("{:02x}", hex(bus)?),
        format!("{:02x}", hex(device)?),
        format!("{:x}", hex(function)?),
    ])
}

fn collect(r: &Roots, names: Option<&Names>, out: &mut Sink) -> Outcome {
    let folder = r.sys("bus/pci/devices");
    for name in read::names(&folder)? {
        device(&folder.join(&name), names, out)?;
    }
    Ok(())
}

fn device(folder: &Path, names: Option<&Names>, out: &mut Sink) -> Outcome {
    let wrong = |what: &str| Problem::format(folder, what);
    let link = std::fs::read_link(folder).map_err(|e| wrong(&format!("not a link: {e}")))?;
    let part = |p: Option<&Path>| Some(p?.file_name()?.to_str()?.to_owned());
    let place = part(Some(&link)).as_deref().and_then(location);
    let [segment, bus, device, function] =
        place.ok_or_else(|| wrong("leads to no place on the bus"))?;
    let place = [
        ("segment", segment.as_str()),
        ("bus", &bus),
        ("device", &device),
        ("function", &function),
    ];
    // The device hangs below its bridge, or below the root of its bus.
    let parent = match part(link.parent()) {
        Some(p) if !p.starts_with("pci") => {
            location(&p).ok_or_else(|| wrong("hangs below no place on the bus"))?
        }
        _ => ["*", "*", "*", "*"].map(str::to_owned),
    };
    let mut ids = Vec::with_capacity(FACTS.len());
    for (file, label, digits) in FACTS {
        let path = folder.join(file);
        let word = read::word(&path)?;
        let id = word.strip_prefix("0x").map_or_else(
            || word.parse().ok(),
            |hex| u32::from_str_radix(hex, 16).ok(),
        );
        let id = id.ok_or_else(|| Problem::format(&path, format_args!("{word:?} is no number")))?;
        ids.push((label, format!("0x{id:0digits$x}")));
    }
    let mut labels = place.to_vec();
    let parents = [
        "parent_segment",
        "parent_bus",
        "parent_device",
        "parent_function",
    ];
    labels.extend(parents.into_iter().zip(parent.iter().map(String::as_str)));
    labels.extend(ids.iter().map(|(n, v)| (*n, v.as_str())));
    let named = names.map(|n| resolved(n, &ids));
    labels.extend(named.iter().flatten().map(|(n, v)| (*n, v.as_str())));
    out.gauge(
        "node_pcidevice_info",
        "Non-numeric data from /sys/bus/pci/devices/<location>, value is always 1.",
        &labels,
        1.0,
    );
    for (file, form, name, help) in NUMBERS {
        if let Some(v) = number(&folder.join(file), *form)? {
            out.gauge(*name, *help, &place, v);
        }
    }
    let current = optional(&folder.join("power_state"))?;
    for state in POWER_STATES.iter().filter(|_| !current.is_empty()) {
        let [a, b, c, d] = place;
        out.gauge(
            "node_pcidevice_power_state",
            "PCIe device power state, one of: D0, D1, D2, D3hot, D3cold, unknown or error.",
            &[a, b, c, d, ("state", state)],
            f64::from(u8::from(*state == current)),
        );
    }
    Ok(())
}

/// Names of what a device is.
fn resolved(names: &Names, ids: &[(&'static str, String)]) -> [(&'static str, String); 5] {
    let id = |i: usize| {
        let found = ids.get(i).map_or("", |(_, v)| v.as_str());
        found.strip_prefix("0x").unwrap_or(found)
    };
    let (class, vendor, device) = (id(0), id(1), id(2));
    let (sub_vendor, sub_device) = (id(3), id(4));
    let subsystem = names.subsystem((vendor, device), (sub_vendor, sub_device));
    [
        ("vendor_name", names.vendor(vendor).to_owned()),
        ("device_name", names.device(vendor, device).to_owned()),
        ("subsystem_vendor_name", names.vendor(sub_vendor).to_owned()),
        ("subsystem_device_name", subsystem.to_owned()),
        ("class_name", names.class(class)),
    ]
}

/// The word of a file that may be missing.
fn optional(path: &Path) -> Result<String, Problem> {
    match read::word(path) {
        Err(p) if p.is_absent() => Ok(String::new()),
        word => word,
    }
}

/// The number in a file, or what stands for it when the kernel does not know it.
fn number(path: &Path, form: Form) -> Result<Option<f64>, Problem> {
    let word = optional(path)?;
    let wrong = || Problem::format(path, format_args!("{word:?} is no number of its kind"));
    if word.is_empty() || word.starts_with("Unknown") {
        return Ok(match form {
            Form::Speed | Form::Width => Some(-1.0),
            Form::Count | Form::Switch => Some(0.0),
            Form::Node => None,
        });
    }
    let v = match form {
        Form::Speed => {
            let giga = word.strip_suffix(" GT/s PCIe").and_then(read::parse);
            giga.map(|v| v * 1e9)
        }
        Form::Width | Form::Node => read::whole(&word),
        Form::Count => read::count(&word),
        Form::Switch => read::whole(&word).map(|v| f64::from(u8::from(v != 0.0))),
    };
    let v = v.ok_or_else(wrong)?;
    // Less than nothing is the kernel's word for unknown.
    Ok(Some(v).filter(|v| form != Form::Node || *v != -1.0))
}
