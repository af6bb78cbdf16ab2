//! Which lines hold a needle, without putting the lines together.
//!
//! A needle in a line lies in a piece of its skeleton, in one of its values, or across borders of
//! the two. Pieces and dictionaries are searched once for all lines that share them, and number
//! columns are passed over when the needle has bytes that no number has. What may lie across borders
//! becomes conditions on single values ("ends with", "is", "begins with"), found once for each
//! skeleton. So the answer is exact, and only columns that can matter are unpacked.

use std::collections::BTreeMap;

use super::decode::{Pick, Values};
use super::tree::{Column, Page, Split, Walk};
use crate::chunk::ChunkError;
use crate::logs::needle::Needle;

/// For each value whether it holds the needle; `None` when none does.
type Hits = Option<Vec<bool>>;

/// Ways across the borders of one skeleton; with more, its rows are put together instead.
const WAYS_MAX: usize = 128;

/// What a value must be for a needle that reaches into it: numbers of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Demand {
    /// The value ends with the first bytes of the needle, this many.
    Ends(usize),
    /// The value is this part of the needle.
    Is(usize, usize),
    /// The value begins with the rest of the needle from here.
    Begins(usize),
}

impl Demand {
    fn met(self, needle: &Needle, value: &[u8]) -> bool {
        match self {
            Self::Ends(n) => {
                let from = value.len().checked_sub(n);
                from.is_some_and(|f| needle.holds_at(0, &value[f..]))
            }
            Self::Is(from, to) => value.len() == to - from && needle.holds_at(from, value),
            Self::Begins(from) => {
                let head = value.get(..needle.len() - from);
                head.is_some_and(|h| needle.holds_at(from, h))
            }
        }
    }

    /// Part of the needle that lies in the value.
    fn part(self, needle: &Needle) -> std::ops::Range<usize> {
        match self {
            Self::Ends(n) => 0..n,
            Self::Is(from, to) => from..to,
            Self::Begins(from) => from..needle.len(),
        }
    }
}

/// Demands on holes, all of which must be met.
type Way = Vec<(usize, Demand)>;

/// A way whose demands were put to their columns: hole and number of the answer.
type Answered = Vec<(usize, usize)>;

impl<'p> Page<'p> {
    /// For each line whether it holds the needle; `None` when none does.
    ///
    /// # Errors
    /// When the page is damaged.
    pub(in crate::logs) fn search(&self, needle: &Needle) -> Result<Hits, ChunkError> {
        self.search_column(&self.root, self.rows, needle)
    }

    fn search_column(
        &self,
        column: &Column<'p>,
        n: usize,
        needle: &Needle,
    ) -> Result<Hits, ChunkError> {
        match column {
            Column::Constant(value) => Ok(needle.find(value).map(|_| vec![true; n])),
            Column::Dictionary { values, payload } => {
                self.by_code(values, *payload, n, |v| needle.find(v).is_some())
            }
            Column::Plain { payload } => {
                let (ends, bytes) = self.plain(*payload, n)?;
                Ok(needle.find_in(bytes, &ends))
            }
            Column::Split(s) => self.search_split(s, n, needle),
            other if !possible(other, needle, &(0..needle.len())) => Ok(None),
            Column::Hex { digits, .. } if *digits < needle.len() => Ok(None),
            other => {
                let values = self.values(other, n, Pick::All)?;
                Ok(needle.find_in(&values.bytes, &values.ends))
            }
        }
    }

    /// Tests a dictionary once and spreads the answers.
    fn by_code(
        &self,
        values: &[&[u8]],
        payload: usize,
        n: usize,
        test: impl Fn(&[u8]) -> bool,
    ) -> Result<Hits, ChunkError> {
        let hits: Vec<bool> = values.iter().map(|v| test(v)).collect();
        if !hits.contains(&true) {
            return Ok(None);
        }
        let codes = self.codes(payload, n)?.iter();
        let hit = |i: &u8| hits.get(usize::from(*i)).copied().unwrap_or(false);
        Ok(Some(codes.map(hit).collect()))
    }

    fn search_split(
        &self,
        split: &Split<'p>,
        n: usize,
        needle: &Needle,
    ) -> Result<Hits, ChunkError> {
        let layout = self.layout(split, n)?;
        let mut inside = Vec::with_capacity(split.columns.len());
        for (c, size) in split.columns.iter().zip(&layout.sizes) {
            inside.push(match size {
                0 => None,
                n => self.search_column(c, *n, needle)?,
            });
        }
        let mut across = Across {
            page: self,
            split,
            sizes: &layout.sizes,
            needle,
            asked: BTreeMap::new(),
            answers: Vec::new(),
            values: split.columns.iter().map(|_| None).collect(),
        };
        let mut verdicts = Vec::with_capacity(split.skeletons.len());
        for s in &split.skeletons {
            verdicts.push(if s.pieces.iter().any(|p| needle.find(p).is_some()) {
                Verdict::Yes
            } else {
                let holes = s.columns.iter().copied().enumerate();
                let holes: Vec<_> = holes.filter(|(_, c)| inside[*c].is_some()).collect();
                match across.ways(&s.pieces, &s.columns)? {
                    None => Verdict::Unknown,
                    Some(w) if w.is_empty() && holes.is_empty() => Verdict::No,
                    Some(w) => Verdict::Look(holes, w),
                }
            });
        }
        if verdicts.iter().all(|v| matches!(v, Verdict::No)) {
            return Ok(None);
        }
        let mut live: Vec<bool> = inside.iter().map(Option::is_some).collect();
        for (s, v) in split.skeletons.iter().zip(&verdicts) {
            if let Verdict::Look(_, ways) = v {
                let holes = ways.iter().flatten().map(|(hole, _)| *hole);
                holes.for_each(|h| live[s.columns[h]] = true);
            }
        }
        let mut hits = vec![false; n];
        let mut unknown = Vec::new();
        let mut walk = Walk::new(split, |c| live[c]);
        let mut at = Vec::new();
        for (row, (hit, x)) in hits.iter_mut().zip(&layout.rows).enumerate() {
            match &verdicts[*x as usize] {
                Verdict::No => walk.pass(*x),
                Verdict::Yes => {
                    walk.pass(*x);
                    *hit = true;
                }
                Verdict::Unknown => {
                    walk.pass(*x);
                    unknown.push(row as u32);
                }
                Verdict::Look(holes, ways) => {
                    walk.take(*x, &mut at);
                    let met = |(hole, a): &(usize, usize)| holds(&across.answers[*a], at[*hole]);
                    *hit = holes.iter().any(|(hole, c)| holds(&inside[*c], at[*hole]))
                        || ways.iter().any(|w| w.iter().all(met));
                }
            }
        }
        if !unknown.is_empty() {
            let lines = self.values_of_split(split, n, Pick::These(&unknown))?;
            for (k, row) in unknown.iter().enumerate() {
                hits[*row as usize] = needle.find(lines.get(k)).is_some();
            }
        }
        Ok(hits.contains(&true).then_some(hits))
    }
}

fn holds(hits: &Hits, i: u32) -> bool {
    let hit = |h: &Vec<bool>| h.get(i as usize).copied().unwrap_or(false);
    hits.as_ref().is_some_and(hit)
}

enum Verdict {
    Yes,
    No,
    /// Values have to be looked at: holes whose columns hold the needle somewhere, with these
    /// columns, and ways across.
    Look(Vec<(usize, usize)>, Vec<Answered>),
    Unknown,
}

/// Whether values of a number column can have what stands in this part of the needle.
fn possible(column: &Column<'_>, needle: &Needle, part: &std::ops::Range<usize>) -> bool {
    let digit = |b: u8| b.is_ascii_digit();
    let alphabet: &dyn Fn(u8) -> bool = match column {
        Column::Integer { .. } => &|b| digit(b) || b == b'-',
        Column::Padded { .. } => &digit,
        Column::Decimal { .. } => &|b| digit(b) || b == b'.' || b == b'-',
        Column::Hex { .. } => &|b| digit(b) || (b'a'..=b'f').contains(&b),
        Column::Time { layout, .. } => &|b| {
            digit(b) || b"-:.".contains(&b) || b == layout.between || layout.suffix.contains(&b)
        },
        _ => return true,
    };
    let sets = needle.sets.get(part.clone()).unwrap_or_default();
    sets.iter()
        .all(|s| (0..=u8::MAX).any(|b| s.has(b) && alphabet(b)))
}

/// Needles across the borders of a split.
struct Across<'a, 'p> {
    page: &'a Page<'p>,
    split: &'a Split<'p>,
    sizes: &'a [usize],
    needle: &'a Needle,
    /// Numbers of answers by column and demand.
    asked: BTreeMap<(usize, Demand), usize>,
    /// Values that meet a demand.
    answers: Vec<Hits>,
    /// Columns that had to be unpacked.
    values: Vec<Option<Values>>,
}

impl Across<'_, '_> {
    /// The ways in which the needle can lie across borders of a skeleton, without those that no
    /// value takes; `None` when there are too many.
    fn ways(
        &mut self,
        pieces: &[&[u8]],
        columns: &[usize],
    ) -> Result<Option<Vec<Answered>>, ChunkError> {
        let mut found = Vec::new();
        let n = self.needle.len();
        let mut way = Vec::new();
        for hole in 0..columns.len() {
            let piece = pieces[hole];
            for k in 1..n.min(piece.len() + 1) {
                if self.needle.holds_at(0, &piece[piece.len() - k..]) {
                    self.enter_hole(pieces, hole, k, &mut way, &mut found);
                }
            }
            for k in 1..n {
                way.push((hole, Demand::Ends(k)));
                self.after_hole(pieces, hole, k, &mut way, &mut found);
                way.clear();
            }
            if found.len() > WAYS_MAX {
                return Ok(None);
            }
        }
        let mut ways = Vec::with_capacity(found.len());
        for way in found {
            // What is cheap to see comes first: the next step may unpack a column.
            if !way
                .iter()
                .all(|(hole, d)| self.may_meet(columns[*hole], *d))
            {
                continue;
            }
            let mut answered = Vec::with_capacity(way.len());
            for (hole, demand) in &way {
                match self.answer(columns[*hole], *demand)? {
                    Some(a) => answered.push((*hole, a)),
                    None => break,
                }
            }
            if answered.len() == way.len() {
                ways.push(answered);
            }
        }
        Ok(Some(ways))
    }

    /// The first `k` bytes of the needle lie before `hole`.
    fn enter_hole(
        &self,
        pieces: &[&[u8]],
        hole: usize,
        k: usize,
        way: &mut Way,
        found: &mut Vec<Way>,
    ) {
        let n = self.needle.len();
        if hole + 1 >= pieces.len() || found.len() > WAYS_MAX {
            return;
        }
        way.push((hole, Demand::Begins(k)));
        found.push(way.clone());
        way.pop();
        for to in k..n {
            way.push((hole, Demand::Is(k, to)));
            self.after_hole(pieces, hole, to, way, found);
            way.pop();
        }
    }

    /// The first `k` bytes of the needle lie before the piece after `hole`.
    fn after_hole(
        &self,
        pieces: &[&[u8]],
        hole: usize,
        k: usize,
        way: &mut Way,
        found: &mut Vec<Way>,
    ) {
        let (n, piece) = (self.needle.len(), pieces[hole + 1]);
        if piece.len() >= n - k {
            if self.needle.holds_at(k, &piece[..n - k]) {
                found.push(way.clone());
            }
        } else if self.needle.holds_at(k, piece) {
            self.enter_hole(pieces, hole + 1, k + piece.len(), way, found);
        }
    }

    /// Number of the answer to a demand on a column; `None` when no value meets it.
    fn answer(&mut self, column: usize, demand: Demand) -> Result<Option<usize>, ChunkError> {
        let met = |a: usize, answers: &[Hits]| answers[a].is_some().then_some(a);
        if let Some(a) = self.asked.get(&(column, demand)) {
            return Ok(met(*a, &self.answers));
        }
        let (n, needle) = (self.sizes[column], self.needle);
        let hits = match &self.split.columns[column] {
            _ if n == 0 => None,
            Column::Constant(v) => demand.met(needle, v).then(|| vec![true; n]),
            Column::Dictionary { values, payload } => {
                let test = |v: &[u8]| demand.met(needle, v);
                self.page.by_code(values, *payload, n, test)?
            }
            c if !self.fits(c, demand) => None,
            Column::Integer { payload } => {
                let mut digits = itoa::Buffer::new();
                let numbers = self.page.numbers(*payload, n)?.into_iter();
                let hits = numbers.map(|x| demand.met(needle, digits.format(x).as_bytes()));
                let hits: Vec<bool> = hits.collect();
                hits.contains(&true).then_some(hits)
            }
            c => {
                if self.values[column].is_none() {
                    self.values[column] = Some(self.page.values(c, n, Pick::All)?);
                }
                let values = self.values[column].as_ref();
                let hits: Vec<bool> = values
                    .map(|v| (0..n).map(|i| demand.met(needle, v.get(i))).collect())
                    .unwrap_or_default();
                hits.contains(&true).then_some(hits)
            }
        };
        let a = self.answers.len();
        self.answers.push(hits);
        self.asked.insert((column, demand), a);
        Ok(met(a, &self.answers))
    }

    /// Whether a value of the column can meet the demand, as far as its kind and dictionary tell.
    fn may_meet(&self, column: usize, demand: Demand) -> bool {
        match &self.split.columns[column] {
            Column::Constant(v) => demand.met(self.needle, v),
            Column::Dictionary { values, .. } => values.iter().any(|v| demand.met(self.needle, v)),
            c => self.fits(c, demand),
        }
    }

    /// Whether values of this kind can meet the demand at all.
    fn fits(&self, column: &Column<'_>, demand: Demand) -> bool {
        let part = demand.part(self.needle);
        let exact = matches!(demand, Demand::Is(..));
        let len_fits = |len: usize| part.len() <= len && (!exact || part.len() == len);
        match column {
            Column::Hex { digits, .. } if !len_fits(*digits) => false,
            Column::Padded { width, .. } if !len_fits(*width) => false,
            Column::Split(s) => s.skeletons.iter().any(|s| {
                // What a value begins or ends with, when that is not a hole.
                let (first, last) = (s.pieces.first(), s.pieces.last());
                let overlap = |piece: &[u8]| piece.len().min(part.len());
                match (demand, first, last) {
                    (Demand::Ends(k), _, Some(last)) => {
                        let o = overlap(last);
                        self.needle.holds_at(k - o, &last[last.len() - o..])
                    }
                    (_, Some(first), _) => {
                        let o = overlap(first);
                        self.needle.holds_at(part.start, &first[..o])
                    }
                    _ => true,
                }
            }),
            c => possible(c, self.needle, &part),
        }
    }
}
