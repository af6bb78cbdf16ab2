//! Format pages and code agree: every row of a constants table (`| NAME | value | why |`) names a
//! constant of the engine with that value.

use std::collections::BTreeMap;
use std::fs;

use super::{expect_none, files_below, root, shown};

/// A number as pages and code write it: `16 MiB`, `0x1f`, `1 << 20`, `64 * 1024`, `4_096`.
fn number(text: &str) -> Option<i128> {
    let text = text.trim().trim_matches('`').trim();
    if let Some((a, b)) = text.split_once("<<") {
        return Some(number(a)? << u32::try_from(number(b)?).ok()?);
    }
    if text.contains('*') {
        return text.split('*').map(number).product::<Option<i128>>();
    }
    for (unit, factor) in [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("bytes", 1),
    ] {
        if let Some(n) = text.strip_suffix(unit) {
            return Some(number(n)? * factor);
        }
    }
    let digits = text.replace(['_', ','], "");
    let digits = digits.trim();
    for suffix in ["usize", "u64", "u32", "u16", "u8", "i64", "i32"] {
        if let Some(d) = digits.strip_suffix(suffix) {
            return number(d);
        }
    }
    match digits.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    }
}

/// Values of a constant, as written; names may repeat in different modules.
fn constants() -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files_below(&root().join("engine/src"), &["rs"]) {
        let text = fs::read_to_string(&file).expect("a source file");
        for (i, _) in text.match_indices("const ") {
            let rest = &text[i + 6..];
            let Some((name, rest)) = rest.split_once(':') else {
                continue;
            };
            let Some((_, rest)) = rest.split_once('=') else {
                continue;
            };
            let Some((value, _)) = rest.split_once(';') else {
                continue;
            };
            let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            if !name.is_empty() && name.chars().all(upper) {
                out.entry(name.to_owned())
                    .or_default()
                    .push(value.trim().to_owned());
            }
        }
    }
    out
}

fn same(page: &str, code: &str) -> bool {
    let page = page.trim().trim_matches('`').trim();
    if let (Some(p), Some(c)) = (number(page), number(code)) {
        return p == c;
    }
    // Texts and byte strings: what stands between the quotes.
    let bare = |t: &str| {
        let t = t.trim_start_matches(['*', '&', 'b']);
        t.trim_matches('"').to_owned()
    };
    bare(page) == bare(code)
}

#[test]
fn constants_of_format_pages_agree_with_the_code() {
    let code = constants();
    let mut problems = Vec::new();
    for page in files_below(&root().join("engine/docs/format"), &["md"]) {
        let text = fs::read_to_string(&page).expect("a page");
        for (n, line) in text.lines().enumerate() {
            let cells: Vec<&str> = line
                .trim()
                .trim_matches('|')
                .split('|')
                .map(str::trim)
                .collect();
            let [name, value, ..] = cells[..] else {
                continue;
            };
            let name = name.trim_matches('`');
            let constant = name.len() > 2
                && name.contains('_')
                && name
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            if !line.trim().starts_with('|') || !constant {
                continue;
            }
            let at = format!("{}:{}", shown(&page), n + 1);
            match code.get(name) {
                None => problems.push(format!("{at}: no constant {name} in engine/src")),
                Some(values) if values.iter().any(|v| same(value, v)) => {}
                Some(values) => problems.push(format!(
                    "{at}: {name} is {value} here and {} in the code",
                    values.join(" or ")
                )),
            }
        }
    }
    expect_none("format pages", &problems);
}

#[test]
fn numbers_are_read_in_all_forms() {
    for (text, want) in [
        ("16 MiB", 16 << 20),
        ("`64 * 1024`", 65536),
        ("1 << 20", 1 << 20),
        ("0x1f", 31),
        ("4_096", 4096),
        ("12 bytes", 12),
        ("7u64", 7),
    ] {
        assert_eq!(number(text), Some(want), "{text}");
    }
    assert_eq!(number("abc"), None);
}
