//! Which values of a line matter: for pipelines that begin with `json` or `logfmt`.
//!
//! Owns: what a parser does with the values in the holes of a skeleton, judged by running its reader
//! over the skeleton itself, and label filters that can be tested before all values are known.
//! Knows nothing of: columns, how lines are stored.
//!
//! Invariants
//! - GLA1  A line in which ignored values are replaced by others of their form has the same fate and
//!   gives the same labels as the line itself. Skeletons for which that is not certain are not
//!   judged.
//! - GLA2  [`Glance::may_pass`] is false only for lines that the pipeline drops.

use engine::logs::{Care, Form, Glance, Hole};
use engine::model::Labels;

use super::json::{Json, join};
use super::json_expression::JsonExpressions;
use super::json_scan::{Kind, Stop, blank, object, value};
use super::label_filter::Filter;
use super::labels::{DUPLICATE, ERROR, ERROR_DETAILS, Hints, sanitize_into};
use super::logfmt::{Pair, Pairs, sanitize_key, stage};
use super::{Entry, Step, Surroundings};
use crate::logql::ast::{Extraction, LabelFilter, Stage};
use crate::logql::parse::ParseError;

/// Objects and arrays in each other that are judged.
const DEPTH_MAX: usize = 32;
/// Stands in every hole when a skeleton is read: a value of every form.
const SAMPLE: u8 = b'0';

enum Parser {
    Json,
    JsonExpressions(JsonExpressions),
    Logfmt,
    /// Label and key.
    LogfmtExpressions(Vec<(String, String)>),
}

/// See the module header.
pub(crate) struct PipelineGlance {
    parser: Parser,
    step: Box<dyn Step>,
    early: Vec<Filter>,
    early_names: Vec<String>,
    hints: Hints,
}

impl std::fmt::Debug for PipelineGlance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PipelineGlance")
            .field("early", &self.early_names)
            .field("hints", &self.hints)
            .finish_non_exhaustive()
    }
}

impl PipelineGlance {
    /// The glance of a pipeline of which only labels are used; `None` when it needs whole lines.
    ///
    /// # Errors
    /// As for the pipeline.
    pub(crate) fn new(stages: &[Stage], hints: &Hints) -> Result<Option<Self>, ParseError> {
        // Line filters are the store's: nothing here changes the line.
        let mut rest = stages.iter().filter(|s| !matches!(s, Stage::Line(..)));
        let (parser, step): (Parser, Box<dyn Step>) = match rest.next() {
            Some(Stage::Json(e)) if e.is_empty() => (Parser::Json, Box::new(Json)),
            Some(Stage::Json(e)) => (
                Parser::JsonExpressions(JsonExpressions::new(e)?),
                Box::new(JsonExpressions::new(e)?),
            ),
            Some(Stage::Logfmt {
                strict: false,
                keep_empty,
                expressions,
            }) => {
                let key = |e: &Extraction| (e.label.clone(), e.expression.trim().to_owned());
                let parser = match expressions.is_empty() {
                    true => Parser::Logfmt,
                    false => Parser::LogfmtExpressions(expressions.iter().map(key).collect()),
                };
                (parser, stage(false, *keep_empty, expressions)?)
            }
            _ => return Ok(None),
        };
        let names_values = matches!(parser, Parser::Json | Parser::Logfmt);
        if names_values && hints.required.is_empty() && !hints.nothing {
            return Ok(None);
        }
        let only_labels =
            |s: &Stage| matches!(s, Stage::Label(_) | Stage::Drop(_) | Stage::Keep(_));
        if !rest.clone().all(only_labels) {
            return Ok(None);
        }
        let mut early = Vec::new();
        for s in rest {
            let Stage::Label(f) = s else { break };
            texts(f, &mut early);
        }
        let early_names = early.iter().map(|(n, _)| n.clone()).collect();
        let early: Result<Vec<Filter>, _> = early.iter().map(|(_, f)| Filter::new(f)).collect();
        Ok(Some(Self {
            parser,
            step,
            early: early?,
            early_names,
            hints: hints.clone(),
        }))
    }

    /// How much a value matters that becomes the label `name`, or its namesake when that is taken.
    fn care(&self, name: &str, all: bool) -> Care {
        let is = |n: &String| n == name || n.strip_suffix(DUPLICATE) == Some(name);
        if self.early_names.iter().any(is) {
            Care::Early
        } else if all || self.hints.required.iter().any(is) {
            Care::Seen
        } else {
            Care::Ignored
        }
    }

    /// Most of what is cared for the labels.
    fn care_of<'n>(&self, labels: impl Iterator<Item = &'n str>) -> Care {
        labels.fold(Care::Ignored, |most, l| match (most, self.care(l, true)) {
            (Care::Early, _) | (_, Care::Early) => Care::Early,
            (_, care) => care,
        })
    }

    /// The cares for lines that the parser refuses at their first byte.
    fn refused(&self, pieces: &[&[u8]]) -> bool {
        let first = pieces.first().and_then(|p| p.first());
        match self.parser {
            Parser::Json => first.is_some_and(|b| *b > b' ' && *b != b'{'),
            Parser::JsonExpressions(_) => first.is_some_and(|b| !b"{[\"".contains(b)),
            Parser::Logfmt | Parser::LogfmtExpressions(_) => false,
        }
    }
}

/// Text filters that have to hold for the whole to hold (GLA2): no other filter can change what they
/// read, as that is not an error label.
fn texts(f: &LabelFilter, out: &mut Vec<(String, LabelFilter)>) {
    match f {
        LabelFilter::Text(m) if m.name != ERROR && m.name != ERROR_DETAILS => {
            out.push((m.name.clone(), f.clone()));
        }
        LabelFilter::And(a, b) => {
            texts(a, out);
            texts(b, out);
        }
        _ => {}
    }
}

impl Glance for PipelineGlance {
    fn holes(&self, pieces: &[&[u8]]) -> Option<Vec<Hole>> {
        if self.hints.nothing || self.refused(pieces) {
            // Whatever stands there is not read.
            let any = Hole {
                form: Form::Quoted,
                care: Care::Ignored,
            };
            return Some(vec![any; pieces.len() - 1]);
        }
        let sample = Sample::new(pieces)?;
        let mut judge = Judge {
            sample: &sample,
            glance: self,
            holes: vec![None; pieces.len() - 1],
            path: Vec::new(),
            depth: 0,
        };
        match self.parser {
            Parser::Json | Parser::JsonExpressions(_) => {
                judge.object(&sample.line, &mut String::new())?;
            }
            Parser::Logfmt | Parser::LogfmtExpressions(_) => judge.pairs()?,
        }
        judge.holes.into_iter().collect()
    }

    fn may_pass(&self, stream: &Labels, metadata: Option<&Labels>, line: &[u8]) -> bool {
        let mut entry = Entry::new(self.hints.clone());
        entry.take(0, line, stream, metadata);
        self.step.apply(&mut entry, &Surroundings::default())
            && self.early.iter().all(|f| f.holds(&mut entry.labels))
    }
}

/// A line of a skeleton, with a sample in every hole.
struct Sample {
    line: String,
    /// Where the samples are.
    at: Vec<usize>,
}

impl Sample {
    fn new(pieces: &[&[u8]]) -> Option<Self> {
        let mut line = Vec::new();
        let mut at = Vec::new();
        for (i, p) in pieces.iter().enumerate() {
            if i > 0 {
                at.push(line.len());
                line.push(SAMPLE);
            }
            line.extend_from_slice(p);
        }
        let line = String::from_utf8(line).ok()?;
        Some(Self { line, at })
    }

    /// Where a slice of the line begins.
    fn place(&self, part: &str) -> Option<usize> {
        let at = (part.as_ptr() as usize).checked_sub(self.line.as_ptr() as usize)?;
        (at + part.len() <= self.line.len()).then_some(at)
    }

    /// The hole that is this slice. An error when holes are in it that are not all of it.
    fn hole(&self, part: &str) -> Option<Option<usize>> {
        let from = self.place(part)?;
        let first = self.at.partition_point(|a| *a < from);
        let inside = self.at.get(first).is_some_and(|a| *a < from + part.len());
        match (inside, part.len()) {
            (false, _) => Some(None),
            (true, 1) => Some(Some(first)),
            (true, _) => None,
        }
    }
}

/// Finds the role of each hole; every way out with `None` is doubt (GLA1).
struct Judge<'g> {
    sample: &'g Sample,
    glance: &'g PipelineGlance,
    holes: Vec<Option<Hole>>,
    /// Keys that lead to the object.
    path: Vec<String>,
    /// Objects and arrays around the value.
    depth: usize,
}

impl Judge<'_> {
    fn set(&mut self, hole: usize, form: Form, care: Care) -> Option<()> {
        let place = self.holes.get_mut(hole)?;
        // A hole that is met twice is not understood.
        let new = place.is_none();
        *place = Some(Hole { form, care });
        new.then_some(())
    }

    fn object(&mut self, text: &str, prefix: &mut String) -> Option<()> {
        let mut sure = true;
        let read = object(text, &mut |key, value, kind| {
            let before = prefix.len();
            join(prefix, key);
            self.path.push(key.to_owned());
            sure = sure && self.value(value, kind, prefix, false).is_some();
            self.path.pop();
            prefix.truncate(before);
            if sure { Ok(()) } else { Err(Stop::Enough) }
        });
        (sure && read.is_ok()).then_some(())
    }

    /// Values in an array (`listed`) belong to the array.
    fn value(&mut self, text: &str, kind: Kind, prefix: &mut String, listed: bool) -> Option<()> {
        let form = match kind {
            Kind::Object | Kind::Array => {
                self.depth += 1;
                let inside = match kind {
                    _ if self.depth > DEPTH_MAX => None,
                    Kind::Array => self.array(text, prefix),
                    _ if listed => self.listed_object(text, prefix),
                    _ => self.object(text, prefix),
                };
                self.depth -= 1;
                return inside;
            }
            Kind::Text => Form::Quoted,
            Kind::Number | Kind::Bool | Kind::Null => Form::Scalar,
        };
        let Some(hole) = self.sample.hole(text)? else {
            return Some(());
        };
        let care = match &self.glance.parser {
            Parser::JsonExpressions(e) => self.glance.care_of(e.labels_at(&self.path)),
            _ if listed => Care::Ignored,
            _ => self.glance.care(prefix, false),
        };
        self.set(hole, form, care)
    }

    fn listed_object(&mut self, text: &str, prefix: &mut String) -> Option<()> {
        let mut sure = true;
        let read = object(text, &mut |_, value, kind| {
            sure = sure && self.value(value, kind, prefix, true).is_some();
            if sure { Ok(()) } else { Err(Stop::Enough) }
        });
        (sure && read.is_ok()).then_some(())
    }

    fn array(&mut self, text: &str, prefix: &mut String) -> Option<()> {
        let bytes = text.as_bytes();
        let mut at = blank(text, 1);
        if bytes.get(at) == Some(&b']') {
            return Some(());
        }
        loop {
            let (element, kind, after) = value(text, at).ok()?;
            self.value(element, kind, prefix, true)?;
            at = blank(text, after);
            match bytes.get(at) {
                Some(b',') => at = blank(text, at + 1),
                Some(b']') => return Some(()),
                _ => return None,
            }
        }
    }

    fn pairs(&mut self) -> Option<()> {
        let line = self.sample.line.as_bytes();
        for pair in Pairs::new(&self.sample.line) {
            // A borrowed value is a slice of the line; one with escapes has no hole, or is doubt.
            let Pair::Good(key, std::borrow::Cow::Borrowed(value)) = pair else {
                continue;
            };
            if value.is_empty() {
                continue;
            }
            let Some(hole) = self.sample.hole(value)? else {
                continue;
            };
            let at = self.sample.place(value)?;
            let quoted = line.get(at.checked_sub(1)?) == Some(&b'"');
            let next = at + 1 + usize::from(quoted);
            // A value that cannot be unescaped is skipped up to the next blank.
            if line.get(next).is_some_and(|b| *b > b' ') {
                return None;
            }
            let form = if quoted { Form::Quoted } else { Form::Word };
            let care = match &self.glance.parser {
                Parser::LogfmtExpressions(keys) => {
                    let key = sanitize_key(key);
                    let meant = keys.iter().filter(|(l, k)| *k == key || *l == key);
                    self.glance.care_of(meant.map(|(l, _)| l.as_str()))
                }
                _ => {
                    let mut name = String::new();
                    sanitize_into(&mut name, key, true);
                    self.glance.care(&name, false)
                }
            };
            self.set(hole, form, care)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance(query: &str, required: &[&str]) -> Option<PipelineGlance> {
        let expr = crate::logql::parse_log(query).expect("a query");
        let hints = Hints {
            required: required.iter().map(|r| (*r).to_owned()).collect(),
            ..Hints::default()
        };
        PipelineGlance::new(&expr.stages, &hints).expect("compiled")
    }

    /// The holes of a skeleton, written with `_` for each: `E`arly, `S`een, `i`gnored, and the form.
    fn roles(glance: &PipelineGlance, skeleton: &str) -> String {
        let pieces: Vec<&[u8]> = skeleton.split('_').map(str::as_bytes).collect();
        let Some(holes) = glance.holes(&pieces) else {
            return "whole".to_owned();
        };
        let shown = holes.iter().map(|h| {
            let care = match h.care {
                Care::Early => 'E',
                Care::Seen => 'S',
                Care::Ignored => 'i',
            };
            let form = match h.form {
                Form::Quoted => '"',
                Form::Scalar => '0',
                Form::Word => 'w',
            };
            format!("{care}{form}")
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn holes_have_roles() {
        let json = glance(
            "{a=\"b\"} | json | lv=\"x\" | dur > 5",
            &["lv", "dur", "ab"],
        );
        let json = json.expect("a glance");
        let paths =
            glance("{a=\"b\"} | json lv=\"l\", x=\"o.k\" | lv=\"x\"", &[]).expect("a glance");
        let logfmt = glance("{a=\"b\"} | logfmt | lv=\"x\"", &["lv", "dur"]).expect("a glance");
        for (glance, skeleton, want) in [
            (&json, "{\"t\":\"_\",\"lv\":\"_\",\"dur\":_}", "i\" E\" S0"),
            (&json, "{\"lv\":_,\"lv\":\"_\"}", "E0 E\""),
            (
                &json,
                "{\"o\":{\"lv\":_},\"l\":[_,{\"lv\":\"_\"}]}",
                "i0 i0 i\"",
            ),
            (&json, "{\"_\":1}", "whole"),
            (&json, "{\"lv\":\"_\"", "whole"),
            (&json, "{\"lv\":\"x_\"}", "whole"),
            (&json, "{\"lv\":\"_\"} _", "whole"),
            (&json, "GET _ _", "i\" i\""),
            (&json, "_ GET", "whole"),
            (
                &paths,
                "{\"l\":\"_\",\"o\":{\"k\":[_],\"m\":_},\"z\":_}",
                "E\" S0 i0 i0",
            ),
            (&paths, "{\"o\":_,\"x\":_}", "S0 i0"),
            (&logfmt, "t=_ lv=_ dur=\"_\" x", "iw Ew S\""),
            (&logfmt, "lv=\"_\"x", "whole"),
            (&logfmt, "lv=x_", "whole"),
            (&logfmt, "_=1", "whole"),
        ] {
            assert_eq!(roles(glance, skeleton), want, "{skeleton}");
        }
        for (query, required) in [
            ("{a=\"b\"} | json", &[][..]),
            ("{a=\"b\"} | json | line_format \"{{.x}}\" | logfmt", &["x"]),
            ("{a=\"b\"} | logfmt --strict", &["x"]),
            ("{a=\"b\"} | regexp \"(?P<x>.)\"", &["x"]),
        ] {
            assert!(glance(query, required).is_none(), "{query}");
        }
    }

    #[test]
    fn early_filters_see_streams_and_metadata() {
        let g = glance("{a=\"b\"} | json | lv=\"x\" and dur > 5", &["lv", "dur"]);
        let g = g.expect("a glance");
        let none = Labels::empty();
        assert!(g.may_pass(&none, None, b"{\"lv\":\"x\",\"dur\":0}"));
        assert!(!g.may_pass(&none, None, b"{\"lv\":\"y\",\"dur\":0}"));
        // The stream's label is not hidden by that of the line.
        let stream = Labels::from_pairs([("lv", "x")]);
        assert!(g.may_pass(&stream, None, b"{\"lv\":\"y\",\"dur\":0}"));
        assert!(!g.may_pass(
            &none,
            Some(&Labels::from_pairs([("lv", "z")])),
            b"{\"lv\":\"x\"}"
        ));
    }
}
