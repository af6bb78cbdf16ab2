//! Pieces to a tree.

use std::mem;

use super::html::Escaper;
use super::lex::{At, Piece, Token, pieces};
use super::{Function, TemplateError, builtin};
use crate::text::quote;

/// Deepest nesting of control structures and parentheses (TPL1).
const DEPTH_MAX: usize = 100;

/// A constant number: what it is as an integer, if it is one, and as a float.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Number {
    pub(super) int: Option<i64>,
    pub(super) float: f64,
    /// Written as an integer or a character.
    pub(super) is_int: bool,
    pub(super) text: String,
}

/// An operand, and where errors say that it stands.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) at: At,
    pub(super) arg: Arg,
}

/// What an operand is.
#[derive(Debug, Clone)]
pub(super) enum Arg {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    /// Its value, and as written.
    Text(String, String),
    /// `$x.a.b`
    Variable(String, Vec<String>),
    /// `.a.b`
    Field(Vec<String>),
    /// `(pipeline).a.b`
    Chain(Box<Operand>, Vec<String>),
    Function(Function),
    Pipe(Box<Pipe>),
}

/// Operands of one call.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) at: At,
    pub(super) args: Vec<Operand>,
}

/// `$x := a | b | c`.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) variables: Vec<String>,
    pub(super) assign: bool,
    pub(super) commands: Vec<Command>,
    pub(super) at: At,
}

/// A part of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    /// The escapers are those of HTML mode, in order.
    Action(Pipe, Vec<Escaper>),
    If(Pipe, Vec<Node>, Vec<Node>),
    With(Pipe, Vec<Node>, Vec<Node>),
    Range(Pipe, Vec<Node>, Vec<Node>),
    Template(String, Option<Pipe>, At),
    Break,
    Continue,
}

/// A template of a set: the name of its text, and its parts.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) file: std::sync::Arc<str>,
    pub(super) nodes: Vec<Node>,
}

struct Parser<'a> {
    name: &'a str,
    pieces: std::vec::IntoIter<Piece>,
    tables: &'a [&'static [Function]],
    bodies: Vec<(String, Vec<Node>)>,
    /// Variables in scope.
    variables: Vec<String>,
    at: At,
    depth: usize,
    ranges: usize,
}

/// What ended a list of nodes.
#[derive(Debug, PartialEq)]
enum Ended {
    Text,
    End,
    /// The tokens after `else`.
    Else(Vec<(Token, At)>),
}

type Parsed<T> = Result<T, TemplateError>;

/// The templates of a text, the unnamed one under `name`.
pub(super) fn parse(
    name: &str,
    text: &str,
    tables: &[&'static [Function]],
) -> Parsed<Vec<(String, Vec<Node>)>> {
    let mut p = Parser {
        name,
        pieces: pieces(name, text)?.into_iter(),
        tables,
        bodies: Vec::new(),
        variables: vec!["$".to_owned()],
        at: At { line: 1, column: 0 },
        depth: 0,
        ranges: 0,
    };
    let (body, ended) = p.list()?;
    match ended {
        Ended::Text => {}
        Ended::End => return Err(p.fail("unexpected {{end}}")),
        Ended::Else(_) => return Err(p.fail("unexpected {{else}}")),
    }
    let mut all = p.bodies;
    all.push((name.to_owned(), body));
    Ok(all)
}

impl Parser<'_> {
    fn fail(&self, text: impl Into<String>) -> TemplateError {
        TemplateError {
            name: self.name.to_owned(),
            line: self.at.line,
            text: text.into(),
        }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fail(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(())
    }

    /// Nodes up to `end`, `else` or the end of the text.
    fn list(&mut self) -> Parsed<(Vec<Node>, Ended)> {
        self.deeper()?;
        let mut out = Vec::new();
        let ended = loop {
            match self.pieces.next() {
                None => break Ended::Text,
                Some(Piece::Text(t)) => out.push(Node::Text(t)),
                Some(Piece::Action(tokens, at)) => {
                    self.at = at;
                    if let Some(ended) = self.action(tokens, &mut out)? {
                        break ended;
                    }
                }
            }
        };
        self.depth -= 1;
        Ok((out, ended))
    }

    fn action(&mut self, tokens: Vec<(Token, At)>, out: &mut Vec<Node>) -> Parsed<Option<Ended>> {
        let mut t = Tokens { all: tokens, at: 0 };
        let word = match t.peek() {
            Some(Token::Name(w)) => w.clone(),
            _ => String::new(),
        };
        match word.as_str() {
            "if" | "with" | "range" => {
                t.next();
                let node = self.control(&word, t)?;
                out.push(node);
            }
            "end" => {
                t.next();
                self.nothing_more(&mut t, "end")?;
                return Ok(Some(Ended::End));
            }
            "else" => {
                t.next();
                return Ok(Some(Ended::Else(t.rest())));
            }
            "define" | "block" => {
                t.next();
                self.define(word == "block", t, out)?;
            }
            "template" => {
                t.next();
                let at = t.place(self.at);
                let name = self.template_name(&mut t, "template clause")?;
                let pipe = match t.peek() {
                    None => None,
                    Some(_) => Some(self.pipe(&mut t, false)?),
                };
                self.nothing_more(&mut t, "template clause")?;
                out.push(Node::Template(name, pipe, at));
            }
            "break" | "continue" if !t.continues() => {
                t.next();
                if self.ranges == 0 {
                    return Err(self.fail(format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                out.push(match word.as_str() {
                    "break" => Node::Break,
                    _ => Node::Continue,
                });
            }
            _ => {
                if t.peek().is_none() {
                    return Err(self.fail("missing value for command"));
                }
                let pipe = self.pipe(&mut t, false)?;
                self.nothing_more(&mut t, "operand")?;
                out.push(Node::Action(pipe, Vec::new()));
            }
        }
        Ok(None)
    }

    fn nothing_more(&self, t: &mut Tokens, what: &str) -> Parsed<()> {
        match t.peek() {
            None => Ok(()),
            Some(x) => Err(self.fail(format!("unexpected {} in {what}", show(x)))),
        }
    }

    fn template_name(&self, t: &mut Tokens, context: &str) -> Parsed<String> {
        match t.next() {
            Some(Token::Text(s, _)) => Ok(s),
            Some(x) => Err(self.fail(format!("unexpected {} in {context}", show(&x)))),
            None => Err(self.fail(format!("unexpected {{{{}}}} in {context}"))),
        }
    }

    /// `if`, `with` and `range` after the word.
    fn control(&mut self, word: &str, mut t: Tokens) -> Parsed<Node> {
        let scope = self.variables.len();
        if t.peek().is_none() {
            return Err(self.fail(format!("missing value for {word}")));
        }
        let pipe = self.pipe(&mut t, word == "range")?;
        self.nothing_more(&mut t, word)?;
        self.ranges += usize::from(word == "range");
        let (body, ended) = self.list()?;
        self.ranges -= usize::from(word == "range");
        let other = match ended {
            Ended::Text => return Err(self.fail("unexpected EOF")),
            Ended::End => Vec::new(),
            Ended::Else(tokens) => self.otherwise(word, tokens)?,
        };
        self.variables.truncate(scope);
        Ok(match word {
            "if" => Node::If(pipe, body, other),
            "with" => Node::With(pipe, body, other),
            _ => Node::Range(pipe, body, other),
        })
    }

    /// What follows `else`.
    fn otherwise(&mut self, word: &str, tokens: Vec<(Token, At)>) -> Parsed<Vec<Node>> {
        let mut t = Tokens { all: tokens, at: 0 };
        if word != "range" && t.peek() == Some(&Token::Name(word.to_owned())) {
            t.next();
            self.deeper()?;
            let node = self.control(word, t)?;
            self.depth -= 1;
            return Ok(vec![node]);
        }
        self.nothing_more(&mut t, "else")?;
        let (body, ended) = self.list()?;
        match ended {
            Ended::End => Ok(body),
            Ended::Else(_) => Err(self.fail("expected end; found {{else}}")),
            Ended::Text => Err(self.fail("unexpected EOF")),
        }
    }

    fn define(&mut self, block: bool, mut t: Tokens, out: &mut Vec<Node>) -> Parsed<()> {
        let context = if block {
            "block clause"
        } else {
            "define clause"
        };
        let at = t.place(self.at);
        let name = self.template_name(&mut t, context)?;
        let pipe = if block {
            Some(self.pipe(&mut t, false)?)
        } else {
            None
        };
        self.nothing_more(&mut t, context)?;
        // A definition sees only its own variables.
        let outer = mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = mem::take(&mut self.ranges);
        let (body, ended) = self.list()?;
        self.variables = outer;
        self.ranges = ranges;
        if ended != Ended::End {
            return Err(self.fail(format!("unexpected EOF in {context}")));
        }
        self.bodies.push((name.clone(), body));
        if block {
            out.push(Node::Template(name, pipe, at));
        }
        Ok(())
    }

    fn pipe(&mut self, t: &mut Tokens, in_range: bool) -> Parsed<Pipe> {
        self.deeper()?;
        let mut pipe = Pipe {
            variables: Vec::new(),
            assign: false,
            commands: Vec::new(),
            at: t.place(self.at),
        };
        let declared = self.declarations(t, in_range, &mut pipe)?;
        loop {
            let command = self.command(t)?;
            let Some(first) = command.args.first() else {
                return Err(self.fail("missing value for command"));
            };
            let constant = matches!(
                first.arg,
                Arg::Dot | Arg::Nil | Arg::Bool(_) | Arg::Number(_) | Arg::Text(..)
            );
            if constant && !pipe.commands.is_empty() {
                return Err(self.fail(format!(
                    "non executable command in pipeline stage {}",
                    pipe.commands.len() + 1
                )));
            }
            pipe.commands.push(command);
            if t.peek() != Some(&Token::Pipe) {
                break;
            }
            t.next();
        }
        // A variable is in scope after the pipeline that gives it its value.
        self.variables.extend(declared);
        self.depth -= 1;
        Ok(pipe)
    }

    fn declarations(
        &mut self,
        t: &mut Tokens,
        in_range: bool,
        pipe: &mut Pipe,
    ) -> Parsed<Vec<String>> {
        let Some(Token::Variable(first)) = t.peek().cloned() else {
            return Ok(Vec::new());
        };
        let mark = t.at;
        let mut names = vec![first];
        t.next();
        if in_range && t.peek() == Some(&Token::Comma) {
            t.next();
            match t.next() {
                Some(Token::Variable(second)) => names.push(second),
                _ => return Err(self.fail("range can only initialize variables")),
            }
        }
        match t.peek() {
            Some(Token::Declare) => {
                t.next();
                pipe.variables = names.clone();
                return Ok(names);
            }
            Some(Token::Assign) => {
                t.next();
                pipe.assign = true;
                for n in &names {
                    self.known(n)?;
                }
                pipe.variables = names;
            }
            Some(Token::Comma) => return Err(self.fail("too many declarations in command")),
            _ => t.at = mark,
        }
        Ok(Vec::new())
    }

    fn known(&self, variable: &str) -> Parsed<()> {
        if self.variables.iter().any(|v| v == variable) {
            return Ok(());
        }
        Err(self.fail(format!("undefined variable {}", quote::quote(variable))))
    }

    fn command(&mut self, t: &mut Tokens) -> Parsed<Command> {
        let mut args = Vec::new();
        let at = t.place(self.at);
        loop {
            match t.peek() {
                None | Some(Token::Pipe | Token::Close) => return Ok(Command { at, args }),
                _ => args.push(self.operand(t)?),
            }
            match t.here() {
                None | Some(Token::Space | Token::Pipe | Token::Close) => {}
                Some(x) => return Err(self.fail(format!("unexpected {} in operand", show(x)))),
            }
        }
    }

    fn operand(&mut self, t: &mut Tokens) -> Parsed<Operand> {
        let at = t.place(self.at);
        let Some(token) = t.next() else {
            return Err(self.fail("missing value for command"));
        };
        // Fields belong to the operand; errors then name the place of the first that follows it.
        let behind = t.place_here(at);
        let arg = match token {
            Token::Dot => Arg::Dot,
            Token::Text(s, written) => Arg::Text(s, written),
            Token::Char(c) => Arg::Number(Number {
                int: Some(i64::from(c as u32)),
                float: f64::from(c as u32),
                is_int: true,
                text: quote::quote_char(c),
            }),
            Token::Number(n) => Arg::Number(
                number(&n)
                    .ok_or_else(|| self.fail(format!("bad number syntax: {}", quote::quote(&n))))?,
            ),
            Token::Field(f) => {
                let mut path = vec![f];
                path.extend(t.fields());
                let at = if path.len() > 1 { behind } else { at };
                let arg = Arg::Field(path);
                return Ok(Operand { at, arg });
            }
            Token::Variable(v) => {
                self.known(&v)?;
                let path = t.fields();
                let at = if path.is_empty() { at } else { behind };
                let arg = Arg::Variable(v, path);
                return Ok(Operand { at, arg });
            }
            Token::Name(n) => match n.as_str() {
                "true" => Arg::Bool(true),
                "false" => Arg::Bool(false),
                "nil" => Arg::Nil,
                n => {
                    let arg = Arg::Function(self.function(n)?);
                    return Ok(chained(Operand { at, arg }, behind, t));
                }
            },
            Token::Open => {
                let inner = self.pipe(t, false)?;
                if t.next() != Some(Token::Close) {
                    return Err(self.fail("unclosed left paren"));
                }
                let behind = t.place_here(at);
                let at = inner.at;
                let arg = Arg::Pipe(Box::new(inner));
                return Ok(chained(Operand { at, arg }, behind, t));
            }
            other => return Err(self.fail(format!("unexpected {} in operand", show(&other)))),
        };
        Ok(Operand { at, arg })
    }

    fn function(&self, name: &str) -> Parsed<Function> {
        let own = self.tables.iter().flat_map(|t| t.iter());
        let found = own.chain(builtin::TABLE).find(|f| f.name == name);
        found
            .copied()
            .ok_or_else(|| self.fail(format!("function {} not defined", quote::quote(name))))
    }
}

fn chained(inner: Operand, behind: At, t: &mut Tokens) -> Operand {
    let path = t.fields();
    if path.is_empty() {
        return inner;
    }
    Operand {
        at: behind,
        arg: Arg::Chain(Box::new(inner), path),
    }
}

fn number(text: &str) -> Option<Number> {
    let hex = text.trim_start_matches(['+', '-']).starts_with(['0']) && text.contains(['x', 'X']);
    let is_int = !text.contains(['.', 'p', 'P']) && (hex || !text.contains(['e', 'E']));
    let float = crate::text::float::parse_number(text)?;
    let whole = float.fract() == 0.0 && float.abs() < 9.3e18;
    let int = text.parse().ok().or(whole.then_some(float as i64));
    Some(Number {
        int,
        float,
        is_int: is_int && int.is_some(),
        text: text.to_owned(),
    })
}

/// A token as errors show it.
fn show(t: &Token) -> String {
    match t {
        Token::Dot => "<.>".to_owned(),
        Token::Field(f) => format!("<.{f}>"),
        Token::Variable(v) => quote::quote(v),
        Token::Name(n) => format!("<{n}>"),
        Token::Text(_, written) => quote::quote(written),
        Token::Number(n) => quote::quote(n),
        Token::Char(c) => quote::quote_char(*c),
        Token::Pipe => "\"|\"".to_owned(),
        Token::Open => "\"(\"".to_owned(),
        Token::Close => "\")\"".to_owned(),
        Token::Declare => "\":=\"".to_owned(),
        Token::Assign => "\"=\"".to_owned(),
        Token::Comma => "\",\"".to_owned(),
        Token::Space => "\" \"".to_owned(),
    }
}

/// Tokens of one action.
struct Tokens {
    all: Vec<(Token, At)>,
    at: usize,
}

impl Tokens {
    /// The token right here, blanks included.
    fn here(&self) -> Option<&Token> {
        self.all.get(self.at).map(|(t, _)| t)
    }

    /// The next token, blanks skipped.
    fn peek(&mut self) -> Option<&Token> {
        while self.here() == Some(&Token::Space) {
            self.at += 1;
        }
        self.here()
    }

    /// Where the next token is, blanks skipped.
    fn place(&mut self, otherwise: At) -> At {
        self.peek();
        self.place_here(otherwise)
    }

    /// Where the token right here is.
    fn place_here(&self, otherwise: At) -> At {
        self.all.get(self.at).map_or(otherwise, |(_, at)| *at)
    }

    /// Whether more than the current token follows (blanks aside).
    fn continues(&self) -> bool {
        let mut rest = self.all.iter().skip(self.at + 1);
        rest.any(|(t, _)| *t != Token::Space)
    }

    fn next(&mut self) -> Option<Token> {
        let t = self.peek().cloned();
        self.at += usize::from(t.is_some());
        t
    }

    /// `.a.b` directly after the current token.
    fn fields(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(Token::Field(f)) = self.here() {
            out.push(f.clone());
            self.at += 1;
        }
        out
    }

    fn rest(&mut self) -> Vec<(Token, At)> {
        self.all.split_off(self.at)
    }
}
