//! The `Histogram` message, which both versions share.

use super::{Budget, DecodeError};
use crate::model::{CounterResetHint, Counts, Histogram, HistogramPoint, Span};
use crate::wire::proto::{Reader, Value, Writer, unzigzag, zigzag};

/// Reads a histogram as sent. It is not validated yet: see [`Histogram::accept`].
pub(super) fn read(msg: &[u8], budget: &mut Budget<'_>) -> Result<HistogramPoint, DecodeError> {
    let mut r = Reader::new(msg);
    let (mut count, mut count_float) = (0, None);
    let (mut zero, mut zero_float) = (0, 0.0);
    let (mut pos_deltas, mut neg_deltas) = (Vec::new(), Vec::new());
    let (mut pos_floats, mut neg_floats) = (Vec::new(), Vec::new());
    let (mut t, mut start_t) = (0, 0);
    let mut h = Histogram {
        hint: CounterResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.0,
        sum: 0.0,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts: Counts::Integer {
            count: 0,
            zero: 0,
            positive: Vec::new(),
            negative: Vec::new(),
        },
    };
    while let Some((field, v)) = r.field()? {
        match field {
            // Of a oneof the last one counts.
            1 => (count, count_float) = (v.varint(1)?, None),
            2 => count_float = Some(v.double(2)?),
            3 => h.sum = v.double(3)?,
            4 => h.schema = unzigzag(v.varint(4)?) as i32,
            5 => h.zero_threshold = v.double(5)?,
            6 => zero = v.varint(6)?,
            7 => zero_float = v.double(7)?,
            8 => h.negative_spans.push(span(v.bytes(8)?, budget)?),
            9 => deltas(v, 9, &mut neg_deltas, budget)?,
            10 => doubles(v, 10, &mut neg_floats, budget)?,
            11 => h.positive_spans.push(span(v.bytes(11)?, budget)?),
            12 => deltas(v, 12, &mut pos_deltas, budget)?,
            13 => doubles(v, 13, &mut pos_floats, budget)?,
            14 => h.hint = CounterResetHint::from_number(v.varint(14)?),
            15 => t = v.varint(15)?.cast_signed(),
            16 => doubles(v, 16, &mut h.custom_values, budget)?,
            17 => start_t = v.varint(17)?.cast_signed(),
            _ => {}
        }
    }
    h.counts = match count_float {
        Some(count) => Counts::Float {
            count,
            zero: zero_float,
            positive: pos_floats,
            negative: neg_floats,
        },
        None => Counts::Integer {
            count,
            zero,
            positive: pos_deltas,
            negative: neg_deltas,
        },
    };
    Ok(HistogramPoint { t, start_t, h })
}

fn span(msg: &[u8], budget: &mut Budget<'_>) -> Result<Span, DecodeError> {
    budget.bucket()?;
    let mut s = Span::default();
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => s.offset = unzigzag(v.varint(1)?) as i32,
            2 => s.length = v.varint(2)? as u32,
            _ => {}
        }
    }
    Ok(s)
}

fn deltas(
    v: Value<'_>,
    field: u32,
    out: &mut Vec<i64>,
    budget: &mut Budget<'_>,
) -> Result<(), DecodeError> {
    v.each_varint(field, |n| {
        budget.bucket()?;
        out.push(unzigzag(n));
        Ok(())
    })
}

fn doubles(
    v: Value<'_>,
    field: u32,
    out: &mut Vec<f64>,
    budget: &mut Budget<'_>,
) -> Result<(), DecodeError> {
    v.each_fixed64(field, |n| {
        budget.bucket()?;
        out.push(f64::from_bits(n));
        Ok(())
    })
}

/// Writes the message; `with_start` adds the start timestamp (version 2).
pub(in crate::wire) fn write(w: &mut Writer<'_>, p: &HistogramPoint, with_start: bool) {
    let h = &p.h;
    match &h.counts {
        Counts::Integer { count, .. } => w.uint(1, *count),
        Counts::Float { count, .. } => w.double(2, *count),
    }
    w.double_or_skip(3, h.sum);
    w.sint_or_skip(4, i64::from(h.schema));
    w.double_or_skip(5, h.zero_threshold);
    match &h.counts {
        Counts::Integer { zero, .. } => w.uint(6, *zero),
        Counts::Float { zero, .. } => w.double(7, *zero),
    }
    spans(w, 8, &h.negative_spans);
    match &h.counts {
        Counts::Integer { negative, .. } => {
            w.packed_varints(9, negative.iter().map(|d| zigzag(*d)));
        }
        Counts::Float { negative, .. } => w.packed_doubles(10, negative),
    }
    spans(w, 11, &h.positive_spans);
    match &h.counts {
        Counts::Integer { positive, .. } => {
            w.packed_varints(12, positive.iter().map(|d| zigzag(*d)));
        }
        Counts::Float { positive, .. } => w.packed_doubles(13, positive),
    }
    w.uint_or_skip(14, h.hint as u64);
    w.int_or_skip(15, p.t);
    w.packed_doubles(16, &h.custom_values);
    if with_start {
        w.int_or_skip(17, p.start_t);
    }
}

fn spans(w: &mut Writer<'_>, field: u32, spans: &[Span]) {
    for s in spans {
        w.message(field, |m| {
            m.sint_or_skip(1, i64::from(s.offset));
            m.uint_or_skip(2, u64::from(s.length));
        });
    }
}
