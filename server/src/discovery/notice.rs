//! Says what keeps a kind from its work once, not at every attempt.

use std::time::Duration;

use super::Reporter;

/// First wait after a failure.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// Longest wait between two attempts.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What was last said about one source, and how long to wait before the next attempt.
pub(super) struct Notice {
    to: Reporter,
    /// Of whom, as in `pods of namespace "a"`.
    what: String,
    said: Option<String>,
    wait: Duration,
}

impl Notice {
    /// Nothing was said yet.
    pub(super) fn new(to: &Reporter, what: impl Into<String>) -> Self {
        Self {
            to: to.clone(),
            what: what.into(),
            said: None,
            wait: WAIT_FIRST,
        }
    }

    /// Counts a failure; logs `problem`, unless it was the last thing said.
    pub(super) fn say(&mut self, problem: &str) {
        self.to.failed();
        if self.said.as_deref() != Some(problem) {
            tracing::error!(
                job = %self.to.job,
                from = %self.what,
                error = problem,
                "targets cannot be discovered; trying again"
            );
            self.said = Some(problem.to_owned());
        }
    }

    /// Logs that the source waits for what is not there yet, unless it was the last thing said.
    pub(super) fn wait_for(&mut self, what: &str) {
        if self.said.as_deref() != Some(what) {
            tracing::warn!(job = %self.to.job, from = %self.what, "waiting: {what}");
            self.said = Some(what.to_owned());
        }
    }

    /// It works (again).
    pub(super) fn fine(&mut self) {
        self.wait = WAIT_FIRST;
        if self.said.take().is_some() {
            tracing::info!(job = %self.to.job, from = %self.what, "targets are discovered again");
        }
    }

    /// Waits before the next attempt, longer each time until [`Self::fine`].
    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(WAIT_MAX);
    }
}
