//! `{a="b", c=~"d"}`.

use std::sync::Arc;

use engine::model::Matcher;

use super::{ParseError, Parsed, Parser};
use crate::logql::lex::Token;
use crate::regex::LabelRegex;

impl Parser {
    /// A stream selector.
    pub(super) fn selector(&mut self) -> Parsed<Vec<Matcher>> {
        self.expect_op("{")?;
        let mut out = Vec::new();
        if self.take_op("}") {
            return Ok(out);
        }
        loop {
            out.push(self.matcher()?);
            if self.take_op("}") {
                return Ok(out);
            }
            if !self.take_op(",") {
                return Err(self.unexpected(&["}", ","]));
            }
        }
    }

    /// `a="b"`.
    pub(super) fn matcher(&mut self) -> Parsed<Matcher> {
        let name = self.identifier()?;
        self.matcher_after(name)
    }

    /// The operator and the value of a matcher.
    pub(super) fn matcher_after(&mut self, name: String) -> Parsed<Matcher> {
        let op = match self.peek() {
            Token::Op(op @ ("=" | "!=" | "=~" | "!~")) => *op,
            _ => return Err(self.unexpected(&["=", "!=", "=~", "!~"])),
        };
        self.bump();
        let value = self.text()?;
        Ok(match op {
            "=" => Matcher::equal(name, value),
            "!=" => Matcher::not_equal(name, value),
            op => {
                let re = LabelRegex::new(&value).map_err(|e| ParseError::new(e.to_string()))?;
                if op == "=~" {
                    Matcher::regex(name, Arc::new(re))
                } else {
                    Matcher::not_regex(name, Arc::new(re))
                }
            }
        })
    }
}
