//! LogQL evaluated the slow way: one entry after the other, one step after the other, over plain
//! lists. What it answers is what the language's reference says; the engine has to agree.
//!
//! Owns: the meaning of every stage, function and operator; data and queries to try it on.
//! Knows nothing of: the engine's pipelines, scans, columns, windows; it shares only the parser and
//! the label type with it.
//!
//! Some questions have more than one right answer (which of equal values `topk` keeps), and some
//! turn on the last bit of a sum. The oracle marks them as [`Oracle::is_open`] instead of guessing.

#![allow(missing_docs, unreachable_pub, dead_code)]

pub mod coverage;
pub mod data;
mod formats;
pub mod generate;
mod metric;
mod parsers;
mod template;
mod tests_of_text;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};

use engine::model::{Labels, MatchOp, Matcher};
use query::logql::ast::{LogExpr, Stage};

pub use metric::{Fail, Rows, Steps};

pub const ERROR: &str = "__error__";
pub const DETAILS: &str = "__error_details__";

/// An entry as pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct Pushed {
    pub stream: Labels,
    pub time: i64,
    pub line: Vec<u8>,
    pub metadata: Labels,
}

/// What is stored: equal entries of a stream once, in the order of time, then of arrival.
#[derive(Debug, Clone, Default)]
pub struct Data(pub Vec<Pushed>);

impl Data {
    pub fn add(&mut self, e: Pushed) {
        if !self.0.contains(&e) {
            self.0.push(e);
        }
    }

    pub fn sort(&mut self) {
        self.0.sort_by_key(|e| e.time);
    }
}

/// What a metric query needs of the labels; see section 6.3 of the reference.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Parsers set only these and stop when they have them all; empty: everything.
    pub only: BTreeSet<String>,
    /// Parsers do nothing.
    pub nothing: bool,
}

/// An entry on its way through the stages.
#[derive(Debug, Clone)]
pub struct Row<'n> {
    pub time: i64,
    pub line: String,
    /// Bytes of the line as it was stored, while no stage has changed it.
    pub untouched: Option<Vec<u8>>,
    pub stream: BTreeMap<String, String>,
    pub metadata: BTreeMap<String, String>,
    pub parsed: BTreeMap<String, String>,
    /// Stream labels that were removed.
    pub gone: BTreeSet<String>,
    /// Names that some stage has set.
    pub set_once: BTreeSet<String>,
    pub error: String,
    pub details: bool,
    pub needs: &'n Needs,
}

impl<'n> Row<'n> {
    pub fn new(e: &Pushed, needs: &'n Needs) -> Self {
        let own = |l: &Labels| -> BTreeMap<String, String> {
            l.iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect()
        };
        let stream = own(&e.stream);
        let metadata = own(&e.metadata).into_iter().map(|(n, v)| {
            let taken = stream.contains_key(&n);
            (if taken { format!("{n}_extracted") } else { n }, v)
        });
        Self {
            time: e.time,
            line: String::from_utf8_lossy(&e.line).into_owned(),
            untouched: Some(e.line.clone()),
            metadata: metadata.collect(),
            stream,
            parsed: BTreeMap::new(),
            gone: BTreeSet::new(),
            set_once: BTreeSet::new(),
            error: String::new(),
            details: false,
            needs,
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let stream = || self.stream.get(name).filter(|_| !self.gone.contains(name));
        let found = self.parsed.get(name).or_else(|| self.metadata.get(name));
        found.or_else(stream).map(String::as_str)
    }

    /// Bytes of the line as it is now.
    pub fn len(&self) -> usize {
        self.untouched.as_ref().map_or(self.line.len(), Vec::len)
    }

    pub fn set_line(&mut self, line: String) {
        if self.untouched.is_some() && line == self.line {
            return;
        }
        self.line = line;
        self.untouched = None;
    }

    /// A stage wrote the line anew, even if it reads the same.
    pub fn change_line(&mut self, line: String) {
        self.line = line;
        self.untouched = None;
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.metadata.remove(name);
        self.parsed.insert(name.to_owned(), value.to_owned());
        self.set_once.insert(name.to_owned());
    }

    pub fn delete(&mut self, name: &str) {
        self.parsed.remove(name);
        self.metadata.remove(name);
        self.gone.insert(name.to_owned());
    }

    pub fn fail(&mut self, error: &str, details: bool) {
        self.error = error.to_owned();
        self.details = details;
    }

    /// `name`, with the suffix where a stream label or metadata has it.
    pub fn free(&self, name: &str) -> String {
        if self.stream.contains_key(name) || self.metadata.contains_key(name) {
            format!("{name}_extracted")
        } else {
            name.to_owned()
        }
    }

    /// Parsers may set a name once, and only what is needed.
    pub fn wants(&self, name: &str) -> bool {
        !self.set_once.contains(name)
            && (self.needs.only.is_empty() || self.needs.only.contains(name))
    }

    /// Everything that is needed was found.
    pub fn has_all(&self) -> bool {
        let only = &self.needs.only;
        !only.is_empty() && only.is_subset(&self.set_once)
    }

    /// Parsers have nothing to do.
    pub fn idle(&self) -> bool {
        self.needs.nothing || self.has_all()
    }

    /// All labels by origin: stream, metadata, parsed. Details are only present.
    pub fn labels(&self) -> [BTreeMap<String, String>; 3] {
        let mut out: [BTreeMap<String, String>; 3] = Default::default();
        for (n, v) in &self.stream {
            let hidden = self.gone.contains(n)
                || self.parsed.contains_key(n)
                || self.metadata.contains_key(n);
            if !hidden {
                out[0].insert(n.clone(), v.clone());
            }
        }
        out[1] = self.metadata.clone();
        out[2] = self.parsed.clone();
        if !self.error.is_empty() {
            out[2].insert(ERROR.to_owned(), self.error.clone());
        }
        if self.details {
            out[2].insert(DETAILS.to_owned(), "...".to_owned());
        }
        out
    }

    pub fn all_labels(&self) -> BTreeMap<String, String> {
        self.labels().into_iter().flatten().collect()
    }
}

/// A stored entry that came through, with its labels by origin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passed {
    pub time: i64,
    pub line: String,
    pub labels: [BTreeMap<String, String>; 3],
}

/// One query over some data.
pub struct Oracle<'a> {
    pub data: &'a Data,
    open: Cell<bool>,
}

impl<'a> Oracle<'a> {
    pub fn new(data: &'a Data) -> Self {
        Self {
            data,
            open: Cell::new(false),
        }
    }

    /// The answer is not the only right one.
    pub fn is_open(&self) -> bool {
        self.open.get()
    }

    fn set_open(&self) {
        self.open.set(true);
    }

    /// Entries of the selected streams.
    fn selected<'s>(&'s self, matchers: &'s [Matcher]) -> impl Iterator<Item = &'s Pushed> {
        self.data
            .0
            .iter()
            .filter(|e| matchers.iter().all(|m| matches(m, e.stream.get(&m.name))))
    }

    /// All entries with `start <= time < end` that pass, in the order of time.
    pub fn log(&self, q: &LogExpr, start: i64, end: i64) -> Vec<Passed> {
        let needs = Needs::default();
        let mut out = Vec::new();
        for e in self.selected(&q.matchers) {
            if !(start..end).contains(&e.time) {
                continue;
            }
            let mut row = Row::new(e, &needs);
            if self.run(&q.stages, &mut row) {
                out.push(Passed {
                    time: row.time,
                    line: row.line.clone(),
                    labels: row.labels(),
                });
            }
        }
        out
    }

    /// Runs the stages; false drops the line.
    fn run(&self, stages: &[Stage], row: &mut Row<'_>) -> bool {
        stages.iter().all(|s| self.stage(s, row))
    }

    fn stage(&self, s: &Stage, row: &mut Row<'_>) -> bool {
        match s {
            Stage::Line(op, any_of) => return tests_of_text::line(*op, any_of, row),
            Stage::Label(f) => return tests_of_text::label(f, row),
            Stage::Json(list) if list.is_empty() => parsers::json(row),
            Stage::Json(list) => parsers::json_expressions(list, row),
            Stage::Logfmt {
                strict,
                keep_empty,
                expressions,
            } => {
                if expressions.is_empty() {
                    parsers::logfmt(*strict, *keep_empty, row);
                } else {
                    parsers::logfmt_expressions(*strict, expressions, row);
                }
            }
            Stage::Regexp(re) => parsers::regexp(re, row),
            Stage::Pattern(p) => parsers::pattern(p, row),
            Stage::Unpack => parsers::unpack(row),
            Stage::Decolorize => formats::decolorize(row),
            Stage::LineFormat(t) => {
                if formats::line_format(t, row) {
                    self.set_open();
                }
            }
            Stage::LabelFormat(terms) => {
                if formats::label_format(terms, row) {
                    self.set_open();
                }
            }
            Stage::Drop(picks) => {
                if formats::drop(picks, row) {
                    self.set_open();
                }
            }
            Stage::Keep(picks) => formats::keep(picks, row),
        }
        true
    }
}

thread_local! {
    /// Compiled patterns: they cost more than everything else here.
    static PATTERNS: RefCell<HashMap<String, Option<regex::Regex>>> = RefCell::default();
}

/// Calls `f` with the compiled pattern.
pub fn with_pattern<T>(pattern: &str, f: impl FnOnce(&regex::Regex) -> T) -> Option<T> {
    PATTERNS.with_borrow_mut(|known| {
        known
            .entry(pattern.to_owned())
            .or_insert_with(|| regex::Regex::new(pattern).ok())
            .as_ref()
            .map(f)
    })
}

/// Whether a value satisfies a matcher; patterns are anchored.
pub fn matches(m: &Matcher, value: Option<&str>) -> bool {
    let v = value.unwrap_or("");
    let whole = || with_pattern(&format!("^(?s:{})$", m.value), |r| r.is_match(v)) == Some(true);
    match &m.op {
        MatchOp::Equal => v == m.value,
        MatchOp::NotEqual => v != m.value,
        MatchOp::Regex(_) => whole(),
        MatchOp::NotRegex(_) => !whole(),
    }
}
