//! Entries of the ARP table per device, from `/proc/net/arp`.

use std::collections::BTreeMap;

use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Filter, Flag, Settings};
use super::{Entry, Run};
use crate::emit::Sink;

const INCLUDE: Flag = Flag::text(
    "collector.arp.device-include",
    "",
    "Devices to show, as a regular expression; excludes device-exclude",
);
const EXCLUDE: Flag = Flag::text(
    "collector.arp.device-exclude",
    "",
    "Devices to leave out, as a regular expression; excludes device-include",
);
const NETLINK: Flag = Flag::switch(
    "collector.arp.netlink",
    true,
    "Accepted; the table is always read from procfs",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("arp", &[INCLUDE, EXCLUDE, NETLINK], build).whole();

fn build(s: &Settings) -> Result<Run, String> {
    let filter = Filter::new(s, &INCLUDE, &EXCLUDE)?;
    Ok(Box::new(move |r, out| collect(r, &filter, out)))
}

fn collect(r: &Roots, filter: &Filter, out: &mut Sink) -> Outcome {
    let path = r.proc("net/arp");
    let text = read::text(&path)?;
    let mut entries: BTreeMap<&str, u32> = BTreeMap::new();
    for row in read::rows(&text) {
        match row.as_slice() {
            // Nothing, or the nine words of the header.
            [] | [_, _, _, _, _, _, _, _, _] => {}
            [_, _, _flags, _, _, device] => *entries.entry(device).or_default() += 1,
            _ => {
                let line = row.join(" ");
                return Err(Problem::format(
                    &path,
                    format_args!("{line:?} has not six columns"),
                ));
            }
        }
    }
    for (device, n) in entries.iter().filter(|(d, _)| filter.keeps(d)) {
        out.gauge(
            "node_arp_entries",
            "ARP entries by device",
            &[("device", device)],
            f64::from(*n),
        );
    }
    Ok(())
}
