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

impl Step for Decolorize {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        if !entry.line.contains(['\x1b', '\u{9b}']) {
            return true;
        }
        if let Some(re) = SEQUENCE.as_ref()
            && let Cow::Owned(plain) = re.replace_all(&entry.line, "")
        {
            entry.set_line(plain);
        }
        true
    }
}
