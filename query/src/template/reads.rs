//! What a parsed template reads of its data.

use super::parse::{Arg, Node, Operand, Pipe};

/// Nothing but blanks.
pub(super) fn is_blank(body: &[Node]) -> bool {
    body.iter()
        .all(|n| matches!(n, Node::Text(t) if t.trim().is_empty()))
}

/// See [`super::Template::single_field`].
pub(super) fn single_field(body: &[Node]) -> Option<&str> {
    let [Node::Action(p, _)] = body else {
        return None;
    };
    let ([], [c]) = (p.variables.as_slice(), p.commands.as_slice()) else {
        return None;
    };
    match c.args.as_slice() {
        [
            Operand {
                arg: Arg::Field(path),
                ..
            },
        ] if path.len() == 1 => path.first().map(String::as_str),
        _ => None,
    }
}

/// See [`super::Template::fields`].
pub(super) fn fields(body: &[Node]) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let known = list_fields(body, &mut out);
    out.sort_unstable();
    out.dedup();
    known.then_some(out)
}

/// Fields that are named, whatever else is read.
pub(super) fn named(body: &[Node]) -> Vec<String> {
    let mut out = Vec::new();
    list_fields(body, &mut out);
    out
}

/// Collects first names of field paths; false when the data itself is used.
fn list_fields(list: &[Node], out: &mut Vec<String>) -> bool {
    let mut ok = true;
    for n in list {
        ok &= match n {
            Node::Text(_) | Node::Break | Node::Continue => true,
            Node::Action(p, _) => pipe_fields(p, out),
            // Inside `with` and `range` the dot is another value; names there only add to the
            // list, which is harmless.
            Node::If(p, a, b) | Node::With(p, a, b) | Node::Range(p, a, b) => {
                let (own, then) = (pipe_fields(p, out), list_fields(a, out));
                let then = then || !matches!(n, Node::If(..)) && !uses_root(a);
                own & then & list_fields(b, out)
            }
            Node::Template(_, p, ..) => {
                if let Some(p) = p {
                    pipe_fields(p, out);
                }
                false
            }
        };
    }
    ok
}

/// Whether `$` itself is used as a whole.
fn uses_root(list: &[Node]) -> bool {
    let in_pipe = |p: &Pipe| {
        p.commands
            .iter()
            .flat_map(|c| &c.args)
            .any(|o| arg_uses_root(&o.arg))
    };
    list.iter().any(|n| match n {
        Node::Text(_) | Node::Break | Node::Continue => false,
        Node::Action(p, _) => in_pipe(p),
        Node::If(p, a, b) | Node::With(p, a, b) | Node::Range(p, a, b) => {
            in_pipe(p) || uses_root(a) || uses_root(b)
        }
        Node::Template(..) => true,
    })
}

fn arg_uses_root(a: &Arg) -> bool {
    match a {
        Arg::Variable(v, path) => v == "$" && path.is_empty(),
        Arg::Chain(inner, _) => arg_uses_root(&inner.arg),
        Arg::Pipe(p) => p
            .commands
            .iter()
            .flat_map(|c| &c.args)
            .any(|o| arg_uses_root(&o.arg)),
        _ => false,
    }
}

fn pipe_fields(p: &Pipe, out: &mut Vec<String>) -> bool {
    let mut ok = true;
    for a in p.commands.iter().flat_map(|c| &c.args) {
        ok &= arg_fields(&a.arg, out);
    }
    ok
}

fn arg_fields(a: &Arg, out: &mut Vec<String>) -> bool {
    match a {
        Arg::Dot => false,
        Arg::Variable(v, path) if v == "$" => {
            out.extend(path.first().cloned());
            !path.is_empty()
        }
        Arg::Field(path) => {
            out.extend(path.first().cloned());
            true
        }
        Arg::Chain(inner, _) => arg_fields(&inner.arg, out),
        Arg::Pipe(p) => pipe_fields(p, out),
        _ => true,
    }
}
