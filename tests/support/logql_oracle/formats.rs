//! Stages that change lines and labels without parsing.

use query::logql::ast::{LabelFormat, LabelPick};

use super::template::{Failure, execute};
use super::{DETAILS, ERROR, Row, matches, with_pattern};

/// Colour and operating system sequences, as the tools write them.
pub fn decolorize(row: &mut Row<'_>) {
    let sequence = "\u{1b}\\[[0-9;]*[A-Za-z]|\u{1b}\\][0-9;a-zA-Z]*\u{7}";
    let plain = with_pattern(sequence, |r| r.replace_all(&row.line, "").into_owned());
    row.set_line(plain.expect("a pattern"));
}

/// True when the answer is not the only right one.
pub fn line_format(t: &str, row: &mut Row<'_>) -> bool {
    match execute(t, &row.all_labels(), row.time, &row.line) {
        Ok(text) => row.change_line(text),
        Err(Failure::Error) => row.fail("TemplateFormatErr", true),
        Err(Failure::Open) => return true,
    }
    false
}

/// True when the answer is not the only right one.
pub fn label_format(terms: &[LabelFormat], row: &mut Row<'_>) -> bool {
    let mut seen = None;
    for t in terms {
        if t.rename {
            let Some(value) = row.get(&t.source).map(str::to_owned) else {
                continue;
            };
            row.set(&t.target, &value);
            if t.target != t.source {
                row.delete(&t.source);
            }
            continue;
        }
        let labels = seen.get_or_insert_with(|| row.all_labels()).clone();
        match execute(&t.source, &labels, row.time, &row.line) {
            Ok(text) => row.set(&t.target, &text),
            Err(Failure::Error) => row.fail("TemplateFormatErr", true),
            Err(Failure::Open) => return true,
        }
    }
    false
}

/// True when the outcome depends on the text of an error's details, which is free.
pub fn drop(picks: &[LabelPick], row: &mut Row<'_>) -> bool {
    let free = |p: &LabelPick| matches!(p, LabelPick::Match(m) if m.name == DETAILS);
    let open = row.details && picks.iter().any(free);
    for p in picks {
        let (name, holds) = match p {
            LabelPick::Name(n) => (n, true),
            LabelPick::Match(m) if m.name == ERROR => (&m.name, matches(m, Some(&row.error))),
            LabelPick::Match(m) => (&m.name, matches(m, row.get(&m.name))),
        };
        match name.as_str() {
            _ if !holds => {}
            ERROR => row.error.clear(),
            DETAILS => row.details = false,
            n => row.delete(n),
        }
    }
    open
}

pub fn keep(picks: &[LabelPick], row: &mut Row<'_>) {
    let names: Vec<String> = row.all_labels().into_keys().collect();
    for n in names.iter().filter(|n| *n != ERROR && *n != DETAILS) {
        let kept = picks.iter().any(|p| match p {
            LabelPick::Name(k) => k == n,
            LabelPick::Match(m) => m.name == *n && matches(m, row.get(n)),
        });
        if !kept {
            row.delete(n);
        }
    }
}
