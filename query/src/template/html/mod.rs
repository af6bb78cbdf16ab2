//! HTML mode: every value is escaped for the place where it stands.
//!
//! Owns: the walk that finds the context of every action before anything runs, and the escapers it
//! attaches to them.
//! Knows nothing of: data, running.
//!
//! Invariants
//! - HTM1  An action has one context, whatever was chosen before it: branches that end in different
//!   contexts are refused, and a template that is called in two contexts becomes two.
//!
//! The contexts and what is done in them are those that the documentation of Go's `html/template`
//! promises.
//!
//! Read next: `context.rs`, `escaper.rs`.

mod context;
mod escaper;

pub(super) use escaper::{Escaper, escaped};

use std::collections::HashMap;
use std::sync::Arc;

use self::context::{Context, State};
use super::lex::At;
use super::parse::{Arg, Body, Node, Pipe};
use super::{Template, TemplateError, show};
use crate::text::quote::quote;

/// Attaches escapers to every action that can be reached.
///
/// # Errors
/// See [`Template::html`].
pub(super) fn escape(template: &Template) -> Result<Template, TemplateError> {
    let mut walk = Walk {
        from: template,
        done: HashMap::default(),
        bodies: HashMap::default(),
        file: Arc::from(template.name.as_str()),
        breaks: Vec::new(),
    };
    let name = template.name.clone();
    let end = walk
        .template(&name, Context::default(), At { line: 1, column: 0 })?
        .1;
    if end.state != State::Text {
        return Err(walk.fail(
            At { line: 1, column: 0 },
            format!("ends in a non-text context: {end:?}"),
        ));
    }
    Ok(Template {
        name,
        bodies: walk.bodies,
        missing: template.missing,
    })
}

struct Walk<'t> {
    from: &'t Template,
    /// Templates by the context of their call, with the context at their end.
    done: HashMap<(String, Context), Context, foldhash::fast::RandomState>,
    bodies: HashMap<String, Arc<Body>, foldhash::fast::RandomState>,
    file: Arc<str>,
    /// Contexts at which innermost loops are left or go on.
    breaks: Vec<Vec<Context>>,
}

type Walked<T> = Result<T, TemplateError>;

impl Walk<'_> {
    fn fail(&self, at: At, text: impl Into<String>) -> TemplateError {
        TemplateError {
            name: self.file.to_string(),
            line: at.line,
            text: text.into(),
        }
    }

    /// The name under which a template is called in a context, and the context after it (HTM1).
    fn template(&mut self, name: &str, c: Context, at: At) -> Walked<(String, Context)> {
        let own = match c == Context::default() {
            true => name.to_owned(),
            false => format!("{name}$htmltemplate_{c:?}"),
        };
        let key = (name.to_owned(), c);
        if let Some(end) = self.done.get(&key) {
            return Ok((own, *end));
        }
        let Some(body) = self.from.bodies.get(name).cloned() else {
            let text = format!("{}: no such template {}", quote(name), quote(name));
            return Err(self.fail(at, text));
        };
        // A template that calls itself is taken to end where it began, until that is known.
        self.done.insert(key.clone(), c);
        let file = std::mem::replace(&mut self.file, body.file.clone());
        let breaks = std::mem::take(&mut self.breaks);
        let (nodes, end) = self.list(&body.nodes, c)?;
        self.file = file;
        self.breaks = breaks;
        self.done.insert(key, end);
        let file = body.file.clone();
        self.bodies
            .insert(own.clone(), Arc::new(Body { file, nodes }));
        Ok((own, end))
    }

    fn list(&mut self, list: &[Node], c: Context) -> Walked<(Vec<Node>, Context)> {
        let mut c = c;
        let mut out = Vec::with_capacity(list.len());
        for n in list {
            let node = match n {
                Node::Text(t) => {
                    let mut text = String::with_capacity(t.len());
                    c = c
                        .after(t, &mut text)
                        .map_err(|e| self.fail(At { line: 1, column: 0 }, e))?;
                    Node::Text(text)
                }
                Node::Action(p, _) if !p.variables.is_empty() => n.clone(),
                Node::Action(p, _) => {
                    let (mut escapers, next) = c.escapers().map_err(|e| self.fail(p.at, e))?;
                    c = next;
                    match last_function(p) {
                        Some("html") if escapers.iter().all(|e| e.is_html()) => {
                            escapers = vec![Escaper::Raw];
                        }
                        Some("urlquery") => escapers.retain(|e| *e != Escaper::UrlQuery),
                        _ => {}
                    }
                    Node::Action(p.clone(), escapers)
                }
                Node::Template(name, p, at) => {
                    let (own, end) = self.template(name, c, *at)?;
                    c = end;
                    Node::Template(own, p.clone(), *at)
                }
                Node::Break | Node::Continue => {
                    if let Some(inner) = self.breaks.last_mut() {
                        inner.push(c);
                    }
                    n.clone()
                }
                Node::If(p, a, b) | Node::With(p, a, b) => {
                    let (a, end_a) = self.list(a, c)?;
                    let (b, end_b) = self.list(b, c)?;
                    let word = if matches!(n, Node::If(..)) {
                        "if"
                    } else {
                        "with"
                    };
                    // A branch that leaves the loop does not go on here.
                    c = match (leaves(&a), leaves(&b)) {
                        (true, _) => end_b,
                        (_, true) => end_a,
                        _ => self.join(end_a, end_b, p, word)?,
                    };
                    match n {
                        Node::If(..) => Node::If(p.clone(), a, b),
                        _ => Node::With(p.clone(), a, b),
                    }
                }
                Node::Range(p, a, b) => {
                    self.breaks.push(Vec::new());
                    let (a, end_a) = self.list(a, c)?;
                    let left = self.breaks.pop().unwrap_or_default();
                    let mut end = end_a;
                    for l in left {
                        end = self.join(end, l, p, "range")?;
                    }
                    // A second round begins where the first ended.
                    end = self.join(end, c, p, "range")?;
                    let (b, end_b) = self.list(b, c)?;
                    c = self.join(end, end_b, p, "range")?;
                    Node::Range(p.clone(), a, b)
                }
            };
            out.push(node);
        }
        Ok((out, c))
    }

    fn join(&self, a: Context, b: Context, p: &Pipe, word: &str) -> Walked<Context> {
        a.join(b).ok_or_else(|| {
            let text = format!(
                "{{{{{word} {}}}}} branches end in different contexts: {a:?}, {b:?}",
                show::pipe(p)
            );
            self.fail(p.at, text)
        })
    }
}

fn leaves(list: &[Node]) -> bool {
    matches!(list.last(), Some(Node::Break | Node::Continue))
}

/// The function at the end of a pipeline: what it has escaped is not escaped again.
fn last_function(p: &Pipe) -> Option<&'static str> {
    match &p.commands.last()?.args.first()?.arg {
        Arg::Function(f) => Some(f.name),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
