//! Counters of virtual memory, from `/proc/vmstat`.

use regex::Regex;

use super::read::{self, Outcome, Roots};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const FIELDS: Flag = Flag::text(
    "collector.vmstat.fields",
    "^(oom_kill|pgpg|pswp|pg.*fault).*",
    "Fields to show, as a regular expression",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("vmstat", &[FIELDS], build);

fn build(s: &Settings) -> Result<Run, String> {
    let fields = s.pattern(&FIELDS)?;
    Ok(Box::new(move |r, out| collect(r, fields.as_ref(), out)))
}

fn collect(r: &Roots, fields: Option<&Regex>, out: &mut Sink) -> Outcome {
    let text = read::text(&r.proc("vmstat"))?;
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else {
            continue;
        };
        if fields.is_none_or(|f| f.is_match(name))
            && let Some(v) = read::parse(value.trim())
        {
            let family = out.family(
                format!("node_vmstat_{name}"),
                format!("/proc/vmstat information field {name}."),
                Kind::Untyped,
            );
            out.add(family, &[], v);
        }
    }
    Ok(())
}
