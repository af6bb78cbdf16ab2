//! `| decolorize`: terminal colour sequences go.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::{Entry, Step, Surroundings};

/// An introducer (ESC or CSI), intermediate characters, and then either parameters up to a BEL
/// (operating system commands) or numbers and a final character.
static SEQUENCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let introducer = r"[\x1b\u{9b}][\[\]()#;?]*";
    let command = r"(?:[a-zA-Z0-9]*(?:;[a-zA-Z0-9]*)*)?\x07";
    let control = r"(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-ntqry=><~]";
    Regex::new(&format!("{introducer}(?:{command}|{control})")).ok()
});

/// The stage.
pub(super) struct Decolorize;

/// The line without sequences.
#[must_use]
pub fn decolorized(line: &str) -> Cow<'_, str> {
    match SEQUENCE.as_ref() {
        Some(re) if line.contains(['\x1b', '\u{9b}']) => re.replace_all(line, ""),
        _ => Cow::Borrowed(line),
    }
}

impl Step for Decolorize {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        if let Cow::Owned(plain) = decolorized(&entry.line) {
            entry.set_line(plain);
        }
        true
    }
}
