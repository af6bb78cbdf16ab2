//! `PushRequest` in protobuf (after snappy or gzip).

use super::{Pairs, PushDecodeError, PushEntry, PushStream, parse_labels};
use crate::model::lossy_text;
use crate::wire::proto::{Reader, Value};

/// Decodes a push request.
///
/// # Errors
/// When the message is malformed or labels are none.
pub fn decode_protobuf(body: &[u8]) -> Result<Vec<PushStream<'_>>, PushDecodeError> {
    let mut out = Vec::new();
    let mut r = Reader::new(body);
    while let Some((field, v)) = r.field()? {
        if field == 1 {
            out.push(stream(v.bytes(1)?)?);
        }
    }
    Ok(out)
}

fn stream(message: &[u8]) -> Result<PushStream<'_>, PushDecodeError> {
    let mut out = PushStream::default();
    let mut r = Reader::new(message);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => out.labels = parse_labels(v.string(1)?)?,
            2 => out.entries.push(entry(v.bytes(2)?)?),
            _ => {}
        }
    }
    Ok(out)
}

fn entry(message: &[u8]) -> Result<PushEntry<'_>, PushDecodeError> {
    let mut out = PushEntry::default();
    let mut r = Reader::new(message);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => out.time = time(v.bytes(1)?)?,
            // Senders of the family do not check that lines are UTF-8.
            2 => out.line = lossy_text(v.bytes(2)?),
            3 => pair(v, &mut out.metadata)?,
            _ => {}
        }
    }
    Ok(out)
}

fn pair<'a>(v: Value<'a>, out: &mut Pairs<'a>) -> Result<(), PushDecodeError> {
    let (mut name, mut value) = (Default::default(), Default::default());
    let mut r = Reader::new(v.bytes(3)?);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => name = lossy_text(v.bytes(1)?),
            2 => value = lossy_text(v.bytes(2)?),
            _ => {}
        }
    }
    out.push((name, value));
    Ok(())
}

/// A timestamp in ns; what does not fit is cut to the nearest that does.
fn time(message: &[u8]) -> Result<i64, PushDecodeError> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    let mut r = Reader::new(message);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => seconds = v.varint(1)?.cast_signed(),
            2 => nanos = v.varint(2)?.cast_signed(),
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}
