//! Lines to columns.

use std::hash::{BuildHasher, Hasher};

use hashbrown::{HashMap, HashTable};

use super::cut::{self, Field, Shape};
use super::{
    DEPTH_MAX, DICTIONARY_MAX, HOLE, KIND_CONSTANT, KIND_DECIMAL, KIND_DICTIONARY, KIND_HEX,
    KIND_INTEGER, KIND_PADDED, KIND_PLAIN, KIND_SPLIT, KIND_TIME, Page, Pick, SKELETONS_MAX, Span,
    decode, kinds, pack,
};
use crate::chunk::frame::Unpacker;
use crate::chunk::{ints, varint};

/// Fewer values are not worth a kind of their own.
const SMALL: usize = 8;

/// Encodes lines that end at `ends` in `text`; `None` when they are better stored whole.
/// Cost: about 8 ns a byte, the trial of C1 included.
pub(in crate::logs) fn encode(
    text: &[u8],
    ends: &[u32],
    zstd: &mut zstd::bulk::Compressor<'static>,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut spans = Vec::with_capacity(ends.len());
    let mut from = 0;
    for to in ends {
        spans.push(Span { from, to: *to });
        from = *to;
    }
    let mut e = Encoder {
        text,
        tree: Vec::new(),
        payloads: Vec::new(),
        scratch: ints::Scratch::default(),
        numbers: Vec::new(),
        seed: foldhash::fast::FixedState::with_seed(1),
    };
    e.split(&spans, 0);
    let page = pack::pack(&e.tree, &e.payloads, zstd)?;
    let unpacker = Unpacker::default();
    let again = decode::open(&page, ends.len(), text.len(), &unpacker)
        .and_then(|p| Page::new(&p, ends.len(), text.len())?.lines(Pick::All));
    // C1
    let same = again.is_ok_and(|l| l.bytes == text && l.ends == ends);
    Ok(same.then_some(page))
}

struct Encoder<'a> {
    text: &'a [u8],
    tree: Vec<u8>,
    payloads: Vec<Vec<u8>>,
    scratch: ints::Scratch,
    numbers: Vec<i64>,
    seed: foldhash::fast::FixedState,
}

/// A column that a split collects.
#[derive(Default)]
struct Column {
    values: Vec<Span>,
}

struct Skeleton {
    bytes: Vec<u8>,
    columns: Vec<u32>,
}

impl Encoder<'_> {
    fn hash(&self, bytes: &[u8]) -> u64 {
        let mut h = self.seed.build_hasher();
        h.write(bytes);
        h.finish()
    }

    fn integers(&mut self, payload: &mut Vec<u8>) {
        ints::encode(&self.numbers, payload, &mut self.scratch);
    }

    /// A column of the best kind.
    fn column(&mut self, values: &[Span], depth: u32) {
        let text = self.text;
        let first = values[0].of(text);
        if values.iter().all(|v| v.of(text) == first) {
            self.tree.push(KIND_CONSTANT);
            varint::put_block(&mut self.tree, first);
            return;
        }
        if values.len() >= SMALL && (self.numeric(values) || self.dictionary(values)) {
            return;
        }
        if values.len() >= 4 * SMALL && depth < DEPTH_MAX && self.split(values, depth) {
            return;
        }
        self.plain(values);
    }

    fn numeric(&mut self, values: &[Span]) -> bool {
        let text = self.text;
        let first = values[0].of(text);
        if first.is_empty() {
            return false;
        }
        self.numbers.clear();
        let digit = first[0].is_ascii_digit() || first[0] == b'-';
        if digit {
            // Kinds by what the first value looks like; the first that takes all values wins.
            if let Some(layout) = kinds::time_layout(first) {
                let all = values
                    .iter()
                    .map_while(|v| kinds::time(v.of(text), &layout));
                self.numbers.extend(all);
                if self.numbers.len() == values.len() {
                    self.tree.push(KIND_TIME);
                    varint::put(&mut self.tree, layout.decimals as u64);
                    self.tree.push(layout.between);
                    varint::put_block(&mut self.tree, &layout.suffix);
                    return self.number_payload();
                }
                self.numbers.clear();
            }
            let all = values.iter().map_while(|v| kinds::integer(v.of(text)));
            self.numbers.extend(all);
            if self.numbers.len() == values.len() {
                self.tree.push(KIND_INTEGER);
                return self.number_payload();
            }
            let width = first.len();
            if values.iter().all(|v| v.len() == width) {
                self.numbers.clear();
                let all = values.iter().map_while(|v| kinds::padded(v.of(text)));
                self.numbers.extend(all);
                if self.numbers.len() == values.len() {
                    self.tree.push(KIND_PADDED);
                    varint::put(&mut self.tree, width as u64);
                    return self.number_payload();
                }
            }
            self.numbers.clear();
            let mut decimals = Vec::new();
            for v in values {
                let Some((n, d)) = kinds::decimal(v.of(text)) else {
                    break;
                };
                self.numbers.push(n);
                decimals.push(d);
            }
            if self.numbers.len() == values.len() {
                self.tree.push(KIND_DECIMAL);
                let mut payload = Vec::new();
                self.integers(&mut payload);
                self.numbers = decimals;
                self.integers(&mut payload);
                self.payloads.push(payload);
                return true;
            }
        }
        let digits = first.len();
        let hex = digits >= 8
            && values
                .iter()
                .all(|v| v.len() == digits && kinds::is_hex(v.of(text)));
        if hex {
            self.tree.push(KIND_HEX);
            varint::put(&mut self.tree, digits as u64);
            let mut payload = Vec::with_capacity(values.len() * digits.div_ceil(2));
            values
                .iter()
                .for_each(|v| kinds::put_nibbles(&mut payload, v.of(text)));
            self.payloads.push(payload);
        }
        hex
    }

    fn number_payload(&mut self) -> bool {
        let mut payload = Vec::new();
        self.integers(&mut payload);
        self.payloads.push(payload);
        true
    }

    fn dictionary(&mut self, values: &[Span]) -> bool {
        let text = self.text;
        let limit = DICTIONARY_MAX.min(values.len() / 4);
        let mut table: HashTable<u8> = HashTable::new();
        let mut distinct: Vec<Span> = Vec::new();
        let mut numbers = Vec::with_capacity(values.len());
        for v in values {
            let bytes = v.of(text);
            let h = self.hash(bytes);
            let known = table.find(h, |i| distinct[usize::from(*i)].of(text) == bytes);
            if let Some(i) = known {
                numbers.push(*i);
                continue;
            }
            let Some(i) = u8::try_from(distinct.len())
                .ok()
                .filter(|i| usize::from(*i) < limit)
            else {
                return false;
            };
            distinct.push(*v);
            table.insert_unique(h, i, |i| self.hash(distinct[usize::from(*i)].of(text)));
            numbers.push(i);
        }
        self.tree.push(KIND_DICTIONARY);
        varint::put(&mut self.tree, distinct.len() as u64);
        for d in &distinct {
            varint::put_block(&mut self.tree, d.of(text));
        }
        self.payloads.push(numbers);
        true
    }

    fn plain(&mut self, values: &[Span]) {
        self.tree.push(KIND_PLAIN);
        self.numbers.clear();
        self.numbers.extend(values.iter().map(|v| v.len() as i64));
        let mut payload = Vec::new();
        self.integers(&mut payload);
        for v in values {
            payload.extend_from_slice(v.of(self.text));
        }
        self.payloads.push(payload);
    }

    /// Skeletons and the columns of their holes. At depth 0 always; deeper only when it pays.
    fn split(&mut self, values: &[Span], depth: u32) -> bool {
        let text = self.text;
        // Below the first level a value is split only if few skeletons cover it.
        let limit = if depth == 0 {
            SKELETONS_MAX
        } else {
            (values.len() / 8).min(SKELETONS_MAX)
        };
        let mut skeletons: Vec<Skeleton> = Vec::new();
        let mut lookup: HashTable<u32> = HashTable::new();
        let mut columns: Vec<Column> = Vec::new();
        let mut by_key: HashMap<&[u8], u32, foldhash::fast::FixedState> =
            HashMap::with_hasher(self.seed.clone());
        let mut numbers = Vec::with_capacity(values.len());
        let mut fields: Vec<Field> = Vec::new();
        let mut skeleton: Vec<u8> = Vec::new();
        for v in values {
            let shape = if depth == 0 {
                cut::shape(v.of(text))
            } else {
                Shape::Text
            };
            let whole = !cut::cut(text, *v, shape, &mut fields, &mut skeleton);
            let mut h = self.hash(&skeleton);
            let find = |t: &HashTable<u32>, s: &[Skeleton], h: u64, k: &[u8]| {
                t.find(h, |i| s[*i as usize].bytes == k).copied()
            };
            let mut id = if whole {
                None
            } else {
                find(&lookup, &skeletons, h, &skeleton)
            };
            if id.is_none() && (whole || skeletons.len() >= limit) {
                if depth > 0 {
                    return false;
                }
                // Stored whole, as the one value of the skeleton that is only a hole.
                fields.clear();
                fields.push(Field {
                    value: *v,
                    key: Span { from: 0, to: 0 },
                });
                skeleton.clear();
                skeleton.push(HOLE);
                h = self.hash(&skeleton);
                id = find(&lookup, &skeletons, h, &skeleton);
            }
            let id = match id {
                Some(i) => i,
                None => {
                    let i = skeletons.len() as u32;
                    let names = fields.iter().map(|f| {
                        if f.key.len() == 0 {
                            columns.push(Column::default());
                            return columns.len() as u32 - 1;
                        }
                        *by_key.entry(f.key.of(text)).or_insert_with(|| {
                            columns.push(Column::default());
                            columns.len() as u32 - 1
                        })
                    });
                    let columns = names.collect();
                    skeletons.push(Skeleton {
                        bytes: skeleton.clone(),
                        columns,
                    });
                    lookup.insert_unique(h, i, |i| self.hash(&skeletons[*i as usize].bytes));
                    i
                }
            };
            numbers.push(i64::from(id));
            let names = &skeletons[id as usize].columns;
            for (f, c) in fields.iter().zip(names) {
                columns[*c as usize].values.push(f.value);
            }
        }
        if depth > 0 && columns.is_empty() {
            return false;
        }
        self.tree.push(KIND_SPLIT);
        varint::put(&mut self.tree, skeletons.len() as u64);
        for s in &skeletons {
            varint::put_block(&mut self.tree, &s.bytes);
            varint::put(&mut self.tree, s.columns.len() as u64);
            s.columns
                .iter()
                .for_each(|c| varint::put(&mut self.tree, u64::from(*c)));
        }
        varint::put(&mut self.tree, columns.len() as u64);
        self.numbers = numbers;
        self.number_payload();
        for c in &columns {
            self.column(&c.values, depth + 1);
        }
        true
    }
}
