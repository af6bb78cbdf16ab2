//! Parts of templates as error texts name them.

use super::parse::{Arg, Command, Node, Operand, Pipe};
use crate::text::quote::quote;

/// `.a.b`
fn dotted(path: &[String]) -> String {
    path.iter().map(|p| format!(".{p}")).collect()
}

pub(super) fn operand(o: &Operand) -> String {
    match &o.arg {
        Arg::Dot => ".".to_owned(),
        Arg::Nil => "nil".to_owned(),
        Arg::Bool(b) => b.to_string(),
        Arg::Number(n) => n.text.clone(),
        Arg::Text(_, written) => written.clone(),
        Arg::Variable(v, path) => format!("{v}{}", dotted(path)),
        Arg::Field(path) => dotted(path),
        Arg::Chain(inner, path) => format!("{}{}", operand(inner), dotted(path)),
        Arg::Function(f) => f.name.to_owned(),
        Arg::Pipe(p) => format!("({})", pipe(p)),
    }
}

pub(super) fn command(c: &Command) -> String {
    let args: Vec<String> = c.args.iter().map(operand).collect();
    args.join(" ")
}

pub(super) fn pipe(p: &Pipe) -> String {
    let mut out = p.variables.join(", ");
    if !out.is_empty() {
        out.push_str(if p.assign { " = " } else { " := " });
    }
    let commands: Vec<String> = p.commands.iter().map(command).collect();
    out + &commands.join(" | ")
}

/// `{{template "x" .}}`
pub(super) fn template(node: &Node) -> String {
    match node {
        Node::Template(name, Some(p), _) => format!("{{{{template {} {}}}}}", quote(name), pipe(p)),
        Node::Template(name, None, _) => format!("{{{{template {}}}}}", quote(name)),
        _ => String::new(),
    }
}
