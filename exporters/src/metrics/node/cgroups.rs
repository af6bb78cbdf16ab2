//! Control groups per subsystem, from `/proc/cgroups`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("cgroups", collect).on_request();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let text = read::text(&r.proc("cgroups"))?;
    for row in read::rows(&text).filter(|f| f.first().is_some_and(|n| !n.starts_with('#'))) {
        // Name, hierarchy, number of groups, enabled.
        let labels = [("subsys_name", *row.first().unwrap_or(&""))];
        if let Some(n) = read::field(&row, 2) {
            out.gauge(
                "node_cgroups_cgroups",
                "Current cgroup number of the subsystem.",
                &labels,
                n,
            );
        }
        if let Some(on) = read::field(&row, 3) {
            out.gauge(
                "node_cgroups_enabled",
                "Current cgroup number of the subsystem.",
                &labels,
                on,
            );
        }
    }
    Ok(())
}
