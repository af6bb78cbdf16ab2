//! `tenant`: whose the entry is.

use super::{Now, Simple};
use crate::logs::entry::Entry;
use crate::logs::settings::Settings;

/// The label that carries the tenant to the sender; it is never sent as a label.
pub const TENANT_LABEL: &str = "__tenant_id__";

enum From {
    Label(String),
    Source(String),
    Value(String),
}

/// The stage.
pub(super) struct Tenant(From);

impl Tenant {
    pub(super) fn new(s: Settings<'_>) -> Result<Self, String> {
        let given = |key| {
            Ok::<_, String>(
                s.text(key)?
                    .filter(|t| !t.is_empty())
                    .map(|t| t.into_owned()),
            )
        };
        match (given("label")?, given("source")?, given("value")?) {
            (Some(l), None, None) => Ok(Self(From::Label(l))),
            (None, Some(s), None) => Ok(Self(From::Source(s))),
            (None, None, Some(v)) => Ok(Self(From::Value(v))),
            _ => Err("exactly one of label, source and value is required".into()),
        }
    }
}

impl Simple for Tenant {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        let tenant = match &self.0 {
            From::Label(l) => entry.labels.get(l).cloned(),
            From::Source(s) => entry.text(s).map(|t| t.into_owned()),
            From::Value(v) => Some(v.clone()),
        };
        if let Some(t) = tenant.filter(|t| !t.is_empty()) {
            entry.set_label(TENANT_LABEL, t);
        }
        true
    }
}
