//! `alertmanager.yml`: the document, its defaults and checks.
//!
//! Owns: routes, receivers, inhibition rules and time intervals as typed values; both grammars of
//! matchers; what receivers take over from `global`.
//! Knows nothing of: alerts, notifications, who is told when.
//!
//! Invariants
//! - AMC1  A loaded document is complete: every name that is used exists, every receiver has what
//!   it needs to be told, names of files are absolute or relative to the working directory.
//! - AMC2  A rendered document holds no secret, also not in an address.
//!
//! Read next: `route.rs`, `matcher.rs`, `receivers/`.

mod global;
mod intervals;
mod matcher;
mod receivers;
mod route;
mod url;
mod usable;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(crate) use global::GlobalConfig;
pub(crate) use intervals::{NamedInterval, TimeInterval};
pub(crate) use matcher::{MatchOp, Matcher, parse_matcher, parse_matchers};
pub(crate) use receivers::*;
pub(crate) use route::{GROUP_BY_ALL, InhibitRule, RouteConfig};
pub(crate) use url::{HttpUrl, SecretUrl, SecretUrlTemplate};
pub(crate) use usable::{load_usable, load_usable_text};

use super::fields::{Check, config};
use super::prometheus::{directory_of, expand, resolve};
use super::{ConfigError, yaml};

/// A mail server's address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct HostPort {
    /// Name or address; may be empty.
    pub(crate) host: String,
    /// Number or name of a service; empty when nothing is configured.
    pub(crate) port: String,
}

config! {
    /// The whole document.
    pub(crate) struct AlertmanagerConfig("config.plain") {
        global: GlobalConfig => keep;
        route: Option<RouteConfig>;
        inhibit_rules: Vec<InhibitRule>;
        receivers: Vec<Receiver>;
        /// Patterns of template files.
        templates: Vec<String>;
        /// Old name of `time_intervals`, one name space.
        mute_time_intervals: Vec<NamedInterval>;
        time_intervals: Vec<NamedInterval>;
        /// Read and not used: no traces are sent.
        tracing: Option<serde_json::Value>;
        /// Read and not used.
        event_recorder: Option<serde_json::Value>;
    }
}

impl Check for AlertmanagerConfig {
    fn check(&mut self) -> Result<(), String> {
        let mut receivers = BTreeSet::new();
        for r in &mut self.receivers {
            r.inherit(&self.global)?;
        }
        for r in &self.receivers {
            if !receivers.insert(r.name.as_str()) {
                return Err(format!(
                    "notification config name {:?} is not unique",
                    r.name
                ));
            }
        }
        let Some(route) = &self.route else {
            return Err("no routes provided".into());
        };
        route.check_root()?;
        let mut intervals = BTreeSet::new();
        for (what, list) in [
            ("mute time interval", &self.mute_time_intervals),
            ("time interval", &self.time_intervals),
        ] {
            for i in list {
                if i.name.is_empty() {
                    return Err(format!("missing name in {what}"));
                }
                if !intervals.insert(i.name.as_str()) {
                    return Err(format!("{what} {:?} is not unique", i.name));
                }
            }
        }
        route.check_names(&receivers, &intervals)
    }
}

impl AlertmanagerConfig {
    /// The document as interfaces show it, defaults filled in and secrets hidden. Tools of earlier
    /// versions read it and refuse fields that they do not know: of the later ones, those that
    /// stand at their default are left out.
    pub(crate) fn shown(&self) -> String {
        let (mut shown, default) = (self.clone(), GlobalConfig::default());
        let g = &mut shown.global;
        for (own, default) in [
            (&mut g.slack_app_url, default.slack_app_url),
            (&mut g.rocketchat_api_url, default.rocketchat_api_url),
        ] {
            if *own == default {
                *own = Default::default();
            }
        }
        crate::config::render_yaml(&shown)
    }

    /// Named intervals of both lists.
    pub(crate) fn intervals(&self) -> impl Iterator<Item = &NamedInterval> {
        self.mute_time_intervals.iter().chain(&self.time_intervals)
    }
}

/// A document with the files that it names.
#[derive(Debug, Clone)]
pub(crate) struct LoadedAlertmanager {
    /// The document; its routes are there (AMC1).
    pub(crate) document: AlertmanagerConfig,
    /// Files of templates, in order.
    pub(crate) templates: Vec<PathBuf>,
}

/// Loads a file.
///
/// # Errors
/// The first problem, with file, line and column.
pub(crate) fn load(file: &Path) -> Result<LoadedAlertmanager, ConfigError> {
    load_text(file, &yaml::read(file)?)
}

/// Loads `text`; names of files are relative to the folder of `file`.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_text(file: &Path, text: &str) -> Result<LoadedAlertmanager, ConfigError> {
    let mut document: AlertmanagerConfig = yaml::parse(file, text)?;
    if document.route.is_none() {
        // An empty document never meets its own checks.
        return Err(ConfigError::parse(file, "no routes provided"));
    }
    let dir = directory_of(file);
    let visit = |f: &mut String| resolve(dir, f);
    document.global.files(&visit);
    document.receivers.iter_mut().for_each(|r| r.files(&visit));
    document.templates.iter_mut().for_each(visit);
    let patterns: Vec<String> = document.templates.clone();
    let templates = expand(file, &patterns)?;
    Ok(LoadedAlertmanager {
        document,
        templates,
    })
}

#[cfg(test)]
mod tests;
