//! Time of the processors by mode, from `/proc/stat`; what they are, from `/proc/cpuinfo`;
//! how often they were throttled, from sysfs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};
use std::sync::{Mutex, PoisonError};

const GUEST: Flag = Flag::switch(
    "collector.cpu.guest",
    true,
    "Show node_cpu_guest_seconds_total",
);
const INFO: Flag = Flag::switch("collector.cpu.info", false, "Show node_cpu_info");
const FLAGS: Flag = Flag::text(
    "collector.cpu.info.flags-include",
    "",
    "Flags of the processor to show, as a regular expression",
);
const BUGS: Flag = Flag::text(
    "collector.cpu.info.bugs-include",
    "",
    "Bugs of the processor to show, as a regular expression",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("cpu", &[GUEST, INFO, FLAGS, BUGS], build);

/// Modes in the order of `/proc/stat`; the last two are shares of the first two.
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];
/// Clock ticks per second: fixed by the Linux ABI.
const TICKS_PER_SECOND: f64 = 100.0;
/// How far idle time may fall until it means that the processor was away (seconds). Idle and
/// iowait are known to step back a little.
const STEP_BACK_SECONDS: f64 = 3.0;
/// Place of idle in the fields.
const IDLE: usize = 3;

type Times = [f64; 10];

struct Cpu {
    guest: bool,
    info: bool,
    frequency: bool,
    flags: Option<Regex>,
    bugs: Option<Regex>,
    /// What was shown last: counters must not step back.
    last: Mutex<BTreeMap<String, Times>>,
}

fn build(s: &Settings) -> Result<Run, String> {
    let (flags, bugs) = (s.pattern(&FLAGS)?, s.pattern(&BUGS)?);
    let cpu = Cpu {
        guest: s.on(&GUEST),
        info: s.on(&INFO) || flags.is_some() || bugs.is_some(),
        frequency: s.runs("cpufreq", true),
        flags,
        bugs,
        last: Mutex::default(),
    };
    Ok(Box::new(move |r, out| {
        if cpu.info {
            cpu.info(r, out)?;
        }
        cpu.times(r, out)?;
        isolated(r, out);
        throttles(r, out);
        online(r, out);
        Ok(())
    }))
}

impl Cpu {
    fn times(&self, r: &Roots, out: &mut Sink) -> Outcome {
        let path = r.proc("stat");
        let text = read::text(&path)?;
        let mut rows = Vec::new();
        for row in read::rows(&text) {
            let Some((name, fields)) = row.split_first().filter(|(_, f)| !f.is_empty()) else {
                continue;
            };
            let Some(cpu) = name.strip_prefix("cpu") else {
                continue;
            };
            let right = cpu.is_empty() || cpu.parse::<u32>().is_ok();
            let numbers = fields.iter().take(MODES.len() + 2);
            let numbers: Option<Vec<f64>> = numbers.map(|f| read::parse(f)).collect();
            let Some(ticks) = numbers.filter(|_| right) else {
                let line = row.join(" ");
                let why = format_args!("{line:?} is not understood");
                return Err(Problem::format(&path, why));
            };
            if !cpu.is_empty() {
                // Older kernels have fewer modes.
                let at = |i: usize| ticks.get(i).copied().unwrap_or(0.0) / TICKS_PER_SECOND;
                let times: Times = std::array::from_fn(at);
                rows.push((cpu.to_owned(), times));
            }
        }
        let seconds = out.family(
            "node_cpu_seconds_total",
            "Seconds the CPUs spent in each mode.",
            Kind::Counter,
        );
        let guest = out.family(
            "node_cpu_guest_seconds_total",
            "Seconds the CPUs spent in guests (VMs) for each mode.",
            Kind::Counter,
        );
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A processor that is switched off and on again begins anew.
        last.retain(|cpu, _| rows.iter().any(|(c, _)| c == cpu));
        for (cpu, now) in rows {
            let cpu = cpu.as_str();
            let shown = last.entry(cpu.to_owned()).or_insert(now);
            if shown[IDLE] - now[IDLE] >= STEP_BACK_SECONDS {
                *shown = now;
            }
            for (s, n) in shown.iter_mut().zip(now) {
                *s = s.max(n);
            }
            for (mode, v) in MODES.iter().zip(shown.iter()) {
                out.add(seconds, &[("cpu", cpu), ("mode", mode)], *v);
            }
            if self.guest {
                out.add(guest, &[("cpu", cpu), ("mode", "user")], shown[8]);
                out.add(guest, &[("cpu", cpu), ("mode", "nice")], shown[9]);
            }
        }
        Ok(())
    }

    fn info(&self, r: &Roots, out: &mut Sink) -> Outcome {
        let path = r.proc("cpuinfo");
        let text = read::text(&path)?;
        let mut first = true;
        for block in text.split("\n\n") {
            let facts: BTreeMap<&str, &str> = block
                .lines()
                .filter_map(|l| l.split_once(':'))
                .map(|(k, v)| (k.trim(), v.trim()))
                .collect();
            let of = |key: &str| facts.get(key).copied().unwrap_or("");
            if of("processor").is_empty() {
                continue;
            }
            let (cpu, core, package) = (of("processor"), of("core id"), of("physical id"));
            let vendor = match of("vendor_id") {
                "" => of("vendor"),
                v => v,
            };
            out.gauge(
                "node_cpu_info",
                "CPU information from /proc/cpuinfo.",
                &[
                    ("package", package),
                    ("core", core),
                    ("cpu", cpu),
                    ("vendor", vendor),
                    ("family", of("cpu family")),
                    ("model", of("model")),
                    ("model_name", of("model name")),
                    ("microcode", of("microcode")),
                    ("stepping", of("stepping")),
                    ("cachesize", of("cache size")),
                ],
                1.0,
            );
            if self.frequency {
                out.gauge(
                    "node_cpu_frequency_hertz",
                    "CPU frequency in hertz from /proc/cpuinfo.",
                    &[("package", package), ("core", core), ("cpu", cpu)],
                    read::parse(of("cpu MHz")).unwrap_or(0.0) * 1e6,
                );
            }
            if first {
                first = false;
                chosen(self.flags.as_ref(), of("flags"), |f| {
                    out.gauge("node_cpu_flag_info", "The `flags` field of CPU information from /proc/cpuinfo taken from the first core.", &[("flag", f)], 1.0);
                });
                chosen(self.bugs.as_ref(), of("bugs"), |b| {
                    out.gauge("node_cpu_bug_info", "The `bugs` field of CPU information from /proc/cpuinfo taken from the first core.", &[("bug", b)], 1.0);
                });
            }
        }
        if first {
            return Err(Problem::format(&path, "no processor is named"));
        }
        Ok(())
    }
}

fn chosen(pattern: Option<&Regex>, words: &str, mut show: impl FnMut(&str)) {
    let Some(p) = pattern else { return };
    for w in words.split_whitespace().filter(|w| p.is_match(w)) {
        show(w);
    }
}

/// Number and folder of every processor, first those with the smallest first digit.
fn processors(r: &Roots) -> Vec<(String, PathBuf)> {
    let folder = r.sys("devices/system/cpu");
    let found = read::numbered(&folder, "cpu").unwrap_or_default();
    let numbers = found
        .into_iter()
        .filter(|(_, n)| n.starts_with(|c: char| c.is_ascii_digit()));
    numbers.map(|(name, n)| (n, folder.join(name))).collect()
}

fn throttles(r: &Roots, out: &mut Sink) {
    let mut cores = BTreeSet::new();
    let mut packages = BTreeSet::new();
    for (_, folder) in processors(r) {
        let counts = folder.join("thermal_throttle");
        let Some(package) = read::count_if(&folder.join("topology/physical_package_id")) else {
            continue;
        };
        let Some(core) = read::count_if(&folder.join("topology/core_id")) else {
            continue;
        };
        let (package, core) = (package.to_string(), core.to_string());
        if !cores.contains(&(package.clone(), core.clone()))
            && let Some(n) = read::count_if(&counts.join("core_throttle_count"))
        {
            out.counter(
                "node_cpu_core_throttles_total",
                "Number of times this CPU core has been throttled.",
                &[("package", &package), ("core", &core)],
                n,
            );
            cores.insert((package.clone(), core));
        }
        if !packages.contains(&package)
            && let Some(n) = read::count_if(&counts.join("package_throttle_count"))
        {
            out.counter(
                "node_cpu_package_throttles_total",
                "Number of times this CPU package has been throttled.",
                &[("package", &package)],
                n,
            );
            packages.insert(package);
        }
    }
}

/// Whether each processor is switched on; nothing where none can be switched off.
fn online(r: &Roots, out: &mut Sink) {
    let all = processors(r);
    let switch = |folder: &Path| read::word(&folder.join("online"));
    if all
        .first()
        .is_none_or(|(_, f)| switch(f).is_err_and(|e| e.is_absent()))
    {
        return;
    }
    for (cpu, folder) in &all {
        let on = switch(folder).is_ok_and(|w| w == "1");
        out.gauge(
            "node_cpu_online",
            "CPUs that are online and being scheduled.",
            &[("cpu", cpu)],
            f64::from(u8::from(on)),
        );
    }
}

fn isolated(r: &Roots, out: &mut Sink) {
    let list = read::word_or_empty(&r.sys("devices/system/cpu/isolated"));
    for range in list.split(',').filter(|p| !p.is_empty()) {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        // `to` is a number of the kernel's own processors, of which there are at most 8192.
        if let (Ok(from), Ok(to)) = (from.parse::<u16>(), to.parse::<u16>()) {
            for cpu in from..=to.min(from.saturating_add(8192)) {
                out.gauge("node_cpu_isolated", "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.", &[("cpu", &cpu.to_string())], 1.0);
            }
        }
    }
}
