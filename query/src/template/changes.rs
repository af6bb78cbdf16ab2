//! Maps that a run has changed.
//!
//! Values do not change; in Go maps do, and whoever holds one sees it. So what became of a map is
//! noted, and whoever reads a value gets what became of it.

use std::sync::Arc;

use super::value::{Map, Value};

/// What became of which map. The old ones are held, so that no other map gets their place.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<(Arc<Map>, Arc<Map>)>);

impl Changes {
    /// What became of a value.
    pub(super) fn current(&self, v: Value) -> Value {
        let Value::Map(mut m) = v else { return v };
        // Each step leads to a map that is younger, so this ends.
        while let Some((_, new)) = self.0.iter().find(|(old, _)| Arc::ptr_eq(old, &m)) {
            m = Arc::clone(new);
        }
        Value::Map(m)
    }

    /// Puts a map in the place of another one in all of `held`, lists and maps within included.
    /// Gives the number of values that were looked at.
    pub(super) fn put<'v>(
        &mut self,
        old: &Arc<Map>,
        new: &Arc<Map>,
        held: impl Iterator<Item = &'v mut Value>,
    ) -> u64 {
        if Arc::ptr_eq(old, new) {
            return 0;
        }
        let first = self.0.len();
        self.0.push((Arc::clone(old), Arc::clone(new)));
        let mut seen = 0;
        for v in held {
            if let Some(changed) = self.within(v, first, &mut seen) {
                *v = changed;
            }
        }
        seen
    }

    /// The value with what changed since `first`; `None` when nothing of it did.
    fn within(&mut self, v: &Value, first: usize, seen: &mut u64) -> Option<Value> {
        *seen += 1;
        match v {
            Value::Map(m) => {
                let since = self.0.get(first..).unwrap_or_default();
                if let Some((_, new)) = since.iter().find(|(old, _)| Arc::ptr_eq(old, m)) {
                    return Some(Value::Map(Arc::clone(new)));
                }
                let mut copy: Option<Map> = None;
                for (k, v) in &m.entries {
                    if let Some(changed) = self.within(v, first, seen) {
                        let copy = copy.get_or_insert_with(|| m.as_ref().clone());
                        copy.entries.insert(Arc::clone(k), changed);
                    }
                }
                let copy = Arc::new(copy?);
                self.0.push((Arc::clone(m), Arc::clone(&copy)));
                Some(Value::Map(copy))
            }
            Value::List(l) => {
                let mut copy: Option<Vec<Value>> = None;
                for (i, v) in l.iter().enumerate() {
                    if let Some(changed) = self.within(v, first, seen) {
                        let copy = copy.get_or_insert_with(|| l.to_vec());
                        copy[i] = changed;
                    }
                }
                copy.map(Value::from)
            }
            _ => None,
        }
    }
}
