//! Lines for a reader that looks at some of their values: see [`Glance`](crate::logs::Glance).
//!
//! Owns: replacing what is not looked at, and finding lines that are the same then.
//! Knows nothing of: what the reader does, streams.
//!
//! Lines are told apart by their skeleton and the numbers of dictionary values, so a line that was
//! met before costs a look into a table; only columns that are looked at are unpacked.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::decode::{Pick, Values};
use super::tree::{Column, Page, Split, Walk};
use crate::chunk::ChunkError;
use crate::logs::api::{Care, Form, Hole};

/// Combinations of values with a place in a table of their own; more are hashed.
const DENSE_MAX: u64 = 1024;

/// Asks the reader.
pub(in crate::logs) trait Look {
    /// The holes of a skeleton.
    fn holes(&mut self, pieces: &[&[u8]]) -> Option<Vec<Hole>>;
    /// Whether row `k` of the chosen ones may be of use. Lines with equal `number` are equal.
    fn may_pass(&mut self, k: usize, number: u32, line: &[u8]) -> bool;
}

/// What is left of the chosen rows.
#[derive(Debug, Default)]
pub(in crate::logs) struct Glanced {
    /// Which of the chosen rows, ascending, and their lines.
    pub(in crate::logs) kept: Vec<(u32, u32)>,
    pub(in crate::logs) lines: Values,
    /// This many lines may be those of several rows.
    pub(in crate::logs) shared: u32,
}

/// What stands for a value that is not looked at.
fn filler(form: Form) -> &'static [u8] {
    match form {
        Form::Quoted | Form::Word => b"",
        Form::Scalar => b"0",
    }
}

fn has_form(value: &[u8], form: Form) -> bool {
    match form {
        Form::Quoted => true,
        Form::Scalar => match value {
            b"true" | b"false" | b"null" => true,
            [b'-' | b'0'..=b'9', rest @ ..] => rest
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)),
            _ => false,
        },
        Form::Word => value.iter().all(|b| *b > b' ' && !b"=\"".contains(b)),
    }
}

/// Whether all values of a column have a form, as far as its kind tells.
fn surely(column: &Column<'_>, form: Form) -> bool {
    match (column, form) {
        (_, Form::Quoted) => true,
        (Column::Constant(v), _) => has_form(v, form),
        (Column::Integer { .. } | Column::Padded { .. } | Column::Decimal { .. }, _) => true,
        (Column::Hex { .. }, Form::Word) => true,
        (Column::Time { layout, .. }, Form::Word) => {
            has_form(&[layout.between], form) && has_form(&layout.suffix, form)
        }
        (Column::Dictionary { values, .. }, Form::Word) => values.iter().all(|v| has_form(v, form)),
        // Words put together are words.
        (Column::Split(s), Form::Word) => {
            let pieces = s.skeletons.iter().flat_map(|s| &s.pieces);
            pieces.into_iter().all(|p| has_form(p, form))
                && s.columns.iter().all(|c| surely(c, form))
        }
        _ => false,
    }
}

/// Numbers of lines by the values in some holes, all of columns with few values.
struct Table {
    /// Hole, its column, and what its number is multiplied with.
    holes: Vec<(usize, usize, u64)>,
    dense: Vec<u32>,
    sparse: HashMap<u64, u32, foldhash::fast::RandomState>,
}

/// How the rows of a skeleton are handed out; whole when there is none.
struct Plan {
    holes: Vec<Hole>,
    /// Holes and columns whose values do not all have the form.
    doubtful: Vec<(usize, usize)>,
    early: Option<Table>,
    /// Absent when a value that is looked at is of a column with many.
    full: Option<Table>,
}

/// A line of one row.
enum Own {
    Whole,
    /// Skeleton, and where the values of its holes are in `at`.
    Built(u32, usize),
}

impl<'p> Page<'p> {
    /// The chosen rows (ascending) as a reader sees them; `None` when the page is not made of
    /// skeletons.
    ///
    /// # Errors
    /// When the page is damaged.
    pub(in crate::logs) fn glance(
        &self,
        chosen: &[u32],
        look: &mut dyn Look,
    ) -> Result<Option<Glanced>, ChunkError> {
        let Column::Split(split) = &self.root else {
            return Ok(None);
        };
        let layout = self.layout(split, self.rows)?;
        let mut plans: Vec<Option<Option<Plan>>> = split.skeletons.iter().map(|_| None).collect();
        let mut columns = Columns::new(self, split, &layout.sizes);
        let mut early_lines = Values::default();
        let mut line = Vec::new();
        let mut out = Glanced::default();
        let mut own: Vec<Own> = Vec::new();
        let mut own_rows: Vec<usize> = Vec::new();
        let mut whole: Vec<u32> = Vec::new();
        let mut flat: Vec<u32> = Vec::new();
        for i in chosen {
            let x = layout.rows.get(*i as usize).copied().unwrap_or(0) as usize;
            if plans.get(x).is_some_and(Option::is_none) {
                plans[x] = Some(columns.plan(x, look)?);
            }
        }
        let mut walk = Walk::new(split, |c| columns.live[c]);
        let mut at = Vec::new();
        let mut rows = layout.rows.iter();
        let mut row = 0u32;
        for (k, wanted) in chosen.iter().enumerate() {
            while row < *wanted {
                if let Some(x) = rows.next() {
                    walk.pass(*x);
                }
                row += 1;
            }
            let Some(x) = rows.next() else { break };
            row += 1;
            walk.take(*x, &mut at);
            let plan = plans[*x as usize].as_mut().and_then(Option::as_mut);
            let known = plan.filter(|p| {
                let mut doubtful = p.doubtful.iter();
                doubtful.all(|(h, c)| columns.has_form(*c, at[*h], p.holes[*h].form))
            });
            let Some(Plan {
                holes, early, full, ..
            }) = known
            else {
                out.kept.push((k as u32, 0));
                own_rows.push(out.kept.len() - 1);
                own.push(Own::Whole);
                whole.push(*wanted);
                continue;
            };
            if let Some(table) = early {
                let (number, new) = table.number(&columns, &at, early_lines.ends.len() as u32);
                if new {
                    columns.build(*x, holes, &at, true, &mut line);
                    early_lines.push(&line);
                }
                if !look.may_pass(k, number, early_lines.get(number as usize)) {
                    continue;
                }
            }
            match full {
                Some(table) => {
                    let (number, new) = table.number(&columns, &at, out.shared);
                    if new {
                        out.shared += 1;
                        columns.build(*x, holes, &at, false, &mut line);
                        out.lines.push(&line);
                    }
                    out.kept.push((k as u32, number));
                }
                None => {
                    out.kept.push((k as u32, 0));
                    own_rows.push(out.kept.len() - 1);
                    own.push(Own::Built(*x, flat.len()));
                    columns.want(*x, holes, &at);
                    at.resize(at.len().max(holes.len()), 0);
                    flat.extend_from_slice(&at[..holes.len()]);
                }
            }
        }
        let whole = match whole.is_empty() {
            true => Values::default(),
            false => self.values_of_split(split, self.rows, Pick::These(&whole))?,
        };
        columns.unpack()?;
        let mut next_whole = 0;
        for (o, kept) in own.iter().zip(own_rows) {
            out.kept[kept].1 = out.lines.ends.len() as u32;
            match o {
                Own::Whole => {
                    out.lines.push(whole.get(next_whole));
                    next_whole += 1;
                }
                Own::Built(x, from) => {
                    let plan = plans[*x as usize].as_ref().and_then(Option::as_ref);
                    let holes = plan.map_or(&[][..], |p| &p.holes);
                    let at = &flat[*from..*from + holes.len()];
                    columns.build_own(*x, holes, at, &mut line);
                    out.lines.push(&line);
                }
            }
        }
        Ok(Some(out))
    }
}

impl Table {
    /// A table over these holes; `None` when a column has no dictionary, or there are too many
    /// combinations for a number.
    fn new(columns: &Columns<'_, '_>, holes: Vec<(usize, usize)>) -> Option<Self> {
        let mut all = 1u64;
        let mut with = Vec::with_capacity(holes.len());
        for (hole, column) in holes {
            let n = columns.coded[column].as_ref()?.0.len() as u64;
            with.push((hole, column, all));
            all = all.checked_mul(n.max(1))?;
        }
        let dense = if all <= DENSE_MAX { all as usize } else { 0 };
        Some(Self {
            holes: with,
            dense: vec![u32::MAX; dense],
            sparse: HashMap::default(),
        })
    }

    /// Number of the line with the values `at`, and whether it is `next`, a new one.
    fn number(&mut self, columns: &Columns<'_, '_>, at: &[u32], next: u32) -> (u32, bool) {
        let mut key = 0;
        for (hole, column, by) in &self.holes {
            key += u64::from(columns.code(*column, at[*hole])) * by;
        }
        let place = match self.dense.get_mut(key as usize) {
            Some(p) => p,
            None => self.sparse.entry(key).or_insert(u32::MAX),
        };
        let new = *place == u32::MAX;
        if new {
            *place = next;
        }
        (*place, new)
    }
}

/// Values of a dictionary and the number of each row's; a constant has no numbers.
type Coded<'a> = (Vec<&'a [u8]>, &'a [u8]);

/// The columns of a split, as far as they are looked at.
struct Columns<'a, 'p> {
    page: &'a Page<'p>,
    split: &'a Split<'p>,
    sizes: &'a [usize],
    coded: Vec<Option<Coded<'a>>>,
    /// Columns that say where their values are.
    live: Vec<bool>,
    /// Values of a column that have a form (of a dictionary by its numbers), when not all have.
    forms: BTreeMap<(usize, Form), Option<Vec<bool>>>,
    /// Values of other columns that are needed, in this order.
    wanted: Vec<Vec<u32>>,
    values: Vec<(Values, usize)>,
}

impl<'a, 'p> Columns<'a, 'p> {
    fn new(page: &'a Page<'p>, split: &'a Split<'p>, sizes: &'a [usize]) -> Self {
        Self {
            page,
            split,
            sizes,
            coded: split.columns.iter().map(|_| None).collect(),
            live: vec![false; split.columns.len()],
            forms: BTreeMap::new(),
            wanted: vec![Vec::new(); split.columns.len()],
            values: Vec::new(),
        }
    }

    fn plan(&mut self, x: usize, look: &mut dyn Look) -> Result<Option<Plan>, ChunkError> {
        let skeleton = &self.split.skeletons[x];
        let columns = &skeleton.columns;
        let Some(holes) = look.holes(&skeleton.pieces) else {
            return Ok(None);
        };
        if holes.len() != columns.len() {
            return Ok(None);
        }
        let mut doubtful = Vec::new();
        for (i, (hole, c)) in holes.iter().zip(columns).enumerate() {
            if !self.all_have(*c, hole.form)? {
                self.load(*c)?;
                doubtful.push((i, *c));
                self.live[*c] = true;
            }
            if hole.care != Care::Ignored {
                self.load(*c)?;
                self.live[*c] = true;
            }
        }
        let some = |care: &dyn Fn(Care) -> bool| -> Vec<(usize, usize)> {
            let all = holes.iter().zip(columns).enumerate();
            let some = all.filter(|(_, (h, _))| care(h.care));
            some.map(|(i, (_, c))| (i, *c)).collect()
        };
        let early = some(&|c| c == Care::Early);
        let seen = some(&|c| c != Care::Ignored);
        let early = match early.is_empty() {
            true => None,
            false => Table::new(self, early),
        };
        let full = Table::new(self, seen);
        Ok(Some(Plan {
            holes,
            doubtful,
            early,
            full,
        }))
    }

    /// Makes a column with few values ready.
    fn load(&mut self, c: usize) -> Result<(), ChunkError> {
        if self.coded[c].is_none() {
            self.coded[c] = match &self.split.columns[c] {
                Column::Constant(v) => Some((vec![*v], &[])),
                Column::Dictionary { values, payload } => {
                    let codes = self.page.codes(*payload, self.sizes[c])?;
                    if codes.iter().any(|i| usize::from(*i) >= values.len()) {
                        return Err(ChunkError("number outside the dictionary"));
                    }
                    Some((values.clone(), codes))
                }
                _ => None,
            };
        }
        Ok(())
    }

    fn all_have(&mut self, c: usize, form: Form) -> Result<bool, ChunkError> {
        if form == Form::Quoted {
            return Ok(true);
        }
        if let Some(known) = self.forms.get(&(c, form)) {
            return Ok(known.is_none());
        }
        let has = match &self.split.columns[c] {
            Column::Dictionary { values, .. } => {
                Some(values.iter().map(|v| has_form(v, form)).collect())
            }
            other if surely(other, form) => None,
            Column::Constant(_) => Some(vec![false]),
            other => {
                let n = self.sizes[c];
                let v = self.page.values(other, n, Pick::All)?;
                Some((0..n).map(|i| has_form(v.get(i), form)).collect())
            }
        };
        let has = has.filter(|h: &Vec<bool>| h.contains(&false));
        let all = has.is_none();
        self.forms.insert((c, form), has);
        Ok(all)
    }

    /// Whether value `i` of a column has a form.
    fn has_form(&self, c: usize, i: u32, form: Form) -> bool {
        let Some(Some(has)) = self.forms.get(&(c, form)) else {
            return true;
        };
        let place = match self.split.columns[c] {
            Column::Dictionary { .. } | Column::Constant(_) => usize::from(self.code(c, i)),
            _ => i as usize,
        };
        has.get(place).copied().unwrap_or(false)
    }

    fn code(&self, c: usize, i: u32) -> u8 {
        let codes = self.coded[c].as_ref().map(|c| c.1);
        codes.and_then(|c| c.get(i as usize)).copied().unwrap_or(0)
    }

    fn coded_value(&self, c: usize, i: u32) -> Option<&'a [u8]> {
        let (values, _) = self.coded[c].as_ref()?;
        values.get(usize::from(self.code(c, i))).copied()
    }

    /// The line with the values `at`, all of columns with few values; with `early` only the early
    /// ones.
    fn build(&self, x: u32, holes: &[Hole], at: &[u32], early: bool, line: &mut Vec<u8>) {
        let s = &self.split.skeletons[x as usize];
        line.clear();
        for (i, hole) in holes.iter().enumerate() {
            line.extend_from_slice(s.pieces[i]);
            let shown = match hole.care {
                Care::Early => true,
                Care::Seen => !early,
                Care::Ignored => false,
            };
            let value = match shown {
                true => self.coded_value(s.columns[i], at[i]),
                false => None,
            };
            line.extend_from_slice(value.unwrap_or(filler(hole.form)));
        }
        line.extend_from_slice(s.pieces.last().copied().unwrap_or_default());
    }

    /// Notes which values of other columns the line of a row takes.
    fn want(&mut self, x: u32, holes: &[Hole], at: &[u32]) {
        let columns = &self.split.skeletons[x as usize].columns;
        for ((hole, c), i) in holes.iter().zip(columns).zip(at) {
            if hole.care != Care::Ignored && self.coded[*c].is_none() {
                self.wanted[*c].push(*i);
            }
        }
    }

    fn unpack(&mut self) -> Result<(), ChunkError> {
        for (c, list) in self.wanted.iter().enumerate() {
            let values = match list.is_empty() {
                true => Values::default(),
                false => {
                    let (column, n) = (&self.split.columns[c], self.sizes[c]);
                    self.page.values(column, n, Pick::These(list))?
                }
            };
            self.values.push((values, 0));
        }
        Ok(())
    }

    /// The next line that was wanted.
    fn build_own(&mut self, x: u32, holes: &[Hole], at: &[u32], line: &mut Vec<u8>) {
        let s = &self.split.skeletons[x as usize];
        line.clear();
        for (i, hole) in holes.iter().enumerate() {
            line.extend_from_slice(s.pieces[i]);
            let c = s.columns[i];
            if hole.care == Care::Ignored {
                line.extend_from_slice(filler(hole.form));
            } else if let Some(v) = self.coded_value(c, at[i]) {
                line.extend_from_slice(v);
            } else {
                let (values, next) = &mut self.values[c];
                line.extend_from_slice(values.get(*next));
                *next += 1;
            }
        }
        line.extend_from_slice(s.pieces.last().copied().unwrap_or_default());
    }
}
