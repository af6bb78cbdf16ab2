//! What was unpacked or found in blocks and is likely to be asked for again.
//!
//! Owns: how many bytes of it stay, and which go first.
//! Knows nothing of: files, how it is unpacked or found.
//!
//! Blocks never change, so nothing here can become wrong; what belongs to a block that is gone is
//! not asked for any more and goes when room is needed. Rules and dashboards ask for the same
//! series every few seconds, but only for the newest values: without this, most of what they cost
//! is unpacking entries of series and matching.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use roaring::RoaringBitmap;

use crate::chunk::ChunkError;
use crate::chunk::varint::Reader;
use crate::model::{MatchOp, Matcher};

/// Bytes of frames that stay.
const FRAME_BYTES: u64 = 12 << 20;
/// Bytes of sets of series that stay.
const FOUND_BYTES: u64 = 2 << 20;
/// What a cached thing costs beside its content.
const OVERHEAD: u64 = 96;
/// Matchers with more text than this are not remembered.
const MATCHERS_BYTES_MAX: usize = 4096;

/// Number of an open block, never used again in this process.
pub(super) type BlockId = u64;

/// An unpacked frame of entries.
pub(super) struct Frame {
    raw: Box<[u8]>,
    /// Where each entry begins.
    starts: Box<[u32]>,
}

impl Frame {
    /// `skip` reads one entry.
    pub(super) fn new(
        raw: Vec<u8>,
        skip: impl Fn(&mut Reader<'_>) -> Result<(), ChunkError>,
    ) -> Result<Self, ChunkError> {
        let mut starts = Vec::new();
        let mut r = Reader::new(&raw);
        while !r.rest.is_empty() {
            starts.push((raw.len() - r.rest.len()) as u32);
            skip(&mut r)?;
        }
        Ok(Self {
            starts: starts.into(),
            raw: raw.into(),
        })
    }

    /// The bytes of entry number `i` and those behind it.
    pub(super) fn entry(&self, i: usize) -> Option<&[u8]> {
        self.raw.get(*self.starts.get(i)? as usize..)
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<(BlockId, u32), Arc<Frame>> for Bytes {
    fn weight(&self, _: &(BlockId, u32), f: &Arc<Frame>) -> u64 {
        (f.raw.len() + size_of_val(&*f.starts)) as u64 + OVERHEAD
    }
}

impl Weighter<(BlockId, Box<[u8]>), Arc<RoaringBitmap>> for Bytes {
    fn weight(&self, k: &(BlockId, Box<[u8]>), ids: &Arc<RoaringBitmap>) -> u64 {
        (k.1.len() + ids.serialized_size()) as u64 + OVERHEAD
    }
}

/// Shared by the blocks of a store.
pub(in crate::metrics) struct BlockCache {
    next: AtomicU64,
    frames: Cache<(BlockId, u32), Arc<Frame>, Bytes>,
    found: Cache<(BlockId, Box<[u8]>), Arc<RoaringBitmap>, Bytes>,
}

impl Default for BlockCache {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(0),
            // Frames are of about 4 kB, sets of a few hundred bytes.
            frames: Cache::with_weighter(FRAME_BYTES as usize >> 12, FRAME_BYTES, Bytes),
            found: Cache::with_weighter(FOUND_BYTES as usize >> 9, FOUND_BYTES, Bytes),
        }
    }
}

impl BlockCache {
    /// A number for a block that is being opened.
    pub(super) fn register(&self) -> BlockId {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Frame `f` of a block; `unpack` makes it when it is not there.
    pub(super) fn frame<E>(
        &self,
        block: BlockId,
        f: u32,
        unpack: impl FnOnce() -> Result<Frame, E>,
    ) -> Result<Arc<Frame>, E> {
        if let Some(frame) = self.frames.get(&(block, f)) {
            return Ok(frame);
        }
        let frame = Arc::new(unpack()?);
        self.frames.insert((block, f), Arc::clone(&frame));
        Ok(frame)
    }

    /// The series of a block that `matchers` find; `find` looks when that is not known.
    pub(super) fn found<E>(
        &self,
        block: BlockId,
        matchers: &[Matcher],
        find: impl FnOnce() -> Result<RoaringBitmap, E>,
    ) -> Result<Arc<RoaringBitmap>, E> {
        let text = matchers.iter().map(|m| m.name.len() + m.value.len() + 9);
        if text.sum::<usize>() > MATCHERS_BYTES_MAX {
            return find().map(Arc::new);
        }
        let key = (block, canonical(matchers));
        if let Some(ids) = self.found.get(&key) {
            return Ok(ids);
        }
        let ids = Arc::new(find()?);
        self.found.insert(key, Arc::clone(&ids));
        Ok(ids)
    }
}

/// Equal for equal lists of matchers only.
fn canonical(matchers: &[Matcher]) -> Box<[u8]> {
    let mut key = Vec::with_capacity(64);
    for m in matchers {
        key.push(match m.op {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex(_) => 2,
            MatchOp::NotRegex(_) => 3,
        });
        for text in [&m.name, &m.value] {
            key.extend_from_slice(&(text.len() as u32).to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        }
    }
    key.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_matchers_are_told_apart() {
        let lists = [
            vec![],
            vec![Matcher::equal("a", "b")],
            vec![Matcher::not_equal("a", "b")],
            vec![Matcher::equal("ab", "")],
            vec![Matcher::equal("", "ab")],
            vec![Matcher::equal("a", "b"), Matcher::equal("a", "b")],
        ];
        let keys: std::collections::HashSet<_> = lists.iter().map(|l| canonical(l)).collect();
        assert_eq!(keys.len(), lists.len());
    }

    #[test]
    fn what_stays_is_bounded_and_belongs_to_its_block() {
        let cache = BlockCache::default();
        let (a, b) = (cache.register(), cache.register());
        let of = |byte: u8| move || Frame::new(vec![byte; 4096], |r| r.bytes(64).map(drop));
        for f in 0..20_000 {
            let seen = cache.frame(a, f, of(1)).expect("made");
            assert_eq!(seen.entry(63).map(<[u8]>::len), Some(64));
            assert!(seen.entry(64).is_none());
        }
        assert!(cache.frames.weight() <= FRAME_BYTES);
        assert!(cache.frames.len() > 1000);
        let other = cache.frame(b, 19_999, of(2)).expect("made");
        assert_eq!(other.entry(0).map(|e| e[0]), Some(2));
        let failed = cache.frame(b, 7, || Err(ChunkError("torn")));
        assert!(failed.is_err());

        let set = |ids: std::ops::Range<u32>| move || Ok::<_, ChunkError>(ids.collect());
        for i in 0..50_000_u32 {
            let m = [Matcher::equal("instance", format!("host-{i}"))];
            let seen = cache.found(a, &m, set(i..i + 9)).expect("found");
            assert_eq!(seen.min(), Some(i));
        }
        assert!(cache.found.weight() <= FOUND_BYTES);
        assert!(cache.found.len() > 1000);
    }
}
