//! Log queries over entries as they arrive.

use engine::logs::PushBatch;
use engine::model::{Labels, Matcher};
use hashbrown::HashMap;

use super::log::{OutEntry, OutStream};
use crate::logql::ast::LogExpr;
use crate::logql::parse::ParseError;
use crate::logql::stages::{Entry, Hints, Pipeline, Surroundings};

/// A compiled log query for batches of new entries.
pub struct Tailer {
    matchers: Vec<Matcher>,
    pipeline: Pipeline,
    around: Surroundings,
}

impl Tailer {
    /// Compiles `expr`.
    ///
    /// # Errors
    /// A pattern or template that is none.
    pub fn new(expr: &LogExpr, around: Surroundings) -> Result<Self, ParseError> {
        Ok(Self {
            matchers: expr.matchers.clone(),
            pipeline: Pipeline::compile(&expr.stages)?,
            around,
        })
    }

    /// The entries of a batch that pass, by their final labels, in the order of the batch.
    pub fn batch(&mut self, batch: &PushBatch) -> Vec<OutStream> {
        let mut out: Vec<OutStream> = Vec::new();
        // A parser may give every line labels of its own.
        let mut places: HashMap<Labels, usize> = HashMap::default();
        let test = self.pipeline.test();
        for (labels, range) in batch.streams() {
            if !Matcher::all_match(&self.matchers, labels) {
                continue;
            }
            let mut entry = Entry::new(Hints::default());
            for i in range {
                let line = batch.line(i);
                if test.as_ref().is_some_and(|t| !(t.matches)(line)) {
                    continue;
                }
                entry.take(batch.time(i), line, labels, batch.metadata(i));
                if !self.pipeline.apply(&mut entry, &self.around) {
                    continue;
                }
                let labels = entry.labels.all();
                let found = OutEntry {
                    time: entry.time,
                    line: entry.line.as_ref().into(),
                    metadata: Labels::empty(),
                    parsed: Labels::empty(),
                };
                match places.get(&labels).and_then(|i| out.get_mut(*i)) {
                    Some(s) => s.entries.push(found),
                    None => {
                        places.insert(labels.clone(), out.len());
                        out.push(OutStream {
                            labels,
                            entries: vec![found],
                        });
                    }
                }
            }
        }
        out
    }
}
