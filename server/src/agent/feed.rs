//! The way of lines that come by themselves: rules, the job's pipeline, receivers.
//!
//! Owns: one job's pipeline for such lines, in the order of their coming.
//! Knows nothing of: where they come from.
//!
//! While a receiver is behind, [`Feed::take`] waits (AGT2): a source that waits for it reads no
//! more.

use std::sync::Arc;
use std::time::Duration;

use engine::model::Labels;
use exporters::logs::entry::{Entry, LabelSet};
use exporters::logs::stages::Pipeline;
use tokio::sync::{Mutex, mpsc, watch};

use super::read::now_ns;
use super::visible;
use crate::config::LabelMap;
use crate::relabel::Relabel;

struct Line {
    pipeline: Pipeline,
    receivers: Vec<mpsc::Sender<Vec<Entry>>>,
}

/// One job's way.
pub(super) struct Feed {
    pub(super) job: String,
    rules: Arc<Relabel>,
    line: Mutex<Line>,
    ends: watch::Sender<bool>,
}

impl Feed {
    pub(super) fn new(
        job: &str,
        rules: Arc<Relabel>,
        pipeline: Pipeline,
        receivers: Vec<mpsc::Sender<Vec<Entry>>>,
    ) -> Self {
        Self {
            job: job.to_owned(),
            rules,
            line: Mutex::new(Line {
                pipeline,
                receivers,
            }),
            ends: watch::channel(false).0,
        }
    }

    /// What rules leave of the labels of a line: what the source found, and those of the section,
    /// which win. None when the line is dropped or has no label left.
    pub(super) fn labels(&self, section: &LabelMap, found: &LabelSet) -> Option<Arc<LabelSet>> {
        let mut all = found.clone();
        all.extend(section.iter().map(|(n, v)| (n.to_owned(), v.to_owned())));
        let mut b = Labels::from_pairs(&all).to_builder();
        if !self.rules.apply(&mut b) {
            return None;
        }
        let left = visible(&b);
        (!left.is_empty()).then(|| Arc::new(left))
    }

    /// Runs entries through the pipeline and hands them on.
    pub(super) async fn take(&self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let mut line = self.line.lock().await;
        let mut out = Vec::new();
        for e in entries {
            let before = out.len();
            let pause = line.pipeline.process(e, now_ns(), &mut |e| out.push(e));
            if !pause.is_zero() {
                // What a limit holds back holds up whoever feeds it, but not what went before.
                let held = out.split_off(before);
                line.hand_over(std::mem::replace(&mut out, held)).await;
                self.wait(pause).await;
            }
        }
        line.hand_over(out).await;
    }

    /// Waits for a limit; a stop does not.
    async fn wait(&self, pause: Duration) {
        let mut ends = self.ends.subscribe();
        let ended = ends.wait_for(|e| *e);
        drop(tokio::time::timeout(pause, ended).await);
    }

    /// Nothing waits for a limit any more.
    pub(super) fn end(&self) {
        self.ends.send_replace(true);
    }

    /// Hands on what has waited long enough in the pipeline.
    pub(super) async fn tick(&self) {
        let (mut line, mut out) = (self.line.lock().await, Vec::new());
        let pause = line.pipeline.tick(now_ns(), &mut |e| out.push(e));
        line.hand_over(out).await;
        self.wait(pause).await;
    }

    /// Hands on what waits in the pipeline and lets go of the receivers.
    pub(super) async fn finish(&self) {
        let (mut line, mut out) = (self.line.lock().await, Vec::new());
        line.pipeline.finish(now_ns(), &mut |e| out.push(e));
        line.hand_over(out).await;
        line.receivers.clear();
    }
}

impl Line {
    async fn hand_over(&mut self, entries: Vec<Entry>) {
        let Some((last, others)) = self.receivers.split_last().filter(|_| !entries.is_empty())
        else {
            return;
        };
        // A receiver that has ended is being stopped: what it did not take stays undone.
        for r in others {
            drop(r.send(entries.clone()).await);
        }
        drop(last.send(entries).await);
    }
}
