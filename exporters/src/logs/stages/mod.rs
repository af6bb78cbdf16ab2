//! Pipelines of stages: what happens to a line between its source and its sending.
//!
//! Owns: every stage (one file each, by its name in files), their order, what waits in them.
//! Knows nothing of: where entries come from and go to, the clock (the time is an argument).
//!
//! Invariants
//! - PST1  A stage never fails an entry: what it cannot do leaves the entry as it is.
//! - PST2  An entry that waits in a stage keeps its ticket; of entries that are joined the oldest
//!   ticket is kept, which stands for all that were read after it.
//! - PST3  Wrong settings are found when the pipeline is built, never at a line.
//!
//! Read next: `json.rs` for a stage that extracts, `multiline.rs` for one that waits.

mod cri;
mod decolorize;
mod docker;
mod drop;
mod eventlogmessage;
mod geoip;
mod inspect;
mod json;
mod labels;
mod limit;
mod logfmt;
mod matching;
mod metrics;
mod multiline;
mod output;
mod pack;
mod regex;
mod replace;
mod sampling;
mod structured_metadata;
mod template;
mod tenant;
mod timestamp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{Entry, Value};
use super::language::Language;
use super::numbers::Numbers;
use super::settings::{Node, Settings};

pub use limit::ReadRate;
pub use tenant::TENANT_LABEL;

/// Pipelines inside pipelines at most.
const DEPTH_MAX: usize = 16;

/// Why a pipeline cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StageError(pub String);

/// What stages need to know of the outside.
#[derive(Clone)]
pub struct Outside {
    /// Reads patterns, templates, selectors and times.
    pub language: Arc<dyn Language>,
    /// Where is counted.
    pub numbers: Arc<Numbers>,
    /// How many lines may leave all pipelines together.
    pub rate: Option<Arc<ReadRate>>,
    /// Told what each stage does, when somebody wants to know.
    pub inspect: Option<Inspect>,
}

/// Takes a text about what a stage has done.
pub type Inspect = fn(&str);

/// What a stage knows while it works.
#[derive(Debug, Clone, Copy)]
pub struct Now<'a> {
    /// The time in ns since 1970.
    pub ns: i64,
    /// Where is counted.
    pub numbers: &'a Numbers,
}

/// What becomes of an entry in a stage.
pub(crate) enum Flow {
    /// It goes on.
    On(Entry),
    /// It ends here, or waits in the stage.
    Gone,
    /// These go on.
    Several(Vec<Entry>),
}

/// A stage at work.
pub(crate) trait Stage: Send {
    /// Does its work on one entry.
    fn run(&mut self, entry: Entry, now: Now<'_>) -> Flow;
    /// Entries whose waiting has ended at `now`.
    fn tick(&mut self, _now: Now<'_>) -> Vec<Entry> {
        Vec::new()
    }
    /// Everything that still waits and must not be lost at the end.
    fn finish(&mut self, _now: Now<'_>) -> Vec<Entry> {
        Vec::new()
    }
    /// How long whoever feeds the pipeline is to wait before the next entry.
    fn pause(&mut self) -> Duration {
        Duration::ZERO
    }
}

/// A stage that only looks at an entry or changes it, as most do.
pub(crate) trait Simple: Send {
    /// Whether the entry goes on.
    fn apply(&mut self, entry: &mut Entry, now: Now<'_>) -> bool;
}

impl<S: Simple> Stage for S {
    fn run(&mut self, mut entry: Entry, now: Now<'_>) -> Flow {
        if self.apply(&mut entry, now) {
            Flow::On(entry)
        } else {
            Flow::Gone
        }
    }
}

/// Stages in order.
pub struct Pipeline {
    stages: Vec<Box<dyn Stage>>,
    /// Their names, when somebody is told what they do.
    inspected: Option<(Inspect, Vec<String>)>,
    numbers: Arc<Numbers>,
    /// None in a pipeline inside a stage.
    rate: Option<Arc<ReadRate>>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("stages", &self.stages.len())
            .finish_non_exhaustive()
    }
}

/// What a stage is built from.
pub(crate) struct Build<'a> {
    pub(crate) outside: &'a Outside,
    pub(crate) depth: usize,
}

impl Build<'_> {
    /// Compiles a pattern of the setting `key`.
    fn pattern(&self, key: &str, text: &str) -> Result<Arc<dyn super::language::Pattern>, String> {
        let compiled = self.outside.language.pattern(text);
        compiled.map_err(|e| format!("{key}: {e}"))
    }

    /// Reads a duration of the setting `key`, ns.
    fn duration(&self, key: &str, text: &str) -> Result<i64, String> {
        let read = self.outside.language.duration(text);
        read.ok_or_else(|| format!("{key}: {text:?} is not a duration like 3s or 1h30m"))
    }

    /// A pipeline inside a stage.
    fn pipeline(&self, stages: &Node) -> Result<Pipeline, String> {
        Pipeline::build(stages, self.outside, self.depth + 1).map_err(|e| e.0)
    }
}

fn stage(name: &str, settings: &Node, b: &Build<'_>) -> Result<Box<dyn Stage>, String> {
    let s = || Settings::of(settings);
    Ok(match name {
        "docker" => docker::build(b)?,
        "cri" => cri::build(s()?, b)?,
        "json" => Box::new(json::Json::new(s()?, b)?),
        "logfmt" => Box::new(logfmt::Logfmt::new(s()?)?),
        "regex" => Box::new(regex::Regex::new(s()?, b)?),
        "replace" => Box::new(replace::Replace::new(s()?, b)?),
        "template" => Box::new(template::TemplateStage::new(s()?, b)?),
        "timestamp" => Box::new(timestamp::Timestamp::new(s()?, b)?),
        "output" => Box::new(output::Output::new(s()?)?),
        "labels" => Box::new(labels::Labels::new(settings)?),
        "static_labels" => Box::new(labels::StaticLabels::new(s()?)?),
        "labeldrop" => Box::new(labels::LabelDrop::new(settings)?),
        "labelallow" => Box::new(labels::LabelAllow::new(settings)?),
        "structured_metadata" | "non_indexed_labels" => {
            Box::new(structured_metadata::StructuredMetadata::new(settings)?)
        }
        "match" => matching::build(s()?, b)?,
        "drop" => Box::new(drop::Drop::new(s()?, b)?),
        "sampling" => Box::new(sampling::Sampling::new(s()?)?),
        "limit" => Box::new(limit::Limit::new(s()?)?),
        "multiline" => Box::new(multiline::Multiline::new(s()?, b)?),
        "pack" => Box::new(pack::Pack::new(s()?, b)?),
        "tenant" => Box::new(tenant::Tenant::new(s()?)?),
        "decolorize" => Box::new(decolorize::Decolorize::new(b)),
        "eventlogmessage" => Box::new(eventlogmessage::EventLogMessage::new(s()?)?),
        "metrics" => Box::new(metrics::Metrics::new(s()?, b)?),
        "geoip" => Box::new(geoip::GeoIp::new(s()?)?),
        other => return Err(format!("Unknown stage type: {other}")),
    })
}

impl Pipeline {
    /// Builds the stages that `stages` lists; `null` is an empty list.
    ///
    /// # Errors
    /// Names the stage and what is wrong with it (PST3).
    pub fn new(stages: &Node, outside: &Outside) -> Result<Self, StageError> {
        Self::build(stages, outside, 0)
    }

    /// A pipeline that changes nothing.
    #[must_use]
    pub fn empty(outside: &Outside) -> Self {
        Self {
            stages: Vec::new(),
            inspected: None,
            numbers: outside.numbers.clone(),
            rate: outside.rate.clone(),
        }
    }

    fn build(stages: &Node, outside: &Outside, depth: usize) -> Result<Self, StageError> {
        let wrong = |text: String| StageError(text);
        if depth > DEPTH_MAX {
            return Err(wrong(format!(
                "pipelines inside pipelines are nested more than {DEPTH_MAX} deep"
            )));
        }
        let list: &[Node] = match stages {
            Node::Null => &[],
            Node::List(l) => l,
            other => {
                return Err(wrong(format!(
                    "pipeline_stages: expected a list, got {}",
                    other.kind()
                )));
            }
        };
        let build = Build { outside, depth };
        let mut out = Vec::with_capacity(list.len());
        let mut names = Vec::new();
        for node in list {
            let Node::Map(pairs) = node else {
                return Err(wrong(format!(
                    "invalid YAML config: each pipeline stage must be a map, got {}",
                    node.kind()
                )));
            };
            let [(name, settings)] = pairs.as_slice() else {
                return Err(wrong("pipeline stage must contain only one key".into()));
            };
            let Node::Text(name) = name else {
                return Err(wrong(format!(
                    "pipeline stage key must be a string, got {}",
                    name.kind()
                )));
            };
            let built = stage(name, settings, &build);
            names.push(name.clone());
            out.push(built.map_err(|e| wrong(format!("invalid {name} stage config: {e}")))?);
        }
        Ok(Self {
            stages: out,
            inspected: outside.inspect.map(|i| (i, names)),
            numbers: outside.numbers.clone(),
            rate: outside.rate.clone().filter(|_| depth == 0),
        })
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Runs an entry through the stages; what leaves is handed to `out`. Gives how long to wait
    /// before the next entry, when a limit asks for that.
    pub fn process(
        &mut self,
        mut entry: Entry,
        now_ns: i64,
        out: &mut dyn FnMut(Entry),
    ) -> Duration {
        let mut owed = Duration::ZERO;
        let (rate, numbers) = (self.rate.clone(), Arc::clone(&self.numbers));
        let mut left = |e: Entry| match &rate {
            None => out(e),
            Some(r) => owed = owed.max(r.pass(e, now_ns, &numbers, out)),
        };
        if self.stages.is_empty() {
            left(entry);
            return owed;
        }
        let labels = entry.labels.iter();
        entry.extracted = labels
            .map(|(n, v)| (n.clone(), Value::Text(v.clone())))
            .collect::<BTreeMap<_, _>>();
        self.from(0, entry, now_ns, &mut left);
        self.pause().max(owed)
    }

    /// Hands on what has waited long enough. Gives how long to wait, like [`Pipeline::process`].
    pub fn tick(&mut self, now_ns: i64, out: &mut dyn FnMut(Entry)) -> Duration {
        self.released(now_ns, out, |s, now| s.tick(now))
    }

    /// Hands on what waits, at the end.
    pub fn finish(&mut self, now_ns: i64, out: &mut dyn FnMut(Entry)) {
        self.released(now_ns, out, |s, now| s.finish(now));
    }

    fn pause(&mut self) -> Duration {
        // Waits for several limits pass at the same time.
        let waits = self.stages.iter_mut().map(|s| s.pause());
        waits.max().unwrap_or(Duration::ZERO)
    }

    fn released(
        &mut self,
        now_ns: i64,
        out: &mut dyn FnMut(Entry),
        release: impl Fn(&mut dyn Stage, Now<'_>) -> Vec<Entry>,
    ) -> Duration {
        let (rate, numbers) = (self.rate.clone(), Arc::clone(&self.numbers));
        let now = Now {
            ns: now_ns,
            numbers: &numbers,
        };
        let mut owed = Duration::ZERO;
        let mut left = |e: Entry| match &rate {
            None => out(e),
            Some(r) => owed = owed.max(r.pass(e, now_ns, &numbers, out)),
        };
        for i in 0..self.stages.len() {
            for e in release(self.stages[i].as_mut(), now) {
                self.from(i + 1, e, now_ns, &mut left);
            }
        }
        owed
    }

    /// Runs the stages from number `first` on.
    fn from(&mut self, first: usize, entry: Entry, now_ns: i64, out: &mut dyn FnMut(Entry)) {
        let mut entry = entry;
        let numbers = Arc::clone(&self.numbers);
        let now = Now {
            ns: now_ns,
            numbers: &numbers,
        };
        for i in first..self.stages.len() {
            let before = self.inspected.as_ref().map(|_| Entry {
                ticket: None,
                ..entry.clone()
            });
            let flow = self.stages[i].run(entry, now);
            if let (Some(before), Some((told, names))) = (&before, &self.inspected) {
                let name = names.get(i).map_or("", String::as_str);
                let one = |e: Option<&Entry>| inspect::tell(*told, name, before, e);
                match &flow {
                    Flow::On(e) => one(Some(e)),
                    Flow::Gone => one(None),
                    Flow::Several(all) => all.iter().for_each(|e| one(Some(e))),
                }
            }
            match flow {
                Flow::On(e) => entry = e,
                Flow::Gone => return,
                Flow::Several(all) => {
                    // One stage of the list for each step: bounded by its length.
                    for e in all {
                        self.from(i + 1, e, now_ns, out);
                    }
                    return;
                }
            }
        }
        out(entry);
    }
}

/// Whether a name may be a label's.
pub(crate) fn is_label_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
