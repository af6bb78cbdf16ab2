//! `io.prometheus.write.v2.Request` (remote write 2.0).
//!
//! Every string is in one symbol table; series refer to it by index. Each symbol is hashed once a
//! request, and a series' key folds the hashes of its references: a sum of products with one
//! odd 128-bit factor per position. Symbol hashes are keyed with the store's secret, so that two
//! different reference lists meet only by guessing 128 secret bits.

use super::{
    BODY_BYTES_MAX, Budget, DecodeError, Limits, OutSeries, handle, histogram, only_sample,
    push_start, read_sample, resolve, v1,
};
use crate::model::{
    BatchExtra, Exemplar, InvalidLabels, Labels, LabelsSource, METRIC_NAME, MetricMetadata,
    SeriesKey, WriteBatch,
};
use crate::wire::proto::{ProtoError, Reader, Writer, put_varint};
use crate::wire::{EXEMPLAR_LABELS_MAX, LABELS_MAX};

/// Domain of the symbol hashes, see [`SeriesKey::of_bytes`].
pub const KEY_DOMAIN: u64 = 2;

/// Tag of a symbol within a request.
const TAG_SYMBOL: u8 = 0x22;
/// Tag of the packed label references within a series.
const TAG_REFS: u8 = 0x0a;
/// Tag of a sample within a series.
const TAG_SAMPLE: u8 = 0x12;

/// Memory that is reused from request to request.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Offset and length of each symbol in the body.
    symbols: Vec<(u32, u32)>,
    /// Keyed hash of each symbol.
    hashes: Vec<u128>,
    /// References of series whose list was not one packed field, packed.
    side: Vec<u8>,
    /// Index of `__name__`, `u64::MAX` when no series has it.
    name_symbol: u64,
    /// Metadata already handed out in this request. Senders repeat it with every series.
    told: hashbrown::HashSet<MetaRefs, foldhash::fast::RandomState>,
    /// The one handed out last: most series follow one of their own family.
    told_last: MetaRefs,
}

/// A family's name and its metadata, all as symbols except the type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct MetaRefs {
    name: u64,
    kind: u64,
    help: u64,
    unit: u64,
}

/// The labels of a decoded request.
#[derive(Debug)]
pub struct SymbolLabels<'a> {
    body: &'a [u8],
    scratch: &'a Scratch,
}

/// What of a request was refused by the decoder; the rest is in the batch.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Refusals {
    /// The first texts.
    pub first: Vec<String>,
    /// How many in all.
    pub total: u64,
    /// Samples and histograms that were lost with them.
    pub samples_lost: u64,
}

impl Refusals {
    /// At most this many texts are kept.
    pub const KEEP: usize = 100;

    fn push(&mut self, samples_lost: usize, text: impl FnOnce() -> String) {
        self.total += 1;
        self.samples_lost += samples_lost as u64;
        if self.first.len() < Self::KEEP {
            self.first.push(text());
        }
    }

    /// True when nothing was refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

/// A decoded request.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// Labels of the series in the batch.
    pub labels: SymbolLabels<'a>,
    /// What is not in the batch; answer 400 after storing the rest.
    pub refused: Refusals,
}

impl Scratch {
    fn symbol<'s>(&self, body: &'s [u8], i: u64) -> Option<&'s [u8]> {
        let (at, len) = *self.symbols.get(usize::try_from(i).ok()?)?;
        body.get(at as usize..at as usize + len as usize)
    }

    fn text<'s>(&self, body: &'s [u8], i: u64) -> Option<&'s str> {
        std::str::from_utf8(self.symbol(body, i)?).ok()
    }

    /// The pairs of a packed reference list.
    fn pairs<'s>(
        &self,
        body: &'s [u8],
        refs: &[u8],
        out: &mut Vec<(&'s str, &'s str)>,
    ) -> Result<(), InvalidLabels> {
        let malformed = |e: ProtoError| InvalidLabels::Malformed(e.to_string());
        let mut r = Reader::new(refs);
        while !r.is_empty() {
            let name = r.varint().map_err(malformed)?;
            if r.is_empty() {
                let n = count_refs(refs);
                return Err(InvalidLabels::Reference(format!(
                    "invalid labelRefs length {n}"
                )));
            }
            let value = r.varint().map_err(malformed)?;
            let size = self.symbols.len() as u64;
            if name >= size || value >= size {
                return Err(InvalidLabels::Reference(format!(
                    "labelRefs {name} (name) = {value} (value) outside of symbols table (size {size})"
                )));
            }
            match (self.text(body, name), self.text(body, value)) {
                (Some(n), Some(v)) => out.push((n, v)),
                _ => {
                    return Err(InvalidLabels::NotUtf8("label is not valid UTF-8".into()));
                }
            }
        }
        Ok(())
    }

    /// `None` when it refers outside the table.
    fn metadata(&self, body: &[u8], m: &MetaRefs) -> Option<MetricMetadata> {
        Some(MetricMetadata {
            kind: v1::type_of_number(m.kind),
            help: self.text(body, m.help)?.to_owned(),
            unit: self.text(body, m.unit)?.to_owned(),
        })
    }

    fn labels_text(&self, body: &[u8], refs: &[u8]) -> String {
        let mut pairs = Vec::new();
        if count_refs(refs) > 2 * LABELS_MAX {
            return refs_text(refs);
        }
        match self.pairs(body, refs, &mut pairs) {
            Ok(()) => Labels::from_pairs(pairs).to_string(),
            Err(_) => refs_text(refs),
        }
    }
}

fn count_refs(refs: &[u8]) -> usize {
    refs.iter().filter(|b| **b < 0x80).count()
}

/// `[1 2 3]`, at most 128 of them.
fn refs_text(refs: &[u8]) -> String {
    let mut r = Reader::new(refs);
    let mut words = Vec::new();
    while let (false, Ok(n)) = (r.is_empty() || words.len() >= 128, r.varint()) {
        words.push(n.to_string());
    }
    format!("[{}]", words.join(" "))
}

impl LabelsSource for SymbolLabels<'_> {
    fn collect<'s>(
        &'s self,
        handle: u64,
        out: &mut Vec<(&'s str, &'s str)>,
    ) -> Result<(), InvalidLabels> {
        let refs =
            resolve(handle, self.body, &self.scratch.side).ok_or(InvalidLabels::UnknownHandle)?;
        self.scratch.pairs(self.body, refs, out)
    }
}

/// One odd factor per position in a reference list.
const fn factor(position: usize) -> u128 {
    // SplitMix64 twice, over the position.
    let hi = splitmix(position as u64 * 2 + 1);
    let lo = splitmix(position as u64 * 2 + 2);
    (hi as u128) << 64 | (lo | 1) as u128
}

const fn splitmix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const FACTORS: [u128; 128] = {
    let mut table = [0; 128];
    let mut i = 0;
    while i < table.len() {
        table[i] = factor(i);
        i += 1;
    }
    table
};

/// What a reference list turns out to be.
enum Folded {
    Key(SeriesKey),
    /// Not a label list: the text of the pairs loop says why.
    Invalid,
}

#[inline]
fn fold(refs: &[u8], hashes: &[u128]) -> Result<Folded, ProtoError> {
    let mut factors = FACTORS.iter();
    let (mut sum, mut n, mut p) = (0u128, 0usize, 0usize);
    while let Some(&first) = refs.get(p) {
        let i = match (first, refs.get(p + 1)) {
            (0..0x80, _) => {
                p += 1;
                u64::from(first)
            }
            (_, Some(&second @ 0..0x80)) => {
                p += 2;
                u64::from(first & 0x7f) | u64::from(second) << 7
            }
            _ => {
                let mut r = Reader::new(&refs[p..]);
                let i = r.varint()?;
                p = refs.len() - r.rest().len();
                i
            }
        };
        let Some(h) = usize::try_from(i).ok().and_then(|i| hashes.get(i)) else {
            return Ok(Folded::Invalid);
        };
        let k = factors.next().copied().unwrap_or_else(|| factor(n));
        sum = sum.wrapping_add(h.wrapping_mul(k));
        n += 1;
    }
    Ok(if n.is_multiple_of(2) {
        Folded::Key(SeriesKey(sum))
    } else {
        Folded::Invalid
    })
}

/// Symbol of the metric name in a reference list, `u64::MAX` when there is none.
fn name_of(refs: &[u8], name_symbol: u64) -> Result<u64, ProtoError> {
    let mut r = Reader::new(refs);
    while !r.is_empty() {
        let (name, value) = (r.varint()?, r.varint()?);
        if name == name_symbol {
            return Ok(value);
        }
    }
    Ok(u64::MAX)
}

/// Decodes a request into `batch` (cleared first). `secret` is the store's key secret.
///
/// # Errors
/// When the message is malformed, its symbol table does not start with the empty string or a
/// limit is exceeded. What is wrong with single series, histograms or exemplars is in
/// [`Decoded::refused`].
pub fn decode<'a>(
    body: &'a [u8],
    secret: u64,
    limits: &Limits,
    scratch: &'a mut Scratch,
    batch: &mut WriteBatch,
) -> Result<Decoded<'a>, DecodeError> {
    batch.clear();
    super::check("bytes", body.len(), BODY_BYTES_MAX)?;
    let first_series = read_symbols(body, secret, limits, scratch)?;
    let mut budget = Budget::new(limits);
    let mut refused = Refusals::default();
    let mut r = Reader::new(body.get(first_series..).unwrap_or(&[]));
    while let Some((field, v)) = r.field()? {
        if field != 5 {
            continue;
        }
        let series = v.bytes(5)?;
        if scratch.symbols.first().is_none_or(|(_, len)| *len != 0) {
            return Err(DecodeError::Symbols(
                "symbols table must start with an empty string",
            ));
        }
        let at = body.len() - r.rest().len() - series.len();
        decode_series(body, series, at, &mut budget, scratch, batch, &mut refused)?;
        budget.series(batch.series.len() + refused.total as usize)?;
    }
    if !batch.start_ts.is_empty() {
        batch.start_ts.resize(batch.samples.len(), 0);
    }
    Ok(Decoded {
        labels: SymbolLabels { body, scratch },
        refused,
    })
}

/// Reads the symbol table, wherever its parts are. Returns where the first series is.
fn read_symbols(
    body: &[u8],
    secret: u64,
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<usize, DecodeError> {
    scratch.symbols.clear();
    scratch.hashes.clear();
    scratch.side.clear();
    scratch.told.clear();
    scratch.told_last = MetaRefs::default();
    scratch.name_symbol = u64::MAX;
    let mut first_series = body.len();
    let mut r = Reader::new(body);
    loop {
        let at = body.len() - r.rest().len();
        let symbol = if r.eat(TAG_SYMBOL) {
            r.bytes()?
        } else {
            match r.field()? {
                Some((4, v)) => v.bytes(4)?,
                Some((5, _)) => {
                    first_series = first_series.min(at);
                    continue;
                }
                Some(_) => continue,
                None => return Ok(first_series),
            }
        };
        super::check("symbols", scratch.symbols.len() + 1, limits.symbols)?;
        if symbol == METRIC_NAME.as_bytes() && scratch.name_symbol == u64::MAX {
            scratch.name_symbol = scratch.symbols.len() as u64;
        }
        let at = body.len() - r.rest().len() - symbol.len();
        // Both fit: the body is below 2 GiB.
        scratch.symbols.push((at as u32, symbol.len() as u32));
        let hash = SeriesKey::of_bytes(secret, KEY_DOMAIN, symbol);
        scratch.hashes.push(hash.0);
    }
}

#[inline]
fn decode_series(
    body: &[u8],
    series: &[u8],
    at: usize,
    budget: &mut Budget<'_>,
    scratch: &mut Scratch,
    batch: &mut WriteBatch,
    refused: &mut Refusals,
) -> Result<(), DecodeError> {
    let mut r = Reader::new(series);
    let mut refs: &[u8] = &[];
    let mut refs_at = at;
    if r.eat(TAG_REFS) {
        refs = r.bytes()?;
        refs_at = at + (series.len() - r.rest().len() - refs.len());
        // Nothing is known about start timestamps so far, and this series does not say either.
        if batch.start_ts.is_empty()
            && let Some(s) = only_sample(r.rest())
            && let Folded::Key(key) = fold(refs, &scratch.hashes)?
        {
            budget.sample()?;
            batch.push_sample(key, handle(false, refs_at, refs.len()), s.t, s.v);
            return Ok(());
        }
    }
    decode_any_series(
        body, series, r, refs, refs_at, budget, scratch, batch, refused,
    )
}

/// As [`decode_series`], for whatever a series may hold; `r` is after its first `refs`.
#[inline(never)]
fn decode_any_series<'a>(
    body: &[u8],
    series: &'a [u8],
    mut r: Reader<'a>,
    refs: &'a [u8],
    refs_at: usize,
    budget: &mut Budget<'_>,
    scratch: &mut Scratch,
    batch: &mut WriteBatch,
    refused: &mut Refusals,
) -> Result<(), DecodeError> {
    let first_sample = batch.samples.len();
    let mut extra: Option<BatchExtra> = None;
    let mut meta = MetaRefs::default();
    let mut one_list = true;
    let mut bad_points: Vec<String> = Vec::new();
    loop {
        if r.eat(TAG_SAMPLE) {
            let (s, start) = read_sample(r.bytes()?)?;
            budget.sample()?;
            batch.samples.push(s);
            push_start(batch, start);
            continue;
        }
        match r.field()? {
            None => break,
            Some((1, v)) => {
                v.each_varint::<ProtoError>(1, |_| Ok(()))?;
                one_list = false;
            }
            Some((2, v)) => {
                let (s, start) = read_sample(v.bytes(2)?)?;
                budget.sample()?;
                batch.samples.push(s);
                push_start(batch, start);
            }
            Some((3, v)) => {
                budget.sample()?;
                let mut p = histogram::read(v.bytes(3)?, budget)?;
                match p.h.accept() {
                    Ok(h) => {
                        p.h = h;
                        extra.get_or_insert_default().histograms.push(p);
                    }
                    Err(e) => bad_points.push(e.0),
                }
            }
            Some((4, v)) => {
                budget.sample()?;
                match read_exemplar(v.bytes(4)?, body, scratch)? {
                    Ok(e) => extra.get_or_insert_default().exemplars.push(e),
                    Err(text) => bad_points.push(format!("parsing exemplar: {text}")),
                }
            }
            Some((5, v)) => {
                meta = read_metadata(v.bytes(5)?)?;
            }
            Some(_) => {}
        }
    }
    let side_at = scratch.side.len();
    if !one_list {
        let side = &mut scratch.side;
        let mut r = Reader::new(series);
        while let Some((field, v)) = r.field()? {
            if field == 1 {
                v.each_varint::<ProtoError>(1, |n| {
                    put_varint(side, n);
                    Ok(())
                })?;
            }
        }
    }
    let (refs, labels) = if one_list {
        (refs, handle(false, refs_at, refs.len()))
    } else {
        let packed = &scratch.side[side_at..];
        (packed, handle(true, side_at, packed.len()))
    };
    let histograms = extra.as_ref().map_or(0, |e| e.histograms.len());
    let points = batch.samples.len() - first_sample + histograms + bad_points.len();
    let drop_points = |batch: &mut WriteBatch| {
        batch.samples.truncate(first_sample);
        batch.start_ts.truncate(first_sample);
    };
    let Folded::Key(key) = fold(refs, &scratch.hashes)? else {
        drop_points(batch);
        refused.push(points, || {
            let why = scratch.pairs(body, refs, &mut Vec::new());
            format!(
                "parsing labels for series {}: {}",
                refs_text(refs),
                why.err().map_or(String::new(), |e| e.to_string())
            )
        });
        return Ok(());
    };
    if batch.samples.len() == first_sample && histograms == 0 && bad_points.is_empty() {
        refused.push(0, || {
            format!(
                "TimeSeries must contain at least one sample or histogram for series {}",
                scratch.labels_text(body, refs)
            )
        });
        return Ok(());
    }
    for text in bad_points {
        refused.push(1, || {
            format!("{text} for series {}", scratch.labels_text(body, refs))
        });
    }
    if (meta.kind, meta.help, meta.unit) != (0, 0, 0) {
        meta.name = name_of(refs, scratch.name_symbol)?;
        if meta != scratch.told_last {
            scratch.told_last = meta;
            if scratch.told.insert(meta) {
                let found = scratch.metadata(body, &meta);
                extra.get_or_insert_default().metadata = found;
            }
        }
    }
    batch.push_series(key, labels, first_sample, extra);
    Ok(())
}

type ExemplarOrText = Result<Exemplar, String>;

fn read_exemplar(msg: &[u8], body: &[u8], scratch: &Scratch) -> Result<ExemplarOrText, ProtoError> {
    let mut refs = Vec::new();
    let (mut value, mut t) = (0.0, 0);
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => v.each_varint::<ProtoError>(1, |n| {
                put_varint(&mut refs, n);
                Ok(())
            })?,
            2 => value = v.double(2)?,
            3 => t = v.varint(3)?.cast_signed(),
            _ => {}
        }
    }
    if count_refs(&refs) > 2 * EXEMPLAR_LABELS_MAX {
        return Ok(Err(format!(
            "exemplar has more than {EXEMPLAR_LABELS_MAX} labels"
        )));
    }
    let mut pairs = Vec::new();
    let read = scratch.pairs(body, &refs, &mut pairs);
    Ok(read.map_err(|e| e.to_string()).map(|()| Exemplar {
        labels: Labels::from_pairs(pairs),
        value,
        t,
    }))
}

fn read_metadata(msg: &[u8]) -> Result<MetaRefs, ProtoError> {
    let mut m = MetaRefs::default();
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => m.kind = v.varint(1)?,
            3 => m.help = v.varint(3)?,
            4 => m.unit = v.varint(4)?,
            _ => {}
        }
    }
    Ok(m)
}

/// Appends a request with `series` to `out`.
pub fn encode<'a>(series: impl IntoIterator<Item = OutSeries<'a>>, out: &mut Vec<u8>) {
    let mut table = Table::default();
    table.index("");
    let mut messages = Vec::new();
    let mut w = Writer::new(&mut messages);
    for s in series {
        w.message(5, |m| write_series(m, &s, &mut table));
    }
    let mut w = Writer::new(out);
    for symbol in &table.symbols {
        w.bytes(4, symbol.as_bytes());
    }
    out.extend_from_slice(&messages);
}

#[derive(Default)]
struct Table<'a> {
    symbols: Vec<&'a str>,
    index: hashbrown::HashMap<&'a str, u64, foldhash::fast::RandomState>,
}

impl<'a> Table<'a> {
    fn index(&mut self, s: &'a str) -> u64 {
        *self.index.entry(s).or_insert_with(|| {
            self.symbols.push(s);
            self.symbols.len() as u64 - 1
        })
    }

    fn refs(&mut self, labels: &'a Labels) -> Vec<u64> {
        labels
            .iter()
            .flat_map(|(n, v)| [self.index(n), self.index(v)])
            .collect()
    }
}

fn write_series<'a>(m: &mut Writer<'_>, s: &OutSeries<'a>, table: &mut Table<'a>) {
    m.packed_varints(1, table.refs(s.labels).into_iter());
    for (i, p) in s.samples.iter().enumerate() {
        m.message(2, |m| {
            m.double_or_skip(1, p.v);
            m.int_or_skip(2, p.t);
            m.int_or_skip(3, s.start_ts.get(i).copied().unwrap_or(0));
        });
    }
    for h in s.histograms {
        m.message(3, |m| histogram::write(m, h, true));
    }
    for e in s.exemplars {
        let refs = table.refs(&e.labels);
        m.message(4, |m| {
            m.packed_varints(1, refs.into_iter());
            m.double_or_skip(2, e.value);
            m.int_or_skip(3, e.t);
        });
    }
    if let Some(meta) = s.metadata {
        let (help, unit) = (table.index(&meta.help), table.index(&meta.unit));
        m.message(5, |m| {
            m.uint_or_skip(1, v1::type_number(meta.kind));
            m.uint_or_skip(3, help);
            m.uint_or_skip(4, unit);
        });
    }
}
