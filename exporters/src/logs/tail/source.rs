//! A file of a target: one that grows, or a compressed one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::follow::Followed;
use super::packed::Packed;
use super::{FileNumbers, Manner};
use crate::logs::entry::{Entry, LabelSet};
use crate::logs::positions::{Known, Ledger, Record};

/// Either of them.
#[derive(Debug)]
pub(super) enum Source {
    /// It grows and is rotated.
    Grows(Box<Followed>),
    /// It is read once.
    Packed(Box<Packed>),
}

impl Source {
    /// Opens `path` where `known` says it was left.
    pub(super) fn open(
        path: &Path,
        labels: Arc<LabelSet>,
        manner: Manner,
        known: (&Known, &Arc<Ledger>),
        now_ns: i64,
    ) -> io::Result<Self> {
        Ok(match manner.packing {
            None => {
                let lines = (labels, manner.charset);
                Self::Grows(Followed::open(path, lines, known, now_ns)?.into())
            }
            Some(p) => {
                let packed = Packed::open(path, labels, (p, manner.charset), known, now_ns)?;
                Self::Packed(packed.into())
            }
        })
    }

    /// Finds out what has become of the path.
    pub(super) fn look(&mut self, path: &Path, now_ns: i64) -> io::Result<()> {
        match self {
            Self::Grows(f) => f.look(path, now_ns),
            Self::Packed(p) => p.look(path, now_ns),
        }
    }

    /// Reads what is there. Gives the bytes.
    pub(super) fn turn(&mut self, now_ns: i64, out: &mut dyn FnMut(Entry)) -> io::Result<usize> {
        match self {
            Self::Grows(f) => f.turn(now_ns, out),
            Self::Packed(p) => p.turn(now_ns, out),
        }
    }

    /// The path is not there any more. True when nothing of it is left to be read or delivered.
    pub(super) fn vanished(&mut self, path: &Path, now_ns: i64) -> bool {
        match self {
            Self::Grows(f) => f.vanished(path, now_ns),
            Self::Packed(p) => p.is_idle(),
        }
    }

    /// How far the path's file is; none without a file there.
    pub(super) fn done(&self) -> Option<u64> {
        match self {
            Self::Grows(f) => f.done(),
            Self::Packed(p) => Some(p.done()),
        }
    }

    /// What is known of all its files.
    pub(super) fn records(&self, out: &mut Vec<Record>) {
        match self {
            Self::Grows(f) => f.records(out),
            Self::Packed(p) => out.push(p.record()),
        }
    }

    /// All that was read is delivered or given up.
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Grows(f) => f.is_idle(),
            Self::Packed(p) => p.is_idle(),
        }
    }

    /// Labels of its lines.
    pub(super) fn labels(&self) -> &LabelSet {
        match self {
            Self::Grows(f) => &f.labels,
            Self::Packed(p) => &p.labels,
        }
    }

    /// Its lines have other labels from now on.
    pub(super) fn label(&mut self, labels: LabelSet) {
        match self {
            Self::Grows(f) => f.labels = Arc::new(labels),
            Self::Packed(p) => p.labels = Arc::new(labels),
        }
    }

    /// Its numbers.
    pub(super) fn numbers(&self) -> FileNumbers {
        match self {
            Self::Grows(f) => f.numbers,
            Self::Packed(p) => p.numbers,
        }
    }
}
