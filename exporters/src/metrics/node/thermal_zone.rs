//! Temperatures and cooling devices, from `/sys/class/thermal`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("thermal_zone", collect);

/// The kernel counts thousandths of a degree.
const MILLI: f64 = 1000.0;

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("class/thermal");
    for (name, zone) in read::numbered(&folder, "thermal_zone")? {
        let folder = folder.join(name);
        let kind = read::word_or_empty(&folder.join("type"));
        // A sensor that is asleep cannot be read.
        if let Some(t) = read::number_if(&folder.join("temp")) {
            let labels = [("zone", zone.as_str()), ("type", &kind)];
            out.gauge(
                "node_thermal_zone_temp",
                "Zone temperature in Celsius",
                &labels,
                t / MILLI,
            );
        }
    }
    for (name, device) in read::numbered(&folder, "cooling_device")? {
        let folder = folder.join(name);
        let kind = read::word_or_empty(&folder.join("type"));
        let labels = [("name", device.as_str()), ("type", &kind)];
        if let Some(v) = read::number_if(&folder.join("cur_state")) {
            out.gauge(
                "node_cooling_device_cur_state",
                "Current throttle state of the cooling device",
                &labels,
                v,
            );
        }
        if let Some(v) = read::number_if(&folder.join("max_state")) {
            out.gauge(
                "node_cooling_device_max_state",
                "Maximum throttle state of the cooling device",
                &labels,
                v,
            );
        }
    }
    Ok(())
}
