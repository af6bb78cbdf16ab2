//! Who may use whom. The table is the one in the plan of the house.

use std::fs;

use super::{expect_none, files_below, root, shown};

/// Our crates that a crate's manifest may name.
const CRATES: &[(&str, &[&str])] = &[
    ("engine", &[]),
    ("query", &["sextant-engine"]),
    ("exporters", &["sextant-engine"]),
    (
        "server",
        &["sextant-engine", "sextant-query", "sextant-exporters"],
    ),
];

/// Folder, prefix of paths inside its crate, modules that it may use.
const ROOMS: &[(&str, &str, &[&str])] = &[
    ("engine/src/model", "crate", &["model"]),
    ("engine/src/wire", "crate", &["wire", "model", "chunk"]),
    ("engine/src/io", "crate", &["io"]),
    ("engine/src/wal", "crate", &["wal", "io"]),
    ("engine/src/chunk", "crate", &["chunk", "model", "io"]),
    ("engine/src/index", "crate", &["index", "model", "io"]),
    (
        "engine/src/metrics",
        "crate",
        &[
            "metrics", "model", "io", "wal", "chunk", "index", "state", "budget", "verify", "wire",
        ],
    ),
    (
        "engine/src/logs",
        "crate",
        &[
            "logs", "model", "io", "wal", "chunk", "index", "state", "budget", "verify",
        ],
    ),
    (
        "query/src/promql",
        "crate",
        &["promql", "text", "regex", "source", "exec", "template"],
    ),
    (
        "query/src/logql",
        "crate",
        &["logql", "text", "regex", "source", "exec", "template"],
    ),
    ("query/src/text", "crate", &["text"]),
    ("query/src/regex", "crate", &["regex", "text"]),
];

/// Uses that contradict the table and are known: file, room, why it is not repaired yet.
const KNOWN: &[(&str, &str, &str)] = &[];

/// Rooms of the server that may see `crate::api`. Lifecycle mounts its routes, the command line
/// builds its options; services never see it.
const SEES_API: &[&str] = &["api", "cli", "lifecycle", "main.rs"];

#[test]
fn manifests_name_only_allowed_crates() {
    let mut problems = Vec::new();
    for (name, allowed) in CRATES {
        let file = root().join(name).join("Cargo.toml");
        let text = fs::read_to_string(&file).expect("a manifest");
        for (our, _) in CRATES {
            let our = format!("sextant-{our}");
            let named = text.lines().any(|l| {
                l.strip_prefix(&our)
                    .is_some_and(|r| r.starts_with([' ', '.', '=']))
            });
            if named && !allowed.contains(&our.as_str()) {
                problems.push(format!("{name}/Cargo.toml uses {our}"));
            }
        }
    }
    expect_none("arrows between crates", &problems);
}

/// Modules of the own crate that a source text names: `crate::x` and `crate::{x, y}`.
fn used(text: &str, prefix: &str) -> Vec<String> {
    let mut out = Vec::new();
    let start = format!("{prefix}::");
    for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
        for (i, _) in line.match_indices(&start) {
            let before = line[..i].chars().last();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let rest = &line[i + start.len()..];
            let words: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => list.split([',', '}']).collect(),
                None => vec![rest],
            };
            for w in words {
                let w = w.trim_start();
                let end = w
                    .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .unwrap_or(w.len());
                // Items at the top of a crate (types, macros) are no rooms.
                if w[..end].starts_with(|c: char| c.is_lowercase()) {
                    out.push(w[..end].to_owned());
                }
            }
        }
    }
    out
}

#[test]
fn rooms_use_only_allowed_rooms() {
    let mut problems = Vec::new();
    for (folder, prefix, allowed) in ROOMS {
        for file in files_below(&root().join(folder), &["rs"]) {
            let text = fs::read_to_string(&file).expect("a source file");
            for room in used(&text, prefix) {
                let name = shown(&file);
                let known = KNOWN.iter().any(|(f, r, _)| *f == name && *r == room);
                if !allowed.contains(&room.as_str()) && !known {
                    problems.push(format!("{name} uses {prefix}::{room}"));
                }
            }
        }
    }
    expect_none("arrows between rooms", &problems);
}

#[test]
fn services_do_not_see_the_interfaces() {
    let mut problems = Vec::new();
    let src = root().join("server/src");
    for file in files_below(&src, &["rs"]) {
        let room = file.strip_prefix(&src).ok().and_then(|p| p.iter().next());
        let room = room
            .map(|r| r.to_string_lossy().into_owned())
            .unwrap_or_default();
        let text = fs::read_to_string(&file).expect("a source file");
        if !SEES_API.contains(&room.as_str()) && used(&text, "crate").iter().any(|r| r == "api") {
            problems.push(format!("{} uses crate::api", shown(&file)));
        }
    }
    expect_none("nobody sees api", &problems);
}

#[test]
fn used_finds_paths_and_lists() {
    let text = "use crate::a::B;\nuse crate::{c, d::E};\n// crate::no\nlet x = crate::f::g();\nmycrate::h;";
    assert_eq!(used(text, "crate"), ["a", "c", "d", "f"]);
}
