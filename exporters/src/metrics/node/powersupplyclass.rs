//! Batteries and mains adapters, from `/sys/class/power_supply`.

use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Filter, Flag, Settings};
use super::{Entry, Run};
use crate::emit::Sink;

const IGNORED: Flag = Flag::text(
    "collector.powersupply.ignored-supplies",
    "^$",
    "Supplies to leave out, as a regular expression",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("powersupplyclass", &[IGNORED], build);

/// Millionths, tenths, as they are.
const MICRO: f64 = 1e6;
const TENTH: f64 = 10.0;
const ONE: f64 = 1.0;

/// File, suffix of the metric, divisor.
const NUMBERS: &[(&str, &str, f64)] = &[
    ("authentic", "authentic", ONE),
    ("calibrate", "calibrate", ONE),
    ("capacity", "capacity", ONE),
    ("capacity_alert_max", "capacity_alert_max", ONE),
    ("capacity_alert_min", "capacity_alert_min", ONE),
    ("cycle_count", "cyclecount", ONE),
    ("online", "online", ONE),
    ("present", "present", ONE),
    ("time_to_empty_now", "time_to_empty_seconds", ONE),
    ("time_to_full_now", "time_to_full_seconds", ONE),
    ("current_boot", "current_boot", MICRO),
    ("current_max", "current_max", MICRO),
    ("current_now", "current_ampere", MICRO),
    ("energy_now", "energy_watthour", MICRO),
    ("energy_empty", "energy_empty", MICRO),
    ("energy_empty_design", "energy_empty_design", MICRO),
    ("energy_full", "energy_full", MICRO),
    ("energy_full_design", "energy_full_design", MICRO),
    ("power_now", "power_watt", MICRO),
    ("voltage_now", "voltage_volt", MICRO),
    ("voltage_boot", "voltage_boot", MICRO),
    ("voltage_max", "voltage_max", MICRO),
    ("voltage_max_design", "voltage_max_design", MICRO),
    ("voltage_min", "voltage_min", MICRO),
    ("voltage_min_design", "voltage_min_design", MICRO),
    ("voltage_ocv", "voltage_ocv", MICRO),
    ("charge_control_limit", "charge_control_limit", MICRO),
    (
        "charge_control_limit_max",
        "charge_control_limit_max",
        MICRO,
    ),
    ("charge_counter", "charge_counter", MICRO),
    ("charge_empty", "charge_empty", MICRO),
    ("charge_empty_design", "charge_empty_design", MICRO),
    ("charge_full", "charge_full", MICRO),
    ("charge_full_design", "charge_full_design", MICRO),
    ("charge_now", "charge_ampere", MICRO),
    ("charge_term_current", "charge_term_current", MICRO),
    ("constant_charge_current", "constant_charge_current", MICRO),
    (
        "constant_charge_current_max",
        "constant_charge_current_max",
        MICRO,
    ),
    ("constant_charge_voltage", "constant_charge_voltage", MICRO),
    (
        "constant_charge_voltage_max",
        "constant_charge_voltage_max",
        MICRO,
    ),
    ("precharge_current", "precharge_current", MICRO),
    ("input_current_limit", "input_current_limit", MICRO),
    ("temp", "temp_celsius", TENTH),
    ("temp_alert_max", "temp_alert_max_celsius", TENTH),
    ("temp_alert_min", "temp_alert_min_celsius", TENTH),
    ("temp_ambient", "temp_ambient_celsius", TENTH),
    ("temp_ambient_max", "temp_ambient_max_celsius", TENTH),
    ("temp_ambient_min", "temp_ambient_min_celsius", TENTH),
    ("temp_max", "temp_max_celsius", TENTH),
    ("temp_min", "temp_min_celsius", TENTH),
];

/// Files that become labels where they are.
const FACTS: [&str; 11] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
    "scope",
];

fn build(s: &Settings) -> Result<Run, String> {
    let filter = Filter::excluding(s.pattern(&IGNORED)?);
    Ok(Box::new(move |r, out| collect(r, &filter, out)))
}

fn collect(r: &Roots, filter: &Filter, out: &mut Sink) -> Outcome {
    let folder = r.sys("class/power_supply");
    let supplies = read::names(&folder)?;
    if supplies.is_empty() {
        return Err(Problem::Absent("no power supplies".into()));
    }
    for supply in supplies.iter().filter(|s| filter.keeps(s)) {
        let folder = folder.join(supply);
        // The folder may hold a hundred files; those that are there are read.
        let files = read::names(&folder)?;
        let has = |f: &str| files.binary_search_by(|n| n.as_str().cmp(f)).is_ok();
        let name = ("power_supply", supply.as_str());
        for (file, suffix, divisor) in NUMBERS.iter().filter(|(f, ..)| has(f)) {
            if let Some(v) = read::number_if(&folder.join(file)) {
                out.gauge(
                    format!("node_power_supply_{suffix}"),
                    format!("{suffix} value of /sys/class/power_supply/<power_supply>."),
                    &[name],
                    v / divisor,
                );
            }
        }
        let facts: Vec<(&str, String)> = FACTS
            .iter()
            .filter(|f| has(f))
            .map(|f| (*f, read::word_or_empty(&folder.join(f))))
            .filter(|(_, v)| !v.is_empty())
            .collect();
        let mut labels = vec![name];
        labels.extend(facts.iter().map(|(n, v)| (*n, v.as_str())));
        out.gauge(
            "node_power_supply_info",
            "info of /sys/class/power_supply/<power_supply>.",
            &labels,
            1.0,
        );
    }
    Ok(())
}
