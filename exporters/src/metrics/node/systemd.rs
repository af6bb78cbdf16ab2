//! Units of systemd, asked over D-Bus.
//!
//! The bus is this host's, whatever the roots are: a container has its socket mounted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::dbus::{Bus, Method, Value};
use super::read::{Outcome, Problem};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::Sink;

const INCLUDE: Flag = Flag::text(
    "collector.systemd.unit-include",
    ".+",
    "Pattern of units to show, for the whole name; must also not match the one to exclude",
);
const EXCLUDE: Flag = Flag::text(
    "collector.systemd.unit-exclude",
    r".+\.(automount|device|mount|scope|slice)",
    "Pattern of units to leave out, for the whole name",
);
const INCLUDE_OLD: Flag = Flag::text(
    "collector.systemd.unit-whitelist",
    "",
    "Older name of unit-include",
);
const EXCLUDE_OLD: Flag = Flag::text(
    "collector.systemd.unit-blacklist",
    "",
    "Older name of unit-exclude",
);
const TASKS: Flag = Flag::switch(
    "collector.systemd.enable-task-metrics",
    false,
    "Show the tasks of services",
);
const RESTARTS: Flag = Flag::switch(
    "collector.systemd.enable-restarts-metrics",
    false,
    "Show how often services were restarted",
);
const STARTS: Flag = Flag::switch(
    "collector.systemd.enable-start-time-metrics",
    false,
    "Show when units were started",
);
const PRIVATE: Flag = Flag::switch(
    "collector.systemd.private",
    false,
    "Talk to systemd itself, without the bus; for root only",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with(
    "systemd",
    &[
        INCLUDE,
        EXCLUDE,
        INCLUDE_OLD,
        EXCLUDE_OLD,
        TASKS,
        RESTARTS,
        STARTS,
        PRIVATE,
    ],
    build,
)
.on_request();

/// Names the socket of the bus where it is not at the usual place.
const ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";
const BUS: &str = "/run/dbus/system_bus_socket";
const DIRECT: &str = "/run/systemd/private";

const SYSTEMD: &str = "org.freedesktop.systemd1";
const ROOT: &str = "/org/freedesktop/systemd1";

/// What a unit may be.
const STATES: [&str; 5] = ["active", "activating", "deactivating", "inactive", "failed"];
/// What a counter says that the unit has no limit, or that is not kept.
const UNSET: f64 = u64::MAX as f64;

struct Collector {
    socket: PathBuf,
    private: bool,
    include: Regex,
    exclude: Regex,
    tasks: bool,
    restarts: bool,
    starts: bool,
}

fn build(s: &Settings) -> Result<Run, String> {
    let c = Collector::new(s)?;
    Ok(Box::new(move |_, out| c.collect(out)))
}

/// The pattern of a flag, for the whole name; an empty one is for no name.
fn whole(s: &Settings, flag: &Flag) -> Result<Regex, String> {
    // Compiled alone first: `a)(b` is no pattern, though it would be one in a group.
    s.pattern(flag)?;
    let whole = Regex::new(&format!("^(?:{})$", s.text(flag)));
    whole.map_err(|e| format!("--{}: {e}", flag.name))
}

fn bus_socket(address: Option<&str>) -> PathBuf {
    let of = |a: &str| {
        let first = a.split(';').find_map(|a| a.strip_prefix("unix:"))?;
        let path = first.split(',').find_map(|p| p.strip_prefix("path="))?;
        Some(PathBuf::from(path))
    };
    address.and_then(of).unwrap_or_else(|| BUS.into())
}

/// A unit of the list.
struct Unit<'a> {
    name: &'a str,
    loaded: bool,
    state: &'a str,
    path: &'a str,
}

impl<'a> Unit<'a> {
    /// Name, description, loaded, state, state of its own, followed unit, path, job.
    fn new(v: &'a Value) -> Option<Self> {
        let text = |i: usize| v.list().get(i)?.text();
        Some(Self {
            name: text(0)?,
            loaded: text(2)? == "loaded",
            state: text(3)?,
            path: text(6)?,
        })
    }
}

fn property(bus: &mut Bus, path: &str, interface: &str, name: &str) -> Result<Value, String> {
    let get = Method {
        destination: SYSTEMD,
        path,
        interface: "org.freedesktop.DBus.Properties",
        member: "Get",
    };
    let all = bus.call(get, &[&format!("{SYSTEMD}.{interface}"), name])?;
    all.into_iter()
        .next()
        .ok_or_else(|| format!("{name} has no value"))
}

impl Collector {
    fn new(s: &Settings) -> Result<Self, String> {
        let private = s.on(&PRIVATE);
        let address = std::env::var(ADDRESS).ok();
        Ok(Self {
            socket: match private {
                true => DIRECT.into(),
                false => bus_socket(address.as_deref()),
            },
            private,
            include: whole(s, s.either(&INCLUDE, &INCLUDE_OLD)?)?,
            exclude: whole(s, s.either(&EXCLUDE, &EXCLUDE_OLD)?)?,
            tasks: s.on(&TASKS),
            restarts: s.on(&RESTARTS),
            starts: s.on(&STARTS),
        })
    }

    fn collect(&self, out: &mut Sink) -> Outcome {
        self.ask(&self.socket, out).map_err(Problem::Failed)
    }

    fn ask(&self, socket: &Path, out: &mut Sink) -> Result<(), String> {
        let mut bus = Bus::connect(socket, self.private)?;
        about(&mut bus, out)?;
        let list = Method {
            destination: SYSTEMD,
            path: ROOT,
            interface: "org.freedesktop.systemd1.Manager",
            member: "ListUnits",
        };
        let answer = bus.call(list, &[])?;
        let units = answer.first().map_or(&[][..], Value::list);
        let units: Vec<Unit<'_>> = units.iter().filter_map(Unit::new).collect();
        let mut by_state: BTreeMap<&str, u32> = STATES.iter().map(|s| (*s, 0)).collect();
        for u in &units {
            *by_state.entry(u.state).or_default() += 1;
        }
        for (state, n) in by_state {
            let help = "Summary of systemd unit states";
            out.gauge("node_systemd_units", help, &[("state", state)], n.into());
        }
        for u in &units {
            let shown = self.include.is_match(u.name) && !self.exclude.is_match(u.name);
            if u.loaded && shown {
                self.unit(&mut bus, u, out);
            }
        }
        Ok(())
    }

    /// Shows one unit. What it does not know about itself is left out: units come and go, and older
    /// versions know less.
    fn unit(&self, bus: &mut Bus, u: &Unit<'_>, out: &mut Sink) {
        let name = ("name", u.name);
        let ending = u.name.rsplit('.').next().unwrap_or_default();
        let mut get = |interface: &str, property_name: &str| {
            let v = property(bus, u.path, interface, property_name);
            v.ok()
        };
        let kind = match ending {
            "service" => get("Service", "Type"),
            "mount" => get("Mount", "Type"),
            _ => None,
        };
        let kind = kind.as_ref().and_then(Value::text).unwrap_or_default();
        for state in STATES {
            out.gauge(
                "node_systemd_unit_state",
                "Systemd unit",
                &[name, ("state", state), ("type", kind)],
                f64::from(u8::from(u.state == state)),
            );
        }
        let mut number = |interface: &str, property_name: &str| {
            get(interface, property_name)
                .as_ref()
                .and_then(Value::number)
        };
        if self.starts {
            let at = match u.state {
                "active" => number("Unit", "ActiveEnterTimestamp").map(|us| us / 1e6),
                _ => Some(0.0),
            };
            if let Some(at) = at {
                out.gauge(
                    "node_systemd_unit_start_time_seconds",
                    "Start time of the unit since unix epoch in seconds.",
                    &[name],
                    at,
                );
            }
        }
        if ending == "service" {
            if self.restarts
                && let Some(n) = number("Service", "NRestarts")
            {
                out.counter(
                    "node_systemd_service_restart_total",
                    "Service unit count of Restart triggers",
                    &[name],
                    n,
                );
            }
            let tasks = [
                (
                    "TasksCurrent",
                    "node_systemd_unit_tasks_current",
                    "Current number of tasks per Systemd unit",
                ),
                (
                    "TasksMax",
                    "node_systemd_unit_tasks_max",
                    "Maximum number of tasks per Systemd unit",
                ),
            ];
            for (of, family, help) in tasks.into_iter().filter(|_| self.tasks) {
                if let Some(n) = number("Service", of).filter(|n| *n != UNSET) {
                    out.gauge(family, help, &[name], n);
                }
            }
        }
        if ending == "timer"
            && let Some(us) = number("Timer", "LastTriggerUSec")
        {
            out.gauge(
                "node_systemd_timer_last_trigger_seconds",
                "Seconds since epoch of last trigger.",
                &[name],
                us / 1e6,
            );
        }
        if ending == "socket" {
            if let Some(n) = number("Socket", "NAccepted") {
                out.counter(
                    "node_systemd_socket_accepted_connections_total",
                    "Total number of accepted socket connections",
                    &[name],
                    n,
                );
            }
            let gauges = [
                (
                    "NConnections",
                    "node_systemd_socket_current_connections",
                    "Current number of socket connections",
                ),
                // A gauge upstream too, whatever its name says.
                (
                    "NRefused",
                    "node_systemd_socket_refused_connections_total",
                    "Total number of refused socket connections",
                ),
            ];
            for (of, family, help) in gauges {
                if let Some(n) = number("Socket", of) {
                    out.gauge(family, help, &[name], n);
                }
            }
        }
    }
}

/// Version, virtualization and whether all is well.
fn about(bus: &mut Bus, out: &mut Sink) -> Result<(), String> {
    let mut text = |name: &str| {
        let v = property(bus, ROOT, "Manager", name)?;
        Ok::<_, String>(v.text().unwrap_or_default().to_owned())
    };
    let version = text("Version")?;
    // `252.22-1~deb12u1`, `v255`
    let start = version.find(|c: char| c.is_ascii_digit());
    let tail = version.get(start.unwrap_or(version.len())..).unwrap_or("");
    let mut points = 0;
    let end = tail.find(|c: char| {
        points += u32::from(c == '.');
        !(c.is_ascii_digit() || c == '.') || points > 1
    });
    let number = tail.get(..end.unwrap_or(tail.len())).unwrap_or("");
    out.gauge(
        "node_systemd_version",
        "Detected systemd version",
        &[("version", &version)],
        number.trim_end_matches('.').parse().unwrap_or(f64::NAN),
    );
    let virtualization = text("Virtualization")?;
    let virtualization = match virtualization.as_str() {
        "" => "none",
        v => v,
    };
    out.gauge(
        "node_systemd_virtualization_info",
        "Detected virtualization technology",
        &[("virtualization_type", virtualization)],
        1.0,
    );
    let running = text("SystemState")? == "running";
    out.gauge(
        "node_systemd_system_running",
        "Whether the system is operational (see 'systemctl is-system-running')",
        &[],
        f64::from(u8::from(running)),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::dbus::tests::{Answer, serve, socket, structure, text, variant};
    use super::*;

    /// Name, loaded, state.
    const UNITS: [(&str, &str, &str); 7] = [
        ("ssh.service", "loaded", "active"),
        ("cron.service", "loaded", "failed"),
        ("gone.service", "not-found", "inactive"),
        ("apt.timer", "loaded", "active"),
        ("dbus.socket", "loaded", "active"),
        ("-.mount", "loaded", "active"),
        ("x.target", "loaded", "reloading"),
    ];

    fn list() -> Answer {
        let mut items = Vec::new();
        for (i, (name, loaded, state)) in UNITS.iter().enumerate() {
            structure(&mut items);
            let path = format!("/u/{i}");
            for t in [name, "some unit", loaded, state, "sub", "", &path] {
                text(&mut items, t);
            }
            items.resize(items.len().next_multiple_of(4), 0);
            items.extend(0_u32.to_le_bytes());
            for t in ["", "/"] {
                text(&mut items, t);
            }
        }
        let mut body = (items.len() as u32).to_le_bytes().to_vec();
        structure(&mut body);
        body.extend(items);
        Ok(("a(ssssssouso)".into(), body))
    }

    fn answer(path: &str, member: &str, args: &[Value]) -> Answer {
        let of = |t: &str| {
            let mut v = Vec::new();
            text(&mut v, t);
            variant("s", 4, &v)
        };
        let long = |n: u64| variant("t", 8, &n.to_le_bytes());
        let short = |n: u32| variant("u", 4, &n.to_le_bytes());
        if member != "Get" {
            return match member {
                "Hello" => Ok((String::new(), Vec::new())),
                "ListUnits" => list(),
                _ => Err(format!("no method {member}")),
            };
        }
        let interface = args[0].text().unwrap().rsplit('.').next().unwrap();
        match (path, interface, args[1].text().unwrap()) {
            (ROOT, "Manager", "Version") => of("252.22-1~deb12u1"),
            (ROOT, "Manager", "Virtualization") => of(""),
            (ROOT, "Manager", "SystemState") => of("degraded"),
            ("/u/0" | "/u/1", "Service", "Type") => of("notify"),
            ("/u/0" | "/u/3", "Unit", "ActiveEnterTimestamp") => long(1_700_000_000_500_000),
            ("/u/0", "Service", "NRestarts") => short(3),
            ("/u/0", "Service", "TasksCurrent") => long(7),
            ("/u/0", "Service", "TasksMax") => long(u64::MAX),
            ("/u/3", "Timer", "LastTriggerUSec") => long(1_500_000),
            ("/u/4", "Socket", "NAccepted") => short(9),
            ("/u/4", "Socket", "NConnections") => short(2),
            (_, i, p) => Err(format!("no {i}.{p}")),
        }
    }

    fn scraped(socket: &Path, flags: &[(&Flag, &str)]) -> Result<String, String> {
        let mut s = Settings::default();
        for (f, v) in flags {
            s.give(f.name, vec![(*v).to_owned()]);
        }
        let mut out = Sink::new();
        Collector::new(&s)?.ask(socket, &mut out)?;
        let text = out.text();
        let samples = text.lines().filter(|l| !l.starts_with('#'));
        Ok(samples.map(|l| format!("{l}\n")).collect())
    }

    #[test]
    fn units_are_shown() {
        let path = socket("systemd");
        serve(&path, answer);
        let all = scraped(&path, &[]).unwrap();
        for line in [
            "node_systemd_version{version=\"252.22-1~deb12u1\"} 252.22",
            "node_systemd_virtualization_info{virtualization_type=\"none\"} 1",
            "node_systemd_system_running 0",
            "node_systemd_units{state=\"active\"} 4",
            "node_systemd_units{state=\"failed\"} 1",
            "node_systemd_units{state=\"inactive\"} 1",
            "node_systemd_units{state=\"deactivating\"} 0",
            "node_systemd_units{state=\"reloading\"} 1",
            "node_systemd_unit_state{name=\"ssh.service\",state=\"active\",type=\"notify\"} 1",
            "node_systemd_unit_state{name=\"ssh.service\",state=\"failed\",type=\"notify\"} 0",
            "node_systemd_unit_state{name=\"cron.service\",state=\"failed\",type=\"notify\"} 1",
            "node_systemd_unit_state{name=\"apt.timer\",state=\"active\",type=\"\"} 1",
            "node_systemd_timer_last_trigger_seconds{name=\"apt.timer\"} 1.5",
            "node_systemd_socket_accepted_connections_total{name=\"dbus.socket\"} 9",
            "node_systemd_socket_current_connections{name=\"dbus.socket\"} 2",
        ] {
            assert!(all.contains(&format!("{line}\n")), "{line}\n{all}");
        }
        for absent in ["gone", "mount", "refused", "tasks", "restart", "start_time"] {
            assert!(!all.contains(absent), "{absent}\n{all}");
        }
        let on = [
            (&TASKS, "true"),
            (&RESTARTS, "true"),
            (&STARTS, "true"),
            (&INCLUDE, "(ssh|cron).service"),
        ];
        let some = scraped(&path, &on).unwrap();
        for line in [
            "node_systemd_unit_start_time_seconds{name=\"ssh.service\"} 1.7000000005e+09",
            "node_systemd_unit_start_time_seconds{name=\"cron.service\"} 0",
            "node_systemd_service_restart_total{name=\"ssh.service\"} 3",
            "node_systemd_unit_tasks_current{name=\"ssh.service\"} 7",
        ] {
            assert!(some.contains(&format!("{line}\n")), "{line}\n{some}");
        }
        for absent in ["tasks_max", "timer", "x.target"] {
            assert!(!some.contains(absent), "{absent}\n{some}");
        }
    }

    #[test]
    fn wrong_flags_and_addresses() {
        let nowhere = Path::new("/nowhere/bus");
        let bad = scraped(nowhere, &[(&INCLUDE, "a)(b")]).unwrap_err();
        assert!(bad.contains("unit-include"), "{bad}");
        let absent = scraped(nowhere, &[]).unwrap_err();
        assert!(absent.contains("/nowhere/bus"), "{absent}");
        let of = |a| bus_socket(a).display().to_string();
        assert_eq!(of(None), BUS);
        assert_eq!(of(Some("unix:path=/a/b,guid=1")), "/a/b");
        assert_eq!(of(Some("tcp:host=x;unix:path=/c")), "/c");
        assert_eq!(of(Some("unix:abstract=/c")), BUS);
    }
}
