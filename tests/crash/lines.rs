//! Numbered log lines by push, and the comparison with what queries give back.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::{Progress, SERIES};
use crate::support::client::{Connection, Request, query};
use crate::support::now_ms;

/// Time of line 0, ms: old enough for what is written, young enough to be taken.
static BASE_MS: LazyLock<i64> = LazyLock::new(|| now_ms() - 3_600_000);
/// Numbers in one answer: every stream has a line of each, and answers have a limit.
const WINDOW: u64 = 5000 / SERIES - 1;

/// Lines are a millisecond apart.
fn time_ns(n: u64) -> String {
    format!("{}000000", *BASE_MS + n as i64)
}

fn line(writer: u64, stream: u64, n: u64) -> String {
    let level = ["info", "warn", "error"][(n % 3) as usize];
    format!("level={level} n={n} writer={writer} msg=\"line {n} of stream {stream}\"")
}

/// Sends a line to each stream until told to stop or until the server is gone. What was not
/// acknowledged is sent again, as real senders do.
pub(crate) fn write(address: &str, writer: u64, p: &Progress, stop: &AtomicBool) {
    let Ok(mut c) = Connection::open(address) else {
        return;
    };
    let headers = [("Content-Type", "application/json")];
    while !stop.load(Ordering::Relaxed) {
        let n = p.acked.load(Ordering::Relaxed);
        p.sent.fetch_max(n + 1, Ordering::Relaxed);
        let mut body = String::from("{\"streams\":[");
        for s in 0..SERIES {
            let comma = if s > 0 { "," } else { "" };
            let text = serde_json::Value::from(line(writer, s, n));
            let t = time_ns(n);
            write!(
                body,
                "{comma}{{\"stream\":{{\"writer\":\"{writer}\",\"series\":\"{s}\"}},\
                 \"values\":[[\"{t}\",{text}]]}}"
            )
            .expect("a text");
        }
        body.push_str("]}");
        match c.call("POST", "/loki/api/v1/push", &headers, body.as_bytes()) {
            Ok((204, _)) => p.acked.store(n + 1, Ordering::Relaxed),
            Ok((429 | 503, _)) => {
                p.refused.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok((status, text)) => {
                panic!(
                    "writer {writer} line {n}: {status} {}",
                    String::from_utf8_lossy(&text)
                )
            }
            Err(_) => return,
        }
    }
}

/// Reads all lines of a writer from number `from` on: per stream the numbers in order of time.
/// Looks well past `to`, for what nobody sent.
pub(crate) fn read_back(address: &str, writer: u64, from: u64, to: u64) -> Vec<Vec<u64>> {
    let mut out = vec![Vec::new(); SERIES as usize];
    let mut start = from;
    while start <= to {
        let last = start + WINDOW > to;
        let end = if last {
            format!("{}000000", now_ms() + 86_400_000)
        } else {
            time_ns(start + WINDOW)
        };
        let pairs = [
            ("query", format!("{{writer=\"{writer}\"}}")),
            ("start", time_ns(start)),
            ("end", end),
            ("limit", "5000".to_owned()),
            ("direction", "forward".to_owned()),
        ];
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let target = format!("/loki/api/v1/query_range?{}", query(&pairs));
        let answer = Request::new(address, "GET", &target).send().data();
        let streams = answer["result"].as_array().expect("streams");
        for s in streams {
            let id = s["stream"]["series"].as_str().and_then(|s| s.parse().ok());
            let id: u64 = id.expect("series label");
            for v in s["values"].as_array().expect("values") {
                let text = v[1].as_str().expect("a line");
                let n = text.split("n=").nth(1).and_then(|t| t.split(' ').next());
                let n: u64 = n.and_then(|n| n.parse().ok()).expect("a number");
                assert_eq!(text, line(writer, id, n), "invented line");
                assert_eq!(v[0], time_ns(n), "invented time of line {n}");
                out[id as usize].push(n);
            }
        }
        start += WINDOW;
    }
    // Streams are told apart by the level that was found in their lines, too.
    out.iter_mut().for_each(|numbers| numbers.sort_unstable());
    out
}
