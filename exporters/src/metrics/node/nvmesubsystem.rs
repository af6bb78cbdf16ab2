//! NVMe subsystems and the paths to them, from `/sys/class/nvme-subsystem`.

use std::path::Path;

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("nvmesubsystem", collect).on_request().whole();

/// States of a path.
const STATES: [&str; 7] = [
    "connecting",
    "dead",
    "deleting",
    "live",
    "new",
    "resetting",
    "unknown",
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("class/nvme-subsystem");
    for name in read::names(&folder)? {
        if name.starts_with("nvme-subsys") {
            subsystem(&folder.join(&name), &name, out)?;
        }
    }
    Ok(())
}

fn subsystem(folder: &Path, name: &str, out: &mut Sink) -> Result<(), Problem> {
    let fact = |file: &str| read::word(&folder.join(file));
    let subsystem = ("subsystem", name);
    out.gauge(
        "node_nvmesubsystem_info",
        "Non-numeric information about an NVMe subsystem.",
        &[
            subsystem,
            ("nqn", &fact("subsysnqn")?),
            ("model", &fact("model")?),
            ("serial", &fact("serial")?),
            ("iopolicy", &fact("iopolicy")?),
        ],
        1.0,
    );
    let (mut paths, mut live) = (0u32, 0u32);
    for entry in read::names(folder)? {
        match kind(&entry) {
            Some(Part::Controller) => {
                let of = |file: &str| read::word(&folder.join(&entry).join(file));
                let (state, transport) = (of("state")?, of("transport")?);
                of("address")?;
                // "deleting (no IO)" is deleting, too.
                let state = state.strip_suffix(" (no IO)").unwrap_or(&state);
                let state = STATES.iter().find(|s| **s == state).unwrap_or(&"unknown");
                paths += 1;
                live += u32::from(*state == "live");
                for s in STATES {
                    out.gauge(
                        "node_nvmesubsystem_path_state",
                        "Current NVMe controller path state (1 for the current state, 0 for all others).",
                        &[
                            subsystem,
                            ("controller", &entry),
                            ("transport", &transport),
                            ("state", s),
                        ],
                        f64::from(u8::from(s == *state)),
                    );
                }
            }
            Some(Part::Namespace) => out.gauge(
                "node_nvmesubsystem_namespace_info",
                "Maps an NVMe namespace block device to its subsystem.",
                &[subsystem, ("device", &entry)],
                1.0,
            ),
            None => {}
        }
    }
    out.gauge(
        "node_nvmesubsystem_paths",
        "Number of controller paths for an NVMe subsystem.",
        &[subsystem],
        f64::from(paths),
    );
    out.gauge(
        "node_nvmesubsystem_paths_live",
        "Number of controller paths in live state for an NVMe subsystem.",
        &[subsystem],
        f64::from(live),
    );
    Ok(())
}

/// What an entry of a subsystem's folder is.
#[derive(Debug, PartialEq)]
enum Part {
    /// `nvme0`.
    Controller,
    /// `nvme0n1`.
    Namespace,
}

fn kind(entry: &str) -> Option<Part> {
    let is_number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let rest = entry.strip_prefix("nvme")?;
    match rest.split_once('n') {
        None => is_number(rest).then_some(Part::Controller),
        Some((a, b)) => (is_number(a) && is_number(b)).then_some(Part::Namespace),
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, kind};

    #[test]
    fn controllers_and_namespaces_are_told_apart() {
        assert_eq!(kind("nvme12"), Some(Part::Controller));
        assert_eq!(kind("nvme1n3"), Some(Part::Namespace));
        for other in ["nvme", "nvme1c1n1", "nvme1n", "power", "nvme-subsys0"] {
            assert_eq!(kind(other), None, "{other}");
        }
    }
}
