//! `logcli query` and `tail`: entries of a range in batches, then as they come.

use std::time::Duration;

use clap::ArgMatches;
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::flags::{bounds, given, number, on};
use super::output::{Entry, Printer, Shown, entries};
use super::remote::{Remote, Socket};
use super::{pretty, show_stats};
use crate::cli::{complain, print};

/// Attempts to go on with a tail whose connection was lost.
const RECONNECTS_MAX: usize = 10;
/// Wait before each.
const PAUSE: Duration = Duration::from_secs(1);

/// A range that shrinks as its entries are printed.
struct Range {
    start: i64,
    end: i64,
    forward: bool,
    /// Entries at the edge that were printed: the next answer begins with them.
    edge: Vec<Entry>,
}

impl Range {
    fn pairs(&self, limit: usize) -> [(&'static str, String); 4] {
        let direction = if self.forward { "FORWARD" } else { "BACKWARD" };
        [
            ("start", self.start.to_string()),
            ("end", self.end.to_string()),
            ("limit", limit.to_string()),
            ("direction", direction.to_owned()),
        ]
    }

    /// Takes out what was printed before, and moves to the end of `all`, which is not printed
    /// entirely when there are more than `max`.
    fn advance(&mut self, mut all: Vec<Entry>, max: usize) -> Vec<Entry> {
        let mut left = self.edge.clone();
        all.retain(|e| match left.iter().position(|o| o == e) {
            Some(i) => {
                left.swap_remove(i);
                false
            }
            None => true,
        });
        all.truncate(max);
        let Some(last) = all.last().map(|e| e.time) else {
            return all;
        };
        if self.edge.first().is_some_and(|e| e.time != last) {
            self.edge.clear();
        }
        self.edge
            .extend(all.iter().filter(|e| e.time == last).cloned());
        if self.forward {
            self.start = last;
        } else {
            self.end = last.saturating_add(1);
        }
        all
    }
}

/// Runs the query of the flags over their range.
///
/// # Errors
/// What went wrong.
pub(super) async fn run(remote: &Remote<'_>, m: &ArgMatches) -> Result<(), String> {
    let printer = Printer::new(m);
    let (start, end) = bounds(m)?;
    let mut range = Range {
        start,
        end,
        forward: on(m, "forward"),
        edge: Vec::new(),
    };
    let batch = number(m, "batch").max(1);
    let mut left = match number(m, "limit") {
        0 => usize::MAX,
        n => n,
    };
    printer.explain();
    loop {
        let asked = batch.min(left.saturating_add(range.edge.len()));
        if asked <= range.edge.len() {
            return Err(format!(
                "--batch {batch} is too small: {} entries have the time {}",
                range.edge.len(),
                range.edge.first().map_or(0, |e| e.time)
            ));
        }
        let mut pairs = vec![("query", query(m))];
        pairs.extend(range.pairs(asked));
        for name in ["step", "interval"] {
            if let Some(v) = given(m, name) {
                pairs.push((name, v.to_owned()));
            }
        }
        let v = remote.get("query_range", &pairs).await?;
        let data = &v["data"];
        show_stats(m, data);
        if data["resultType"] != "streams" {
            print(&format!("{}\n", pretty(&data["result"])));
            return Ok(());
        }
        let all = entries(&data["result"], range.forward);
        let came = all.len();
        let new = range.advance(all, left);
        let common = printer.common(&new);
        printer.entries(&new, &common);
        left -= new.len();
        if left == 0 || came < asked || new.is_empty() {
            return Ok(());
        }
    }
}

fn query(m: &ArgMatches) -> String {
    given(m, "query").unwrap_or_default().to_owned()
}

/// Follows the query of the flags until the server refuses it or the process is stopped.
///
/// # Errors
/// What went wrong.
pub(super) async fn tail(remote: &Remote<'_>, m: &ArgMatches) -> Result<(), String> {
    let printer = Printer::new(m);
    let (mut start, _) = bounds(m)?;
    let limit = match number(m, "limit") {
        // The server takes no zero.
        0 => 5000,
        n => n,
    };
    printer.explain();
    let mut attempts = 0;
    let mut connected = false;
    loop {
        let pairs = [
            ("query", query(m)),
            ("limit", limit.to_string()),
            ("start", start.to_string()),
            ("delay_for", number(m, "delay-for").to_string()),
        ];
        match remote.open("tail", &pairs).await {
            Ok(socket) => {
                (connected, attempts) = (true, 0);
                follow(socket, &printer, &mut start, on(m, "quiet")).await?;
            }
            // What was never right will not be.
            Err(e) if !connected || attempts >= RECONNECTS_MAX => return Err(e),
            Err(_) => attempts += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Prints what comes until the connection ends; `start` is moved behind it.
async fn follow(
    mut socket: Socket,
    printer: &Printer,
    start: &mut i64,
    quiet: bool,
) -> Result<(), String> {
    while let Some(Ok(m)) = socket.next().await {
        match m {
            Message::Text(text) => {
                let v: Value = serde_json::from_str(&text)
                    .map_err(|e| format!("the server sent no JSON: {e}"))?;
                let all = entries(&v["streams"], true);
                printer.entries(&all, &Shown::new());
                if let Some(last) = all.iter().map(|e| e.time).max() {
                    *start = last.saturating_add(1).max(*start);
                }
                let dropped = v["dropped_entries"].as_array().map_or(0, Vec::len);
                if dropped > 0 && !quiet {
                    complain(&format!(
                        "{dropped} entries were dropped: reading is too slow\n"
                    ));
                }
            }
            Message::Close(frame) => {
                if let Some(CloseFrame { code, reason }) = frame
                    && !quiet
                {
                    complain(&format!("the server closed the tail: {reason} ({code})\n"));
                }
                return Ok(());
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(time: i64, line: &str) -> Entry {
        Entry {
            time,
            labels: Shown::new(),
            line: line.to_owned(),
        }
    }

    #[test]
    fn batches_overlap_by_the_entries_of_one_time() {
        let all: Vec<Entry> = [9, 9, 8, 7, 7, 7, 6, 5]
            .iter()
            .enumerate()
            .map(|(i, t)| {
                entry(
                    *t,
                    if i == 4 {
                        "3"
                    } else {
                        ["0", "1", "2", "3", "4", "5", "6", "7"][i]
                    },
                )
            })
            .collect();
        for batch in 4..10 {
            for max in [1, 5, 8, 20] {
                let mut range = Range {
                    start: 0,
                    end: 100,
                    forward: false,
                    edge: Vec::new(),
                };
                let (mut got, mut left) = (Vec::new(), max);
                loop {
                    let asked = batch.min(left + range.edge.len());
                    let inside = all.iter().filter(|e| e.time < range.end);
                    let came: Vec<Entry> = inside.take(asked).cloned().collect();
                    let n = came.len();
                    let new = range.advance(came, left);
                    left -= new.len();
                    let done = left == 0 || n < asked || new.is_empty();
                    got.extend(new);
                    if done {
                        break;
                    }
                }
                assert_eq!(got, all[..max.min(8)], "batch {batch}, limit {max}");
            }
        }
    }
}
