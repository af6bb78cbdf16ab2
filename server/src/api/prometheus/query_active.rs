//! Which queries run, in a file that outlives the process: after a crash, or a kill for too much
//! memory, the next start tells what was being asked.
//!
//! Owns: the file `queries.active` in the data directory, in the form that Prometheus has: `[`, then
//! one slot per query that may run, each a JSON object and a comma, or zeros.
//! Knows nothing of: evaluation, HTTP.
//!
//! Writes are not synced: they are for a process that dies, not for a machine. A write that fails
//! is not worth failing a query for.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use parking_lot::Mutex;
use serde_json::{Value, json};

/// Name of the file in the data directory.
const FILE: &str = "queries.active";
/// Size of a slot, as in Prometheus; longer queries are cut.
const SLOT_BYTES: usize = 1000;
/// Bytes of a slot around the text of the query: names, time, braces, comma.
const FRAME_BYTES: usize = 64;
/// Largest file that is read at start: more slots than any server has.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The running queries. Shared by all requests.
pub(crate) struct ActiveQueries {
    file: File,
    /// Slots that are not taken.
    free: Mutex<Vec<usize>>,
}

impl ActiveQueries {
    /// Opens the file in `dir` for `slots` queries at a time; gives the queries that were running
    /// when the process before ended, each as `query` and `timestamp_sec`.
    ///
    /// # Errors
    /// As the operating system reports.
    pub(crate) fn open(dir: &Path, slots: usize) -> io::Result<(Self, Vec<Value>)> {
        let path = dir.join(FILE);
        let mut before = Vec::new();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        (&mut file).take(FILE_BYTES_MAX).read_to_end(&mut before)?;
        file.set_len(0)?;
        file.set_len((1 + slots * SLOT_BYTES) as u64)?;
        file.write_all_at(b"[", 0)?;
        let free = Mutex::new((0..slots).rev().collect());
        Ok((Self { file, free }, unfinished(&before)))
    }

    /// Notes that `text` starts; the note goes with the value that is returned. `None` when all
    /// slots are taken.
    pub(crate) fn begin(&self, text: &str) -> Option<Running<'_>> {
        let slot = self.free.lock().pop()?;
        let running = Running { all: self, slot };
        running.write(&entry(text, jiff::Timestamp::now().as_second()));
        Some(running)
    }
}

/// A query that runs.
pub(crate) struct Running<'a> {
    all: &'a ActiveQueries,
    slot: usize,
}

impl Running<'_> {
    fn write(&self, entry: &[u8]) {
        let mut bytes = [0; SLOT_BYTES];
        for (to, from) in bytes.iter_mut().zip(entry) {
            *to = *from;
        }
        let at = 1 + self.slot * SLOT_BYTES;
        if let Err(e) = self.all.file.write_all_at(&bytes, at as u64) {
            tracing::debug!(error = %e, "a running query could not be noted");
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.write(&[]);
        self.all.free.lock().push(self.slot);
    }
}

/// A slot's bytes: at most [`SLOT_BYTES`] with the comma.
fn entry(text: &str, seconds: i64) -> Vec<u8> {
    let mut end = text.len().min(SLOT_BYTES - FRAME_BYTES);
    loop {
        // Escapes may make the text longer: cut until it fits.
        let cut = text.get(..end).unwrap_or("");
        let mut bytes = json!({"query": cut, "timestamp_sec": seconds})
            .to_string()
            .into_bytes();
        bytes.push(b',');
        if (bytes.len() <= SLOT_BYTES && text.is_char_boundary(end)) || end == 0 {
            return bytes;
        }
        end -= 1 + bytes.len().saturating_sub(SLOT_BYTES) / 6;
        end = end.min(text.len());
    }
}

/// The entries of a file that another process left behind. What is not an entry is skipped.
fn unfinished(bytes: &[u8]) -> Vec<Value> {
    let slots = bytes.get(1..).unwrap_or(&[]).chunks(SLOT_BYTES);
    slots
        .filter_map(|s| {
            let text = s.split(|b| *b == 0).next()?;
            let v: Value = serde_json::from_slice(text.strip_suffix(b",")?).ok()?;
            v.is_object().then_some(v)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(name: &str) -> std::path::PathBuf {
        let dir =
            std::env::temp_dir().join(format!("sextant-active-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn what_runs_is_found_by_the_next_process() {
        let dir = dir("next");
        let (a, before) = ActiveQueries::open(&dir, 3).unwrap();
        assert!(before.is_empty());
        let first = a.begin("up{job=\"a\"}");
        let second = a.begin("2");
        drop(first);
        let third = a.begin("3");
        let (_, before) = ActiveQueries::open(&dir, 3).unwrap();
        let mut texts: Vec<&str> = before
            .iter()
            .map(|v| v["query"].as_str().unwrap())
            .collect();
        texts.sort_unstable();
        assert_eq!(texts, ["2", "3"]);
        drop((second, third));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn long_texts_are_cut_and_full_slots_refuse() {
        let dir = dir("long");
        let (a, _) = ActiveQueries::open(&dir, 1).unwrap();
        for text in [
            "\"\\\n\u{1}é".repeat(5000),
            "é".repeat(900),
            "x".repeat(936),
        ] {
            let running = a.begin(&text);
            assert!(running.is_some() && a.begin("another").is_none());
            let bytes = std::fs::read(dir.join(FILE)).unwrap();
            let found = unfinished(&bytes);
            assert_eq!(found.len(), 1);
            let cut = found[0]["query"].as_str().unwrap();
            assert!(text.starts_with(cut) && cut.len() > 100);
        }
        let damaged = [b"[".as_slice(), &[0xff; 2500]].concat();
        assert!(unfinished(&damaged).is_empty() && unfinished(b"").is_empty());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
