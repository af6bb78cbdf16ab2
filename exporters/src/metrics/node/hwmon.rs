//! Hardware sensors, from `/sys/class/hwmon`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::read::{self, Problem};
use super::settings::{Filter, Flag, Settings};
use super::{Entry, Run};
use crate::emit::Sink;

const CHIP_INCLUDE: Flag = Flag::text(
    "collector.hwmon.chip-include",
    "",
    "Chips to show, as a regular expression; excludes chip-exclude",
);
const CHIP_EXCLUDE: Flag = Flag::text(
    "collector.hwmon.chip-exclude",
    "",
    "Chips to leave out, as a regular expression; excludes chip-include",
);
const SENSOR_INCLUDE: Flag = Flag::text(
    "collector.hwmon.sensor-include",
    "",
    "Sensors to show (as chip;sensor), as a regular expression",
);
const SENSOR_EXCLUDE: Flag = Flag::text(
    "collector.hwmon.sensor-exclude",
    "",
    "Sensors to leave out (as chip;sensor), as a regular expression",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with(
    "hwmon",
    &[CHIP_INCLUDE, CHIP_EXCLUDE, SENSOR_INCLUDE, SENSOR_EXCLUDE],
    build,
);

/// Kinds of sensors that the kernel's rules for names know.
const KINDS: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

/// Properties of a sensor with their values.
type Sensors = BTreeMap<String, BTreeMap<String, String>>;

fn build(s: &Settings) -> Result<Run, String> {
    let chips = Filter::new(s, &CHIP_INCLUDE, &CHIP_EXCLUDE)?;
    let sensors = Filter::new(s, &SENSOR_INCLUDE, &SENSOR_EXCLUDE)?;
    Ok(Box::new(move |r, out| {
        for (folder, name) in named(&r.sys("class/hwmon"))? {
            if chips.keeps(&name) {
                chip(&folder, &name, &sensors, out);
            }
        }
        Ok(())
    }))
}

/// All chips with names that differ: a device with several chips has their own names behind its
/// own, or, where those are alike too, those of their folders.
fn named(folder: &Path) -> Result<Vec<(PathBuf, String)>, Problem> {
    let chips = read::names(folder)?.into_iter().map(|n| folder.join(n));
    let chips = chips.filter(|c| c.is_dir()).map(|c| {
        let own = read::word_or_empty(&c.join("name"));
        let name = chip_name(&c);
        (c, name, own)
    });
    let chips: Vec<_> = chips.collect();
    let all = chips.iter().map(|(folder, name, own)| {
        let alike = || chips.iter().filter(|(_, n, _)| n == name);
        if alike().count() < 2 {
            return (folder.clone(), name.clone());
        }
        let mut suffix = clean(own);
        if suffix.is_empty() || alike().filter(|(.., o)| o == own).count() > 1 {
            suffix = last(folder);
        }
        (folder.clone(), format!("{name}_{suffix}"))
    });
    Ok(all.collect())
}

fn chip(folder: &Path, name: &str, shown: &Filter, out: &mut Sink) {
    let mut sensors = Sensors::new();
    gather(folder, &mut sensors);
    gather(&folder.join("device"), &mut sensors);
    if let Ok(human) = read::word(&folder.join("name")) {
        let human = clean(&human);
        if !human.is_empty() {
            let labels = [("chip", name), ("chip_name", &human)];
            out.gauge(
                "node_hwmon_chip_names",
                "Annotation metric for human-readable chip names",
                &labels,
                1.0,
            );
        }
    }
    for (sensor, properties) in &sensors {
        if !shown.keeps(&format!("{name};{sensor}")) {
            continue;
        }
        let labels = [("chip", name), ("sensor", sensor)];
        if let Some(text) = properties.get("label") {
            let [chip, sensor] = labels;
            out.gauge(
                "node_hwmon_sensor_label",
                "Label for given chip and sensor",
                &[chip, ("label", text), sensor],
                1.0,
            );
        }
        let kind = split(sensor).map_or(sensor.as_str(), |(k, _)| k);
        for (property, value) in properties.iter().filter(|(p, _)| *p != "label") {
            let v = read::parse(value);
            // Whatever is no one switches it off.
            let v = if kind == "beep_enable" {
                Some(f64::from(u8::from(value == "1")))
            } else {
                v
            };
            if let Some(v) = v {
                emit(kind, property, v, &labels, properties, out);
            }
        }
    }
}

/// Reads the sensors' files of a folder.
fn gather(folder: &Path, out: &mut Sensors) {
    for file in read::names(folder).unwrap_or_default() {
        let Some((kind, rest)) = split(&file) else {
            continue;
        };
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, property) = rest.split_at(digits);
        let property = match property.strip_prefix('_') {
            Some(p) => p,
            None if property.is_empty() => "",
            None => continue,
        };
        // A sensor without a number is the one with the number nought.
        let Ok(number) = (if number.is_empty() { "0" } else { number }).parse::<u64>() else {
            continue;
        };
        // A sensor that is asleep cannot be read.
        if let Ok(v) = read::word(&folder.join(&file)) {
            let properties = out.entry(format!("{kind}{number}")).or_default();
            properties.insert(property.to_owned(), v);
        }
    }
}

/// `temp1_max` is a `temp`, followed by `1_max`.
fn split(name: &str) -> Option<(&'static str, &str)> {
    KINDS.iter().find_map(|k| {
        let rest = name.strip_prefix(k)?;
        let ends = rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit());
        ends.then_some((*k, rest))
    })
}

fn emit(
    kind: &str,
    property: &str,
    v: f64,
    labels: &[(&str, &str); 2],
    sensor: &BTreeMap<String, String>,
    out: &mut Sink,
) {
    let base = match property {
        "" => format!("node_hwmon_{kind}"),
        "input" if !sensor.contains_key("") => format!("node_hwmon_{kind}"),
        p => format!("node_hwmon_{kind}_{}", clean(p)),
    };
    let mut gauge = |name: String, help: String, v: f64| out.gauge(name, help, labels, v);
    match (kind, property) {
        ("beep_enable", _) => gauge(
            "node_hwmon_beep_enabled".into(),
            "Hardware beep enabled".into(),
            v,
        ),
        ("vrm", _) => gauge(
            "node_hwmon_voltage_regulator_version".into(),
            "Hardware voltage regulator".into(),
            v,
        ),
        ("update_interval", _) => gauge(
            "node_hwmon_update_interval_seconds".into(),
            "Hardware monitor update interval".into(),
            v / 1000.0,
        ),
        (_, "fault" | "alarm") => gauge(
            base,
            format!("Hardware sensor {property} status ({kind})"),
            v,
        ),
        (_, "beep") => gauge(
            format!("{base}_enabled"),
            "Hardware monitor sensor has beeping enabled".into(),
            v,
        ),
        ("in" | "cpu", _) => gauge(
            format!("{base}_volts"),
            format!("Hardware monitor for voltage ({property})"),
            v / 1000.0,
        ),
        ("temp", p) if p != "type" => gauge(
            format!("{base}_celsius"),
            format!(
                "Hardware monitor for temperature ({})",
                if p.is_empty() { "input" } else { p }
            ),
            v / 1000.0,
        ),
        ("curr", _) => gauge(
            format!("{base}_amps"),
            format!("Hardware monitor for current ({property})"),
            v / 1000.0,
        ),
        ("energy", _) => {
            let name = format!("{base}_joule_total");
            let help = format!("Hardware monitor for joules used so far ({property})");
            out.counter(name, help, labels, v / 1e6);
        }
        ("power", "accuracy") => gauge(
            base,
            "Hardware monitor power meter accuracy, as a ratio".into(),
            v / 1e6,
        ),
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => gauge(
            format!("{base}_seconds"),
            format!("Hardware monitor power usage update interval ({property})"),
            v / 1000.0,
        ),
        ("power", _) => gauge(
            format!("{base}_watt"),
            format!("Hardware monitor for power usage in watts ({property})"),
            v / 1e6,
        ),
        ("humidity", _) => gauge(
            base,
            format!(
                "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a percentage) ({property})"
            ),
            v / 1e6,
        ),
        ("fan", "input" | "min" | "max" | "target") => gauge(
            format!("{base}_rpm"),
            format!("Hardware monitor for fan revolutions per minute ({property})"),
            v,
        ),
        ("freq", "input") => {
            let [chip, _] = *labels;
            if let Some(label) = sensor.get("label") {
                out.gauge(
                    format!("{base}_freq_mhz"),
                    "Hardware monitor for GPU frequency in MHz",
                    &[chip, ("sensor", &clean(label))],
                    v / 1e6,
                );
            }
        }
        // The tools' own: auto points, modes, floors.
        _ => gauge(
            base,
            format!("Hardware monitor {kind} element {property}"),
            v,
        ),
    }
}

/// The chip's name: by its device, since several chips may call themselves alike.
fn chip_name(folder: &Path) -> String {
    let device = std::fs::canonicalize(folder.join("device")).ok();
    if let Some((parent, name)) = device.as_ref().and_then(|d| place(d)) {
        return [parent, name]
            .iter()
            .filter(|n| !n.is_empty())
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("_");
    }
    let own = clean(&read::word_or_empty(&folder.join("name")));
    if own.is_empty() { last(folder) } else { own }
}

/// The last part of a folder's path, wherever links to it may lie.
fn last(folder: &Path) -> String {
    let real = std::fs::canonicalize(folder);
    let real = real.as_deref().unwrap_or(folder);
    clean(&real.file_name().unwrap_or_default().to_string_lossy())
}

/// The last part of the path of a device's parent and its own; none for a device without a name.
fn place(device: &Path) -> Option<(String, String)> {
    let name = clean(&device.file_name()?.to_string_lossy());
    let parent = device.parent().and_then(Path::file_name);
    let parent = clean(&parent.unwrap_or_default().to_string_lossy());
    (!name.is_empty()).then_some((parent, name))
}

/// A name as part of a metric's or label's.
fn clean(text: &str) -> String {
    let lower = text.to_lowercase();
    let replaced: String = lower
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == ':' {
                c
            } else {
                '_'
            }
        })
        .collect();
    replaced.trim_matches('_').to_owned()
}
