//! The clock: time, zone, and what the kernel takes time from.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("time", collect);

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    out.gauge(
        "node_time_seconds",
        "System time in seconds since epoch (1970).",
        &[],
        now.as_secs_f64(),
    );
    let zoned = jiff::Zoned::now();
    let name = zoned.strftime("%Z").to_string();
    out.gauge(
        "node_time_zone_offset_seconds",
        "System time zone offset in seconds.",
        &[("time_zone", &name)],
        f64::from(zoned.offset().seconds()),
    );
    let folder = r.sys("devices/system/clocksource");
    for (name, device) in read::numbered(&folder, "clocksource")? {
        let folder = folder.join(name);
        for source in read::text(&folder.join("available_clocksource"))?.split_whitespace() {
            let labels = [("device", device.as_str()), ("clocksource", source)];
            out.gauge(
                "node_time_clocksource_available_info",
                "Available clocksources read from '/sys/devices/system/clocksource'.",
                &labels,
                1.0,
            );
        }
        let current = read::word(&folder.join("current_clocksource"))?;
        let labels = [("device", device.as_str()), ("clocksource", &current)];
        out.gauge(
            "node_time_clocksource_current_info",
            "Current clocksource read from '/sys/devices/system/clocksource'.",
            &labels,
            1.0,
        );
    }
    Ok(())
}
