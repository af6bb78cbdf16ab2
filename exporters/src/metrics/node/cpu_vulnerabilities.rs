//! What sysfs says about bugs of the processor.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("cpu_vulnerabilities", collect).on_request();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("devices/system/cpu/vulnerabilities");
    for codename in read::names(&folder)? {
        let text = read::word(&folder.join(&codename))?;
        let (state, mitigation) = match text.split_once(": ") {
            Some(("Mitigation", m)) => ("mitigation", m),
            Some((_, m)) if text.starts_with("Vulnerable") => ("vulnerable", m),
            _ if text.starts_with("Vulnerable") => ("vulnerable", ""),
            _ if text.starts_with("Not affected") => ("not affected", ""),
            _ => ("unknown", ""),
        };
        out.gauge(
            "node_cpu_vulnerabilities_info", "Details of each CPU vulnerability reported by sysfs. The value of the series is an int encoded state of the vulnerability. The same state is stored as a string in the label",
            &[
                ("codename", &codename),
                ("state", state),
                ("mitigation", mitigation),
            ],
            1.0,
        );
    }
    Ok(())
}
