//! One job's lines of files: through its pipeline, at the pace that limits allow.
//!
//! Owns: what a limit holds back. While it does, the job's files are not read; other jobs' are.
//! Knows nothing of: files, receivers.

use std::collections::VecDeque;

use exporters::logs::entry::Entry;
use exporters::logs::stages::Pipeline;

/// A job at work.
pub(super) struct JobLine {
    pipeline: Pipeline,
    /// Left the pipeline, and may go on at `until_ns`.
    held: Vec<Entry>,
    until_ns: i64,
    /// Read behind those: bounded by what one turn reads.
    waiting: VecDeque<Entry>,
}

impl JobLine {
    /// Nothing has come yet.
    pub(super) fn new(pipeline: Pipeline) -> Self {
        Self {
            pipeline,
            held: Vec::new(),
            until_ns: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Whether more may be read.
    pub(super) fn is_ready(&self) -> bool {
        self.held.is_empty() && self.waiting.is_empty()
    }

    /// When something that is held back may go on; none when nothing is.
    pub(super) fn due_ns(&self) -> Option<i64> {
        (!self.is_ready()).then_some(self.until_ns)
    }

    /// Takes a line that was read.
    pub(super) fn take(&mut self, entry: Entry, now_ns: i64, out: &mut Vec<Entry>) {
        if self.is_ready() {
            self.run(entry, now_ns, out);
        } else {
            self.waiting.push_back(entry);
        }
    }

    fn run(&mut self, entry: Entry, now_ns: i64, out: &mut Vec<Entry>) {
        let before = out.len();
        let pause = self.pipeline.process(entry, now_ns, &mut |e| out.push(e));
        if !pause.is_zero() {
            self.held.extend(out.drain(before..));
            let pause = i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX);
            self.until_ns = now_ns.saturating_add(pause);
        }
    }

    /// Lets go of what may go on, and of what has waited long enough in stages.
    pub(super) fn tick(&mut self, now_ns: i64, out: &mut Vec<Entry>) {
        while !self.is_ready() && now_ns >= self.until_ns {
            out.append(&mut self.held);
            if let Some(e) = self.waiting.pop_front() {
                self.run(e, now_ns, out);
            }
        }
        if self.is_ready() {
            let pause = self.pipeline.tick(now_ns, &mut |e| out.push(e));
            let pause = i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX);
            self.until_ns = now_ns.saturating_add(pause);
        }
    }

    /// Lets go of everything: a stop waits for no limit.
    pub(super) fn finish(&mut self, now_ns: i64, out: &mut Vec<Entry>) {
        out.append(&mut self.held);
        for e in std::mem::take(&mut self.waiting) {
            self.pipeline.process(e, now_ns, &mut |e| out.push(e));
        }
        self.pipeline.finish(now_ns, &mut |e| out.push(e));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use exporters::logs::entry::LabelSet;
    use exporters::logs::numbers::Numbers;
    use exporters::logs::settings::Node;
    use exporters::logs::stages::{Outside, ReadRate};

    use super::super::language::Languages;
    use super::*;

    fn job(stages: &str, rate: Option<ReadRate>) -> (JobLine, Arc<Numbers>) {
        let numbers = Arc::<Numbers>::default();
        let outside = Outside {
            language: Arc::new(Languages),
            numbers: numbers.clone(),
            rate: rate.map(Arc::new),
            inspect: None,
        };
        let node: Node = crate::config::parse_yaml(Path::new("s"), stages).unwrap();
        (
            JobLine::new(Pipeline::new(&node, &outside).unwrap()),
            numbers,
        )
    }

    fn fill(j: &mut JobLine, lines: usize) -> Vec<Entry> {
        let mut out = Vec::new();
        for n in 0..lines {
            let labels = Arc::new(LabelSet::new());
            j.take(Entry::new(0, n.to_string(), labels), 0, &mut out);
        }
        out
    }

    /// A limit that waits lets one line go with each token, and only then the next is run.
    #[test]
    fn lines_wait_for_their_tokens() {
        let by_stage = job("[limit: {rate: 10, burst: 2}]", None);
        let by_all = job("[]", Some(ReadRate::new(10.0, 2, false)));
        for (mut j, _) in [by_stage, by_all] {
            let mut out = fill(&mut j, 5);
            assert_eq!(out.len(), 2);
            for (ms, come) in [(99, 2), (100, 3), (150, 3), (200, 4), (500, 5)] {
                j.tick(ms * 1_000_000, &mut out);
                assert_eq!(out.len(), come, "after {ms} ms");
            }
            assert!(j.is_ready());
        }
    }

    #[test]
    fn a_stop_waits_for_no_token() {
        let (mut j, _) = job("[limit: {rate: 0.001, burst: 1}]", None);
        let mut out = fill(&mut j, 5);
        j.finish(0, &mut out);
        let lines: Vec<_> = out.iter().map(|e| e.line.as_str()).collect();
        assert_eq!(lines, ["0", "1", "2", "3", "4"]);
    }

    #[test]
    fn lines_beyond_the_rate_of_all_jobs_end_and_are_counted() {
        let (mut j, numbers) = job("[]", Some(ReadRate::new(1.0, 3, true)));
        assert_eq!(fill(&mut j, 10).len(), 3);
        let mut sink = exporters::emit::Sink::new();
        numbers.collect(&mut sink, 0);
        let want = "logentry_dropped_lines_total{reason=\"global_rate_limiter_drop\"} 7";
        assert!(sink.text().contains(want), "{}", sink.text());
    }
}
