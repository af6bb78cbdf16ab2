//! From what discovery finds to files that are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::model::{Labels, LabelsBuilder};
use exporters::logs::tail::{Manner, PathPattern, Target};
use parking_lot::Mutex;

use super::{hostname, visible};
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

/// Turns groups of targets into files to read.
pub(super) struct FileTargets {
    jobs: Vec<FileJob>,
    host: String,
    /// By number of the job.
    found: Mutex<BTreeMap<usize, Vec<Target>>>,
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
    pub(super) fn new(jobs: Vec<FileJob>, inbox: Inbox) -> Self {
        Self {
            jobs,
            host: hostname(),
            found: Mutex::default(),
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
        let mut targets = Vec::new();
        for labels in groups.iter().flat_map(each) {
            match file_target(number, own, labels, &self.host) {
                Ok(t) => targets.extend(t),
                Err(e) => tracing::error!(job, error = %e, "a target cannot be read"),
            }
        }
        tracing::debug!(job, targets = targets.len(), "targets of files");
        let mut found = self.found.lock();
        found.insert(number, targets);
        *self.inbox.lock() = Some(found.values().flatten().cloned().collect());
    }
}
