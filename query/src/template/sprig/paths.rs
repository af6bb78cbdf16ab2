//! Functions on paths, with slashes on every system.

use std::path::{Component, Path};

use super::super::args::{T, text};
use super::super::{Function, Value};

/// The functions.
pub(super) const TABLE: &[Function] = &[
    Function::pure("base", &[T], |a| Ok(base(text(a, 0)).into())),
    Function::pure("clean", &[T], |a| Ok(clean(text(a, 0)).into())),
    Function::pure("dir", &[T], |a| Ok(folder(text(a, 0)).into())),
    Function::pure("ext", &[T], |a| Ok(suffix(text(a, 0)).into())),
    Function::pure("isAbs", &[T], |a| {
        Ok(Value::Bool(text(a, 0).starts_with('/')))
    }),
];

/// A path without what cancels itself out.
fn clean(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let rooted = path.starts_with('/');
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir if out.last().is_some_and(|l| *l != "..") => drop(out.pop()),
            Component::ParentDir if !rooted => out.push(".."),
            Component::Normal(n) => out.push(n.to_str().unwrap_or_default()),
            _ => {}
        }
    }
    match (rooted, out.is_empty()) {
        (true, _) => format!("/{}", out.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => out.join("/"),
    }
}

fn base(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        p => p.rsplit('/').next().unwrap_or(p),
    }
}

fn folder(path: &str) -> String {
    match path.rfind('/') {
        None => ".".to_owned(),
        Some(at) => clean(path.get(..=at).unwrap_or_default()),
    }
}

fn suffix(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.').and_then(|at| name.get(at..)).unwrap_or("")
}
