//! The tasks of the server. Each is registered by name and ends before the process does.

use std::future::Future;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Exit;

/// Runs a whole process on the runtime of `builder`, or ends with `failed` when there is none. What
/// still blocks at the end has a second.
pub(super) fn block_on(
    builder: &mut Builder,
    failed: Exit,
    whole: impl Future<Output = Exit>,
) -> Exit {
    let runtime = match builder.enable_all().build() {
        Ok(r) => r,
        Err(e) => {
            tracing::error!(error = %e, "the runtime could not be started");
            return failed;
        }
    };
    let exit = runtime.block_on(whole);
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
}

/// The registry.
pub(crate) struct Tasks {
    set: Mutex<JoinSet<&'static str>>,
    stop: watch::Sender<bool>,
}

impl Tasks {
    /// An empty registry.
    pub(crate) fn new() -> Self {
        Self {
            set: Mutex::new(JoinSet::new()),
            stop: watch::channel(false).0,
        }
    }

    /// Becomes true when tasks have to end.
    pub(crate) fn stop_signal(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Runs `task` until it ends by itself or, at the latest, when the process stops.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.set.lock().spawn(async move {
            task.await;
            name
        });
    }

    /// Tells all tasks to end and waits for them, at most `patience` long.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.stop.send_replace(true);
        let mut set = std::mem::take(&mut *self.set.lock());
        let all = async {
            while let Some(ended) = set.join_next().await {
                match ended {
                    Ok(name) => tracing::debug!(task = name, "task ended"),
                    Err(e) => tracing::error!(error = %e, "a task ended with a panic"),
                }
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(
                left = set.len(),
                "tasks did not end in time and are dropped"
            );
        }
    }
}
