//! The systemd journal, through `journalctl --output=export` as a child process.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use exporters::logs::cursors::Cursor;
use exporters::logs::entry::{Entry, LabelSet};
use exporters::logs::journal::{Export, JournalEntry};
use exporters::logs::positions::{JOURNAL, Known};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::watch;

use super::{Active, Common, count, unless_stopped};
use crate::agent::read::now_ns;
use crate::config::promtail::JournalConfig;

/// The tool.
const TOOL: &str = "journalctl";
/// Bytes that are read at a time.
const READ_BYTES: usize = 64 * 1024;
/// First and longest pause before the tool is started again.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Reads entries until told to stop.
pub(super) fn run(
    c: JournalConfig,
    common: Common,
    known: &Known,
) -> impl Future<Output = ()> + use<> {
    let key = format!("{JOURNAL}{}", common.feed.job);
    let cursor = common.cursors.open(&key, known.place(&key));
    let age = i64::try_from(c.max_age.as_std().as_nanos()).unwrap_or(i64::MAX);
    let oldest_ns = now_ns().saturating_sub(age).max(0);
    let reader = Reader {
        c,
        common,
        resumed: cursor.done().is_some(),
        cursor,
        oldest_ns,
    };
    async move {
        let mut stop = reader.common.stop.clone();
        let mut pause = PAUSE_MIN;
        while !*stop.borrow() {
            match reader.follow(&mut stop).await {
                Ok(true) => pause = PAUSE_MIN,
                Ok(false) => {}
                Err(e) => {
                    count(&reader.common.numbers.journal_errors, 1);
                    tracing::error!(job = %reader.common.feed.job, error = %e, "the journal cannot be read, it is tried again");
                }
            }
            if unless_stopped(&mut stop, tokio::time::sleep(pause))
                .await
                .is_none()
            {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

struct Reader {
    c: JournalConfig,
    common: Common,
    cursor: Arc<Cursor>,
    /// What is older is not to be read, as of the start.
    oldest_ns: i64,
    /// It goes on at a cursor of an earlier run: the tool does not look at the age then.
    resumed: bool,
}

impl Reader {
    fn command(&self) -> Command {
        let mut tool = Command::new(TOOL);
        tool.args([
            "--output=export",
            "--all",
            "--follow",
            "--no-tail",
            "--quiet",
        ]);
        match self.cursor.done() {
            Some(c) => tool.arg(format!("--after-cursor={c}")),
            None => tool.arg(format!("--since=@{}", self.oldest_ns / 1_000_000_000)),
        };
        if !self.c.path.is_empty() {
            tool.arg(format!("--directory={}", self.c.path));
        }
        tool.arg("--").args(self.c.matches.split_whitespace());
        tool.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        tool
    }

    /// Reads until the tool ends or is told to; true when it gave anything. Entries that were read
    /// are handed on even then: a dropped entry would count as done.
    async fn follow(&self, stop: &mut watch::Receiver<bool>) -> Result<bool, String> {
        let mut child = self.command().spawn().map_err(|e| format!("{TOOL}: {e}"))?;
        let mut out = child.stdout.take().ok_or("the tool has no output")?;
        let _active = Active::new(&self.common.numbers);
        let (mut export, mut buffer) = (Export::default(), vec![0; READ_BYTES]);
        let mut any = false;
        loop {
            let Some(read) = unless_stopped(stop, out.read(&mut buffer)).await else {
                return Ok(any);
            };
            let n = read.map_err(|e| e.to_string())?;
            if n == 0 {
                break;
            }
            let mut entries = Vec::new();
            let bytes = buffer.get(..n).unwrap_or_default();
            let pushed = export.push(bytes, &mut |e| entries.extend(self.entry(&e)));
            any |= !entries.is_empty();
            self.common.feed.take(entries).await;
            pushed.map_err(|e| e.to_string())?;
        }
        match child.wait().await {
            Ok(s) if s.success() => Ok(any),
            Ok(s) => Err(format!("{TOOL} ended with {s}")),
            Err(e) => Err(format!("{TOOL}: {e}")),
        }
    }

    fn entry(&self, e: &JournalEntry) -> Option<Entry> {
        // What is passed over is done as well.
        let ticket = e.cursor().and_then(|c| self.cursor.hand_out(c.to_owned()));
        if self.resumed && e.time_ns().is_some_and(|t| t < self.oldest_ns) {
            return None;
        }
        let mut found = LabelSet::new();
        e.put_labels(&mut found);
        let labels = self.common.feed.labels(&self.c.labels, &found)?;
        let line = e.line(self.c.json)?;
        count(&self.common.numbers.journal_entries, 1);
        let mut entry = Entry::new(e.time_ns().unwrap_or_else(now_ns), line, labels);
        entry.ticket = ticket;
        Some(entry)
    }
}
