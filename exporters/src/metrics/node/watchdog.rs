//! Watchdogs, from `/sys/class/watchdog`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("watchdog", collect);

/// File, metric, help.
const NUMBERS: &[(&str, &str, &str)] = &[
    (
        "access_cs0",
        "node_watchdog_access_cs0",
        "Value of /sys/class/watchdog/<watchdog>/access_cs0",
    ),
    (
        "bootstatus",
        "node_watchdog_bootstatus",
        "Value of /sys/class/watchdog/<watchdog>/bootstatus",
    ),
    (
        "fw_version",
        "node_watchdog_fw_version",
        "Value of /sys/class/watchdog/<watchdog>/fw_version",
    ),
    (
        "nowayout",
        "node_watchdog_nowayout",
        "Value of /sys/class/watchdog/<watchdog>/nowayout",
    ),
    (
        "pretimeout",
        "node_watchdog_pretimeout_seconds",
        "Value of /sys/class/watchdog/<watchdog>/pretimeout",
    ),
    (
        "timeleft",
        "node_watchdog_timeleft_seconds",
        "Value of /sys/class/watchdog/<watchdog>/timeleft",
    ),
    (
        "timeout",
        "node_watchdog_timeout_seconds",
        "Value of /sys/class/watchdog/<watchdog>/timeout",
    ),
];

const FACTS: [&str; 5] = [
    "options",
    "identity",
    "state",
    "status",
    "pretimeout_governor",
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("class/watchdog");
    for name in read::names(&folder)? {
        let folder = folder.join(&name);
        for (file, metric, help) in NUMBERS {
            if let Some(v) = read::number_if(&folder.join(file)) {
                out.gauge(*metric, *help, &[("name", &name)], v);
            }
        }
        let facts = FACTS.map(|f| (f, read::word_or_empty(&folder.join(f))));
        let mut labels = vec![("name", name.as_str())];
        labels.extend(facts.iter().map(|(n, v)| (*n, v.as_str())));
        out.gauge(
            "node_watchdog_info",
            "Info of /sys/class/watchdog/<watchdog>",
            &labels,
            1.0,
        );
    }
    Ok(())
}
