//! Go's `text/template`, and its escaping for HTML, as an engine for the caller's functions.
//!
//! Owns: the template language (pipelines, variables, control structures, nested templates), its
//! built-in functions, printf verbs, error texts, budgets.
//! Knows nothing of: which functions a language offers beyond the built-in ones ([`Function`]
//! tables are the caller's), labels, alerts, the clock.
//!
//! Invariants
//! - TPL1  No template and no data makes this room panic or run without bound: nesting, steps and
//!   output are limited ([`Budget`]).
//! - TPL2  A template that Go refuses to parse is refused here with the place and the reason.
//! - TPL3  Functions get the number and the types of arguments that their table promises.
//!
//! Read next: `parse.rs`, `exec.rs`, `value.rs`.

pub mod args;
mod builtin;
mod changes;
mod exec;
pub mod family;
mod html;
pub mod json;
mod lex;
mod parse;
mod printf;
pub mod prometheus;
mod reads;
mod show;
pub mod sprig;
mod value;
mod weight;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use builtin::byte_slice;
pub use builtin::{escape_html, query_escape};
pub use exec::{Budget, ExecError, Host, NoHost};
pub use printf::sprintf;
pub use value::{Map, Object, Value, ZERO_SECOND};

use parse::Body as Parts;

/// Type that a function wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any value.
    Any,
    /// A text.
    Text,
    /// Go's `int`.
    Int,
    /// A float.
    Float,
    /// A truth value.
    Bool,
    /// A time.
    Time,
    /// A duration.
    Duration,
    /// A list of anything.
    List,
    /// A list of texts.
    Texts,
    /// A map.
    Map,
}

/// How a function is called.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// The arguments decide alone.
    Pure(fn(&[Value]) -> Result<Value, String>),
    /// The caller's [`Host`] is asked, by name.
    Host,
    /// The arguments decide alone, and the answer takes the place of the map that the first one is,
    /// wherever that is held.
    Change(fn(&[Value]) -> Result<Value, String>),
}

/// A function of a template.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Name in templates.
    pub name: &'static str,
    /// Types of its arguments.
    pub params: &'static [Kind],
    /// Type of any number of further arguments.
    pub rest: Option<Kind>,
    /// What it does.
    pub body: Body,
}

impl Function {
    /// A function that depends on its arguments only.
    #[must_use]
    pub const fn pure(
        name: &'static str,
        params: &'static [Kind],
        call: fn(&[Value]) -> Result<Value, String>,
    ) -> Self {
        Self {
            name,
            params,
            rest: None,
            body: Body::Pure(call),
        }
    }

    /// A function that changes its first argument, a map.
    #[must_use]
    pub const fn change(
        name: &'static str,
        params: &'static [Kind],
        call: fn(&[Value]) -> Result<Value, String>,
    ) -> Self {
        Self {
            name,
            params,
            rest: None,
            body: Body::Change(call),
        }
    }

    /// A function that the [`Host`] answers.
    #[must_use]
    pub const fn host(name: &'static str, params: &'static [Kind]) -> Self {
        Self {
            name,
            params,
            rest: None,
            body: Body::Host,
        }
    }

    /// The function with any number of further arguments.
    #[must_use]
    pub const fn with_rest(self, kind: Kind) -> Self {
        Self {
            rest: Some(kind),
            ..self
        }
    }
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: {name}:{line}: {text}")]
pub struct TemplateError {
    /// Name of the template.
    pub name: String,
    /// Line from 1.
    pub line: usize,
    /// What is wrong.
    pub text: String,
}

/// What a missing key of a map gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// `<no value>`.
    #[default]
    NoValue,
    /// The zero value of the map's values: an empty text for texts.
    Zero,
    /// An error.
    Error,
}

/// A parsed template with the templates it defines.
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    bodies: HashMap<String, Arc<Parts>, foldhash::fast::RandomState>,
    /// See [`MissingKey`].
    pub missing: MissingKey,
}

impl Template {
    /// Parses `text`. `tables` are looked through in order, then the built-in functions.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn parse(
        name: &str,
        text: &str,
        tables: &[&'static [Function]],
    ) -> Result<Self, TemplateError> {
        let mut t = Self {
            name: name.to_owned(),
            bodies: HashMap::default(),
            missing: MissingKey::NoValue,
        };
        t.add(name, text, tables)?;
        Ok(t)
    }

    /// Parses another file of templates into the same set; later definitions win.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn add(
        &mut self,
        name: &str,
        text: &str,
        tables: &[&'static [Function]],
    ) -> Result<(), TemplateError> {
        let file: Arc<str> = name.into();
        for (name, nodes) in parse::parse(name, text, tables)? {
            // A definition without content does not hide one with content.
            if reads::is_blank(&nodes) && self.bodies.contains_key(&name) {
                continue;
            }
            let file = Arc::clone(&file);
            self.bodies.insert(name, Arc::new(Parts { file, nodes }));
        }
        Ok(())
    }

    /// The fields of the data that the template reads, when it reads nothing else of it; `None`
    /// when it may read anything. Callers need not build what is not read.
    #[must_use]
    pub fn fields(&self) -> Option<Vec<String>> {
        if self.bodies.len() != 1 {
            return None;
        }
        reads::fields(&self.bodies.get(&self.name)?.nodes)
    }

    /// The fields that are named anywhere, sorted.
    #[must_use]
    pub fn named_fields(&self) -> Vec<String> {
        let mut out: Vec<String> = self
            .bodies
            .values()
            .flat_map(|b| reads::named(&b.nodes))
            .collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    /// When the template is nothing but `{{.x}}`, that x.
    #[must_use]
    pub fn single_field(&self) -> Option<&str> {
        reads::single_field(&self.bodies.get(&self.name)?.nodes)
    }

    /// A template of HTML: every value is escaped for the place where it stands. What the text of
    /// the template itself says is taken as it is, comments aside.
    ///
    /// # Errors
    /// When a value would stand in a place that depends on what was chosen before.
    pub fn html(&self) -> Result<Self, TemplateError> {
        html::escape(self)
    }

    /// Runs the template and appends its output.
    ///
    /// # Errors
    /// See [`ExecError`]; what was written so far stays in `out`.
    pub fn execute(
        &self,
        data: &Value,
        host: &mut dyn Host,
        budget: Budget,
        out: &mut String,
    ) -> Result<(), ExecError> {
        exec::run(self, &self.name, data, host, budget, out)
    }
}
