//! Rules of the house that can be checked are checked here: which room may use which, how large a
//! file may be, what may not stand in the tree, and that format pages and code agree.

mod arrows;
mod deploy;
mod files;
mod format;

use std::fs;
use std::path::{Path, PathBuf};

/// Top of the repository.
fn root() -> PathBuf {
    let server = Path::new(env!("CARGO_MANIFEST_DIR"));
    server
        .parent()
        .expect("server/ stands in the repository")
        .to_owned()
}

/// Files below `dir` with one of `extensions`, sorted; build products and fetched packages are
/// not looked at.
fn files_below(dir: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(d) = todo.pop() {
        let Ok(entries) = fs::read_dir(&d) else {
            continue;
        };
        for e in entries.flatten() {
            let path = e.path();
            let name = e.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(
                    name.as_str(),
                    "target" | "node_modules" | "dist" | ".git" | "data"
                ) {
                    todo.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|x| extensions.contains(&x.to_string_lossy().as_ref()))
            {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

/// Path relative to the repository, for messages.
fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Fails with all problems at once.
fn expect_none(what: &str, problems: &[String]) {
    assert!(
        problems.is_empty(),
        "{what}: {} problem(s)\n  {}",
        problems.len(),
        problems.join("\n  ")
    );
}
