//! Pipelines: line filters and `| stage`.

use super::{Parsed, Parser};
use crate::logql::ast::{
    Conversion, Extraction, LabelFormat, LabelPick, LineMatch, LineOp, Stage, Unwrap,
};
use crate::logql::lex::Token;

impl Parser {
    /// All stages up to something that is none, or to `| unwrap`.
    pub(super) fn stages(&mut self) -> Parsed<Vec<Stage>> {
        let mut out = Vec::new();
        loop {
            match self.peek() {
                Token::Op("|=" | "!=" | "|~" | "!~" | "|>" | "!>") => out.push(self.line_filter()?),
                Token::Op("|") => {
                    if matches!(self.peek_at(1), Token::Word("unwrap")) {
                        return Ok(out);
                    }
                    self.bump();
                    out.push(self.stage()?);
                }
                _ => return Ok(out),
            }
        }
    }

    fn line_filter(&mut self) -> Parsed<Stage> {
        let op = match self.bump() {
            Token::Op("|=") => LineOp::Contains,
            Token::Op("!=") => LineOp::NotContains,
            Token::Op("|~") => LineOp::Matches,
            Token::Op("!~") => LineOp::NotMatches,
            Token::Op("|>") => LineOp::Pattern,
            _ => LineOp::NotPattern,
        };
        let mut alternatives = Vec::new();
        loop {
            let ip = matches!(self.peek(), Token::Function("ip"));
            let text = if ip { self.ip()? } else { self.text()? };
            alternatives.push(LineMatch { text, ip });
            if !self.take_word("or") {
                return Ok(Stage::Line(op, alternatives));
            }
        }
    }

    fn stage(&mut self) -> Parsed<Stage> {
        match self.peek() {
            Token::Word("json") => {
                self.bump();
                Ok(Stage::Json(self.extractions()?))
            }
            Token::Word("logfmt") => {
                self.bump();
                let (mut strict, mut keep_empty) = (false, false);
                while let Token::Flag(f) = self.peek() {
                    strict |= f == "strict";
                    keep_empty |= f == "keep-empty";
                    self.bump();
                }
                let expressions = self.extractions()?;
                Ok(Stage::Logfmt {
                    strict,
                    keep_empty,
                    expressions,
                })
            }
            Token::Word("regexp") => {
                self.bump();
                Ok(Stage::Regexp(self.text()?))
            }
            Token::Word("pattern") => {
                self.bump();
                Ok(Stage::Pattern(self.text()?))
            }
            Token::Word("unpack") => {
                self.bump();
                Ok(Stage::Unpack)
            }
            Token::Word("decolorize") => {
                self.bump();
                Ok(Stage::Decolorize)
            }
            Token::Word("line_format") => {
                self.bump();
                Ok(Stage::LineFormat(self.text()?))
            }
            Token::Word("label_format") => {
                self.bump();
                self.label_format()
            }
            Token::Word("drop") => {
                self.bump();
                Ok(Stage::Drop(self.picks()?))
            }
            Token::Word("keep") => {
                self.bump();
                Ok(Stage::Keep(self.picks()?))
            }
            Token::Identifier(_) | Token::Op("(") => Ok(Stage::Label(self.label_filter(0)?)),
            _ => Err(self.unexpected(&[])),
        }
    }

    /// `a="x", b`; none when no name follows.
    fn extractions(&mut self) -> Parsed<Vec<Extraction>> {
        let mut out = Vec::new();
        if !matches!(self.peek(), Token::Identifier(_)) {
            return Ok(out);
        }
        loop {
            let label = self.identifier()?;
            let expression = if self.take_op("=") {
                self.text()?
            } else {
                label.clone()
            };
            out.push(Extraction { label, expression });
            if !self.take_op(",") {
                return Ok(out);
            }
        }
    }

    fn label_format(&mut self) -> Parsed<Stage> {
        let mut out = Vec::new();
        loop {
            let target = self.identifier()?;
            self.expect_op("=")?;
            let (source, rename) = match self.peek() {
                Token::Identifier(_) => (self.identifier()?, true),
                Token::Text(_) => (self.text()?, false),
                _ => return Err(self.unexpected(&["IDENTIFIER", "STRING"])),
            };
            out.push(LabelFormat {
                target,
                source,
                rename,
            });
            if !self.take_op(",") {
                return Ok(Stage::LabelFormat(out));
            }
        }
    }

    fn picks(&mut self) -> Parsed<Vec<LabelPick>> {
        let mut out = Vec::new();
        loop {
            let name = self.identifier()?;
            let has_value = matches!(self.peek(), Token::Op("=" | "!=" | "=~" | "!~"))
                && matches!(self.peek_at(1), Token::Text(_));
            out.push(if has_value {
                LabelPick::Match(self.matcher_after(name)?)
            } else {
                LabelPick::Name(name)
            });
            if !self.take_op(",") {
                return Ok(out);
            }
        }
    }

    /// `| unwrap x | filters`, when it follows.
    pub(super) fn unwrap_part(&mut self) -> Parsed<Option<Unwrap>> {
        if !self.is_op("|") || !matches!(self.peek_at(1), Token::Word("unwrap")) {
            return Ok(None);
        }
        self.bump();
        self.bump();
        let conversion = match self.peek() {
            Token::Function("bytes") => Conversion::Bytes,
            Token::Function("duration") => Conversion::Duration,
            Token::Function("duration_seconds") => Conversion::DurationSeconds,
            Token::Identifier(_) => Conversion::Float,
            _ => return Err(self.unexpected(&["IDENTIFIER"])),
        };
        let label = if conversion == Conversion::Float {
            self.identifier()?
        } else {
            self.bump();
            self.expect_op("(")?;
            let label = self.identifier()?;
            self.expect_op(")")?;
            label
        };
        let mut filters = Vec::new();
        while self.take_op("|") {
            filters.push(self.label_filter(0)?);
        }
        Ok(Some(Unwrap {
            label,
            conversion,
            filters,
        }))
    }
}
