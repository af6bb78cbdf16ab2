//! Push requests in JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de::IgnoredAny};

use super::{Pairs, PushDecodeError, PushEntry, PushStream};
use crate::wire::LABELS_MAX;

/// Decodes a push request. Unknown fields are ignored.
///
/// # Errors
/// When it is not JSON of the right shape.
pub fn decode_json(body: &[u8]) -> Result<Vec<PushStream<'_>>, PushDecodeError> {
    let request: Request<'_> =
        serde_json::from_slice(body).map_err(|e| PushDecodeError(e.to_string()))?;
    Ok(request.streams.into_iter().map(|s| s.0).collect())
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Request<'a> {
    #[serde(default = "Vec::new")]
    streams: Vec<Stream<'a>>,
}

/// A text, borrowed when it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, s: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(s))
            }
            fn visit_str<E: Error>(self, s: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(s.to_owned()))
            }
            fn visit_string<E: Error>(self, s: String) -> Result<Self::Value, E> {
                Ok(Cow::Owned(s))
            }
        }
        d.deserialize_str(V).map(Text)
    }
}

/// An object of texts.
struct TextMap<'a>(Pairs<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for TextMap<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut out = Vec::new();
                while let Some((k, v)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    if out.len() == LABELS_MAX {
                        return Err(A::Error::custom("too many labels"));
                    }
                    out.push((k.0, v.0));
                }
                Ok(out)
            }
        }
        d.deserialize_map(V).map(TextMap)
    }
}

struct Entry<'a>(PushEntry<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = PushEntry<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of time, line and optional metadata")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let missing = |what| A::Error::custom(format!("value without {what}"));
                let time: Text<'de> = seq.next_element()?.ok_or_else(|| missing("time"))?;
                let time = time.0.parse().map_err(|_| {
                    A::Error::custom(format!("time {:?} is not a number of nanoseconds", time.0))
                })?;
                let line: Text<'de> = seq.next_element()?.ok_or_else(|| missing("line"))?;
                let metadata: Option<TextMap<'de>> = seq.next_element()?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(PushEntry {
                    time,
                    line: line.0,
                    metadata: metadata.map_or_else(Vec::new, |m| m.0),
                })
            }
        }
        d.deserialize_seq(V).map(Entry)
    }
}

struct Stream<'a>(PushStream<'a>);

/// The two fields that matter.
enum Field {
    Labels,
    Values,
    Other,
}

impl<'de> DeserializeSeed<'de> for Field {
    type Value = Self;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self, D::Error> {
        let name = Text::deserialize(d)?;
        Ok(match name.0.as_ref() {
            "stream" => Self::Labels,
            "values" => Self::Values,
            _ => Self::Other,
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Stream<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = PushStream<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a stream")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut out = PushStream::default();
                while let Some(field) = map.next_key_seed(Field::Other)? {
                    match field {
                        Field::Labels => out.labels = map.next_value::<TextMap<'de>>()?.0,
                        Field::Values => {
                            let entries: Vec<Entry<'de>> = map.next_value()?;
                            out.entries = entries.into_iter().map(|e| e.0).collect();
                        }
                        Field::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(out)
            }
        }
        d.deserialize_map(V).map(Stream)
    }
}
