//! Functions on lists. What is no list is an error, under every name.

use std::sync::Arc;

use super::super::args::{A, I, any, int, items, to_int};
use super::super::{Function, Value};

/// The functions.
pub(super) const TABLE: &[Function] = &[
    Function::pure("list", &[], |a| Ok(a.to_vec().into())).with_rest(A),
    Function::pure("first", &[A], |a| {
        Ok(items(a, 0, "find first on")?
            .first()
            .cloned()
            .unwrap_or_default())
    }),
    Function::pure("last", &[A], |a| {
        Ok(items(a, 0, "find last on")?
            .last()
            .cloned()
            .unwrap_or_default())
    }),
    Function::pure("rest", &[A], |a| {
        let all = items(a, 0, "find rest on")?;
        Ok(all.get(1..).unwrap_or_default().to_vec().into())
    }),
    Function::pure("initial", &[A], |a| {
        let all = items(a, 0, "find initial on")?;
        let most = all.len().saturating_sub(1);
        Ok(all.get(..most).unwrap_or_default().to_vec().into())
    }),
    Function::pure("append", &[A, A], |a| {
        let mut out = items(a, 0, "push on")?.to_vec();
        out.push(any(a, 1));
        Ok(out.into())
    }),
    Function::pure("prepend", &[A, A], |a| {
        let mut out = vec![any(a, 1)];
        out.extend_from_slice(items(a, 0, "prepend on")?);
        Ok(out.into())
    }),
    Function::pure("concat", &[], |a| {
        let mut out = Vec::new();
        for i in 0..a.len() {
            out.extend_from_slice(items(a, i, "concat as list the")?);
        }
        Ok(out.into())
    })
    .with_rest(A),
    Function::pure("reverse", &[A], |a| {
        let all = items(a, 0, "reverse")?.iter().rev();
        Ok(all.cloned().collect::<Vec<_>>().into())
    }),
    Function::pure("compact", &[A], |a| {
        let kept = items(a, 0, "compact")?.iter().filter(|v| v.truth());
        Ok(kept.cloned().collect::<Vec<_>>().into())
    }),
    Function::pure("uniq", &[A], |a| {
        let mut out: Vec<Value> = Vec::new();
        for v in items(a, 0, "find uniq on")? {
            if !out.iter().any(|o| o.same(v)) {
                out.push(v.clone());
            }
        }
        Ok(out.into())
    }),
    Function::pure("without", &[A], |a| {
        let left = items(a, 0, "find without on")?.iter();
        let left = left.filter(|v| !a.iter().skip(1).any(|w| v.same(w)));
        Ok(left.cloned().collect::<Vec<_>>().into())
    })
    .with_rest(A),
    Function::pure("has", &[A, A], |a| {
        if matches!(a.get(1), Some(Value::Nil)) {
            return Ok(false.into());
        }
        let what = any(a, 0);
        let found = items(a, 1, "find has on")?.iter().any(|v| v.same(&what));
        Ok(found.into())
    }),
    Function::pure("slice", &[A], |a| {
        let all = items(a, 0, "slice")?;
        if all.is_empty() {
            return Ok(Value::Nil);
        }
        let start = a.get(1).map_or(0, |v| to_int(Some(v)));
        let end = a.get(2).map(|v| to_int(Some(v)));
        let end = end.unwrap_or(i64::try_from(all.len()).unwrap_or(i64::MAX));
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let part = range.and_then(|(s, e)| all.get(s..e)).ok_or_else(|| {
            format!(
                "slice [{start}:{end}] is outside of a list of {}",
                all.len()
            )
        })?;
        Ok(match a.first().map(Value::base) {
            Some(Value::Texts(_)) => Value::Texts(Arc::new(part.to_vec())),
            _ => part.to_vec().into(),
        })
    })
    .with_rest(A),
    Function::pure("chunk", &[I, A], |a| {
        let all = items(a, 1, "chunk")?;
        let size = usize::try_from(int(a, 0)).ok().filter(|n| *n > 0);
        let size = size.ok_or_else(|| format!("chunks of {} items", int(a, 0)))?;
        let each = all.chunks(size).map(|c| Value::from(c.to_vec()));
        Ok(each.collect::<Vec<_>>().into())
    }),
];
