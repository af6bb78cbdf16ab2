//! Payloads of metric records in the log. Format: `engine/docs/format/metrics-wal.md`.

use crate::chunk::ChunkError;
use crate::chunk::varint::{self, Reader};
use crate::model::{Exemplar, Labels, MetricMetadata, MetricType};

pub(super) const KIND_PAIRS: u8 = 1;
pub(super) const KIND_SERIES: u8 = 2;
pub(super) const KIND_ROWS: u8 = 3;
pub(super) const KIND_SPARSE: u8 = 4;
pub(super) const KIND_HISTOGRAM: u8 = 5;
pub(super) const KIND_START: u8 = 6;
pub(super) const KIND_EXEMPLAR: u8 = 7;
pub(super) const KIND_METADATA: u8 = 8;
pub(in crate::metrics) const KIND_DELETE: u8 = 9;

pub(super) fn put_str(out: &mut Vec<u8>, s: &str) {
    varint::put(out, s.len() as u64);
    out.extend_from_slice(s.as_bytes());
}

pub(super) fn get_str<'a>(r: &mut Reader<'a>) -> Result<&'a str, ChunkError> {
    std::str::from_utf8(r.block()?).map_err(|_| ChunkError("string is not UTF-8"))
}

/// One cell of a row on its way in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) group: u32,
    pub(super) slot: u16,
    pub(super) t: i64,
    pub(super) v: f64,
}

/// Appends row fragments for `cells` (consecutive cells with equal group and time make one).
pub(super) fn put_rows(out: &mut Vec<u8>, cells: &[Cell]) {
    for part in cells.chunk_by(|a, b| a.group == b.group && a.t == b.t) {
        let first = part[0];
        varint::put(out, u64::from(first.group));
        varint::put_signed(out, first.t);
        varint::put(out, part.len() as u64);
        let dense = part
            .windows(2)
            .all(|w| w[1].slot == w[0].slot.wrapping_add(1));
        out.push(u8::from(!dense));
        if dense {
            varint::put(out, u64::from(first.slot));
        } else {
            let mut at = 0u16;
            for c in part {
                varint::put(out, u64::from(c.slot.wrapping_sub(at)));
                at = c.slot;
            }
        }
        let control = out.len();
        out.resize(control + part.len().div_ceil(2), 0);
        for (i, c) in part.iter().enumerate() {
            let code = put_value(out, c.v);
            out[control + i / 2] |= code << (4 * (i & 1));
        }
    }
}

#[inline]
fn put_value(out: &mut Vec<u8>, v: f64) -> u8 {
    let bits = v.to_bits();
    if bits == 0 {
        return 0;
    }
    let high = 8 - bits.trailing_zeros() as usize / 8;
    let i = v as i64;
    if i as f64 == v && i.unsigned_abs() < 1 << 54 {
        let z = ((i << 1) ^ (i >> 63)) as u64;
        let n = 8 - z.leading_zeros() as usize / 8;
        // -0.0 became 0 and has no integer form; it is short as a double.
        if z != 0 && n <= high {
            out.extend_from_slice(&z.to_le_bytes()[..n]);
            return n as u8;
        }
    }
    out.extend_from_slice(&bits.to_be_bytes()[..high]);
    7 + high as u8
}

/// Calls `visit` for every cell of a record of row fragments.
pub(super) fn get_rows(bytes: &[u8], visit: &mut dyn FnMut(Cell)) -> Result<(), ChunkError> {
    let mut r = Reader::new(bytes);
    let mut slots: Vec<u16> = Vec::new();
    while !r.rest.is_empty() {
        let group = r.index(1 << 32)? as u32;
        let t = r.signed()?;
        let n = r.index(r.rest.len() * 2 + 2)?;
        slots.clear();
        if r.u8()? == 0 {
            let first = r.index(1 << 16)? as u16;
            slots.extend((0..n).map(|i| first.wrapping_add(i as u16)));
        } else {
            let mut at = 0u16;
            for _ in 0..n {
                at = at.wrapping_add(r.index(1 << 16)? as u16);
                slots.push(at);
            }
        }
        let control = r.bytes(n.div_ceil(2))?;
        for (i, slot) in slots.iter().enumerate() {
            let code = control[i / 2] >> (4 * (i & 1)) & 15;
            let v = get_value(&mut r, code)?;
            visit(Cell {
                group,
                slot: *slot,
                t,
                v,
            });
        }
    }
    Ok(())
}

#[inline]
fn get_value(r: &mut Reader<'_>, code: u8) -> Result<f64, ChunkError> {
    let mut b = [0u8; 8];
    Ok(match code {
        0 => 0.0,
        n @ 1..=7 => {
            b[..n as usize].copy_from_slice(r.bytes(n as usize)?);
            let z = u64::from_le_bytes(b);
            ((z >> 1) as i64 ^ -((z & 1) as i64)) as f64
        }
        n => {
            let n = n as usize - 7;
            b[..n].copy_from_slice(r.bytes(n)?);
            f64::from_bits(u64::from_be_bytes(b))
        }
    })
}

pub(super) fn put_exemplar(out: &mut Vec<u8>, sid: u32, e: &Exemplar) {
    varint::put(out, u64::from(sid));
    varint::put_signed(out, e.t);
    out.extend_from_slice(&e.value.to_bits().to_le_bytes());
    varint::put(out, e.labels.len() as u64);
    for (n, v) in &e.labels {
        put_str(out, n);
        put_str(out, v);
    }
}

pub(super) fn get_exemplar(r: &mut Reader<'_>) -> Result<(u32, Exemplar), ChunkError> {
    let sid = r.index(1 << 32)? as u32;
    let t = r.signed()?;
    let value = f64::from_bits(r.u64()?);
    let n = r.index(1 << 10)?;
    let mut pairs = Vec::new();
    for _ in 0..n {
        pairs.push((get_str(r)?, get_str(r)?));
    }
    Ok((
        sid,
        Exemplar {
            labels: Labels::from_pairs(pairs),
            value,
            t,
        },
    ))
}

pub(super) fn put_metadata(out: &mut Vec<u8>, metric: &str, m: &MetricMetadata) {
    put_str(out, metric);
    out.push(m.kind as u8);
    put_str(out, &m.help);
    put_str(out, &m.unit);
}

pub(super) fn get_metadata(r: &mut Reader<'_>) -> Result<(String, MetricMetadata), ChunkError> {
    let metric = get_str(r)?.to_owned();
    let kind = match r.u8()? {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    };
    Ok((
        metric,
        MetricMetadata {
            kind,
            help: get_str(r)?.into(),
            unit: get_str(r)?.into(),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prop_rows_round_trip(
            cells in prop::collection::vec(
                (0u32..3, 0u16..40, 0i64..3, prop_oneof![
                    any::<u64>().prop_map(f64::from_bits),
                    (-(1i64 << 53)..(1 << 53)).prop_map(|i| i as f64),
                    prop::sample::select(vec![0.0, -0.0, 1.0, 0.5, -1.0, 1e300, 255.0, 256.0]),
                ]),
                0..120,
            )
        ) {
            let cells: Vec<Cell> =
                cells.into_iter().map(|(group, slot, t, v)| Cell { group, slot, t, v }).collect();
            let mut out = Vec::new();
            put_rows(&mut out, &cells);
            let mut back = Vec::new();
            get_rows(&out, &mut |c| back.push(c)).expect("decodes");
            let key = |c: &Cell| (c.group, c.slot, c.t, c.v.to_bits());
            prop_assert_eq!(cells.iter().map(key).collect::<Vec<_>>(), back.iter().map(key).collect::<Vec<_>>());
        }

        #[test]
        fn prop_arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let done = get_rows(&bytes, &mut |_| {});
            prop_assert!(done.is_ok() || done.is_err());
        }
    }
}
