//! Templates of notifications: the built-in ones, the user's files, the texts of receivers.
//!
//! Owns: the functions and the data that these templates see, the built-in definitions.
//! Knows nothing of: receivers, when something is sent.
//!
//! Invariants
//! - NT1  A set that has been read can be expanded for ever: texts of receivers are parsed against
//!   it each time, nothing is read again.
//!
//! Read next: `data.rs`, `functions.rs`, `default.tmpl`.

mod data;
mod functions;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use query::template::{Budget, Template};

pub(crate) use data::{AlertData, Data, ZERO_TIME};

/// The built-in definitions.
const BUILT_IN: [(&str, &str); 2] = [
    ("default.tmpl", include_str!("default.tmpl")),
    ("email.tmpl", include_str!("email.tmpl")),
];

/// All definitions that texts may use.
#[derive(Debug, Clone)]
pub(crate) struct Templates {
    all: Template,
}

impl Templates {
    /// The built-in definitions and those of `files`; later ones win.
    ///
    /// # Errors
    /// A file that cannot be read or is no template, with its name and line.
    pub(crate) fn load(files: &[PathBuf]) -> Result<Self, String> {
        let mut all = Template::parse("", "", &[functions::TABLE]).map_err(|e| e.to_string())?;
        all.missing = query::template::MissingKey::Zero;
        let mut t = Self { all };
        for (name, text) in BUILT_IN {
            t.add(name, text)?;
        }
        for file in files {
            let text = std::fs::read_to_string(file)
                .map_err(|e| format!("open {}: {e}", file.display()))?;
            let name = Path::new(file).file_name().and_then(|n| n.to_str());
            t.add(name.unwrap_or("template"), &text)?;
        }
        Ok(t)
    }

    fn add(&mut self, name: &str, text: &str) -> Result<(), String> {
        self.all
            .add(name, text, &[functions::TABLE])
            .map_err(|e| e.to_string())
    }

    fn with(&self, text: &str) -> Result<Template, String> {
        let mut t = self.all.clone();
        t.add("", text, &[functions::TABLE])
            .map_err(|e| e.to_string())?;
        Ok(t)
    }

    /// Expands a text; nothing is escaped.
    ///
    /// # Errors
    /// Why it is no template, or what failed when it ran.
    pub(crate) fn text(&self, text: &str, data: &Data, now: Timestamp) -> Result<String, String> {
        // Most texts of a configuration have no actions.
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        run(&self.with(text)?, data, now)
    }

    /// Expands a text of HTML; values are escaped for the place where they stand.
    ///
    /// # Errors
    /// As [`Templates::text`], and when a value would stand in a place that depends on others.
    pub(crate) fn html(&self, text: &str, data: &Data, now: Timestamp) -> Result<String, String> {
        let t = self.with(text)?.html().map_err(|e| e.to_string())?;
        run(&t, data, now)
    }
}

fn run(template: &Template, data: &Data, now: Timestamp) -> Result<String, String> {
    let mut out = String::new();
    let mut host = functions::Asked { now, data };
    template
        .execute(&data.value(), &mut host, Budget::default(), &mut out)
        .map_err(|e| e.to_string())?;
    Ok(out)
}

#[cfg(test)]
mod tests;
