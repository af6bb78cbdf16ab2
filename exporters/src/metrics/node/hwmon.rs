//! Hardware sensors, from `/sys/class/hwmon`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::read;
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
        let folder = r.sys("class/hwmon");
        for name in read::names(&folder)? {
            chip(&folder.join(name), &chips, &sensors, out);
        }
        Ok(())
    }))
}

fn chip(folder: &Path, chips: &Filter, shown: &Filter, out: &mut Sink) {
    let name = chip_name(folder);
    if !chips.keeps(&name) {
        return;
    }
    let mut sensors = Sensors::new();
    gather(folder, &mut sensors);
    gather(&folder.join("device"), &mut sensors);
    if let Ok(human) = read::word(&folder.join("name")) {
        let human = clean(&human);
        if !human.is_empty() {
            let labels = [("chip", name.as_str()), ("chip_name", &human)];
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
        let labels = [("chip", name.as_str()), ("sensor", sensor)];
        if let Some(text) = properties.get("label")
            && !text.is_empty()
        {
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
            if let Some(v) = read::parse(value) {
                let freq_label = properties.get("label").map(String::as_str);
                emit(kind, property, v, &labels, freq_label, out);
            }
        }
    }
}

/// Reads the sensors' files of a folder.
fn gather(folder: &Path, out: &mut Sensors) {
    for file in read::names(folder).unwrap_or_default() {
        let Some((_, rest)) = split(&file) else {
            continue;
        };
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (_, property) = rest.split_at(digits);
        let sensor = file.get(..file.len() - property.len()).unwrap_or(&file);
        let property = match property.strip_prefix('_') {
            Some(p) => p,
            None if property.is_empty() => "input",
            None => continue,
        };
        // A sensor that is asleep cannot be read.
        if let Ok(v) = read::word(&folder.join(&file)) {
            let properties = out.entry(sensor.to_owned()).or_default();
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
    label: Option<&str>,
    out: &mut Sink,
) {
    let base = match property {
        "input" => format!("node_hwmon_{kind}"),
        p => format!("node_hwmon_{kind}_{}", clean(p)),
    };
    let mut gauge = |name: String, help: String, v: f64| out.gauge(name, help, labels, v);
    match (kind, property) {
        (_, "alarm") => gauge(base, format!("Hardware sensor alarm status ({kind})"), v),
        (_, "beep") => gauge(
            format!("{base}_enabled"),
            "Hardware monitor sensor has beeping enabled".into(),
            v,
        ),
        ("beep_enable", _) => gauge(
            format!("{base}_enabled"),
            "Hardware monitor has beeping enabled".into(),
            v,
        ),
        ("vrm", _) => gauge(
            "node_hwmon_voltage_regulator_version".into(),
            "Hardware monitor voltage regulator".into(),
            v,
        ),
        ("update_interval", _) => gauge(
            "node_hwmon_update_interval_seconds".into(),
            "Hardware monitor update interval".into(),
            v / 1000.0,
        ),
        ("in" | "cpu", _) => gauge(
            format!("{base}_volts"),
            format!("Hardware monitor for voltage ({property})"),
            v / 1000.0,
        ),
        ("temp", p) if p != "type" => gauge(
            format!("{base}_celsius"),
            format!("Hardware monitor for temperature ({property})"),
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
            let [chip, sensor] = *labels;
            let sensor = label.map_or(sensor, |l| ("sensor", l));
            out.gauge(
                "node_hwmon_freq_freq_mhz",
                "Hardware monitor for GPU frequency in MHz",
                &[chip, sensor],
                v / 1e6,
            );
        }
        // The tools' own: auto points, modes, floors.
        ("fan" | "pwm" | "intrusion" | "temp" | "freq", _) => gauge(
            base,
            format!("Hardware monitor {kind} element {property}"),
            v,
        ),
        _ => {}
    }
}

/// The chip's name: by its device, since several chips may call themselves alike.
fn chip_name(folder: &Path) -> String {
    let own = || clean(&read::word_or_empty(&folder.join("name")));
    let device = std::fs::canonicalize(folder.join("device")).ok();
    if let Some((path, parent, name)) = device.as_ref().and_then(|d| place(d)) {
        let of_device = format!("{}_{}", clean(&parent), clean(&name));
        // A device with several chips: their own names tell them apart.
        let siblings = read::numbered(&path.join("hwmon"), "hwmon").unwrap_or_default();
        let own = own();
        return if siblings.len() > 1 && !own.is_empty() {
            format!("{of_device}_{own}")
        } else {
            of_device
        };
    }
    let own = own();
    if !own.is_empty() {
        return own;
    }
    let last = folder.file_name().unwrap_or_default().to_string_lossy();
    clean(&last)
}

/// A device's folder, the last part of its parent and its own last part.
fn place(device: &Path) -> Option<(PathBuf, String, String)> {
    let name = device.file_name()?.to_string_lossy().into_owned();
    let parent = device.parent()?.file_name()?.to_string_lossy().into_owned();
    Some((device.to_owned(), parent, name))
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
