//! What instances say to each other.
//!
//! One question, "what changed after this?", and one answer. Both are JSON documents.

use serde::{Deserialize, Serialize};

use crate::alerting::keep::Row;

/// Version of the question and the answer.
pub(crate) const VERSION: u32 = 1;
/// Most bytes of a question.
pub(crate) const PULL_BYTES_MAX: usize = 64 * 1024;
/// Rows are added to an answer until it has this many bytes.
pub(crate) const PAGE_BYTES: usize = 1 << 20;
/// Largest row that is passed on; a group of 40,000 alerts is smaller.
pub(crate) const ROW_BYTES_MAX: usize = 1 << 20;
/// Most bytes of an answer that are read: texts grow up to sixfold when they are escaped.
pub(crate) const PAGE_BYTES_MAX: usize = 16 << 20;
/// Longest name, label and address.
const TEXT_BYTES_MAX: usize = 255;

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Its name; the order of names decides who tells first.
    pub(crate) name: String,
    /// Where it answers, `host:port`.
    pub(crate) address: String,
    /// Different after each start: numbers of changes are those of one start.
    pub(crate) start: String,
}

impl Member {
    /// Whether it can be one: texts of a sane length and an address with a port.
    pub(super) fn is_sane(&self) -> bool {
        let texts = [&self.name, &self.address, &self.start];
        let port = self.address.rsplit_once(':').map(|(_, p)| p.parse::<u16>());
        texts
            .iter()
            .all(|t| !t.is_empty() && t.len() <= TEXT_BYTES_MAX)
            && matches!(port, Some(Ok(p)) if p > 0)
    }
}

/// The question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pull {
    /// See [`VERSION`].
    pub(crate) version: u32,
    /// Instances with different labels have nothing to do with each other.
    pub(crate) label: String,
    /// Who asks.
    pub(crate) from: Member,
    /// Whom it reaches.
    pub(crate) members: Vec<Member>,
    /// Start of the asked instance to which `after` belongs.
    pub(crate) start: String,
    /// The last change that is known.
    pub(crate) after: u64,
    /// How long to wait for a change when there is none, ms.
    pub(crate) wait_ms: u64,
}

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Page {
    /// See [`VERSION`].
    pub(crate) version: u32,
    /// Who answers.
    pub(crate) from: Member,
    /// Whom it reaches.
    pub(crate) members: Vec<Member>,
    /// The rows are those that changed up to here.
    pub(crate) upto: u64,
    /// There are more.
    pub(crate) more: bool,
    /// Rows that changed.
    pub(crate) rows: Vec<Row>,
}
