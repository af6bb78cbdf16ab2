//! Interrupts per source and processor, from `/proc/interrupts`.

use super::read::{self, Outcome, Problem, Roots};
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
    let path = r.proc("interrupts");
    let text = read::text(&path)?;
    let mut lines = text.lines();
    let header = lines.next();
    let header = header.ok_or_else(|| Problem::format(&path, "the file is empty"))?;
    // Only processors that are switched on have a column.
    let cpus: Vec<&str> = header
        .split_whitespace()
        .map(|c| c.trim_start_matches("CPU"))
        .collect();
    let family = out.family("node_interrupts_total", "Interrupt details.", Kind::Counter);
    for line in lines {
        let Some((kind, rest)) = line.split_once(':') else {
            continue;
        };
        let kind = kind.trim_start_matches(' ');
        let words: Vec<&str> = rest.split_whitespace().collect();
        // Lines that count for all processors together have no column each.
        let Some((values, [first, more @ ..])) = words.split_at_checked(cpus.len()) else {
            continue;
        };
        let more = more.join(" ");
        let (info, devices) = if kind.parse::<i64>().is_ok() {
            ((*first).to_owned(), more)
        } else if more.is_empty() {
            ((*first).to_owned(), String::new())
        } else {
            (format!("{first} {more}"), String::new())
        };
        if !filter.keeps(&format!("{kind};{info};{devices}")) {
            continue;
        }
        for (cpu, value) in cpus.iter().zip(values) {
            let v = read::parse(value).ok_or_else(|| {
                Problem::format(&path, format_args!("{value:?} in {line:?} is no number"))
            })?;
            if zeros || v != 0.0 {
                let labels = [
                    ("cpu", *cpu),
                    ("type", kind),
                    ("info", &*info),
                    ("devices", &*devices),
                ];
                out.put(family, Suffix::None, labels, v);
            }
        }
    }
    Ok(())
}
