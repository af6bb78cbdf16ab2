//! The head's label table: interned pairs, postings, series.

use hashbrown::HashTable;
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64;

use super::matching::{LabelIndex, Union};
use crate::model::Labels;

/// Number of an interned name/value pair.
pub type PairId = u32;

struct Pair {
    name: u32,
    at: u64,
    len: u32,
}

/// Name of a pair whose definition was lost.
const LOST: u32 = u32::MAX;

/// Series with a pair: most pairs of a churning fleet have one or a few series.
enum Postings {
    One(u32),
    Many(Box<RoaringBitmap>),
    None,
}

/// Label pairs and the series that carry them; ids are dense and given by the caller in order.
///
/// Memory: 4 bytes per label of a series, about 45 bytes plus the value per distinct pair.
#[derive(Default)]
pub struct LabelTable {
    bytes: Vec<u8>,
    names: Vec<String>,
    names_lookup: HashTable<u32>,
    /// Pairs of each name, in order of first use.
    by_name: Vec<Vec<PairId>>,
    pairs: Vec<Pair>,
    lookup: HashTable<PairId>,
    postings: Vec<Postings>,
    all: RoaringBitmap,
    /// Pair ids of all series, one after the other.
    series_pairs: Vec<PairId>,
    /// Where a series' pairs start, and how many there are (0: the series is gone).
    series: Vec<(u32, u16)>,
    by_labels: HashTable<u32>,
}

fn hash_pair(name: u32, value: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(value, u64::from(name))
}

fn hash_ids(ids: &[PairId]) -> u64 {
    let mut h = 0x9e37_79b9_7f4a_7c15u64 ^ ids.len() as u64;
    for id in ids {
        h = (h ^ u64::from(*id)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h ^= h >> 32;
    }
    h
}

impl LabelTable {
    /// Number of series, those that are gone included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// True without series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Number of series that are there.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.all.len()
    }

    /// Number of series that have this pair.
    #[must_use]
    pub fn pair_len(&self, name: &str, value: &str) -> u64 {
        let pair = self.name_id(name).and_then(|n| self.find_pair(n, value));
        pair.map_or(0, |p| match &self.postings[p as usize] {
            Postings::None => 0,
            Postings::One(_) => 1,
            Postings::Many(b) => b.len(),
        })
    }

    /// Number of values that `name` has had.
    #[must_use]
    pub fn values_len(&self, name: &str) -> u64 {
        let of = |n: u32| self.by_name[n as usize].len() as u64;
        self.name_id(name).map_or(0, of)
    }

    /// Number of distinct pairs.
    #[must_use]
    pub fn pair_count(&self) -> usize {
        self.pairs.len()
    }

    fn name_id(&self, name: &str) -> Option<u32> {
        let h = xxh3_64(name.as_bytes());
        self.names_lookup
            .find(h, |i| self.names[*i as usize] == name)
            .copied()
    }

    fn intern_name(&mut self, name: &str) -> u32 {
        if let Some(i) = self.name_id(name) {
            return i;
        }
        let i = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.by_name.push(Vec::new());
        let names = &self.names;
        let h = |i: &u32| xxh3_64(names[*i as usize].as_bytes());
        self.names_lookup
            .insert_unique(xxh3_64(name.as_bytes()), i, h);
        i
    }

    fn value_bytes(&self, p: &Pair) -> &[u8] {
        let at = p.at as usize;
        self.bytes.get(at..at + p.len as usize).unwrap_or(&[])
    }

    fn find_pair(&self, name: u32, value: &str) -> Option<PairId> {
        self.lookup
            .find(hash_pair(name, value.as_bytes()), |i| {
                let p = &self.pairs[*i as usize];
                p.name == name && self.value_bytes(p) == value.as_bytes()
            })
            .copied()
    }

    /// The series with exactly these labels, without making anything new.
    #[must_use]
    pub fn find_labels(&self, labels: &Labels) -> Option<u32> {
        let pair = |(n, v): (&str, &str)| self.find_pair(self.name_id(n)?, v);
        let ids: Option<Vec<PairId>> = labels.iter().map(pair).collect();
        self.find_series(&ids?)
    }

    /// Id of a pair; `true` when it is new.
    pub fn intern(&mut self, name: &str, value: &str) -> (PairId, bool) {
        let name_id = self.intern_name(name);
        if let Some(i) = self.find_pair(name_id, value) {
            return (i, false);
        }
        let i = self.pairs.len() as u32;
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(value.as_bytes());
        self.pairs.push(Pair {
            name: name_id,
            at,
            len: value.len() as u32,
        });
        self.postings.push(Postings::None);
        self.by_name[name_id as usize].push(i);
        let (pairs, bytes) = (&self.pairs, &self.bytes);
        self.lookup
            .insert_unique(hash_pair(name_id, value.as_bytes()), i, |i| {
                let p = &pairs[*i as usize];
                let at = p.at as usize;
                hash_pair(p.name, &bytes[at..at + p.len as usize])
            });
        (i, true)
    }

    /// Reserves the ids before `id` for pairs whose definitions were lost to damage. Series that
    /// refer to them cannot be inserted.
    pub fn skip_lost_pairs(&mut self, id: PairId) {
        while self.pairs.len() < id as usize {
            self.pairs.push(Pair {
                name: LOST,
                at: 0,
                len: 0,
            });
            self.postings.push(Postings::None);
        }
    }

    /// Name and value of a pair; empty when it was lost.
    #[must_use]
    pub fn pair(&self, id: PairId) -> (&str, &str) {
        let Some(p) = self.pairs.get(id as usize).filter(|p| p.name != LOST) else {
            return ("", "");
        };
        // Only `intern` writes the bytes, from `&str`.
        (
            &self.names[p.name as usize],
            std::str::from_utf8(self.value_bytes(p)).unwrap_or(""),
        )
    }

    /// The series with exactly these pairs (ids in label-name order).
    #[must_use]
    pub fn find_series(&self, ids: &[PairId]) -> Option<u32> {
        self.by_labels
            .find(hash_ids(ids), |s| self.ids(*s) == ids)
            .copied()
    }

    /// Adds a series; its id must be [`Self::len`] or, when records are read back, any later one
    /// (ids between are gone series). A series that is there already stays.
    pub fn insert_series(&mut self, id: u32, ids: &[PairId]) {
        while self.series.len() <= id as usize {
            self.series.push((0, 0));
        }
        let lost = |p: &PairId| self.pairs.get(*p as usize).is_none_or(|p| p.name == LOST);
        if self.series[id as usize].1 != 0 || ids.is_empty() || ids.iter().any(lost) {
            return;
        }
        self.series[id as usize] = (self.series_pairs.len() as u32, ids.len() as u16);
        self.series_pairs.extend_from_slice(ids);
        for p in ids {
            let slot = &mut self.postings[*p as usize];
            match slot {
                Postings::None => *slot = Postings::One(id),
                Postings::One(first) => {
                    let mut b = RoaringBitmap::new();
                    b.insert(*first);
                    b.insert(id);
                    *slot = Postings::Many(Box::new(b));
                }
                Postings::Many(b) => {
                    b.insert(id);
                }
            }
        }
        self.all.insert(id);
        let (series, pairs) = (&self.series, &self.series_pairs);
        self.by_labels.insert_unique(hash_ids(ids), id, |s| {
            let (at, n) = series[*s as usize];
            hash_ids(&pairs[at as usize..at as usize + n as usize])
        });
    }

    /// Forgets a series; its id is not given again.
    pub fn remove_series(&mut self, id: u32) {
        let ids = self.ids(id).to_vec();
        if ids.is_empty() {
            return;
        }
        if let Ok(e) = self.by_labels.find_entry(hash_ids(&ids), |s| *s == id) {
            e.remove();
        }
        for p in &ids {
            let slot = &mut self.postings[*p as usize];
            match slot {
                Postings::One(s) if *s == id => *slot = Postings::None,
                Postings::Many(b) => {
                    b.remove(id);
                }
                _ => {}
            }
        }
        self.all.remove(id);
        self.series[id as usize] = (0, 0);
    }

    /// Pair ids of a series, in label-name order; empty when it is gone.
    #[must_use]
    pub fn ids(&self, series: u32) -> &[PairId] {
        let (at, n) = self.series.get(series as usize).copied().unwrap_or((0, 0));
        self.series_pairs
            .get(at as usize..at as usize + n as usize)
            .unwrap_or(&[])
    }

    /// Labels of a series. Cost: one allocation.
    #[must_use]
    pub fn labels(&self, series: u32) -> Labels {
        let pairs: smallvec::SmallVec<[(&str, &str); 24]> =
            self.ids(series).iter().map(|p| self.pair(*p)).collect();
        Labels::from_sorted(&pairs)
    }

    /// All series that are there.
    #[must_use]
    pub fn live_series(&self) -> &RoaringBitmap {
        &self.all
    }

    /// Names that at least one series in `of` has (all when `None`).
    #[must_use]
    pub fn names(&self, of: Option<&RoaringBitmap>) -> Vec<String> {
        let mut out: Vec<String> = (0..self.names.len())
            .filter(|n| self.by_name[*n].iter().any(|p| self.has_any(*p, of)))
            .map(|n| self.names[n].clone())
            .collect();
        out.sort_unstable();
        out
    }

    /// Values of `name` that at least one series in `of` has (all when `None`), sorted.
    #[must_use]
    pub fn values(&self, name: &str, of: Option<&RoaringBitmap>) -> Vec<String> {
        let Some(n) = self.name_id(name) else {
            return Vec::new();
        };
        let mut out: Vec<String> = self.by_name[n as usize]
            .iter()
            .filter(|p| self.has_any(**p, of))
            .map(|p| self.pair(*p).1.to_owned())
            .collect();
        out.sort_unstable();
        out
    }

    /// Number of values ever seen for `name`.
    #[must_use]
    pub fn value_count(&self, name: &str) -> usize {
        self.name_id(name)
            .map_or(0, |n| self.by_name[n as usize].len())
    }

    fn has_any(&self, pair: PairId, of: Option<&RoaringBitmap>) -> bool {
        match (&self.postings[pair as usize], of) {
            (Postings::None, _) => false,
            (Postings::One(_), None) => true,
            (Postings::Many(b), None) => !b.is_empty(),
            (Postings::One(s), Some(of)) => of.contains(*s),
            (Postings::Many(b), Some(of)) => !b.is_disjoint(of),
        }
    }

    /// Calls `visit` with name, value and number of series of every pair in use.
    pub fn for_each_pair(&self, mut visit: impl FnMut(&str, &str, u64)) {
        for id in 0..self.pairs.len() as u32 {
            let n = match &self.postings[id as usize] {
                Postings::None => 0,
                Postings::One(_) => 1,
                Postings::Many(b) => b.len(),
            };
            if n > 0 {
                let (name, value) = self.pair(id);
                visit(name, value, n);
            }
        }
    }
}

impl LabelIndex for LabelTable {
    fn all(&self) -> RoaringBitmap {
        self.all.clone()
    }

    fn add_pair(&self, name: &str, value: &str, to: &mut Union) {
        if let Some(p) = self.name_id(name).and_then(|n| self.find_pair(n, value)) {
            self.add_postings(p, to);
        }
    }

    fn add_values(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
        to: &mut Union,
    ) {
        let Some(n) = self.name_id(name) else { return };
        for p in &self.by_name[n as usize] {
            let value = self.pair(*p).1;
            if value.starts_with(prefix) && keep(value) {
                self.add_postings(*p, to);
            }
        }
    }
}

impl LabelTable {
    fn add_postings(&self, pair: PairId, to: &mut Union) {
        match &self.postings[pair as usize] {
            Postings::None => {}
            Postings::One(s) => to.one(*s),
            Postings::Many(b) => to.set(b),
        }
    }
}
