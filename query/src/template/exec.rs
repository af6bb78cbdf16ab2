//! Running a template.

use super::parse::{Arg, Command, Node, Number, Pipe};
use super::value::{Value, method};
use super::{Body, Function, Kind, MissingKey, Template, builtin};

/// Bounds of one run (TPL1).
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Nodes and calls.
    pub steps: u64,
    /// Bytes written.
    pub output_bytes: usize,
}

impl Default for Budget {
    /// Far more than any message or line needs.
    fn default() -> Self {
        Self {
            steps: 1_000_000,
            output_bytes: 16 << 20,
        }
    }
}

/// What happens to values on their way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escape {
    /// Nothing.
    #[default]
    None,
    /// They are escaped for HTML text and attribute values, unless they are [`Value::Safe`].
    Html,
}

/// Answers functions that depend on more than their arguments.
pub trait Host {
    /// Calls the function `name` of a table with [`Body::Host`].
    ///
    /// # Errors
    /// The text of the error.
    fn call(&mut self, name: &str, args: &[Value]) -> Result<Value, String>;
}

/// No functions beyond those of tables.
pub struct NoHost;

impl Host for NoHost {
    fn call(&mut self, name: &str, _args: &[Value]) -> Result<Value, String> {
        Err(format!("{name} is not available here"))
    }
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: {name}:{line}:{column}: executing {name:?} at <{at}>: {text}")]
pub struct ExecError {
    /// Name of the template.
    pub name: String,
    /// Line from 1.
    pub line: usize,
    /// Column from 0.
    pub column: usize,
    /// The part that failed.
    pub at: String,
    /// What happened.
    pub text: String,
}

/// Deepest nesting of templates that call each other; Go allows far more, on a larger stack.
const CALLS_MAX: usize = 100;

/// How a list of nodes ended.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'r> {
    template: &'r Template,
    name: &'r str,
    host: &'r mut dyn Host,
    out: &'r mut String,
    start: usize,
    budget: Budget,
    escape: Escape,
    variables: Vec<(String, Value)>,
    calls: usize,
    place: (usize, usize),
}

type Ran<T> = Result<T, ExecError>;

pub(super) fn run(
    template: &Template,
    name: &str,
    data: &Value,
    host: &mut dyn Host,
    budget: Budget,
    escape: Escape,
    out: &mut String,
) -> Ran<()> {
    let start = out.len();
    let mut r = Run {
        template,
        name,
        host,
        out,
        start,
        budget,
        escape,
        variables: vec![("$".to_owned(), data.clone())],
        calls: 0,
        place: (1, 0),
    };
    match template.bodies.get(name) {
        Some(body) => r.list(body, data).map(drop),
        None => Ok(()),
    }
}

impl<'r> Run<'r> {
    fn fail(&self, at: impl Into<String>, text: impl Into<String>) -> ExecError {
        ExecError {
            name: self.name.to_owned(),
            line: self.place.0,
            column: self.place.1,
            at: at.into(),
            text: text.into(),
        }
    }

    fn step(&mut self) -> Ran<()> {
        match self.budget.steps.checked_sub(1) {
            Some(left) => {
                self.budget.steps = left;
                Ok(())
            }
            None => Err(self.fail("", "the template takes too many steps")),
        }
    }

    fn write(&mut self, text: &str) -> Ran<()> {
        if self.out.len() - self.start + text.len() > self.budget.output_bytes {
            let max = self.budget.output_bytes;
            return Err(self.fail("", format!("the output is longer than {max} bytes")));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn list(&mut self, list: &'r [Node], dot: &Value) -> Ran<Flow> {
        for n in list {
            self.step()?;
            match n {
                Node::Text(t) => self.write(t)?,
                Node::Action(p) => {
                    let v = self.pipe(p, dot, None)?;
                    if p.variables.is_empty() {
                        self.print(&v)?;
                    }
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
                Node::Template(name, p, line, column) => {
                    let v = match p {
                        Some(p) => self.pipe(p, dot, None)?,
                        None => Value::Nil,
                    };
                    self.place = (*line, *column);
                    self.call_template(name, &v)?;
                }
                Node::If(p, a, b) | Node::With(p, a, b) => {
                    let mark = self.variables.len();
                    let v = self.pipe(p, dot, None)?;
                    let inner = if matches!(n, Node::With(..)) && v.truth() {
                        &v
                    } else {
                        dot
                    };
                    let flow = self.list(if v.truth() { a } else { b }, inner)?;
                    self.variables.truncate(mark);
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                Node::Range(p, a, b) => {
                    let mark = self.variables.len();
                    let flow = self.range(p, a, b, dot)?;
                    self.variables.truncate(mark);
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
            }
        }
        Ok(Flow::On)
    }

    fn range(&mut self, p: &'r Pipe, a: &'r [Node], b: &'r [Node], dot: &Value) -> Ran<Flow> {
        let plain = Pipe {
            variables: Vec::new(),
            ..p.clone()
        };
        let v = self.pipe(&plain, dot, None)?;
        let items: Vec<(Value, Value)> = match &v {
            Value::List(l) => l
                .iter()
                .enumerate()
                .map(|(i, v)| (Value::Int(i as i64), v.clone()))
                .collect(),
            Value::Map(m) => m
                .entries
                .iter()
                .map(|(k, v)| (Value::Text(k.clone()), v.clone()))
                .collect(),
            Value::Int(n) | Value::Int64(n) => {
                if n.unsigned_abs() > self.budget.steps {
                    return Err(self.fail(show_pipe(p), "the template takes too many steps"));
                }
                (0..*n).map(|i| (Value::Int(i), Value::Int(i))).collect()
            }
            Value::Nil => Vec::new(),
            other => {
                let text = format!("range can't iterate over {}", other.text());
                return Err(self.fail(show_pipe(p), text));
            }
        };
        if items.is_empty() {
            return self.list(b, dot);
        }
        let mark = self.variables.len();
        for (k, v) in items {
            self.step()?;
            match (p.variables.as_slice(), p.assign) {
                ([one], false) => self.variables.push((one.clone(), v.clone())),
                ([first, second], false) => {
                    self.variables.push((first.clone(), k));
                    self.variables.push((second.clone(), v.clone()));
                }
                ([one], true) => self.set(one, v.clone()),
                ([first, second], true) => {
                    self.set(first, k);
                    self.set(second, v.clone());
                }
                _ => {}
            }
            let flow = self.list(a, &v)?;
            self.variables.truncate(mark);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn set(&mut self, name: &str, v: Value) {
        if let Some(slot) = self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            slot.1 = v;
        }
    }

    fn call_template(&mut self, name: &'r str, data: &Value) -> Ran<()> {
        let Some(body) = self.template.bodies.get(name) else {
            return Err(self.fail(
                format!("{{{{template {name:?}}}}}"),
                format!("template {name:?} not defined"),
            ));
        };
        self.calls += 1;
        if self.calls > CALLS_MAX {
            let text = format!("exceeded maximum template depth ({CALLS_MAX})");
            return Err(self.fail(format!("{{{{template {name:?}}}}}"), text));
        }
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), data.clone())]);
        let outer_name = std::mem::replace(&mut self.name, name);
        self.list(body, data)?;
        self.name = outer_name;
        self.variables = outer;
        self.calls -= 1;
        Ok(())
    }

    fn print(&mut self, v: &Value) -> Ran<()> {
        match (v, self.escape) {
            (Value::Nil, Escape::None) => self.write("<no value>"),
            (Value::Nil, Escape::Html) => Ok(()),
            (Value::Text(s), Escape::None) | (Value::Safe(s), _) => self.write(s),
            (v, Escape::None) => self.write(&v.text()),
            (v, Escape::Html) => {
                let escaped = builtin::escape_html(&v.text());
                self.write(&escaped)
            }
        }
    }

    fn pipe(&mut self, p: &Pipe, dot: &Value, last: Option<Value>) -> Ran<Value> {
        self.place = (p.line, p.column);
        let mut value = last;
        for c in &p.commands {
            self.step()?;
            value = Some(self.command(c, dot, value)?);
        }
        let value = value.unwrap_or_default();
        for v in &p.variables {
            if p.assign {
                self.set(v, value.clone());
            } else {
                self.variables.push((v.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, c: &Command, dot: &Value, last: Option<Value>) -> Ran<Value> {
        let Some((first, rest)) = c.args.split_first() else {
            return Ok(Value::Nil);
        };
        match first {
            Arg::Function(f) => self.call(f, rest, dot, last),
            Arg::Field(path) => self.path(dot, path, rest, dot, last, first),
            Arg::Variable(name, path) => {
                let v = self.variable(name);
                if path.is_empty() {
                    return self.no_args(v, first, rest, &last);
                }
                self.path(&v, path, rest, dot, last, first)
            }
            Arg::Chain(inner, path) => {
                let v = self.arg(inner, dot)?;
                self.path(&v, path, rest, dot, last, first)
            }
            Arg::Pipe(p) => {
                let v = self.pipe(p, dot, None)?;
                self.no_args(v, first, rest, &last)
            }
            Arg::Nil => Err(self.fail("nil", "nil is not a command")),
            other => {
                let v = self.arg(other, dot)?;
                self.no_args(v, first, rest, &last)
            }
        }
    }

    fn no_args(&self, v: Value, first: &Arg, rest: &[Arg], last: &Option<Value>) -> Ran<Value> {
        if rest.is_empty() && last.is_none() {
            return Ok(v);
        }
        let text = format!("can't give argument to non-function {}", show(first));
        Err(self.fail(show(first), text))
    }

    fn variable(&self, name: &str) -> Value {
        let found = self.variables.iter().rev().find(|(n, _)| n == name);
        found.map(|(_, v)| v.clone()).unwrap_or_default()
    }

    fn arg(&mut self, a: &Arg, dot: &Value) -> Ran<Value> {
        Ok(match a {
            Arg::Dot => dot.clone(),
            Arg::Nil => Value::Nil,
            Arg::Bool(b) => Value::Bool(*b),
            Arg::Number(n) => ideal(n),
            Arg::Text(s) => s.as_str().into(),
            Arg::Variable(name, path) => {
                let v = self.variable(name);
                self.path(&v, path, &[], dot, None, a)?
            }
            Arg::Field(path) => self.path(dot, path, &[], dot, None, a)?,
            Arg::Chain(inner, path) => {
                let v = self.arg(inner, dot)?;
                self.path(&v, path, &[], dot, None, a)?
            }
            Arg::Function(f) => self.call(f, &[], dot, None)?,
            Arg::Pipe(p) => self.pipe(p, dot, None)?,
        })
    }

    /// Fields one after the other; arguments belong to the last one.
    fn path(
        &mut self,
        from: &Value,
        path: &[String],
        args: &[Arg],
        dot: &Value,
        last: Option<Value>,
        whole: &Arg,
    ) -> Ran<Value> {
        let mut v = from.clone();
        for (i, name) in path.iter().enumerate() {
            if i + 1 < path.len() {
                v = self.field(&v, name, &[], whole)?;
                continue;
            }
            let mut values = Vec::with_capacity(args.len() + 1);
            for a in args {
                values.push(self.arg(a, dot)?);
            }
            values.extend(last.clone());
            v = self.field(&v, name, &values, whole)?;
        }
        Ok(v)
    }

    fn field(&mut self, v: &Value, name: &str, args: &[Value], whole: &Arg) -> Ran<Value> {
        if let Some(r) = method(v, name, args) {
            return r.map_err(|e| self.fail(show(whole), format!("error calling {name}: {e}")));
        }
        let found = match v {
            Value::Map(m) => match m.entries.get(name) {
                Some(v) => Some(v.clone()),
                None => match self.template.missing {
                    MissingKey::Zero if m.texts => Some("".into()),
                    MissingKey::Error => {
                        let text = format!("map has no entry for key {name:?}");
                        return Err(self.fail(show(whole), text));
                    }
                    _ => Some(Value::Nil),
                },
            },
            Value::Object(o) => o.field(name),
            Value::Nil => {
                let text = format!("nil data; no entry for key {name:?}");
                return Err(self.fail(show(whole), text));
            }
            _ => None,
        };
        let Some(found) = found else {
            let text = format!("can't evaluate field {name} in type {}", v.type_name());
            return Err(self.fail(show(whole), text));
        };
        if args.is_empty() {
            return Ok(found);
        }
        let text = format!("{name} has arguments but cannot be invoked as function");
        Err(self.fail(show(whole), text))
    }

    fn call(&mut self, f: &Function, args: &[Arg], dot: &Value, last: Option<Value>) -> Ran<Value> {
        self.step()?;
        if matches!(f.name, "and" | "or") {
            return self.short_circuit(f, args, dot, last);
        }
        let given = args.len() + usize::from(last.is_some());
        let want = f.params.len();
        if given < want || (given > want && f.rest.is_none()) {
            let least = if f.rest.is_some() { "at least " } else { "" };
            let text = format!(
                "wrong number of args for {}: want {least}{want} got {given}",
                f.name
            );
            return Err(self.fail(f.name, text));
        }
        let mut values = Vec::with_capacity(given);
        for (i, a) in args.iter().enumerate() {
            let kind = f.params.get(i).copied().or(f.rest).unwrap_or(Kind::Any);
            let v = match a {
                Arg::Number(n) => self.constant(n, kind)?,
                a => {
                    let v = self.arg(a, dot)?;
                    self.typed(v, kind, &show(a))?
                }
            };
            values.push(v);
        }
        if let Some(v) = last {
            let kind = f.params.get(args.len()).copied().or(f.rest);
            let v = self.typed(v, kind.unwrap_or(Kind::Any), f.name)?;
            values.push(v);
        }
        let answer = match f.body {
            Body::Pure(call) => call(&values),
            Body::Host => self.host.call(f.name, &values),
        };
        answer.map_err(|e| self.fail(f.name, format!("error calling {}: {e}", f.name)))
    }

    /// `and` and `or` evaluate no more arguments than they need.
    fn short_circuit(
        &mut self,
        f: &Function,
        args: &[Arg],
        dot: &Value,
        last: Option<Value>,
    ) -> Ran<Value> {
        let stop_at = f.name == "or";
        let mut v = None;
        for a in args {
            let one = self.arg(a, dot)?;
            let stop = one.truth() == stop_at;
            v = Some(one);
            if stop {
                return Ok(v.unwrap_or_default());
            }
        }
        match last.or(v) {
            Some(v) => Ok(v),
            None => Err(self.fail(
                f.name,
                format!("wrong number of args for {}: want at least 1 got 0", f.name),
            )),
        }
    }

    /// A constant takes the type that is wanted, if it can (TPL3).
    fn constant(&self, n: &Number, kind: Kind) -> Ran<Value> {
        match kind {
            Kind::Any => Ok(ideal(n)),
            Kind::Float => Ok(Value::Float(n.float)),
            Kind::Int if n.int.is_some() => Ok(Value::Int(n.int.unwrap_or(0))),
            kind => {
                let text = format!("expected {}; found {}", kind_name(kind), n.text);
                Err(self.fail(n.text.clone(), text))
            }
        }
    }

    fn typed(&self, v: Value, kind: Kind, at: &str) -> Ran<Value> {
        let fits = match kind {
            Kind::Any => true,
            Kind::Text => matches!(v, Value::Text(_) | Value::Safe(_)),
            Kind::Int => matches!(v, Value::Int(_)),
            Kind::Float => matches!(v, Value::Float(_)),
            Kind::Bool => matches!(v, Value::Bool(_)),
            Kind::Time => matches!(v, Value::Time(_)),
            Kind::List => matches!(v, Value::List(_)),
            Kind::Map => matches!(v, Value::Map(_)),
        };
        if fits {
            return Ok(v);
        }
        let text = match &v {
            Value::Nil => format!("invalid value; expected {}", kind_name(kind)),
            v => format!(
                "wrong type for value; expected {}; got {}",
                kind_name(kind),
                v.type_name()
            ),
        };
        Err(self.fail(at, text))
    }
}

fn ideal(n: &Number) -> Value {
    match n.int {
        Some(i) if n.is_int => Value::Int(i),
        _ => Value::Float(n.float),
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Any => "interface {}",
        Kind::Text => "string",
        Kind::Int => "int",
        Kind::Float => "float64",
        Kind::Bool => "bool",
        Kind::Time => "time.Time",
        Kind::List => "[]interface {}",
        Kind::Map => "map[string]interface {}",
    }
}

/// An operand as errors show it.
fn show(a: &Arg) -> String {
    let dotted = |path: &[String]| path.iter().map(|p| format!(".{p}")).collect::<String>();
    match a {
        Arg::Dot => ".".to_owned(),
        Arg::Nil => "nil".to_owned(),
        Arg::Bool(b) => b.to_string(),
        Arg::Number(n) => n.text.clone(),
        Arg::Text(s) => crate::text::quote::quote(s),
        Arg::Variable(v, path) => format!("{v}{}", dotted(path)),
        Arg::Field(path) => dotted(path),
        Arg::Chain(inner, path) => format!("{}{}", show(inner), dotted(path)),
        Arg::Function(f) => f.name.to_owned(),
        Arg::Pipe(p) => format!("({})", show_pipe(p)),
    }
}

fn show_pipe(p: &Pipe) -> String {
    let commands = p.commands.iter().map(|c| {
        let args: Vec<String> = c.args.iter().map(show).collect();
        args.join(" ")
    });
    commands.collect::<Vec<_>>().join(" | ")
}
