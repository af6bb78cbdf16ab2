//! Running a template.

use super::changes::Changes;
use super::html;
use super::lex::At;
use super::parse::{Arg, Command, Node, Number, Operand, Pipe};
use super::value::{Value, call_method, signature};
use super::{Body, Function, Kind, MissingKey, Template, show, weight};

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
#[error(
    "template: {file}:{line}:{column}: executing {} at <{at}>: {text}",
    crate::text::quote::quote(name)
)]
pub struct ExecError {
    /// Name of the text that defines the template.
    pub file: String,
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

/// Items of a list or a map that a function gives for one step.
const ITEMS_A_STEP: u64 = 64;

/// Deepest nesting of templates that call each other; Go allows far more, on a larger stack.
const CALLS_MAX: usize = 100;

/// How a list of nodes ended.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// What is being worked on: errors name it.
#[derive(Clone, Copy)]
enum Spot<'r> {
    Start,
    Pipe(&'r Pipe),
    Command(&'r Command),
    Operand(&'r Operand),
    Template(&'r Node, At),
}

struct Run<'r> {
    template: &'r Template,
    file: &'r str,
    name: &'r str,
    host: &'r mut dyn Host,
    out: &'r mut String,
    start: usize,
    budget: Budget,
    variables: Vec<(&'r str, Value)>,
    calls: usize,
    spot: Spot<'r>,
    changes: Changes,
}

type Ran<T> = Result<T, ExecError>;

pub(super) fn run<'r>(
    template: &'r Template,
    name: &'r str,
    data: &Value,
    host: &'r mut dyn Host,
    budget: Budget,
    out: &'r mut String,
) -> Ran<()> {
    let start = out.len();
    let Some(body) = template.bodies.get(name) else {
        return Ok(());
    };
    let mut r = Run {
        template,
        file: &body.file,
        name,
        host,
        out,
        start,
        budget,
        variables: vec![("$", data.clone())],
        calls: 0,
        spot: Spot::Start,
        changes: Changes::default(),
    };
    r.list(&body.nodes, data).map(drop)
}

impl<'r> Run<'r> {
    fn fail(&self, text: impl Into<String>) -> ExecError {
        let (place, at) = match self.spot {
            Spot::Start => (At { line: 1, column: 0 }, String::new()),
            Spot::Pipe(p) => (p.at, show::pipe(p)),
            Spot::Command(c) => (c.at, show::command(c)),
            Spot::Operand(o) => (o.at, show::operand(o)),
            Spot::Template(n, at) => (at, show::template(n)),
        };
        ExecError {
            file: self.file.to_owned(),
            name: self.name.to_owned(),
            line: place.line,
            column: place.column,
            at,
            text: text.into(),
        }
    }

    fn step(&mut self) -> Ran<()> {
        self.charge(1)
    }

    fn charge(&mut self, steps: u64) -> Ran<()> {
        match self.budget.steps.checked_sub(steps) {
            Some(left) => {
                self.budget.steps = left;
                Ok(())
            }
            None => Err(self.fail("the template takes too many steps")),
        }
    }

    fn write(&mut self, text: &str) -> Ran<()> {
        if self.out.len() - self.start + text.len() > self.budget.output_bytes {
            let max = self.budget.output_bytes;
            return Err(self.fail(format!("the output is longer than {max} bytes")));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn list(&mut self, list: &'r [Node], dot: &Value) -> Ran<Flow> {
        for n in list {
            self.step()?;
            match n {
                Node::Text(t) => self.write(t)?,
                Node::Action(p, escapers) => {
                    let v = self.pipe(p, dot, true)?;
                    if p.variables.is_empty() {
                        self.print(&v, escapers)?;
                    }
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
                Node::Template(name, p, at) => {
                    let v = match p {
                        Some(p) => self.pipe(p, dot, true)?,
                        None => Value::Nil,
                    };
                    self.spot = Spot::Template(n, *at);
                    self.call_template(name, &v)?;
                }
                Node::If(p, a, b) | Node::With(p, a, b) => {
                    let mark = self.variables.len();
                    let v = self.pipe(p, dot, true)?;
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
        let v = self.pipe(p, dot, false)?;
        let items: Vec<(Value, Value)> = match v.base() {
            Value::List(l) | Value::Texts(l) => l
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
                    return Err(self.fail("the template takes too many steps"));
                }
                (0..*n).map(|i| (Value::Int(i), Value::Int(i))).collect()
            }
            Value::Nil => Vec::new(),
            _ => return Err(self.fail(format!("range can't iterate over {}", v.text()))),
        };
        if items.is_empty() {
            return self.list(b, dot);
        }
        let mark = self.variables.len();
        for (k, v) in items {
            self.step()?;
            match (p.variables.as_slice(), p.assign) {
                ([one], false) => self.variables.push((one, v.clone())),
                ([first, second], false) => {
                    self.variables.push((first, k));
                    self.variables.push((second, v.clone()));
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
        if let Some(slot) = self.variables.iter_mut().rev().find(|(n, _)| *n == name) {
            slot.1 = v;
        }
    }

    fn call_template(&mut self, name: &'r str, data: &Value) -> Ran<()> {
        let Some(body) = self.template.bodies.get(name) else {
            return Err(self.fail(format!("template {name:?} not defined")));
        };
        self.calls += 1;
        if self.calls > CALLS_MAX {
            let text = format!("exceeded maximum template depth ({CALLS_MAX})");
            return Err(self.fail(text));
        }
        let outer = std::mem::replace(&mut self.variables, vec![("$", data.clone())]);
        let outer_names = (self.file, self.name);
        (self.file, self.name) = (&body.file, name);
        self.list(&body.nodes, data)?;
        (self.file, self.name) = outer_names;
        self.variables = outer;
        self.calls -= 1;
        Ok(())
    }

    fn print(&mut self, v: &Value, escapers: &[html::Escaper]) -> Ran<()> {
        match (v, escapers) {
            (Value::Nil, []) => self.write("<no value>"),
            (Value::Text(s), []) => self.write(s),
            (v, []) => self.write(&v.text()),
            (v, escapers) => self.write(&html::escaped(v, escapers)),
        }
    }

    /// The value of a pipeline; its variables get it when `declare` says so.
    fn pipe(&mut self, p: &'r Pipe, dot: &Value, declare: bool) -> Ran<Value> {
        self.spot = Spot::Pipe(p);
        let mut value = None;
        for c in &p.commands {
            self.step()?;
            value = Some(self.command(c, dot, value)?);
        }
        let value = value.unwrap_or_default();
        if !declare {
            return Ok(value);
        }
        for v in &p.variables {
            if p.assign {
                self.set(v, value.clone());
            } else {
                self.variables.push((v, value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, c: &'r Command, dot: &Value, last: Option<Value>) -> Ran<Value> {
        let Some((first, rest)) = c.args.split_first() else {
            return Ok(Value::Nil);
        };
        self.spot = Spot::Operand(first);
        match &first.arg {
            Arg::Function(f) => self.call(f, rest, dot, last, Spot::Command(c)),
            Arg::Field(path) => self.path(dot.clone(), path, (rest, last), dot, first),
            Arg::Variable(name, path) if !path.is_empty() => {
                let v = self.variable(name);
                self.path(v, path, (rest, last), dot, first)
            }
            Arg::Chain(inner, path) => {
                let v = self.operand(inner, dot)?;
                self.spot = Spot::Operand(first);
                self.path(v, path, (rest, last), dot, first)
            }
            Arg::Nil => Err(self.fail("nil is not a command")),
            _ if !rest.is_empty() || last.is_some() => {
                let text = format!(
                    "can't give argument to non-function {}",
                    show::operand(first)
                );
                Err(self.fail(text))
            }
            _ => self.operand(first, dot),
        }
    }

    fn variable(&self, name: &str) -> Value {
        let found = self.variables.iter().rev().find(|(n, _)| *n == name);
        let held = found.map(|(_, v)| v.clone()).unwrap_or_default();
        self.changes.current(held)
    }

    /// A map takes another one's place, wherever that is held.
    fn change(&mut self, old: Option<&Value>, new: &Value) -> Ran<()> {
        let (Some(Value::Map(old)), Value::Map(new)) = (old, new) else {
            return Ok(());
        };
        let held = self.variables.iter_mut().map(|(_, v)| v);
        let seen = self.changes.put(old, new, held);
        self.charge(seen)
    }

    fn operand(&mut self, o: &'r Operand, dot: &Value) -> Ran<Value> {
        self.spot = Spot::Operand(o);
        Ok(match &o.arg {
            Arg::Dot => self.changes.current(dot.clone()),
            Arg::Nil => Value::Nil,
            Arg::Bool(b) => Value::Bool(*b),
            Arg::Number(n) => ideal(n),
            Arg::Text(s, _) => s.as_str().into(),
            Arg::Variable(name, path) => {
                let v = self.variable(name);
                self.path(v, path, (&[], None), dot, o)?
            }
            Arg::Field(path) => self.path(dot.clone(), path, (&[], None), dot, o)?,
            Arg::Chain(inner, path) => {
                let v = self.operand(inner, dot)?;
                self.spot = Spot::Operand(o);
                self.path(v, path, (&[], None), dot, o)?
            }
            Arg::Function(f) => self.call(f, &[], dot, None, Spot::Operand(o))?,
            Arg::Pipe(p) => self.pipe(p, dot, true)?,
        })
    }

    /// Fields one after the other; arguments belong to the last one.
    fn path(
        &mut self,
        from: Value,
        path: &[String],
        (args, last): (&'r [Operand], Option<Value>),
        dot: &Value,
        whole: &'r Operand,
    ) -> Ran<Value> {
        let Some((end, begin)) = path.split_last() else {
            return Ok(from);
        };
        let mut v = self.changes.current(from);
        for name in begin {
            v = self.field(&v, name, (&[], None), dot, whole)?;
        }
        self.field(&v, end, (args, last), dot, whole)
    }

    /// A method, a map's entry or a field, in this order.
    fn field(
        &mut self,
        v: &Value,
        name: &str,
        (args, last): (&'r [Operand], Option<Value>),
        dot: &Value,
        whole: &'r Operand,
    ) -> Ran<Value> {
        if let Some(params) = signature(v, name) {
            let values = self.arguments(name, (params, None), args, dot, last)?;
            self.spot = Spot::Operand(whole);
            let answer = call_method(v, name, &values);
            return answer.map_err(|e| self.fail(format!("error calling {name}: {e}")));
        }
        let own = match v {
            Value::Object(o) => o.field(name),
            _ => None,
        };
        let found = match (own, v.base()) {
            (Some(own), _) => own,
            (None, Value::Map(m)) => match m.entries.get(name) {
                Some(v) => v.clone(),
                None => match self.template.missing {
                    MissingKey::Zero if m.texts => "".into(),
                    MissingKey::Error => {
                        return Err(self.fail(format!("map has no entry for key {name:?}")));
                    }
                    _ => Value::Nil,
                },
            },
            (None, Value::Nil) => {
                return Err(self.fail(format!("nil data; no entry for key {name:?}")));
            }
            _ => {
                let text = format!("can't evaluate field {name} in type {}", v.type_name());
                return Err(self.fail(text));
            }
        };
        if args.is_empty() && last.is_none() {
            return Ok(found);
        }
        Err(self.fail(format!(
            "{name} has arguments but cannot be invoked as function"
        )))
    }

    /// The values of arguments, as many and of the types that are wanted (TPL3).
    fn arguments(
        &mut self,
        name: &str,
        (params, more): (&[Kind], Option<Kind>),
        args: &'r [Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Ran<Vec<Value>> {
        let given = args.len() + usize::from(last.is_some());
        let want = params.len();
        if given < want || (given > want && more.is_none()) {
            let least = if more.is_some() { "at least " } else { "" };
            return Err(self.fail(format!(
                "wrong number of args for {name}: want {least}{want} got {given}"
            )));
        }
        let kind = |i: usize| params.get(i).copied().or(more).unwrap_or(Kind::Any);
        let mut values = Vec::with_capacity(given);
        for (i, a) in args.iter().enumerate() {
            self.spot = Spot::Operand(a);
            let v = match &a.arg {
                Arg::Number(n) => self.constant(n, kind(i))?,
                Arg::Bool(_) | Arg::Text(..) => {
                    let v = self.operand(a, dot)?;
                    if !fits(&v, kind(i)) {
                        let text = format!("{}; found {}", expected(kind(i)), show::operand(a));
                        return Err(self.fail(text));
                    }
                    v
                }
                _ => {
                    let v = self.operand(a, dot)?;
                    self.typed(v, kind(i))?
                }
            };
            values.push(v);
        }
        if let Some(v) = last {
            values.push(self.typed(v, kind(args.len()))?);
        }
        Ok(values)
    }

    fn call(
        &mut self,
        f: &Function,
        args: &'r [Operand],
        dot: &Value,
        last: Option<Value>,
        whole: Spot<'r>,
    ) -> Ran<Value> {
        self.step()?;
        if matches!(f.name, "and" | "or") {
            return self.short_circuit(f, args, dot, last);
        }
        let values = self.arguments(f.name, (f.params, f.rest), args, dot, last)?;
        let answer = match f.body {
            Body::Pure(call) => call(&values),
            Body::Host => self.host.call(f.name, &values),
            Body::Change(call) => match call(&values) {
                Ok(new) => {
                    self.change(values.first(), &new)?;
                    Ok(new)
                }
                Err(e) => Err(e),
            },
        };
        let weighed = answer.and_then(|v| Ok((weight::weigh(&v)?, v)));
        match weighed {
            Ok((weight, v)) => self.charge(weight / ITEMS_A_STEP).map(|()| v),
            Err(e) => {
                self.spot = whole;
                Err(self.fail(format!("error calling {}: {e}", f.name)))
            }
        }
    }

    /// `and` and `or` evaluate no more arguments than they need.
    fn short_circuit(
        &mut self,
        f: &Function,
        args: &'r [Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Ran<Value> {
        let stop_at = f.name == "or";
        let mut v = None;
        for a in args {
            let one = self.operand(a, dot)?;
            let stop = one.truth() == stop_at;
            v = Some(one);
            if stop {
                return Ok(v.unwrap_or_default());
            }
        }
        match last.or(v) {
            Some(v) => Ok(v),
            None => Err(self.fail(format!(
                "wrong number of args for {}: want at least 1 got 0",
                f.name
            ))),
        }
    }

    /// A constant takes the type that is wanted, if it can (TPL3).
    fn constant(&self, n: &Number, kind: Kind) -> Ran<Value> {
        match (kind, n.int) {
            (Kind::Any, _) => Ok(ideal(n)),
            (Kind::Float, _) => Ok(Value::Float(n.float)),
            (Kind::Int, Some(i)) => Ok(Value::Int(i)),
            (Kind::Duration, Some(i)) => Ok(Value::Duration(i)),
            (kind, _) => Err(self.fail(format!("{}; found {}", expected(kind), n.text))),
        }
    }

    fn typed(&self, v: Value, kind: Kind) -> Ran<Value> {
        if fits(&v, kind) {
            return Ok(v);
        }
        let name = kind_name(kind);
        Err(self.fail(match &v {
            Value::Nil => format!("invalid value; expected {name}"),
            v => format!(
                "wrong type for value; expected {name}; got {}",
                v.type_name()
            ),
        }))
    }
}

fn fits(v: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Any => true,
        Kind::Text => matches!(v, Value::Text(_) | Value::Safe(_) | Value::SafeUrl(_)),
        Kind::Int => matches!(v, Value::Int(_)),
        Kind::Float => matches!(v, Value::Float(_)),
        Kind::Bool => matches!(v, Value::Bool(_)),
        Kind::Time => matches!(v, Value::Time(_)),
        Kind::Duration => matches!(v, Value::Duration(_)),
        Kind::List => matches!(v.base(), Value::List(_)),
        Kind::Texts => matches!(v.base(), Value::Texts(_)),
        Kind::Map => matches!(v.base(), Value::Map(_)),
    }
}

/// How a constant that does not fit is refused.
fn expected(kind: Kind) -> String {
    match kind {
        Kind::Int | Kind::Duration => "expected integer".to_owned(),
        Kind::Float => "expected float".to_owned(),
        kind => format!("expected {}", kind_name(kind)),
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
        Kind::Duration => "time.Duration",
        Kind::List => "[]interface {}",
        Kind::Texts => "[]string",
        Kind::Map => "map[string]interface {}",
    }
}
