//! Entries of the systemd journal, as `journalctl --output=export` writes them.
//!
//! Owns: the export format (`NAME=value`, or a name alone, the length as little-endian 64 bits, the
//! bytes, a line feed; an empty line ends an entry), labels and line of an entry.
//! Knows nothing of: processes, where the journal lies.
//!
//! Format: systemd's "Journal Export Formats". Reading through the tool instead of the files keeps
//! their compression, hashing and rotation the tool's business, and needs no library at run time.
//!
//! Invariants
//! - JRN1  An entry larger than [`ENTRY_BYTES_MAX`] is an error, never held as a whole.

use std::collections::BTreeMap;

use super::entry::LabelSet;

/// Largest entry, all fields together.
const ENTRY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Names of priorities.
const PRIORITIES: [&str; 8] = [
    "emerg", "alert", "crit", "error", "warning", "notice", "info", "debug",
];

/// Why the output of the tool cannot be read on: start it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// An entry or field is larger than allowed.
    #[error("journal entry of more than {ENTRY_BYTES_MAX} bytes")]
    TooLarge,
    /// The bytes are no export format.
    #[error("journal export: field {0:?} does not end with a line feed")]
    Field(String),
}

/// One entry: fields by name. Of a field that occurs several times the last counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalEntry(pub BTreeMap<String, String>);

impl JournalEntry {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Where it stands.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.get("__CURSOR")
    }

    /// When it was written, ns since 1970.
    #[must_use]
    pub fn time_ns(&self) -> Option<i64> {
        self.get("__REALTIME_TIMESTAMP")?
            .parse::<i64>()
            .ok()?
            .checked_mul(1000)
    }

    /// Its line: the message, none without one, or with `json` all fields, whether or not there is
    /// a message. What HTML reads is escaped there.
    #[must_use]
    pub fn line(&self, json: bool) -> Option<String> {
        if !json {
            return self.get("MESSAGE").map(str::to_owned);
        }
        let fields = self.0.iter().filter(|(n, _)| !n.starts_with("__"));
        let fields = fields.map(|(n, v)| (n.clone(), serde_json::Value::from(v.as_str())));
        let all: serde_json::Map<_, _> = fields.collect();
        let text = serde_json::Value::Object(all).to_string();
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    out.push_str(&format!("\\u{:04x}", u32::from(c)));
                }
                c => out.push(c),
            }
        }
        Some(out)
    }

    /// Labels that rules may use.
    pub fn put_labels(&self, out: &mut LabelSet) {
        for (name, value) in self.0.iter().filter(|(n, _)| !n.starts_with("__")) {
            out.insert(format!("__journal_{}", name.to_lowercase()), value.clone());
        }
        if let Some(priority) = self.get("PRIORITY") {
            let number = priority.parse::<usize>().ok();
            // One without a word stands for itself.
            let word = number.and_then(|p| PRIORITIES.get(p)).copied();
            let word = word.unwrap_or(priority).to_owned();
            out.insert("__journal_priority_keyword".into(), word);
        }
    }
}

/// Bytes of the tool to entries.
#[derive(Debug, Default)]
pub struct Export {
    buffer: Vec<u8>,
    entry: JournalEntry,
    /// Bytes of the fields of `entry`.
    bytes: usize,
}

impl Export {
    /// Takes bytes and gives the entries that they end.
    ///
    /// # Errors
    /// When they make no sense.
    pub fn push(
        &mut self,
        bytes: &[u8],
        take: &mut dyn FnMut(JournalEntry),
    ) -> Result<(), JournalError> {
        self.buffer.extend_from_slice(bytes);
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        while let Some(used) = self.field(buffer.get(at..).unwrap_or_default(), take)? {
            at += used;
        }
        self.buffer = buffer;
        self.buffer.drain(..at);
        if self.buffer.len() + self.bytes > ENTRY_BYTES_MAX {
            return Err(JournalError::TooLarge);
        }
        Ok(())
    }

    /// Reads one field or the end of an entry; gives its length, none when it is not all there.
    fn field(
        &mut self,
        rest: &[u8],
        take: &mut dyn FnMut(JournalEntry),
    ) -> Result<Option<usize>, JournalError> {
        let Some(end) = rest.iter().position(|b| *b == b'\n') else {
            return Ok(None);
        };
        let line = &rest[..end];
        if line.is_empty() {
            self.bytes = 0;
            let entry = std::mem::take(&mut self.entry);
            if !entry.0.is_empty() {
                take(entry);
            }
            return Ok(Some(1));
        }
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        if let Some(eq) = line.iter().position(|b| *b == b'=') {
            self.bytes += line.len();
            self.entry
                .0
                .insert(text(&line[..eq]), text(&line[eq + 1..]));
            return Ok(Some(end + 1));
        }
        let Some(len) = rest.get(end + 1..end + 9) else {
            return Ok(None);
        };
        let len = len.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > ENTRY_BYTES_MAX {
            return Err(JournalError::TooLarge);
        }
        let from = end + 9;
        match (rest.get(from..from + len), rest.get(from + len)) {
            (Some(value), Some(b'\n')) => {
                self.bytes += line.len() + len;
                self.entry.0.insert(text(line), text(value));
                Ok(Some(from + len + 1))
            }
            (Some(_), Some(_)) => Err(JournalError::Field(text(line))),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_in_any_pieces() {
        let mut bytes = b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1700000000000001\nPRIORITY=4\n_HOSTNAME=h\nMESSAGE\n".to_vec();
        bytes.extend(5u64.to_le_bytes());
        bytes.extend(b"two\nl\n\nMESSAGE=second\n\n\n_ONLY=x\n\n");
        for size in [1, 3, bytes.len()] {
            let (mut e, mut seen) = (Export::default(), Vec::new());
            for piece in bytes.chunks(size) {
                e.push(piece, &mut |j| seen.push(j)).unwrap();
            }
            assert_eq!(seen.len(), 3, "{size}");
            assert_eq!(seen[0].cursor(), Some("s=1;i=2"));
            assert_eq!(seen[0].time_ns(), Some(1_700_000_000_000_001_000));
            assert_eq!(seen[0].line(false).unwrap(), "two\nl");
            assert_eq!(
                seen[0].line(true).unwrap(),
                r#"{"MESSAGE":"two\nl","PRIORITY":"4","_HOSTNAME":"h"}"#
            );
            let mut labels = LabelSet::new();
            seen[0].put_labels(&mut labels);
            let all: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
            assert_eq!(
                all,
                [
                    "__journal__hostname=h",
                    "__journal_message=two\nl",
                    "__journal_priority=4",
                    "__journal_priority_keyword=warning",
                ]
            );
            assert_eq!(seen[2].line(false), None);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let mut bytes = b"MESSAGE\n".to_vec();
        bytes.extend(2u64.to_le_bytes());
        bytes.extend(b"abc\n");
        let mut e = Export::default();
        assert_eq!(
            e.push(&bytes, &mut drop),
            Err(JournalError::Field("MESSAGE".into()))
        );
        let mut e = Export::default();
        let huge = [b"M\n".as_slice(), &u64::MAX.to_le_bytes()].concat();
        assert_eq!(e.push(&huge, &mut drop), Err(JournalError::TooLarge));
    }

    #[test]
    fn all_fields_are_a_line_with_or_without_a_message() {
        let mut e = JournalEntry::default();
        let fields = [("PRIORITY", "9"), ("_COMM", "<x>"), ("__CURSOR", "c")];
        e.0.extend(fields.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(e.line(false), None);
        let line = "{\"PRIORITY\":\"9\",\"_COMM\":\"\\u003cx\\u003e\"}";
        assert_eq!(e.line(true).as_deref(), Some(line));
        let mut labels = LabelSet::new();
        e.put_labels(&mut labels);
        assert_eq!(labels["__journal_priority_keyword"], "9");
    }
}
