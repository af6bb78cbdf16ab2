//! One native histogram sample as bytes. Format: `engine/docs/format/histogram.md`.

use super::ChunkError;
use super::varint::{self, Reader};
use crate::model::{CounterResetHint, Counts, Histogram, Span};

fn put_f64(out: &mut Vec<u8>, v: f64) {
    out.extend_from_slice(&v.to_bits().to_le_bytes());
}

/// Appends `h`.
pub fn put(out: &mut Vec<u8>, h: &Histogram) {
    out.push(u8::from(!h.is_integer()) | (h.hint as u8) << 1);
    varint::put_signed(out, i64::from(h.schema));
    put_f64(out, h.zero_threshold);
    put_f64(out, h.sum);
    for spans in [&h.positive_spans, &h.negative_spans] {
        varint::put(out, spans.len() as u64);
        for s in spans {
            varint::put_signed(out, i64::from(s.offset));
            varint::put(out, u64::from(s.length));
        }
    }
    varint::put(out, h.custom_values.len() as u64);
    h.custom_values.iter().for_each(|v| put_f64(out, *v));
    match &h.counts {
        Counts::Integer {
            count,
            zero,
            positive,
            negative,
        } => {
            varint::put(out, *count);
            varint::put(out, *zero);
            for list in [positive, negative] {
                varint::put(out, list.len() as u64);
                list.iter().for_each(|d| varint::put_signed(out, *d));
            }
        }
        Counts::Float {
            count,
            zero,
            positive,
            negative,
        } => {
            put_f64(out, *count);
            put_f64(out, *zero);
            for list in [positive, negative] {
                varint::put(out, list.len() as u64);
                list.iter().for_each(|v| put_f64(out, *v));
            }
        }
    }
}

fn get_f64(r: &mut Reader<'_>) -> Result<f64, ChunkError> {
    Ok(f64::from_bits(r.u64()?))
}

fn list<'a, T>(
    r: &mut Reader<'a>,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T, ChunkError>,
) -> Result<Vec<T>, ChunkError> {
    let n = r.index(r.rest.len() + 1)?;
    (0..n).map(|_| item(r)).collect()
}

fn span(r: &mut Reader<'_>) -> Result<Span, ChunkError> {
    let offset = i32::try_from(r.signed()?).map_err(|_| ChunkError("span offset"))?;
    let length = u32::try_from(r.varint()?).map_err(|_| ChunkError("span length"))?;
    Ok(Span { offset, length })
}

/// Reads one sample.
///
/// # Errors
/// When the bytes are not one.
pub fn get(r: &mut Reader<'_>) -> Result<Histogram, ChunkError> {
    let flags = r.u8()?;
    if flags & !7 != 0 {
        return Err(ChunkError("reserved bits set"));
    }
    let schema = i32::try_from(r.signed()?).map_err(|_| ChunkError("schema"))?;
    let zero_threshold = get_f64(r)?;
    let sum = get_f64(r)?;
    let positive_spans = list(r, span)?;
    let negative_spans = list(r, span)?;
    let custom_values = list(r, get_f64)?;
    let counts = if flags & 1 == 0 {
        Counts::Integer {
            count: r.varint()?,
            zero: r.varint()?,
            positive: list(r, Reader::signed)?,
            negative: list(r, Reader::signed)?,
        }
    } else {
        Counts::Float {
            count: get_f64(r)?,
            zero: get_f64(r)?,
            positive: list(r, get_f64)?,
            negative: list(r, get_f64)?,
        }
    };
    Ok(Histogram {
        hint: CounterResetHint::from_number(u64::from(flags >> 1)),
        schema,
        zero_threshold,
        sum,
        positive_spans,
        negative_spans,
        custom_values,
        counts,
    })
}
