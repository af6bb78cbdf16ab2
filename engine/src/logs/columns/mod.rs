//! Lines as columns: what repeats is stored once, what varies by its kind.
//! Format: `engine/docs/format/logs-columns.md`.
//!
//! Owns: cutting lines into a skeleton and values, the kinds of value columns, and the proof that
//! the result rebuilds the lines byte for byte.
//! Knows nothing of: streams, times, files.
//!
//! Invariants
//! - C1  [`encode`] gives only what [`Page::lines`] turns back into the same bytes; it has tried.
//! - C2  Reading takes memory in proportion to the stated length of the lines, on any input.

mod cut;
mod decode;
mod encode;
mod glance;
mod kinds;
mod pack;
mod search;
mod tree;

pub(super) use decode::{Pick, Values, open};
pub(super) use encode::encode;
pub(super) use glance::Look;
pub(super) use pack::Packed;

pub(super) use tree::Page;

/// Kinds of columns.
const KIND_PLAIN: u8 = 0;
const KIND_CONSTANT: u8 = 1;
const KIND_DICTIONARY: u8 = 2;
const KIND_INTEGER: u8 = 3;
const KIND_PADDED: u8 = 4;
const KIND_DECIMAL: u8 = 5;
const KIND_HEX: u8 = 6;
const KIND_TIME: u8 = 7;
const KIND_SPLIT: u8 = 8;

/// Marks a hole in a skeleton; a line that holds it is not cut.
pub(super) const HOLE: u8 = 0x01;
/// Skeletons of one split; later ones are stored whole.
const SKELETONS_MAX: usize = 4096;
/// A dictionary has at most this many values.
const DICTIONARY_MAX: usize = 256;
/// Lines are cut, and so are values of their columns; not deeper.
const DEPTH_MAX: u32 = 2;

/// A value: bytes `from..to` of the text that is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: u32,
    to: u32,
}

impl Span {
    fn of(self, text: &[u8]) -> &[u8] {
        &text[self.from as usize..self.to as usize]
    }

    fn len(self) -> usize {
        (self.to - self.from) as usize
    }
}

#[cfg(test)]
mod tests;
