//! `json`: values by JMESPath expressions.

use jmespath::{Expression, Variable};

use super::{Now, Simple};
use crate::logs::entry::{Entry, Value};
use crate::logs::settings::Settings;

/// The stage.
pub(super) struct Json {
    expressions: Vec<(String, Expression<'static>)>,
    source: Option<String>,
    drop_malformed: bool,
}

impl Json {
    pub(super) fn new(s: Settings<'_>) -> Result<Self, String> {
        let mut expressions = Vec::new();
        for (name, text) in s.mapping("expressions")? {
            let compiled = jmespath::compile(&text).map_err(|e| {
                format!(
                    "expressions: {name}: could not compile {text:?}: {}",
                    e.reason
                )
            })?;
            expressions.push((name, compiled));
        }
        if expressions.is_empty() {
            return Err("expressions: JMES expression is required".into());
        }
        Ok(Self {
            expressions,
            source: s.source()?,
            drop_malformed: s.flag("drop_malformed", false)?,
        })
    }
}

impl Simple for Json {
    fn apply(&mut self, entry: &mut Entry, now: Now<'_>) -> bool {
        let Some(text) = entry.input(self.source.as_deref()) else {
            return true;
        };
        let data = match serde_json::from_str::<Variable>(&text) {
            Ok(v @ Variable::Object(_)) => jmespath::Rcvar::new(v),
            _ if self.drop_malformed => {
                now.numbers.dropped("json_parse_error");
                return false;
            }
            _ => return true,
        };
        for (name, expression) in &self.expressions {
            if let Ok(found) = expression.search(&data) {
                entry.extracted.insert(name.clone(), value(&found));
            }
        }
        true
    }
}

fn value(v: &Variable) -> Value {
    match v {
        Variable::Null => Value::Null,
        Variable::Bool(b) => Value::Bool(*b),
        Variable::String(t) => Value::Text(t.clone()),
        Variable::Number(n) => n.as_f64().map_or(Value::Null, Value::Float),
        Variable::Array(_) | Variable::Object(_) | Variable::Expref(_) => {
            let mut out = String::new();
            write(v, &mut out);
            Value::Text(out)
        }
    }
}

/// The JSON text of lists and maps: keys sorted, numbers as floats.
fn write(v: &Variable, out: &mut String) {
    match v {
        Variable::Array(list) => {
            out.push('[');
            for (i, v) in list.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(v, out);
            }
            out.push(']');
        }
        Variable::Object(map) => {
            out.push('{');
            for (i, (k, v)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                quote(k, out);
                out.push(':');
                write(v, out);
            }
            out.push('}');
        }
        Variable::String(t) => quote(t, out),
        Variable::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Variable::Number(n) => {
            let v = n.as_f64().unwrap_or(0.0);
            let plain = v == 0.0 || (1e-6..1e21).contains(&v.abs());
            out.push_str(&if plain { v.to_string() } else { exponent(v) });
        }
        Variable::Null | Variable::Expref(_) => out.push_str("null"),
    }
}

/// `1e+21`, `1e-7`.
fn exponent(v: f64) -> String {
    let text = format!("{v:e}");
    match text.split_once('e') {
        Some((m, e)) if !e.starts_with('-') => format!("{m}e+{e}"),
        _ => text,
    }
}

/// Appends a JSON text in which `<`, `>`, `&` and the two line separators are escaped.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
