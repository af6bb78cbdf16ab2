//! Sizes and contents of files.

use std::fs;
use std::path::PathBuf;

use super::{expect_none, files_below, root, shown};

/// About 800 lines is where a file asks to be two; beyond this it is not let in.
const LINES_MAX: usize = 1000;

/// Words that stand for a place on somebody's machine. Written in halves, so that this file does
/// not hold them itself.
const MACHINE_PATHS: &[(&str, &str)] = &[
    ("/work", "/"),
    ("/root", "/."),
    ("/home", "/"),
    ("/Users", "/"),
    ("index.crates", ".io-"),
];

fn everything() -> Vec<PathBuf> {
    let mut all = files_below(
        &root(),
        &[
            "rs", "md", "toml", "yml", "yaml", "sh", "ts", "tsx", "css", "html",
        ],
    );
    all.extend(
        ["Makefile", ".ci/run"]
            .map(|f| root().join(f))
            .into_iter()
            .filter(|f| f.is_file()),
    );
    all
}

fn read(file: &PathBuf) -> String {
    String::from_utf8_lossy(&fs::read(file).expect("a readable file")).into_owned()
}

#[test]
fn source_files_stay_small() {
    let mut problems = Vec::new();
    for file in files_below(&root(), &["rs", "ts", "tsx"]) {
        let lines = read(&file).lines().count();
        if lines > LINES_MAX {
            problems.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}",
                shown(&file)
            ));
        }
    }
    expect_none("file sizes", &problems);
}

#[test]
fn no_machine_paths() {
    let mut problems = Vec::new();
    for file in everything() {
        let text = read(&file);
        for (a, b) in MACHINE_PATHS {
            let word = format!("{a}{b}");
            for (n, line) in text.lines().enumerate() {
                // Paths of the watched system in fixtures and flags are not places of ours.
                let url_or_flag = line.contains("http") || line.contains("--path");
                if line.contains(&word) && !url_or_flag && !shown(&file).contains("fixtures") {
                    problems.push(format!("{}:{}: {word}", shown(&file), n + 1));
                }
            }
        }
    }
    expect_none("machine paths", &problems);
}

#[test]
fn nothing_is_left_to_do_in_code() {
    let mut problems = Vec::new();
    let words = [
        ["to", "do!("],
        ["unimple", "mented!("],
        ["FIX", "ME"],
        ["XX", "X:"],
    ];
    for file in files_below(&root(), &["rs"]) {
        for (n, line) in read(&file).lines().enumerate() {
            for w in &words {
                if line.contains(&w.concat()) {
                    problems.push(format!("{}:{}: {}", shown(&file), n + 1, w.concat()));
                }
            }
        }
    }
    expect_none("left to do", &problems);
}

#[test]
fn markdown_pages_have_one_title() {
    let mut problems = Vec::new();
    for file in files_below(&root(), &["md"]) {
        let mut fenced = false;
        let mut titles = 0;
        for line in read(&file).lines() {
            if line.starts_with("```") {
                fenced = !fenced;
            }
            titles += usize::from(!fenced && line.starts_with("# "));
        }
        if titles != 1 && !shown(&file).contains("fixtures") {
            problems.push(format!("{}: {titles} titles", shown(&file)));
        }
    }
    expect_none("titles", &problems);
}

#[test]
fn modules_say_what_they_are() {
    let mut problems = Vec::new();
    for dir in ["engine/src", "query/src", "server/src", "exporters/src"] {
        for file in files_below(&root().join(dir), &["rs"]) {
            if !file.ends_with("tests.rs") && !read(&file).starts_with("//!") {
                problems.push(shown(&file));
            }
        }
    }
    expect_none("files without a header", &problems);
}
