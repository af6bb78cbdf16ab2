//! From what discovery finds to files that are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::model::{Labels, LabelsBuilder};
use exporters::logs::tail::{Manner, PathPattern, Target};
use parking_lot::Mutex;

use super::{node_name, visible};
use crate::discovery::{ADDRESS, GroupSink, TargetGroup};
use crate::relabel::Relabel;

/// Targets for the thread that reads, until it takes them.
pub(super) type Inbox = Arc<Mutex<Option<Vec<Target>>>>;

/// One job as discovery sees it.
pub(super) struct FileJob {
    pub(super) name: String,
    pub(super) rules: Arc<Relabel>,
    pub(super) manner: Manner,
}

/// What discovery has found, and what became of it: for people.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<BTreeMap<String, Vec<(String, Option<String>)>>>);

/// Targets of one job that are shown.
const SHOWN_MAX: usize = 1000;

impl Found {
    fn put(&self, job: &str, all: Vec<(String, Option<String>)>) {
        self.0.lock().insert(job.to_owned(), all);
    }

    /// Every job with its targets: what was found, then what is read of it.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for (job, all) in self.0.lock().iter() {
            let active = all.iter().filter(|t| t.1.is_some()).count();
            out.push_str(&format!(
                "{job} ({active} / {} active targets)\n",
                all.len()
            ));
            for (found, read) in all.iter().take(SHOWN_MAX) {
                let read = read.as_deref().unwrap_or("dropped");
                out.push_str(&format!("  {found}\n    {read}\n"));
            }
        }
        out
    }
}

fn labels_text<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let each = all.map(|(n, v)| format!("{n}={v:?}"));
    format!("{{{}}}", each.collect::<Vec<_>>().join(", "))
}

/// Turns groups of targets into files to read.
pub(super) struct FileTargets {
    jobs: Vec<FileJob>,
    host: String,
    /// By number of the job.
    targets: Mutex<BTreeMap<usize, Vec<Target>>>,
    found: Arc<Found>,
    inbox: Inbox,
}

/// The labels of every target of a group; a group without targets stands for this host.
pub(super) fn each(group: &TargetGroup) -> Vec<LabelsBuilder> {
    let here = [Labels::from_pairs([(ADDRESS, "localhost")])];
    let targets = match group.targets.as_slice() {
        [] => here.as_slice(),
        some => some,
    };
    let with_common = |t: &Labels| {
        let mut b = group.labels.to_builder();
        for (n, v) in t.iter() {
            b.set(n, v);
        }
        b
    };
    targets.iter().map(with_common).collect()
}

/// The file target that `labels` mean after rules; none when it is not to be read here.
///
/// # Errors
/// When its path is no pattern.
pub(super) fn file_target(
    number: usize,
    job: &FileJob,
    mut labels: LabelsBuilder,
    here: &str,
) -> Result<Option<Target>, String> {
    if !job.rules.apply(&mut labels) {
        return Ok(None);
    }
    let inner = |name: &str| labels.get(name).filter(|v| !v.is_empty());
    if inner("__host__").is_some_and(|h| h != here) {
        return Ok(None);
    }
    let shown = visible(&labels);
    let (Some(path), false) = (inner("__path__"), shown.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(Target {
        job: number,
        manner: job.manner,
        path: PathPattern::new(path)?,
        exclude: inner("__path_exclude__")
            .map(PathPattern::new)
            .transpose()?,
        labels: shown,
    }))
}

impl FileTargets {
    pub(super) fn new(jobs: Vec<FileJob>, found: Arc<Found>, inbox: Inbox) -> Self {
        Self {
            jobs,
            host: node_name(),
            targets: Mutex::default(),
            found,
            inbox,
        }
    }
}

impl GroupSink for FileTargets {
    fn update(&self, job: &str, groups: Vec<TargetGroup>) {
        let Some(number) = self.jobs.iter().position(|j| j.name == job) else {
            return;
        };
        let Some(own) = self.jobs.get(number) else {
            return;
        };
        let (mut targets, mut found) = (Vec::new(), Vec::new());
        for labels in groups.iter().flat_map(each) {
            let shown = labels_text(labels.iter());
            let target = file_target(number, own, labels, &self.host);
            let target = target.unwrap_or_else(|e| {
                tracing::error!(job, error = %e, "a target cannot be read");
                None
            });
            let read = target
                .as_ref()
                .map(|t| labels_text(t.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
            found.push((shown, read));
            targets.extend(target);
        }
        tracing::debug!(job, targets = targets.len(), "targets of files");
        self.found.put(job, found);
        let mut all = self.targets.lock();
        all.insert(number, targets);
        *self.inbox.lock() = Some(all.values().flatten().cloned().collect());
    }
}
