//! Bonded interfaces, from `/sys/class/net/bonding_masters`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("bonding", collect);

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let masters = read::text(&r.sys("class/net/bonding_masters"))?;
    for master in masters.split_whitespace() {
        let folder = r.sys("class/net").join(master);
        let slaves = read::text(&folder.join("bonding/slaves"))?;
        let (mut all, mut active) = (0u32, 0u32);
        for slave in slaves.split_whitespace() {
            all += 1;
            // Two names for the same link, by age of the kernel.
            let state = ["lower_", "slave_"].into_iter().find_map(|prefix| {
                let file = folder.join(format!("{prefix}{slave}/bonding_slave/mii_status"));
                read::word(&file).ok()
            });
            active += u32::from(state.is_some_and(|s| s == "up"));
        }
        let labels = [("master", master)];
        out.gauge(
            "node_bonding_slaves",
            "Number of configured slaves per bonding interface.",
            &labels,
            f64::from(all),
        );
        out.gauge(
            "node_bonding_active",
            "Number of active slaves per bonding interface.",
            &labels,
            f64::from(active),
        );
    }
    Ok(())
}
