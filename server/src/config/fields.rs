//! How the fields of a configuration document are declared.
//!
//! Plain serde derives do not give what the family's files need: `null` means "the default", an
//! unknown field is named together with the section it stands in, a rendered document leaves out
//! what is empty. The [`config!`] macro writes the three impls from one list of fields. The HTTP
//! client's and the discovery kinds' fields are spliced into that list (`+ http`, `+ discovery`),
//! because `flatten` would lose the position of errors.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

/// Values that a rendered document leaves out when they say nothing.
pub(crate) trait Omit {
    /// True when the value says nothing.
    fn omit(&self) -> bool;
}

impl Omit for String {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}
impl Omit for super::Secret {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}
impl Omit for bool {
    fn omit(&self) -> bool {
        !*self
    }
}
impl<T> Omit for Vec<T> {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}
impl<T> Omit for Option<T> {
    fn omit(&self) -> bool {
        self.is_none()
    }
}
impl<K, V> Omit for BTreeMap<K, V> {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}
macro_rules! omit_zero {
    ($($t:ty),*) => {$(
        impl Omit for $t {
            fn omit(&self) -> bool {
                *self == <$t>::default()
            }
        }
    )*};
}
omit_zero!(u16, u32, u64, i64, f64);

/// Checks that concern more than one field, made when the section has been read completely.
pub(crate) trait Check {
    /// Completes and checks the section.
    ///
    /// # Errors
    /// One sentence that names the field and the offending value.
    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Types whose `null` is not the default of the field.
pub(crate) trait Nullable {
    /// What `null` stands for.
    fn null() -> Self;
}

/// The field's name in the file: raw identifiers lose their prefix.
pub(crate) const fn file_name(ident: &'static str) -> &'static str {
    match ident.as_bytes() {
        [b'r', b'#', ..] => ident.split_at(2).1,
        _ => ident,
    }
}

/// Reads a key and gives its place in `names`.
pub(crate) struct FieldIndex {
    /// Names of the section's fields.
    pub(crate) names: &'static [&'static str],
    /// The section's name in messages.
    pub(crate) section: &'static str,
}

impl<'de> DeserializeSeed<'de> for FieldIndex {
    type Value = usize;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<usize, D::Error> {
        d.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldIndex {
    type Value = usize;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }
    fn visit_str<E: Error>(self, key: &str) -> Result<usize, E> {
        self.names.iter().position(|n| *n == key).ok_or_else(|| {
            let hint = nearest(key, self.names);
            let hint = hint.map_or(String::new(), |n| format!(" (did you mean {n}?)"));
            E::custom(format!(
                "field {key} not found in type {}{hint}",
                self.section
            ))
        })
    }
}

/// The name with the smallest edit distance, if it is close enough to be meant.
fn nearest<'n>(key: &str, names: &[&'n str]) -> Option<&'n str> {
    let key = key.get(..64.min(key.len()))?;
    let near = names.iter().map(|n| (distance(key, n), *n)).min()?;
    (near.0 <= 1 + key.len() / 5).then_some(near.1)
}

fn distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Declares a section: `name: type = default => keep;`. Without a default the type's own is used;
/// without `keep` an empty value is left out of the rendered document. `nullable` is `keep` for a
/// field in which `null` is a value of its own.
macro_rules! config {
    ($(#[$m:meta])* pub(crate) struct $name:ident($section:literal) + discovery + http {
        $($fields:tt)*
    }) => {
        $crate::config::prometheus::discovery::with_discovery_fields! {
            $(#[$m])* pub(crate) struct $name($section) + http { $($fields)* }
        }
    };
    ($(#[$m:meta])* pub(crate) struct $name:ident($section:literal) + http {
        $($fields:tt)*
    }) => {
        $crate::config::prometheus::http_client::with_http_client_fields! {
            $(#[$m])* pub(crate) struct $name($section) { $($fields)* }
        }
    };
    ($(#[$m:meta])* pub(crate) struct $name:ident($section:literal) {
        $($(#[$fm:meta])* $f:ident : $t:ty $(= $default:expr)? $(=> $keep:ident)? ;)*
    }) => {
        $(#[$m])*
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct $name {
            $($(#[$fm])* pub(crate) $f: $t,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($f: $crate::config::fields::config!(@default $($default)?),)* }
            }
        }

        impl $name {
            const FIELDS: &'static [&'static str] =
                &[$($crate::config::fields::file_name(stringify!($f))),*];
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Section;
                impl<'de> serde::de::Visitor<'de> for Section {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("the fields of ", $section))
                    }
                    #[allow(unused_assignments, reason = "the counter's last step is not read")]
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$name, A::Error> {
                        let mut out = <$name>::default();
                        loop {
                            let seed = $crate::config::fields::FieldIndex {
                                names: <$name>::FIELDS,
                                section: $section,
                            };
                            let Some(field) = map.next_key_seed(seed)? else { break };
                            let mut n = 0usize;
                            $(
                                if field == n {
                                    match map.next_value::<Option<$t>>()? {
                                        Some(v) => out.$f = v,
                                        None => $crate::config::fields::config!(
                                            @null out.$f $(, $keep)?
                                        ),
                                    }
                                    continue;
                                }
                                n += 1;
                            )*
                        }
                        $crate::config::fields::Check::check(&mut out)
                            .map_err(serde::de::Error::custom)?;
                        Ok(out)
                    }
                }
                d.deserialize_map(Section)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = s.serialize_map(None)?;
                $(
                    if $crate::config::fields::config!(@shown self.$f $(, $keep)?) {
                        map.serialize_entry(
                            $crate::config::fields::file_name(stringify!($f)),
                            &self.$f,
                        )?;
                    }
                )*
                map.end()
            }
        }
    };
    (@null $v:expr, nullable) => { $v = $crate::config::fields::Nullable::null() };
    (@null $v:expr $(, keep)?) => { () };
    (@default) => { Default::default() };
    (@default $e:expr) => { $e };
    (@shown $v:expr) => { !$crate::config::fields::Omit::omit(&$v) };
    (@shown $v:expr, keep) => { true };
    (@shown $v:expr, nullable) => { true };
}
pub(crate) use config;
