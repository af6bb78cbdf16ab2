//! The configuration in force: the tree, the rules, the receivers with their notifiers.
//!
//! Owns: what is made of a loaded document, which integrations cannot be used.
//! Knows nothing of: alerts, groups, when something is sent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::SignedDuration;

use super::notify::{self, Integration};
use super::route::Route;
use super::template::Templates;
use crate::config::LabelMap;
use crate::config::alertmanager::{
    InhibitRule, LoadedAlertmanager, NamedInterval, load, load_text, load_usable,
};

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A file; anything wrong with it is an error.
    File(PathBuf),
    /// A file of which the parts that can be used are used.
    Usable(PathBuf),
    /// Built in.
    Text(String),
}

impl Source {
    fn load(&self) -> Result<(LoadedAlertmanager, Vec<String>), String> {
        let loaded = match self {
            Self::File(f) => load(f).map(|l| (l, Vec::new())),
            Self::Usable(f) => load_usable(f),
            Self::Text(t) => {
                load_text(std::path::Path::new("built-in.yml"), t).map(|l| (l, Vec::new()))
            }
        };
        loaded.map_err(|e| e.to_string())
    }
}

/// A receiver.
pub(crate) struct ReceiverInForce {
    /// Its labels, its name among them.
    pub(crate) labels: BTreeMap<String, String>,
    /// Its notifiers; none swallows what it is given.
    pub(crate) integrations: Vec<Integration>,
}

/// What is in force.
pub(crate) struct InForce {
    /// The route tree.
    pub(crate) tree: Route,
    /// Rules of inhibition.
    pub(crate) inhibit_rules: Vec<InhibitRule>,
    /// Named intervals.
    pub(crate) intervals: BTreeMap<String, NamedInterval>,
    /// Receivers by name.
    pub(crate) receivers: BTreeMap<String, ReceiverInForce>,
    /// Definitions that texts may use.
    pub(crate) templates: Arc<Templates>,
    /// How long an alert without an end lasts.
    pub(crate) resolve_timeout: SignedDuration,
    /// The document as it may be shown.
    pub(crate) shown: String,
    /// Of the document, for comparing.
    pub(crate) hash: u64,
    /// Number of parts that cannot be used.
    pub(crate) unusable: usize,
}

fn with_name(name: &str, labels: &LabelMap) -> BTreeMap<String, String> {
    let own = labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
    let mut out: BTreeMap<String, String> = own.collect();
    out.insert("name".into(), name.to_owned());
    out
}

impl InForce {
    /// Loads a configuration with its templates.
    ///
    /// # Errors
    /// What cannot be used.
    pub(crate) fn load(source: &Source) -> Result<Self, String> {
        let (loaded, left_out) = source.load()?;
        for what in &left_out {
            tracing::error!("the configuration of alerting is used without this part: {what}");
        }
        let document = loaded.document;
        let Some(route) = &document.route else {
            return Err("no routes provided".into());
        };
        let mut unusable = left_out.len();
        let mut receivers = BTreeMap::new();
        for r in &document.receivers {
            let (integrations, bad) = notify::integrations(r);
            for b in bad {
                tracing::error!(receiver = %r.name, integration = b.kind, index = b.index, error = %b.why, "an integration cannot be used");
                unusable += 1;
            }
            let labels = with_name(&r.name, &r.labels);
            receivers.insert(
                r.name.clone(),
                ReceiverInForce {
                    labels,
                    integrations,
                },
            );
        }
        let named = document.intervals().map(|i| (i.name.clone(), i.clone()));
        let shown = document.shown();
        Ok(Self {
            tree: Route::new(route),
            intervals: named.collect(),
            receivers,
            templates: Arc::new(Templates::load(&loaded.templates)?),
            resolve_timeout: SignedDuration::from_millis(document.global.resolve_timeout.as_ms()),
            hash: xxhash_rust::xxh3::xxh3_64(shown.as_bytes()),
            shown,
            inhibit_rules: document.inhibit_rules,
            unusable,
        })
    }
}
