//! Energy that the processors used, from `/sys/class/powercap`.

use std::collections::HashMap;

use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::Sink;

const ZONE_LABEL: Flag = Flag::switch(
    "collector.rapl.enable-zone-label",
    false,
    "One metric with the zone's name as a label",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("rapl", &[ZONE_LABEL], build);

/// The kernel counts microjoules.
const MICRO: f64 = 1e6;

fn build(s: &Settings) -> Result<Run, String> {
    let label = s.on(&ZONE_LABEL);
    Ok(Box::new(move |r, out| collect(r, label, out)))
}

fn collect(r: &Roots, zone_label: bool, out: &mut Sink) -> Outcome {
    let folder = r.sys("class/powercap");
    let mut counted: HashMap<String, usize> = HashMap::new();
    for name in read::names(&folder)? {
        let zone = folder.join(&name);
        // Groups of zones have neither name nor counter.
        let Ok(kind) = read::word(&zone.join("name")) else {
            continue;
        };
        // package-0: the number is the index.
        let (kind, given) = match kind.rsplit_once('-') {
            Some((k, n)) if n.bytes().all(|b| b.is_ascii_digit()) => {
                (k.to_owned(), Some(n.to_owned()))
            }
            _ => (kind, None),
        };
        let n = counted.entry(kind.clone()).or_default();
        let index = given.unwrap_or_else(|| n.to_string());
        *n += 1;
        let micros = match read::number(&zone.join("energy_uj")) {
            Ok(v) => v,
            Err(Problem::Absent(_)) => continue,
            // Only root may read it on current kernels.
            Err(p) => return Err(Problem::Absent(p.to_string())),
        };
        let path = zone.to_string_lossy();
        let joules = micros / MICRO;
        if zone_label {
            out.counter(
                "node_rapl_joules_total",
                "Current RAPL value in joules",
                &[("index", &index), ("path", &path), ("rapl_zone", &kind)],
                joules,
            );
            continue;
        }
        let clean: String = kind
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        out.counter(
            format!("node_rapl_{clean}_joules_total"),
            format!("Current RAPL {kind} value in joules"),
            &[("index", &index), ("path", &path)],
            joules,
        );
    }
    Ok(())
}
