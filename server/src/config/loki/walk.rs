//! Walking a mapping key by key, so that what was not asked for can be named.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::config::{ByteSize, PromDuration};

/// A mapping being read.
pub(super) struct Walk<'v, 'w> {
    path: String,
    map: &'v Map<String, Value>,
    seen: Vec<&'v str>,
    warnings: &'w mut Vec<String>,
}

type Read = Result<(), String>;

impl<'v, 'w> Walk<'v, 'w> {
    pub(super) fn new(
        path: &str,
        value: &'v Value,
        warnings: &'w mut Vec<String>,
    ) -> Result<Self, String> {
        static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        let map = match value {
            Value::Object(m) => m,
            Value::Null => &EMPTY,
            _ => {
                let name = if path.is_empty() {
                    "the document"
                } else {
                    path
                };
                return Err(format!("{name}: expected a mapping"));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            map,
            seen: Vec::new(),
            warnings,
        })
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn take(&mut self, key: &str) -> Option<&'v Value> {
        let (name, value) = self.map.get_key_value(key)?;
        self.seen.push(name);
        (!value.is_null()).then_some(value)
    }

    fn wrong(&self, key: &str, want: &str, v: &Value) -> String {
        format!("{}: expected {want}, got {v}", self.name(key))
    }

    pub(super) fn bool(&mut self, key: &str, out: &mut bool) -> Read {
        match self.take(key) {
            None => {}
            Some(Value::Bool(b)) => *out = *b,
            Some(Value::String(s)) if s == "true" || s == "false" => *out = s == "true",
            Some(v) => return Err(self.wrong(key, "true or false", v)),
        }
        Ok(())
    }

    pub(super) fn text(&mut self, key: &str, out: &mut String) -> Read {
        match self.take(key) {
            None => {}
            Some(Value::String(s)) => out.clone_from(s),
            Some(v @ (Value::Number(_) | Value::Bool(_))) => *out = v.to_string(),
            Some(v) => return Err(self.wrong(key, "a text", v)),
        }
        Ok(())
    }

    pub(super) fn int(&mut self, key: &str, out: &mut i64) -> Read {
        if let Some(v) = self.take(key) {
            let n = v
                .as_i64()
                .or_else(|| v.as_str().and_then(|s| s.parse().ok()));
            *out = n.ok_or_else(|| self.wrong(key, "a whole number", v))?;
        }
        Ok(())
    }

    /// A number that may not be negative.
    pub(super) fn count(&mut self, key: &str, out: &mut usize) -> Read {
        let mut n = i64::try_from(*out).unwrap_or(i64::MAX);
        self.int(key, &mut n)?;
        *out = usize::try_from(n).map_err(|_| format!("{}: {n} is negative", self.name(key)))?;
        Ok(())
    }

    pub(super) fn float(&mut self, key: &str, out: &mut f64) -> Read {
        if let Some(v) = self.take(key) {
            let n = v
                .as_f64()
                .or_else(|| v.as_str().and_then(|s| s.parse().ok()));
            *out = n.ok_or_else(|| self.wrong(key, "a number", v))?;
        }
        Ok(())
    }

    /// A duration, ms.
    pub(super) fn duration(&mut self, key: &str, out: &mut i64) -> Read {
        if let Some(v) = self.take(key) {
            let text = match v {
                Value::String(s) => s.clone(),
                v => v.to_string(),
            };
            let parsed = text.parse::<PromDuration>().ok().map(|d| d.as_ms());
            let go = || query::text::go_duration::parse(&text).map(|ns| ns / 1_000_000);
            *out = parsed
                .or_else(go)
                .ok_or_else(|| self.wrong(key, "a duration such as 30s or 31d", v))?;
        }
        Ok(())
    }

    /// A size in bytes.
    pub(super) fn size(&mut self, key: &str, out: &mut f64) -> Read {
        if let Some(v) = self.take(key) {
            let text = match v {
                Value::String(s) => s.clone(),
                v => v.to_string(),
            };
            let plain = text.parse::<f64>().ok();
            let unit = || text.parse::<ByteSize>().ok().map(|b| b.0 as f64);
            *out = plain
                .or_else(unit)
                .ok_or_else(|| self.wrong(key, "a size such as 256KB", v))?;
        }
        Ok(())
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &str, out: &mut Vec<String>) -> Read {
        match self.take(key) {
            None => {}
            Some(Value::Array(a)) => {
                *out = a
                    .iter()
                    .map(|v| v.as_str().map(str::to_owned))
                    .collect::<Option<_>>()
                    .ok_or_else(|| format!("{}: expected a list of texts", self.name(key)))?;
            }
            Some(Value::String(s)) => {
                *out = s.split(',').map(|s| s.trim().to_owned()).collect();
            }
            Some(v) => return Err(self.wrong(key, "a list of texts", v)),
        }
        Ok(())
    }

    /// A mapping of texts.
    pub(super) fn map(&mut self, key: &str, out: &mut BTreeMap<String, String>) -> Read {
        match self.take(key) {
            None => {}
            Some(Value::Object(m)) => {
                for (name, v) in m {
                    let text = match v {
                        Value::String(s) => s.clone(),
                        Value::Number(_) | Value::Bool(_) => v.to_string(),
                        v => return Err(self.wrong(&format!("{key}.{name}"), "a text", v)),
                    };
                    out.insert(name.clone(), text);
                }
            }
            Some(v) => return Err(self.wrong(key, "a mapping of texts", v)),
        }
        Ok(())
    }

    /// The raw value of a key.
    pub(super) fn raw(&mut self, key: &str) -> Option<&'v Value> {
        self.take(key)
    }

    /// A mapping below.
    pub(super) fn section(&mut self, key: &str, f: impl FnOnce(&mut Walk<'v, '_>) -> Read) -> Read {
        let path = self.name(key);
        let Some(value) = self.take(key) else {
            return Ok(());
        };
        let mut inner = Walk::new(&path, value, self.warnings)?;
        f(&mut inner)?;
        inner.finish();
        Ok(())
    }

    /// Every key as a mapping.
    pub(super) fn each(&mut self, mut f: impl FnMut(&str, &mut Walk<'v, '_>) -> Read) -> Read {
        for (key, value) in self.map {
            self.seen.push(key);
            let path = self.name(key);
            let mut inner = Walk::new(&path, value, self.warnings)?;
            f(key, &mut inner)?;
            inner.finish();
        }
        Ok(())
    }

    /// A key without effect here.
    pub(super) fn accept(&mut self, key: &str) {
        self.take(key);
    }

    /// All other keys are without effect here.
    pub(super) fn accept_rest(&mut self) {
        self.seen.extend(self.map.keys().map(String::as_str));
    }

    /// A key that no longer exists.
    pub(super) fn retired(&mut self, key: &str) {
        if self.map.contains_key(key) {
            self.take(key);
            let name = self.name(key);
            self.warnings
                .push(format!("{name} is retired and has no effect"));
        }
    }

    /// The section itself no longer exists.
    pub(super) fn retired_section(&mut self) {
        let text = format!("{} is retired; only its retention counts", self.path);
        self.warnings.push(text);
    }

    /// Warns about every key nobody asked for.
    pub(super) fn finish(self) {
        for key in self.map.keys() {
            if !self.seen.contains(&key.as_str()) {
                let name = self.name(key);
                self.warnings
                    .push(format!("{name} is not known and has no effect"));
            }
        }
    }
}
