//! `json`: values by JMESPath expressions.

use std::sync::Arc;

use jmespath::{Expression, Variable};

use super::{Build, Now, Simple};
use crate::logs::entry::{Entry, Value};
use crate::logs::language::Language;
use crate::logs::settings::Settings;

/// The stage.
pub(super) struct Json {
    expressions: Vec<(String, Expression<'static>)>,
    source: Option<String>,
    drop_malformed: bool,
    language: Arc<dyn Language>,
}

impl Json {
    pub(super) fn new(s: Settings<'_>, b: &Build<'_>) -> Result<Self, String> {
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
            language: b.outside.language.clone(),
        })
    }
}

impl Simple for Json {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        let Some(text) = entry.input(self.source.as_deref()) else {
            return true;
        };
        let data = match serde_json::from_str::<Variable>(&text) {
            // `null` is an object without anything, as in the original.
            Ok(v @ (Variable::Object(_) | Variable::Null)) => jmespath::Rcvar::new(v),
            _ => return !self.drop_malformed,
        };
        for (name, expression) in &self.expressions {
            if let Ok(found) = expression.search(&data) {
                entry
                    .extracted
                    .insert(name.clone(), value(&found, self.language.as_ref()));
            }
        }
        true
    }
}

fn value(v: &Variable, l: &dyn Language) -> Value {
    match v {
        Variable::Null => Value::Null,
        Variable::Bool(b) => Value::Bool(*b),
        Variable::String(t) => Value::Text(t.clone()),
        Variable::Number(n) => n.as_f64().map_or(Value::Null, Value::Float),
        Variable::Array(_) | Variable::Object(_) | Variable::Expref(_) => {
            let mut out = String::new();
            write(v, l, &mut out);
            Value::Text(out)
        }
    }
}

/// The JSON text of lists and maps: keys sorted, numbers as floats.
fn write(v: &Variable, l: &dyn Language, out: &mut String) {
    match v {
        Variable::Array(list) => {
            out.push('[');
            for (i, v) in list.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(v, l, out);
            }
            out.push(']');
        }
        Variable::Object(map) => {
            out.push('{');
            for (i, (k, v)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&l.json_text(k));
                out.push(':');
                write(v, l, out);
            }
            out.push('}');
        }
        Variable::String(t) => out.push_str(&l.json_text(t)),
        Variable::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Variable::Number(n) => out.push_str(&l.json_number(n.as_f64().unwrap_or(0.0))),
        Variable::Null | Variable::Expref(_) => out.push_str("null"),
    }
}
