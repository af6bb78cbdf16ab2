//! `logfmt`: values of `key=value` pairs.

use super::{Now, Simple};
use crate::logs::entry::{Entry, Value};
use crate::logs::settings::Settings;

/// The stage.
pub(super) struct Logfmt {
    /// Name and key.
    mapping: Vec<(String, String)>,
    source: Option<String>,
}

impl Logfmt {
    pub(super) fn new(s: Settings<'_>) -> Result<Self, String> {
        let mapping = s.mapping("mapping")?;
        if mapping.is_empty() {
            return Err("mapping: logfmt mapping is required".into());
        }
        Ok(Self {
            mapping,
            source: s.source()?,
        })
    }
}

impl Simple for Logfmt {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        let Some(text) = entry.input(self.source.as_deref()) else {
            return true;
        };
        let mut found = Vec::new();
        each_pair(&text, |key, value| {
            for (name, _) in self.mapping.iter().filter(|(_, k)| k == key) {
                found.push((name.clone(), Value::Text(value.to_owned())));
            }
        });
        entry.extracted.extend(found);
        true
    }
}

/// Hands over pairs until the end or the first mistake. A quoted value ends with its line.
fn each_pair(text: &str, mut take: impl FnMut(&str, &str)) {
    for line in text.split('\n') {
        if of_line(line, &mut take).is_none() {
            return;
        }
    }
}

/// The pairs of one line. None at a mistake: a quote or an equals sign where a key begins, a quote
/// inside a bare value, a quoted value without end, a key that was no text.
fn of_line(line: &str, take: &mut impl FnMut(&str, &str)) -> Option<()> {
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches(|c: char| c <= ' ');
        if rest.is_empty() {
            return Some(());
        }
        let end = rest
            .find(|c: char| c <= ' ' || c == '=' || c == '"')
            .unwrap_or(rest.len());
        let (key, tail) = rest.split_at(end);
        if key.is_empty() || tail.starts_with('"') || key.contains('\u{fffd}') {
            return None;
        }
        let Some(value) = tail.strip_prefix('=') else {
            take(key, "");
            rest = tail;
            continue;
        };
        if let Some(quoted) = value.strip_prefix('"') {
            let (value, tail) = unquote(quoted)?;
            take(key, &value);
            rest = tail;
            continue;
        }
        let end = value
            .find(|c: char| c <= ' ' || c == '=' || c == '"')
            .unwrap_or(value.len());
        let (value, tail) = value.split_at(end);
        if tail.starts_with(['=', '"']) {
            return None;
        }
        take(key, value);
        rest = tail;
    }
}

/// A quoted value after its opening quote, and what follows the closing one.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut end = None;
    let mut escaped = false;
    for (i, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                end = Some(i);
                break;
            }
            _ => {}
        }
    }
    let end = end?;
    let (raw, tail) = (text.get(..end)?, text.get(end + 1..)?);
    if !raw.contains('\\') {
        return Some((raw.to_owned(), tail));
    }
    // The escapes of JSON are the ones that writers use.
    let value = serde_json::from_str::<String>(&format!("\"{raw}\"")).ok()?;
    Some((value, tail))
}

#[cfg(test)]
mod tests {
    use super::each_pair;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let mut out = Vec::new();
        each_pair(text, |k, v| out.push((k.to_owned(), v.to_owned())));
        out
    }

    #[test]
    fn pairs_before_a_mistake_count() {
        let all = |p: &[(&str, &str)]| {
            let each = p.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            each.collect::<Vec<_>>()
        };
        assert_eq!(
            pairs(r#"a=1 b="x \"y\"" c d= e"#),
            all(&[
                ("a", "1"),
                ("b", "x \"y\""),
                ("c", ""),
                ("d", ""),
                ("e", "")
            ])
        );
        assert_eq!(pairs(r#"a=1 "b" c=2"#), all(&[("a", "1")]));
        assert_eq!(pairs(r#"a=1 b="open"#), all(&[("a", "1")]));
        assert_eq!(pairs("a=1 b=2=3 c=4"), all(&[("a", "1")]));
        assert_eq!(pairs("a=1 \u{fffd}=2 c=3"), all(&[("a", "1")]));
        // Of several lines each stands for itself.
        assert_eq!(
            pairs("a=1\r\nb=\"x\" c"),
            all(&[("a", "1"), ("b", "x"), ("c", "")])
        );
        assert_eq!(pairs("a=1 b=\"x\ny\" c=2"), all(&[("a", "1")]));
    }
}
