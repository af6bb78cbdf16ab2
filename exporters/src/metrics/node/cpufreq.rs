//! Frequencies of the processors, from sysfs.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("cpufreq", collect);

/// The files have kilohertz.
const HERTZ: f64 = 1000.0;

/// File, metric, help.
const FILES: &[(&str, &str, &str)] = &[
    (
        "cpuinfo_cur_freq",
        "node_cpu_frequency_hertz",
        "Current CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_avg_freq",
        "node_cpu_frequency_avg_hertz",
        "Average CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_min_freq",
        "node_cpu_frequency_min_hertz",
        "Minimum CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_max_freq",
        "node_cpu_frequency_max_hertz",
        "Maximum CPU thread frequency in hertz.",
    ),
    (
        "scaling_cur_freq",
        "node_cpu_scaling_frequency_hertz",
        "Current scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "Minimum scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "Maximum scaled CPU thread frequency in hertz.",
    ),
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("devices/system/cpu");
    let mut found = false;
    for (name, cpu) in read::numbered(&folder, "cpu")? {
        if cpu.is_empty() || !cpu.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let folder = folder.join(name).join("cpufreq");
        let governors = read::word(&folder.join("scaling_available_governors"));
        let governor = read::word(&folder.join("scaling_governor"));
        for (file, name, help) in FILES {
            if let Some(khz) = read::number_if(&folder.join(file)) {
                found = true;
                out.gauge(*name, *help, &[("cpu", &cpu)], khz * HERTZ);
            }
        }
        if let (Ok(all), Ok(current)) = (governors, governor) {
            for g in all.split_whitespace() {
                out.gauge(
                    "node_cpu_scaling_governor",
                    "Current enabled CPU frequency governor.",
                    &[("cpu", &cpu), ("governor", g)],
                    f64::from(u8::from(g == current)),
                );
            }
        }
    }
    if found {
        Ok(())
    } else {
        Err(Problem::Absent("no frequencies in sysfs".into()))
    }
}
