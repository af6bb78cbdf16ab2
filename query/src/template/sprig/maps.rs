//! Functions on maps.

use std::sync::Arc;

use super::super::args::{A, M, T, any, kind_of, map, text};
use super::super::{Function, Map, Value};

/// The functions.
pub(super) const TABLE: &[Function] = &[
    Function::pure("dict", &[], |a| {
        let entries = a.chunks(2).map(|p| {
            let key = p.first().map(Value::text).unwrap_or_default();
            (key.into(), p.get(1).cloned().unwrap_or_else(|| "".into()))
        });
        Ok(made(entries))
    })
    .with_rest(A),
    Function::pure("get", &[M, T], |a| {
        let found = map(a, 0).entries.get(text(a, 1)).cloned();
        Ok(found.unwrap_or_else(|| "".into()))
    }),
    Function::change("set", &[M, T, A], |a| {
        let mut m = map(a, 0).as_ref().clone();
        m.entries.insert(text(a, 1).into(), any(a, 2));
        Ok(Value::Map(Arc::new(m)))
    }),
    Function::change("unset", &[M, T], |a| {
        let mut m = map(a, 0).as_ref().clone();
        m.entries.remove(text(a, 1));
        Ok(Value::Map(Arc::new(m)))
    }),
    Function::change("merge", &[M], |a| Ok(merged(a, false))).with_rest(M),
    Function::change("mergeOverwrite", &[M], |a| Ok(merged(a, true))).with_rest(M),
    Function::pure("hasKey", &[M, T], |a| {
        Ok(map(a, 0).entries.contains_key(text(a, 1)).into())
    }),
    Function::pure("keys", &[], |a| {
        let all = (0..a.len()).map(|i| map(a, i));
        let keys = all.flat_map(|m| m.entries.keys().cloned().collect::<Vec<_>>());
        Ok(Value::list_of_texts(keys))
    })
    .with_rest(M),
    Function::pure("values", &[M], |a| {
        let all = map(a, 0);
        Ok(all.entries.values().cloned().collect::<Vec<_>>().into())
    }),
    Function::pure("pick", &[M], |a| Ok(chosen(a, true))).with_rest(T),
    Function::pure("omit", &[M], |a| Ok(chosen(a, false))).with_rest(T),
    Function::pure("pluck", &[T], |a| {
        let found = (1..a.len()).filter_map(|i| map(a, i).entries.get(text(a, 0)).cloned());
        Ok(found.collect::<Vec<_>>().into())
    })
    .with_rest(M),
    Function::pure("dig", &[A, A, A], dig).with_rest(A),
    Function::pure("deepCopy", &[A], |a| Ok(copied(&any(a, 0)))),
];

fn made(entries: impl Iterator<Item = (Arc<str>, Value)>) -> Value {
    Value::Map(Arc::new(Map {
        entries: entries.collect(),
        texts: false,
    }))
}

/// The map with those entries whose key is among the arguments, or is not.
fn chosen(a: &[Value], among: bool) -> Value {
    let named = |k: &str| a.iter().skip(1).any(|w| w.as_text() == Some(k));
    let m = map(a, 0);
    let left = m.entries.iter().filter(|(k, _)| named(k) == among);
    made(left.map(|(k, v)| (k.clone(), v.clone())))
}

/// The first map with what the others have; what it has itself stays, or is overwritten.
fn merged(a: &[Value], overwrite: bool) -> Value {
    let mut to = map(a, 0).as_ref().clone();
    for i in 1..a.len() {
        merge(&mut to, &map(a, i), overwrite);
    }
    Value::Map(Arc::new(to))
}

/// Maps within maps are merged too; what is empty is as good as missing.
fn merge(to: &mut Map, from: &Map, overwrite: bool) {
    for (k, v) in &from.entries {
        match (to.entries.get_mut(k), v) {
            (Some(Value::Map(own)), Value::Map(other)) => {
                merge(Arc::make_mut(own), other, overwrite);
            }
            (Some(own), v) => {
                if overwrite || (!own.truth() && !matches!(v, Value::Nil)) {
                    *own = v.clone();
                }
            }
            (None, Value::Nil) if !overwrite => {}
            (None, v) => drop(to.entries.insert(Arc::clone(k), v.clone())),
        }
    }
}

/// A value at the end of several keys, or what stands before the map.
fn dig(a: &[Value]) -> Result<Value, String> {
    let [keys @ .., default, m] = a else {
        return Err("dig needs at least three arguments".to_owned());
    };
    let mut at = m.clone();
    for key in keys {
        let Value::Map(m) = at.base() else {
            return Err(format!("dig: {} is no map", kind_of(&at)));
        };
        let key = key
            .as_text()
            .ok_or_else(|| format!("dig: a key is {}, not a text", kind_of(key)))?;
        match m.entries.get(key).cloned() {
            None => return Ok(default.clone()),
            Some(next) => at = next,
        }
    }
    Ok(at)
}

/// The same in maps of its own: changes of the one are none of the other.
fn copied(v: &Value) -> Value {
    match v {
        Value::Map(m) => Value::Map(Arc::new(Map {
            entries: m
                .entries
                .iter()
                .map(|(k, v)| (Arc::clone(k), copied(v)))
                .collect(),
            texts: m.texts,
        })),
        Value::List(l) => l.iter().map(copied).collect::<Vec<_>>().into(),
        v => v.clone(),
    }
}
