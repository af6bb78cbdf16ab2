//! What a target exposed before: raw series bytes to stored labels.
//!
//! A stable target costs one compare per series: the cache predicts that the series come in the
//! order of the scrape before.

use engine::model::{InvalidLabels, Labels, LabelsSource, SeriesKey};
use engine::wire::exposition::{Rewrite, Series};

/// Number of an entry.
pub(super) type EntryId = u32;

/// A series as exposed and as stored.
pub(super) struct Entry {
    raw: Box<[u8]>,
    rewrite: Rewrite,
    /// `None` when a rule drops it.
    pub(super) labels: Option<Labels>,
    /// Key of the labels.
    pub(super) key: SeriesKey,
    /// Scrape in which it was seen last.
    pub(super) seen: u64,
    /// It gets a staleness marker when it vanishes.
    pub(super) tracked: bool,
    /// Its samples are histograms.
    pub(super) histogram: bool,
}

/// The cache of one target.
#[derive(Default)]
pub(super) struct Cache {
    entries: Vec<Entry>,
    by_raw: hashbrown::HashMap<u128, EntryId, foldhash::fast::RandomState>,
    /// Entries of the last scrape in its order.
    order: Vec<EntryId>,
    /// Entries of this scrape so far.
    now: Vec<EntryId>,
    /// Number of the current scrape.
    pub(super) round: u64,
    seed: u64,
}

/// Entries beyond twice the living ones (plus this many) are swept.
const SWEEP_SLACK: usize = 1000;

impl Cache {
    /// An empty cache; `seed` keys the hash of raw bytes.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    fn hash(&self, raw: &[u8], rewrite: Rewrite) -> u128 {
        xxhash_rust::xxh3::xxh3_128_with_seed(raw, self.seed ^ rewrite as u64)
    }

    /// Starts a scrape.
    pub(super) fn begin(&mut self) {
        self.round += 1;
        self.now.clear();
    }

    /// The series expected next.
    pub(super) fn expected(&self) -> &[u8] {
        let next = self.order.get(self.now.len());
        next.and_then(|id| self.entries.get(*id as usize))
            .map_or(&[], |e| &e.raw)
    }

    /// The entry of a series, if it is known.
    pub(super) fn find(&mut self, s: &Series<'_>) -> Option<EntryId> {
        if let Some(&id) = self.order.get(self.now.len())
            && let Some(e) = self.entries.get(id as usize)
            && e.rewrite == s.rewrite
            && *e.raw == *s.raw
        {
            self.now.push(id);
            return Some(id);
        }
        let id = *self.by_raw.get(&self.hash(s.raw, s.rewrite))?;
        self.now.push(id);
        Some(id)
    }

    /// Remembers a series.
    pub(super) fn insert(
        &mut self,
        s: &Series<'_>,
        labels: Option<Labels>,
        key: SeriesKey,
    ) -> EntryId {
        // Four billion series do not fit into memory.
        let id = EntryId::try_from(self.entries.len()).unwrap_or(EntryId::MAX);
        self.by_raw.insert(self.hash(s.raw, s.rewrite), id);
        self.entries.push(Entry {
            raw: s.raw.into(),
            rewrite: s.rewrite,
            labels,
            key,
            seen: 0,
            tracked: false,
            histogram: false,
        });
        self.now.push(id);
        id
    }

    /// The entry `id`.
    pub(super) fn entry(&mut self, id: EntryId) -> Option<&mut Entry> {
        self.entries.get_mut(id as usize)
    }

    /// Entries that were stored in the scrape before this one and not in this one.
    pub(super) fn vanished(&self) -> impl Iterator<Item = (EntryId, &Entry)> {
        self.order_of_before()
            .filter(|(_, e)| e.tracked && e.seen != self.round)
    }

    /// All entries that a marker would end now.
    pub(super) fn living(&self) -> impl Iterator<Item = (EntryId, &Entry)> {
        self.entries
            .iter()
            .enumerate()
            .filter(|(_, e)| e.tracked && e.labels.is_some() && e.seen == self.round)
            .map(|(i, e)| (i as EntryId, e))
    }

    fn order_of_before(&self) -> impl Iterator<Item = (EntryId, &Entry)> {
        self.order.iter().filter_map(|id| {
            let e = self.entries.get(*id as usize)?;
            e.labels.is_some().then_some((*id, e))
        })
    }

    /// Marks series as alive whose staleness markers could not be stored.
    pub(super) fn still_due(&mut self, ids: impl Iterator<Item = EntryId>) {
        for id in ids {
            if let Some(e) = self.entries.get_mut(id as usize) {
                e.tracked = true;
                self.order.push(id);
            }
        }
    }

    /// Ends a successful scrape.
    pub(super) fn commit(&mut self) {
        std::mem::swap(&mut self.order, &mut self.now);
    }

    /// Forgets the dead when they outnumber the living. Numbers of entries change.
    pub(super) fn tidy(&mut self) {
        if self.entries.len() > 2 * self.order.len() + SWEEP_SLACK {
            self.sweep();
        }
    }

    /// Ends a failed scrape: what was known is still known, but nothing is alive.
    pub(super) fn rollback(&mut self) {
        for id in self.order.drain(..) {
            if let Some(e) = self.entries.get_mut(id as usize) {
                e.tracked = false;
            }
        }
        for id in self.now.drain(..) {
            if let Some(e) = self.entries.get_mut(id as usize) {
                e.tracked = false;
                e.seen = 0;
            }
        }
    }

    /// Drops entries that the next scrape does not need for its markers or its order.
    fn sweep(&mut self) {
        let mut needed = vec![false; self.entries.len()];
        for id in &self.order {
            needed[*id as usize] = true;
        }
        let mut moved = vec![EntryId::MAX; self.entries.len()];
        let mut old = std::mem::take(&mut self.entries);
        for (i, e) in old.drain(..).enumerate() {
            if needed[i] {
                moved[i] = self.entries.len() as EntryId;
                self.entries.push(e);
            }
        }
        self.by_raw.clear();
        for (i, e) in self.entries.iter().enumerate() {
            let h = xxhash_rust::xxh3::xxh3_128_with_seed(&e.raw, self.seed ^ e.rewrite as u64);
            self.by_raw.insert(h, i as EntryId);
        }
        self.order.retain_mut(|id| {
            *id = moved[*id as usize];
            *id != EntryId::MAX
        });
    }

    /// Number of entries.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Handles below this are entries of the cache, the others report series.
pub(super) const REPORT_HANDLE: u64 = 1 << 40;

/// Labels of a batch: cached entries and report series.
pub(super) struct BatchLabels<'a> {
    pub(super) cache: &'a Cache,
    pub(super) reports: &'a [Labels],
}

impl LabelsSource for BatchLabels<'_> {
    fn collect<'s>(
        &'s self,
        handle: u64,
        out: &mut Vec<(&'s str, &'s str)>,
    ) -> Result<(), InvalidLabels> {
        let labels = match handle.checked_sub(REPORT_HANDLE) {
            Some(i) => self.reports.get(i as usize),
            None => self
                .cache
                .entries
                .get(handle as usize)
                .and_then(|e| e.labels.as_ref()),
        };
        let labels = labels.ok_or(InvalidLabels::UnknownHandle)?;
        out.extend(labels.iter());
        Ok(())
    }
}
