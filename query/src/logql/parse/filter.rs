//! Label filters with the combination rules of the original's grammar: `and` binds tighter than
//! `or`, but a comma or a blank between two filters takes everything that follows it.

use super::{ParseError, Parsed, Parser};
use crate::logql::ast::{Compare, LabelFilter};
use crate::logql::lex::Token;
use crate::text::bytes;

/// Precedences of the joining words.
const OR: u8 = 1;
const AND: u8 = 2;

impl Parser {
    /// A label filter whose joining words bind at least as tightly as `least`.
    pub(super) fn label_filter(&mut self, least: u8) -> Parsed<LabelFilter> {
        self.nested(|p| p.label_filter_inner(least))
    }

    fn label_filter_inner(&mut self, least: u8) -> Parsed<LabelFilter> {
        let mut left = self.one_filter()?;
        loop {
            let (join, precedence) = match self.peek() {
                Token::Word("or") => (OR, OR),
                Token::Word("and") => (AND, AND),
                Token::Op(",") => {
                    self.bump();
                    let right = self.label_filter(0)?;
                    left = LabelFilter::And(Box::new(left), Box::new(right));
                    continue;
                }
                Token::Identifier(_) | Token::Op("(") => {
                    let right = self.label_filter(0)?;
                    left = LabelFilter::And(Box::new(left), Box::new(right));
                    continue;
                }
                _ => return Ok(left),
            };
            if precedence < least {
                return Ok(left);
            }
            self.bump();
            let right = self.label_filter(precedence + 1)?;
            left = if join == OR {
                LabelFilter::Or(Box::new(left), Box::new(right))
            } else {
                LabelFilter::And(Box::new(left), Box::new(right))
            };
        }
    }

    fn one_filter(&mut self) -> Parsed<LabelFilter> {
        if self.take_op("(") {
            let inner = self.label_filter(0)?;
            self.expect_op(")")?;
            return Ok(inner);
        }
        let name = self.identifier()?;
        let (Token::Op(op), value) = (self.peek().clone(), self.peek_at(1).clone()) else {
            return Err(self.unexpected(&[]));
        };
        if matches!(value, Token::Text(_)) && matches!(op, "=" | "!=" | "=~" | "!~") {
            return Ok(LabelFilter::Text(self.matcher_after(name)?));
        }
        let compare = match op {
            "=" | "==" => Compare::Equal,
            "!=" => Compare::NotEqual,
            "<" => Compare::Less,
            "<=" => Compare::LessEqual,
            ">" => Compare::Greater,
            ">=" => Compare::GreaterEqual,
            "=~" | "!~" => {
                self.bump();
                return Err(self.unexpected(&["STRING"]));
            }
            _ => return Err(self.unexpected(&[])),
        };
        self.bump();
        match value {
            Token::Duration(ns) => {
                self.bump();
                Ok(LabelFilter::Duration(name, compare, ns))
            }
            Token::Bytes(n) => {
                self.bump();
                // The original hands queries on as text, and sizes are rounded there: 4KiB is 4.1kB.
                let printed = bytes::parse(&bytes::format(n)).unwrap_or(n);
                Ok(LabelFilter::Bytes(name, compare, printed))
            }
            Token::Number(_) | Token::Op("-" | "+") => {
                Ok(LabelFilter::Number(name, compare, self.signed_number()?))
            }
            Token::Function("ip") if matches!(op, "=" | "!=") => {
                let address = self.ip()?;
                Ok(LabelFilter::Ip(name, op == "=", address))
            }
            _ => Err(self.unexpected(&["BYTES", "STRING", "DURATION", "NUMBER"])),
        }
    }

    /// `ip("..")`, checked.
    pub(super) fn ip(&mut self) -> Parsed<String> {
        self.bump();
        self.expect_op("(")?;
        let address = self.text()?;
        self.expect_op(")")?;
        crate::logql::stages::ip::IpMatch::new(&address).map_err(ParseError::new)?;
        Ok(address)
    }
}
