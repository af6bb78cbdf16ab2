//! Control groups per subsystem, from `/proc/cgroups`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("cgroups", collect).on_request().whole();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let path = r.proc("cgroups");
    let text = read::text(&path)?;
    for row in read::rows(&text).filter(|f| !f.first().is_some_and(|n| n.starts_with('#'))) {
        // Name, hierarchy, number of groups, enabled.
        let number = |i: usize| read::need_signed(&path, &row, i);
        let (_, groups, on) = (number(1)?, number(2)?, number(3)?);
        let labels = [("subsys_name", *row.first().unwrap_or(&""))];
        out.gauge(
            "node_cgroups_cgroups",
            "Current cgroup number of the subsystem.",
            &labels,
            groups,
        );
        out.gauge(
            "node_cgroups_enabled",
            "Current cgroup number of the subsystem.",
            &labels,
            on,
        );
    }
    Ok(())
}
