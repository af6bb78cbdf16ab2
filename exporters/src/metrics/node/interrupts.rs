//! Interrupts per source and processor, from `/proc/interrupts`.

use super::read::{self, Outcome, Roots};
use super::settings::{Filter, Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink, Suffix};

const INCLUDE: Flag = Flag::text(
    "collector.interrupts.name-include",
    "",
    "Interrupts to show (as type;info;devices), as a regular expression",
);
const EXCLUDE: Flag = Flag::text(
    "collector.interrupts.name-exclude",
    "",
    "Interrupts to leave out (as type;info;devices), as a regular expression",
);
const ZEROS: Flag = Flag::switch(
    "collector.interrupts.include-zeros",
    true,
    "Show interrupts that have never happened",
);

/// The collector.
pub(super) const ENTRY: Entry =
    Entry::with("interrupts", &[INCLUDE, EXCLUDE, ZEROS], build).on_request();

fn build(s: &Settings) -> Result<Run, String> {
    let filter = Filter::new(s, &INCLUDE, &EXCLUDE)?;
    let zeros = s.on(&ZEROS);
    Ok(Box::new(move |r, out| collect(r, &filter, zeros, out)))
}

fn collect(r: &Roots, filter: &Filter, zeros: bool, out: &mut Sink) -> Outcome {
    let text = read::text(&r.proc("interrupts"))?;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or("").split_whitespace();
    let cpus: Vec<&str> = header.filter_map(|c| c.strip_prefix("CPU")).collect();
    let family = out.family("node_interrupts_total", "Interrupt details.", Kind::Counter);
    for line in lines {
        let Some((kind, rest)) = line.split_once(':') else {
            continue;
        };
        let kind = kind.trim();
        let mut values = Vec::with_capacity(cpus.len());
        let mut tail = rest.trim_start();
        for _ in &cpus {
            let end = tail.find(' ').unwrap_or(tail.len());
            let (word, after) = tail.split_at(end);
            values.push(read::parse(word));
            tail = after.trim_start();
        }
        // Two lines count for all processors together and have no column each.
        if values.iter().any(Option::is_none) {
            continue;
        }
        let (info, devices) = if kind.bytes().all(|b| b.is_ascii_digit()) {
            let mut words = tail.splitn(2, "  ");
            let info = words.next().unwrap_or("").trim();
            (info, words.next().unwrap_or("").trim())
        } else {
            (tail.trim(), "")
        };
        if !filter.keeps(&format!("{kind};{info};{devices}")) {
            continue;
        }
        let squeezed;
        let devices = if devices.contains("  ") {
            squeezed = devices.split_whitespace().collect::<Vec<_>>().join(" ");
            squeezed.as_str()
        } else {
            devices
        };
        for (cpu, v) in cpus.iter().zip(values) {
            let v = v.unwrap_or(0.0);
            if zeros || v != 0.0 {
                let labels = [
                    ("cpu", *cpu),
                    ("type", kind),
                    ("info", info),
                    ("devices", devices),
                ];
                out.put(family, Suffix::None, labels, v);
            }
        }
    }
    Ok(())
}
