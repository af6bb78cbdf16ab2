//! This host: the collectors of the node exporter, under its names.
//!
//! Owns: which collectors there are and which of them run, one scrape over them.
//! Knows nothing of: HTTP, the command line's parser.
//!
//! One collector, one file, named as its flag. What it reads hangs below the [`Roots`], so that a
//! container can watch its host and a test a tree of fixtures.
//!
//! Invariants
//! - N1  A collector that gives up leaves its mark in `node_scrape_collector_success` and
//!   everybody else alone. What it has found so far stays, unless it reads one table as a whole.
//! - N2  Links are followed by name only; no collector walks a tree recursively.
//!
//! Read next: `read.rs` (files), `settings.rs` (flags), any collector.

mod dbus;
mod list;
mod netlink;
mod pci_ids;
mod read;
mod settings;

mod arp;
mod bcache;
mod bcachefs;
mod bonding;
mod btrfs;
mod buddyinfo;
mod cgroups;
mod conntrack;
mod cpu;
mod cpu_vulnerabilities;
mod cpufreq;
mod diskstats;
mod dmi;
mod dmmultipath;
mod drbd;
mod drm;
mod edac;
mod entropy;
mod fibrechannel;
mod filefd;
mod filesystem;
mod hwmon;
mod infiniband;
mod interrupts;
mod ipvs;
mod kernel_hung;
mod ksmd;
mod lnstat;
mod loadavg;
mod mdadm;
mod meminfo;
mod meminfo_numa;
mod mountstats;
mod netclass;
mod netdev;
mod netstat;
mod network_route;
mod nfs;
mod nfsd;
mod nvme;
mod nvmesubsystem;
mod os;
mod pcidevice;
mod powersupplyclass;
mod pressure;
mod processes;
mod qdisc;
mod rapl;
mod schedstat;
mod selinux;
mod slabinfo;
mod sockstat;
mod softirqs;
mod softnet;
mod stat;
mod swap;
mod sysctl;
mod systemd;
mod tapestats;
mod tcpstat;
mod textfile;
mod thermal_zone;
mod time;
mod timex;
mod udp_queues;
mod uname;
mod vmstat;
mod watchdog;
mod wifi;
mod xfrm;
mod xfs;
mod zfs;
mod zoneinfo;

use list::COLLECTORS;

use std::collections::BTreeSet;
use std::time::Instant;

pub use read::{Outcome, Problem, Roots};
pub use settings::{Flag, FlagKind, Settings};

use crate::emit::{Kind, Sink};

/// A collector that is set up.
type Run = Box<dyn Fn(&Roots, &mut Sink) -> Outcome + Send + Sync>;

/// How a collector is set up.
enum Build {
    /// It takes no flags.
    Plain(fn(&Roots, &mut Sink) -> Outcome),
    /// It reads flags; the error is about one of them.
    With(fn(&Settings) -> Result<Run, String>),
}

/// A collector of the list.
struct Entry {
    name: &'static str,
    by_default: bool,
    flags: &'static [Flag],
    build: Build,
    /// Whether a collector that gives up takes back what it has found so far.
    whole: bool,
}

impl Entry {
    /// A collector without flags.
    const fn plain(name: &'static str, run: fn(&Roots, &mut Sink) -> Outcome) -> Self {
        Self {
            name,
            by_default: true,
            flags: &[],
            build: Build::Plain(run),
            whole: false,
        }
    }

    /// A collector with flags.
    const fn with(
        name: &'static str,
        flags: &'static [Flag],
        build: fn(&Settings) -> Result<Run, String>,
    ) -> Self {
        Self {
            name,
            by_default: true,
            flags,
            build: Build::With(build),
            whole: false,
        }
    }

    /// The same, running only when asked for.
    const fn on_request(mut self) -> Self {
        self.by_default = false;
        self
    }

    /// The same, showing nothing at all when it gives up: half a table would be taken for all of
    /// it.
    const fn whole(mut self) -> Self {
        self.whole = true;
        self
    }
}

/// Every collector: its name and whether it runs by default.
pub fn collectors() -> impl Iterator<Item = (&'static str, bool)> {
    COLLECTORS.iter().map(|e| (e.name, e.by_default))
}

/// Flags of all collectors, without `--collector.NAME` itself.
pub fn flags() -> impl Iterator<Item = &'static Flag> {
    COLLECTORS.iter().flat_map(|e| e.flags)
}

/// A collector that runs.
struct Running {
    name: &'static str,
    run: Run,
    whole: bool,
}

/// The collectors of this host that run.
pub struct Node {
    roots: Roots,
    running: Vec<Running>,
}

/// Which collectors one scrape asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection(Option<BTreeSet<&'static str>>);

impl Node {
    /// Sets up the collectors that `settings` ask for.
    ///
    /// # Errors
    /// Names the flag that is wrong.
    pub fn new(roots: Roots, settings: &Settings) -> Result<Self, String> {
        let mut running = Vec::new();
        for e in COLLECTORS {
            if settings.runs(e.name, e.by_default) {
                let run: Run = match e.build {
                    Build::Plain(f) => Box::new(f),
                    Build::With(build) => build(settings)?,
                };
                running.push(Running {
                    name: e.name,
                    run,
                    whole: e.whole,
                });
            }
        }
        Ok(Self { roots, running })
    }

    /// Names of the collectors that run.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.running.iter().map(|c| c.name)
    }

    /// The selection of one scrape: those of `collect`, or all but those of `exclude`.
    ///
    /// # Errors
    /// When both are asked for, or a name is none of a running collector.
    pub fn select(&self, collect: &[&str], exclude: &[&str]) -> Result<Selection, String> {
        if !collect.is_empty() && !exclude.is_empty() {
            return Err("Combined collect and exclude queries are not allowed.".into());
        }
        if collect.is_empty() && exclude.is_empty() {
            return Ok(Selection(None));
        }
        let known = |name: &&str| {
            let found = self.names().find(|n| n == name);
            found.ok_or_else(|| {
                let why = if collectors().any(|(n, _)| n == *name) {
                    "disabled"
                } else {
                    "missing"
                };
                format!("Couldn't create filtered metrics handler: {why} collector: {name}")
            })
        };
        let collect: BTreeSet<_> = collect.iter().map(known).collect::<Result<_, _>>()?;
        let exclude: BTreeSet<_> = exclude.iter().map(known).collect::<Result<_, _>>()?;
        Ok(Selection(Some(if collect.is_empty() {
            self.names().filter(|n| !exclude.contains(n)).collect()
        } else {
            collect
        })))
    }

    /// Asks every selected collector, one after the other. Gives the problems there were; the
    /// scrape itself never fails (N1).
    pub fn scrape(&self, selection: &Selection, out: &mut Sink) -> Vec<(&'static str, Problem)> {
        let duration = out.family(
            "node_scrape_collector_duration_seconds",
            "node_exporter: Duration of a collector scrape.",
            Kind::Gauge,
        );
        let success = out.family(
            "node_scrape_collector_success",
            "node_exporter: Whether a collector succeeded.",
            Kind::Gauge,
        );
        let mut problems = Vec::new();
        for Running { name, run, whole } in &self.running {
            if selection.0.as_ref().is_some_and(|s| !s.contains(name)) {
                continue;
            }
            let started = Instant::now();
            let mark = out.mark();
            let outcome = run(&self.roots, out);
            if *whole && outcome.is_err() {
                out.rewind(mark);
            }
            let labels = [("collector", *name)];
            out.add(duration, &labels, started.elapsed().as_secs_f64());
            out.add(success, &labels, f64::from(u8::from(outcome.is_ok())));
            if let Err(p) = outcome {
                problems.push((*name, p));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests;
