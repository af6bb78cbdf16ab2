//! Counters of virtual memory, from `/proc/vmstat`.

use regex::Regex;

use super::read::{self, Outcome, Problem, Roots};
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
    let path = r.proc("vmstat");
    let text = read::text(&path)?;
    for row in read::rows(&text) {
        let v = read::field(&row, 1);
        let (Some(name), Some(v)) = (row.first(), v) else {
            let line = row.join(" ");
            return Err(Problem::format(
                &path,
                format_args!("{line:?} has no number"),
            ));
        };
        if fields.is_none_or(|f| f.is_match(name)) {
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
