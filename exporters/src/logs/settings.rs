//! Settings of stages as they stand in a file: a tree of typed values, and its checked reading.
//!
//! Owns: what a setting's type must be. Files of the family are YAML 1.1, in which `y`, `no` and
//! `on` are truth values, also as keys: a setting that wants texts refuses them.
//! Knows nothing of: which stage has which settings.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// A value of a document.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Node {
    /// `null`, or nothing.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The kind in messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(n) => write!(f, "{n}"),
            Self::Float(v) => write!(f, "{v}"),
            Self::Text(t) => write!(f, "{t:?}"),
            other => f.write_str(other.kind()),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Node;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }
            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Node, D::Error> {
                Node::deserialize(d)
            }
            fn visit_bool<E>(self, v: bool) -> Result<Node, E> {
                Ok(Node::Bool(v))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Node, E> {
                Ok(Node::Int(v))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Node, E> {
                Ok(i64::try_from(v).map_or(Node::Float(v as f64), Node::Int))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Node, E> {
                Ok(Node::Float(v))
            }
            fn visit_str<E>(self, v: &str) -> Result<Node, E> {
                Ok(Node::Text(v.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut a: A) -> Result<Node, A::Error> {
                let mut out = Vec::new();
                while let Some(v) = a.next_element()? {
                    out.push(v);
                }
                Ok(Node::List(out))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut a: A) -> Result<Node, A::Error> {
                let mut out = Vec::new();
                while let Some(pair) = a.next_entry()? {
                    out.push(pair);
                }
                Ok(Node::Map(out))
            }
        }
        d.deserialize_any(Any)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => s.serialize_unit(),
            Self::Bool(b) => s.serialize_bool(*b),
            Self::Int(n) => s.serialize_i64(*n),
            Self::Float(v) => s.serialize_f64(*v),
            Self::Text(t) => s.serialize_str(t),
            Self::List(l) => {
                let mut seq = s.serialize_seq(Some(l.len()))?;
                for v in l {
                    seq.serialize_element(v)?;
                }
                seq.end()
            }
            Self::Map(m) => {
                let mut map = s.serialize_map(Some(m.len()))?;
                for (k, v) in m {
                    map.serialize_entry(k, v)?;
                }
                map.end()
            }
        }
    }
}

/// The settings of one stage. Keys that no stage asks for have no effect, as in the original.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'n> {
    pairs: &'n [(Node, Node)],
    weak: bool,
}

fn wrong(key: &str, want: &str, got: &Node) -> String {
    format!("{key}: expected {want}, got {} {got}", got.kind())
}

impl<'n> Settings<'n> {
    /// The settings that `node` holds; `null` are none.
    ///
    /// # Errors
    /// When it is no map, or has a key that is no text.
    pub fn of(node: &'n Node) -> Result<Self, String> {
        match node {
            Node::Null => Ok(Self {
                pairs: &[],
                weak: false,
            }),
            Node::Map(pairs) => {
                if let Some((k, _)) = pairs.iter().find(|(k, _)| !matches!(k, Node::Text(_))) {
                    return Err(format!("expected a text as key, got {} {k}", k.kind()));
                }
                Ok(Self { pairs, weak: false })
            }
            other => Err(format!("expected a map, got {}", other.kind())),
        }
    }

    /// The same for stages of which the original takes numbers for texts, texts for numbers, and
    /// either for truth values.
    #[must_use]
    pub fn weak(self) -> Self {
        Self { weak: true, ..self }
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// All keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&'n str, &'n Node)> + use<'n> {
        self.pairs.iter().filter_map(|(k, v)| match k {
            Node::Text(k) => Some((k.as_str(), v)),
            _ => None,
        })
    }

    /// A setting that is there and not `null`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.iter()
            .find(|(k, v)| k.eq_ignore_ascii_case(key) && **v != Node::Null)
            .map(|(_, v)| v)
    }

    /// A text.
    ///
    /// # Errors
    /// When it is something else.
    pub fn text(&self, key: &str) -> Result<Option<Cow<'n, str>>, String> {
        let made = |t: String| Ok(Some(Cow::Owned(t)));
        match self.get(key) {
            None => Ok(None),
            Some(Node::Text(t)) => Ok(Some(Cow::Borrowed(t))),
            Some(Node::Int(n)) if self.weak => made(n.to_string()),
            // The standard library writes the shortest digits without an exponent.
            Some(Node::Float(v)) if self.weak => made(v.to_string()),
            Some(Node::Bool(b)) if self.weak => made(u8::from(*b).to_string()),
            Some(other) => Err(wrong(key, "a text", other)),
        }
    }

    /// A text that says something.
    ///
    /// # Errors
    /// When it is missing, empty or something else.
    pub fn required(&self, key: &str) -> Result<Cow<'n, str>, String> {
        let t = self.text(key)?.filter(|t| !t.is_empty());
        t.ok_or_else(|| format!("{key} is required"))
    }

    /// The name of an extracted value; an empty one is a mistake.
    ///
    /// # Errors
    /// When it is empty or no text.
    pub fn source(&self) -> Result<Option<String>, String> {
        match self.text("source")? {
            Some(s) if s.is_empty() => {
                Err("source is empty: name an extracted value, or leave it out".into())
            }
            s => Ok(s.map(Cow::into_owned)),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it is something else.
    pub fn int(&self, key: &str) -> Result<Option<i64>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Node::Int(n)) => Ok(Some(*n)),
            Some(Node::Float(v)) => Ok(Some(*v as i64)),
            Some(Node::Bool(b)) if self.weak => Ok(Some(i64::from(*b))),
            Some(Node::Text(t)) if self.weak && t.is_empty() => Ok(Some(0)),
            Some(n @ Node::Text(t)) if self.weak => {
                let read = t.parse().map_err(|_| wrong(key, "a whole number", n));
                read.map(Some)
            }
            Some(other) => Err(wrong(key, "a whole number", other)),
        }
    }

    /// A number of things, with a default.
    ///
    /// # Errors
    /// When it is something else, or less than nothing.
    pub fn count(&self, key: &str, default: usize) -> Result<usize, String> {
        match self.int(key)? {
            None => Ok(default),
            Some(n) => usize::try_from(n).map_err(|_| format!("{key}: {n} is less than 0")),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// When it is something else.
    pub fn float(&self, key: &str) -> Result<Option<f64>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Node::Bool(b)) if self.weak => Ok(Some(f64::from(u8::from(*b)))),
            Some(Node::Text(t)) if self.weak && t.is_empty() => Ok(Some(0.0)),
            Some(n @ Node::Text(t)) if self.weak => {
                let read = t.parse().map_err(|_| wrong(key, "a number", n));
                read.map(Some)
            }
            Some(n) => float(key, n).map(Some),
        }
    }

    /// A truth value.
    ///
    /// # Errors
    /// When it is something else.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(default),
            Some(Node::Bool(b)) => Ok(*b),
            Some(Node::Int(n)) if self.weak => Ok(*n != 0),
            Some(Node::Float(v)) if self.weak => Ok(*v != 0.0),
            Some(n @ Node::Text(t)) if self.weak => match t.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
                "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
                _ => Err(wrong(key, "a boolean", n)),
            },
            Some(other) => Err(wrong(key, "a boolean", other)),
        }
    }

    /// Texts: a list, or one text.
    ///
    /// # Errors
    /// When anything else is among them.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<String>>, String> {
        self.get(key).map(|n| texts(key, n)).transpose()
    }

    /// Names to texts; a name without a text stands for itself.
    ///
    /// # Errors
    /// When anything else is among them.
    pub fn mapping(&self, key: &str) -> Result<Vec<(String, String)>, String> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(n) => mapping(n).map_err(|e| format!("{key}: {e}")),
        }
    }
}

fn float(key: &str, n: &Node) -> Result<f64, String> {
    match n {
        Node::Int(n) => Ok(*n as f64),
        Node::Float(v) => Ok(*v),
        other => Err(wrong(key, "a number", other)),
    }
}

/// Numbers of a list.
///
/// # Errors
/// When it is no list of numbers.
pub fn floats(key: &str, node: &Node) -> Result<Vec<f64>, String> {
    match node {
        Node::List(l) => l.iter().map(|n| float(key, n)).collect(),
        other => Err(wrong(key, "a list of numbers", other)),
    }
}

/// Texts of a list, or one text.
///
/// # Errors
/// When anything else is among them.
pub fn texts(key: &str, node: &Node) -> Result<Vec<String>, String> {
    let one = |n: &Node| match n {
        Node::Text(t) => Ok(t.clone()),
        other => Err(wrong(key, "a text", other)),
    };
    match node {
        Node::List(l) => l.iter().map(one).collect(),
        n => Ok(vec![one(n)?]),
    }
}

/// Names to texts; a name without a text, or with an empty one, stands for itself.
///
/// # Errors
/// When it is something else.
pub fn mapping(node: &Node) -> Result<Vec<(String, String)>, String> {
    let mut out = Vec::new();
    for (k, v) in Settings::of(node)?.iter() {
        let v = match v {
            Node::Null => k,
            Node::Text(t) if t.is_empty() => k,
            Node::Text(t) => t,
            other => return Err(wrong(k, "a text", other)),
        };
        out.push((k.to_owned(), v.to_owned()));
    }
    Ok(out)
}

/// A size: `10B`, `64KB`, `1.5MiB`, or bytes without a unit. Units are powers of 1024.
///
/// # Errors
/// When it is none.
pub fn size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a size like 64KB");
    let t = text.trim();
    let end = t
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(t.len());
    let (number, unit) = t.split_at(end);
    let number: f64 = number.parse().map_err(|_| bad())?;
    let unit = unit.trim().to_ascii_uppercase();
    let unit = unit.strip_suffix('B').unwrap_or(&unit);
    let power = match unit.strip_suffix('I').unwrap_or(unit) {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return Err(bad()),
    };
    Ok((number * 1024f64.powi(power)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [("10B", 10), ("8kb", 8192), ("1.5MiB", 1_572_864), ("7", 7)] {
            assert_eq!(size(text), Ok(want), "{text}");
        }
        assert!(size("x").is_err());
        assert!(size("1xB").is_err());
    }

    #[test]
    fn wrong_types_are_named() {
        let node = Node::Map(vec![
            (Node::Text("a".into()), Node::Int(1)),
            (Node::Text("b".into()), Node::Text(String::new())),
        ]);
        let s = Settings::of(&node).unwrap();
        assert_eq!(
            s.text("a").unwrap_err(),
            "a: expected a text, got a number 1"
        );
        assert_eq!(s.text("b"), Ok(Some("".into())));
        assert_eq!(s.weak().text("a"), Ok(Some("1".into())));
        assert_eq!(s.weak().flag("a", false), Ok(true));
        assert_eq!(s.weak().flag("b", true), Ok(false));
        assert_eq!(s.weak().int("b"), Ok(Some(0)));
        assert!(s.required("b").is_err());
        assert_eq!(s.int("a"), Ok(Some(1)));
        let keys = Node::Map(vec![(Node::Bool(true), Node::Null)]);
        assert_eq!(
            mapping(&keys).unwrap_err(),
            "expected a text as key, got a boolean true"
        );
    }
}
