//! The parsers: json, logfmt, regexp, pattern, unpack.

use std::collections::BTreeMap;

use query::logql::ast::Extraction;

use super::Row;

/// The text of a label value: what was no UTF-8 is a blank.
pub fn value_text(s: &str) -> String {
    s.replace('\u{fffd}', " ")
}

/// The characters of a key that may stand in a label name.
fn name_text(key: &str, first: bool) -> String {
    let key = key.trim();
    let lead = first && key.starts_with(|c: char| c.is_ascii_digit());
    let body = key
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => c,
            _ => '_',
        })
        .collect::<String>();
    if lead { format!("_{body}") } else { body }
}

/// Sets a label by the rules of all parsers. True when there is nothing more to find.
fn offer(row: &mut Row<'_>, name: &str, value: &str) -> bool {
    let name = row.free(name);
    if row.wants(&name) {
        row.set(&name, &value_text(value));
        return row.has_all();
    }
    false
}

// ---- JSON ----

/// A value cut out of a text; nothing inside it was looked at.
#[derive(Debug, Clone)]
enum Json {
    /// Between the quotes, escapes as they are.
    Text(String),
    Number(String),
    Bool(String),
    Null,
    Object(String),
    Array(String),
}

/// Reads a text byte by byte.
struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn cut(&self, from: usize, to: usize) -> String {
        String::from_utf8_lossy(&self.text[from..to]).into_owned()
    }

    /// After an opening quote: the text up to the closing one.
    fn string(&mut self) -> Option<String> {
        let from = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(self.cut(from, self.at - 1));
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// A whole object or array, by its brackets.
    fn block(&mut self, open: u8, close: u8) -> Option<String> {
        let from = self.at;
        let mut depth = 0;
        loop {
            let c = self.peek()?;
            self.at += 1;
            if c == b'"' {
                self.string()?;
            } else if c == open {
                depth += 1;
            } else if c == close {
                depth -= 1;
                if depth == 0 {
                    return Some(self.cut(from, self.at));
                }
            }
        }
    }

    fn value(&mut self) -> Option<Json> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.string().map(Json::Text)
            }
            b'{' => self.block(b'{', b'}').map(Json::Object),
            b'[' => self.block(b'[', b']').map(Json::Array),
            first => {
                let from = self.at;
                while !matches!(
                    self.peek()?,
                    b' ' | b'\t' | b'\r' | b'\n' | b',' | b'}' | b']'
                ) {
                    self.at += 1;
                }
                let word = self.cut(from, self.at);
                match word.as_str() {
                    "true" | "false" => Some(Json::Bool(word)),
                    "null" => Some(Json::Null),
                    _ if first == b'-' || first.is_ascii_digit() => Some(Json::Number(word)),
                    _ => None,
                }
            }
        }
    }
}

/// Members before the first fault, and whether there was none.
fn members(text: &str) -> (Vec<(String, Json)>, bool) {
    let mut out = Vec::new();
    let mut c = Cursor {
        text: text.as_bytes(),
        at: 0,
    };
    let mut read = || -> Option<()> {
        c.blanks();
        if c.peek()? != b'{' {
            return None;
        }
        c.at += 1;
        loop {
            c.blanks();
            match c.peek()? {
                // Also after a comma.
                b'}' => return Some(()),
                b'"' => c.at += 1,
                _ => return None,
            }
            let key = unescaped(&c.string()?);
            c.blanks();
            if c.peek()? != b':' {
                return None;
            }
            c.at += 1;
            c.blanks();
            let value = c.value()?;
            out.push((key?, value));
            c.blanks();
            match c.peek()? {
                b'}' => return Some(()),
                b',' => c.at += 1,
                _ => return None,
            }
        }
    };
    let whole = read().is_some();
    (out, whole)
}

/// The text that a JSON string stands for.
fn unescaped(raw: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = raw.chars();
    let hex = |chars: &mut std::str::Chars<'_>| -> Option<u32> {
        let digits: String = chars.by_ref().take(4).collect();
        let all = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        u32::from_str_radix(&digits, 16).ok().filter(|_| all)
    };
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            c @ ('"' | '\\' | '/') => out.push(c),
            'u' => {
                let mut n = hex(&mut chars)?;
                if (0xd800..0xdc00).contains(&n) {
                    if chars.next()? != '\\' || chars.next()? != 'u' {
                        return None;
                    }
                    let low = hex(&mut chars)?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return None;
                    }
                    n = 0x1_0000 + (n - 0xd800) * 0x400 + (low - 0xdc00);
                }
                out.push(char::from_u32(n).unwrap_or('\u{fffd}'));
            }
            _ => return None,
        }
    }
    Some(out)
}

/// Why walking an object ended.
#[derive(PartialEq)]
enum End {
    Whole,
    Fault,
    Enough,
}

pub fn json(row: &mut Row<'_>) {
    if row.idle() {
        return;
    }
    let line = row.line.clone();
    if json_object(&line, "", row) == End::Fault {
        row.fail("JSONParserErr", true);
    }
}

fn json_object(text: &str, prefix: &str, row: &mut Row<'_>) -> End {
    let (found, whole) = members(text);
    for (key, value) in found {
        let own = name_text(&key, prefix.is_empty());
        let name = match (prefix.is_empty(), key.trim().is_empty()) {
            (_, true) => prefix.to_owned(),
            (true, false) => own,
            (false, false) => format!("{prefix}_{own}"),
        };
        let text = match value {
            Json::Object(inner) => {
                // Objects that cannot hold what is needed are not looked into.
                let only = &row.needs.only;
                if only.is_empty() || only.iter().any(|o| o.starts_with(&name)) {
                    match json_object(&inner, &name, row) {
                        End::Whole => {}
                        end => return end,
                    }
                }
                continue;
            }
            Json::Array(_) | Json::Null => continue,
            Json::Number(t) | Json::Bool(t) => t,
            Json::Text(raw) => unescaped(&raw).unwrap_or_default(),
        };
        if !name.is_empty() && offer(row, &name, &text) {
            return End::Enough;
        }
    }
    if whole { End::Whole } else { End::Fault }
}

/// `a.b[0]["c"]`.
enum Step {
    Key(String),
    Index(usize),
}

fn steps(text: &str) -> Vec<Step> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(r) = rest.strip_prefix("[\"") {
            let (key, after) = r.split_once("\"]").expect("a closed key");
            out.push(Step::Key(key.to_owned()));
            rest = after;
        } else if let Some(r) = rest.strip_prefix('[') {
            let (n, after) = r.split_once(']').expect("a closed index");
            out.push(Step::Index(n.parse().expect("a number")));
            rest = after;
        } else {
            let r = rest.strip_prefix('.').unwrap_or(rest);
            let end = r.find(['.', '[']).unwrap_or(r.len());
            out.push(Step::Key(r[..end].to_owned()));
            rest = &r[end..];
        }
    }
    out
}

fn at_path(value: &Json, path: &[Step]) -> Option<Json> {
    match (path, value) {
        ([], v) => Some(v.clone()),
        ([Step::Key(k), rest @ ..], Json::Object(text)) => members(text)
            .0
            .iter()
            .filter(|(key, _)| key == k)
            .find_map(|(_, v)| at_path(v, rest)),
        ([Step::Index(n), rest @ ..], Json::Array(text)) => {
            let mut c = Cursor {
                text: text.as_bytes(),
                at: 1,
            };
            for _ in 0..*n {
                c.blanks();
                c.value()?;
                c.blanks();
                if c.peek()? != b',' {
                    return None;
                }
                c.at += 1;
            }
            c.blanks();
            at_path(&c.value()?, rest)
        }
        _ => None,
    }
}

pub fn json_expressions(list: &[Extraction], row: &mut Row<'_>) {
    if row.line.is_empty() || row.idle() {
        return;
    }
    let line = row.line.clone();
    let whole = match line.as_bytes()[0] {
        b'{' => {
            let mut c = Cursor {
                text: line.as_bytes(),
                at: 0,
            };
            // What is cut off gives what stands before the cut.
            Json::Object(c.block(b'{', b'}').unwrap_or(line))
        }
        b'[' => Json::Array(line),
        b'"' => Json::Text(line),
        _ => return row.fail("JSONParserErr", false),
    };
    let mut missing = false;
    for e in list {
        let Some(found) = at_path(&whole, &steps(&e.expression)) else {
            missing = true;
            continue;
        };
        let text = match found {
            Json::Null => String::new(),
            Json::Object(raw) => raw,
            Json::Array(raw) => value_text(&unescaped(&raw).unwrap_or_default()),
            Json::Text(raw) | Json::Number(raw) | Json::Bool(raw) => {
                value_text(&unescaped(&raw).unwrap_or_default())
            }
        };
        let name = row.free(&e.label);
        row.set(&name, &text);
    }
    if missing {
        for e in list {
            if row.get(&e.label).is_none() {
                row.set(&e.label, "");
            }
        }
    }
}

pub fn unpack(row: &mut Row<'_>) {
    if row.line.is_empty() || row.idle() {
        return;
    }
    if !row.line.starts_with('{') {
        return row.fail("JSONParserErr", true);
    }
    let (found, whole) = members(&row.line);
    if !whole {
        return row.fail("JSONParserErr", true);
    }
    let mut line = None;
    let mut labels = BTreeMap::new();
    for (key, value) in found {
        let Json::Text(raw) = value else { continue };
        let text = unescaped(&raw).unwrap_or_default();
        if key == "_entry" {
            line = Some(text);
        } else {
            let name = row.free(&key);
            if row.wants(&name) {
                labels.insert(name, value_text(&text));
            }
        }
    }
    if let Some(line) = line {
        for (name, value) in labels {
            row.set(&name, &value);
        }
        row.set_line(line);
    }
}

// ---- logfmt ----

/// A pair, or the fault that stands in its place.
fn pairs(line: &str) -> Vec<Option<(String, String)>> {
    let c: Vec<char> = line.chars().collect();
    let blank = |i: usize| c.get(i).is_none_or(|c| *c <= ' ');
    let mut out = Vec::new();
    let mut i = 0;
    while i < c.len() {
        if blank(i) {
            i += 1;
            continue;
        }
        let from = i;
        while !blank(i) && c[i] != '=' && c[i] != '"' {
            i += 1;
        }
        let key: String = c[from..i].iter().collect();
        let to_blank = |mut i: usize| {
            while !blank(i) {
                i += 1;
            }
            i
        };
        if blank(i) {
            out.push(Some((key, String::new())));
            continue;
        }
        if c[i] == '"' || key.is_empty() || key.contains('\u{fffd}') {
            out.push(None);
            i = to_blank(i);
            continue;
        }
        i += 1;
        if blank(i) {
            out.push(Some((key, String::new())));
            continue;
        }
        if c[i] != '"' {
            let from = i;
            while !blank(i) && c[i] != '=' && c[i] != '"' {
                i += 1;
            }
            if blank(i) {
                out.push(Some((key, c[from..i].iter().collect())));
            } else {
                out.push(None);
                i = to_blank(i);
            }
            continue;
        }
        // Quoted: up to the next quote without a backslash before it.
        i += 1;
        let from = i;
        while i < c.len() && c[i] != '"' {
            i += if c[i] == '\\' { 2 } else { 1 };
        }
        if i >= c.len() {
            out.push(None);
            break;
        }
        let raw: String = c[from..i].iter().collect();
        i += 1;
        match unescaped(&raw.replace("\\'", "'")) {
            Some(v) => out.push(Some((key, v))),
            None => {
                out.push(None);
                i = to_blank(i);
            }
        }
    }
    out
}

pub fn logfmt(strict: bool, keep_empty: bool, row: &mut Row<'_>) {
    if row.idle() {
        return;
    }
    for pair in pairs(&row.line.clone()) {
        match pair {
            Some((key, value)) => {
                let name = name_text(&key, true);
                let empty = value.is_empty() && !keep_empty;
                if !name.is_empty() && !empty && offer(row, &name, &value) {
                    return;
                }
            }
            None if strict => return row.fail("LogfmtParserErr", true),
            None => {}
        }
    }
}

pub fn logfmt_expressions(strict: bool, list: &[Extraction], row: &mut Row<'_>) {
    if row.idle() {
        return;
    }
    for e in list {
        if row.free(&e.label) == e.label {
            row.set(&e.label, "");
        }
    }
    for pair in pairs(&row.line.clone()) {
        match pair {
            Some((key, value)) => {
                let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                let key = if plain { key } else { name_text(&key, true) };
                let wanted = list.iter().find(|e| e.expression.trim() == key);
                let Some(e) = wanted.or_else(|| list.iter().find(|e| e.label == key)) else {
                    continue;
                };
                let name = row.free(&e.label);
                // A label that had to be renamed is set once.
                if name != e.label && !row.wants(&name) {
                    return;
                }
                row.set(&name, &value_text(&value));
            }
            None if strict => return row.fail("LogfmtParserErr", true),
            None => {}
        }
    }
}

// ---- regexp and pattern ----

pub fn regexp(re: &str, row: &mut Row<'_>) {
    if row.idle() {
        return;
    }
    let line = row.line.clone();
    let found = super::with_pattern(re, |re| {
        let names: Vec<String> = re.capture_names().flatten().map(str::to_owned).collect();
        re.captures(&line).map(|c| {
            let text = |n: &String| c.name(n).map_or("", |m| m.as_str()).to_owned();
            names
                .iter()
                .map(|n| (n.clone(), text(n)))
                .collect::<Vec<_>>()
        })
    });
    for (name, value) in found.flatten().unwrap_or_default() {
        if offer(row, &name_text(&name, true), &value) {
            return;
        }
    }
}

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Text(String),
    /// Named or not.
    Hole(Option<String>),
}

pub fn pieces(pattern: &str) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let hole = rest.strip_prefix('<').and_then(|r| {
            let (name, after) = r.split_once('>')?;
            let word = !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit());
            word.then_some((name, after))
        });
        if let Some((name, after)) = hole {
            out.push(Piece::Hole((name != "_").then(|| name.to_owned())));
            rest = after;
        } else {
            match out.last_mut() {
                Some(Piece::Text(t)) => t.push(c),
                _ => out.push(Piece::Text(c.to_string())),
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

pub fn pattern(p: &str, row: &mut Row<'_>) {
    if row.idle() || row.line.is_empty() {
        return;
    }
    let line = row.line.clone();
    let mut rest = line.as_str();
    let pieces = pieces(p);
    let mut i = 0;
    if let Piece::Text(t) = &pieces[0] {
        match rest.strip_prefix(t.as_str()) {
            Some(r) => rest = r,
            None => return,
        }
        i = 1;
    }
    while let Some(Piece::Hole(name)) = pieces.get(i) {
        let next = match pieces.get(i + 1) {
            Some(Piece::Text(t)) => rest.find(t.as_str()).map(|at| (at, at + t.len())),
            _ => None,
        };
        let value = next.map_or(rest, |(at, _)| &rest[..at]);
        if let Some(name) = name
            && offer(row, name, value)
        {
            return;
        }
        match next {
            Some((_, after)) => rest = &rest[after..],
            None => return,
        }
        i += 2;
    }
}
