//! Templates of alerting rules: the functions that Prometheus adds to the language.
//!
//! Owns: the table of functions, the variables that every text begins with, results of queries as
//! values.
//! Knows nothing of: rules, where answers of queries come from ([`Source`] is the caller's).
//!
//! Read next: `family.rs`.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{
    Budget, ExecError, Function, Host, Kind, Map, MissingKey, Object, Template, TemplateError,
    Value, family, query_escape,
};
use crate::text::duration;

const A: Kind = Kind::Any;
const T: Kind = Kind::Text;

const TABLE: &[Function] = &[
    Function::host("query", &[T]),
    Function::host("now", &[]),
    Function::host("externalURL", &[]),
    Function::host("pathPrefix", &[]),
    Function::pure("first", &[A], |a| match list(a, 0)?.first() {
        Some(v) => Ok(v.clone()),
        None => Err("first() called on vector with no elements".to_owned()),
    }),
    Function::pure("label", &[T, A], |a| {
        Ok(label(sample(a, 1)?, text(a, 0)).into())
    }),
    Function::pure("value", &[A], |a| {
        Ok(sample(a, 0)?.field("Value").unwrap_or_default())
    }),
    Function::pure("strvalue", &[A], |a| {
        Ok(label(sample(a, 0)?, "__value__").into())
    }),
    Function::pure("sortByLabel", &[T, A], |a| {
        let name = text(a, 0);
        let of = |v: &Value| match v {
            Value::Object(o) => label(o.as_ref(), name),
            _ => String::new(),
        };
        let mut all = list(a, 1)?.to_vec();
        all.sort_by_cached_key(of);
        Ok(all.into())
    }),
    Function::pure("args", &[], |a| {
        let named = a.iter().enumerate();
        let entries = named.map(|(i, v)| (format!("arg{i}").into(), v.clone()));
        Ok(Value::Map(Arc::new(Map {
            entries: entries.collect(),
            texts: false,
        })))
    })
    .with_rest(A),
    Function::pure(
        "humanize",
        &[A],
        |a| Ok(family::humanize(number(a)?).into()),
    ),
    Function::pure("humanize1024", &[A], |a| {
        Ok(family::humanize1024(number(a)?).into())
    }),
    Function::pure("humanizeDuration", &[A], |a| {
        Ok(family::humanize_duration(number(a)?).into())
    }),
    Function::pure("humanizePercentage", &[A], |a| {
        Ok(family::humanize_percentage(number(a)?).into())
    }),
    Function::pure("humanizeTimestamp", &[A], |a| {
        let v = number(a)?;
        if !v.is_finite() {
            return Ok(family::humanize_odd(v).into());
        }
        Ok(time(v)?.text().into())
    }),
    Function::pure("toTime", &[A], |a| time(number(a)?)),
    Function::pure("toDuration", &[A], |a| {
        family::nanoseconds(number(a)?, "duration").map(Value::Duration)
    }),
    Function::pure("parseDuration", &[T], |a| {
        let s = text(a, 0);
        let (sign, abs) = match s.strip_prefix('-') {
            Some(abs) => (-1.0, abs),
            None => (1.0, s),
        };
        let ms = duration::parse(abs).map_err(|e| e.to_string())?;
        Ok(Value::Float(sign * ms as f64 / 1000.0))
    }),
    Function::pure("title", &[T], |a| {
        Ok(family::capitals_of_words(text(a, 0)).into())
    }),
    Function::pure("toUpper", &[T], |a| Ok(family::upper(text(a, 0)).into())),
    Function::pure("toLower", &[T], |a| Ok(family::lower(text(a, 0)).into())),
    Function::pure("match", &[T, T], |a| {
        family::matches(text(a, 0), text(a, 1)).map(Value::Bool)
    }),
    Function::pure("reReplaceAll", &[T, T, T], |a| {
        family::replace_all(text(a, 0), text(a, 1), text(a, 2)).map(Value::from)
    }),
    Function::pure("safeHtml", &[T], |a| Ok(Value::Safe(text(a, 0).into()))),
    Function::pure("graphLink", &[T], |a| Ok(graph_link(text(a, 0), 0).into())),
    Function::pure("tableLink", &[T], |a| Ok(graph_link(text(a, 0), 1).into())),
    Function::pure("stripPort", &[T], |a| {
        Ok(match host_and_port(text(a, 0)) {
            Some((host, _)) => host.into(),
            None => text(a, 0).into(),
        })
    }),
    Function::pure("stripDomain", &[T], |a| {
        Ok(without_domain(text(a, 0)).into())
    }),
    Function::pure("urlQueryEscape", &[T], |a| {
        Ok(query_escape(text(a, 0)).into())
    }),
];

fn text(a: &[Value], i: usize) -> &str {
    a.get(i).and_then(Value::as_text).unwrap_or_default()
}

fn number(a: &[Value]) -> Result<f64, String> {
    family::number(a.first().unwrap_or(&Value::Nil))
}

fn list(a: &[Value], i: usize) -> Result<&[Value], String> {
    match a.get(i) {
        Some(Value::List(l)) => Ok(l),
        v => Err(not("a query result", v)),
    }
}

fn sample(a: &[Value], i: usize) -> Result<&dyn Object, String> {
    match a.get(i) {
        Some(Value::Object(o)) if o.type_name() == SAMPLE_TYPE => Ok(o.as_ref()),
        v => Err(not("a sample", v)),
    }
}

fn not(what: &str, v: Option<&Value>) -> String {
    let name = v.map_or("nil", Value::type_name);
    format!("wrong type for value; expected {what}; got {name}")
}

fn label(sample: &dyn Object, name: &str) -> String {
    match sample.field("Labels") {
        Some(Value::Map(m)) => m.entries.get(name).map_or(String::new(), Value::text),
        _ => String::new(),
    }
}

fn time(seconds: f64) -> Result<Value, String> {
    let ns = family::nanoseconds(seconds, "timestamp")?;
    // Times of the family are whole milliseconds.
    let t = Timestamp::from_millisecond(ns.div_euclid(1_000_000)).map_err(|e| e.to_string())?;
    Ok(Value::Time(Box::new(t.to_zoned(TimeZone::UTC))))
}

/// The page that shows an expression, without the server: tab 0 draws it, tab 1 lists it.
#[must_use]
pub fn graph_link(expression: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", query_escape(expression))
}

/// Host and port of `host:port` or `[host]:port`.
fn host_and_port(s: &str) -> Option<(&str, &str)> {
    let (host, port) = s.rsplit_once(':')?;
    if let Some(inner) = host.strip_prefix('[') {
        return Some((inner.strip_suffix(']')?, port));
    }
    (!host.contains([':', '[', ']']) && !port.contains([']', '['])).then_some((host, port))
}

fn without_domain(s: &str) -> String {
    let (host, port) = host_and_port(s).map_or((s, None), |(h, p)| (h, Some(p)));
    let ip = host.parse::<std::net::IpAddr>().is_ok();
    let first = host.split('.').next().unwrap_or(host);
    let host = if ip { host } else { first };
    match port {
        Some(p) if !p.is_empty() && host.contains(':') => format!("[{host}]:{p}"),
        Some(p) if !p.is_empty() => format!("{host}:{p}"),
        _ => host.to_owned(),
    }
}

const SAMPLE_TYPE: &str = "*template.sample";

/// One series of a query's answer.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its labels, the name included.
    pub labels: Vec<(String, String)>,
    /// Its value: a float, or the text of a histogram.
    pub value: Value,
}

impl Object for Sample {
    fn type_name(&self) -> &str {
        SAMPLE_TYPE
    }
    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => {
                let each = self.labels.iter();
                Some(Value::texts(each.map(|(n, v)| (n.as_str(), v.as_str()))))
            }
            "Value" => Some(self.value.clone()),
            _ => None,
        }
    }
    fn text(&self) -> String {
        let labels = self.field("Labels").unwrap_or_default().text();
        format!("&{{{labels} {}}}", self.value.text())
    }
}

/// What functions ask of the server.
pub trait Source {
    /// Answers an instant query at the time of the evaluation.
    ///
    /// # Errors
    /// The text of the error.
    fn query(&mut self, expression: &str) -> Result<Vec<Sample>, String>;
    /// The time of the evaluation, ms since 1970.
    fn now_ms(&self) -> i64;
    /// The URL under which users reach the server; `None` where there is no server.
    fn external_url(&self) -> Option<&str>;
}

struct Asked<'s>(&'s mut dyn Source);

impl Host for Asked<'_> {
    fn call(&mut self, name: &str, args: &[Value]) -> Result<Value, String> {
        let url = self.0.external_url();
        match name {
            "query" => {
                let found = self.0.query(text(args, 0))?.into_iter();
                let each = found.map(|s| Value::Object(Arc::new(s)));
                Ok(each.collect::<Vec<_>>().into())
            }
            "now" => Ok(Value::Float(self.0.now_ms() as f64 / 1000.0)),
            _ => {
                let url = url.ok_or("the external URL is not known here")?;
                Ok(match name {
                    "externalURL" => url.into(),
                    _ => {
                        let behind = url.split_once("://").map_or(url, |(_, b)| b);
                        behind.find('/').map_or("", |i| &behind[i..]).into()
                    }
                })
            }
        }
    }
}

/// What texts of rules begin with, so that `$labels` and the others are there.
const PROLOGUE: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
    {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// Parses a label or an annotation of the alert `alert`. Cost: that of the text.
///
/// # Errors
/// When it is no template.
pub fn parse(alert: &str, text: &str) -> Result<Template, TemplateError> {
    let name = format!("__alert_{alert}");
    let mut t = Template::parse(&name, &format!("{PROLOGUE}{text}"), &[TABLE])?;
    t.missing = MissingKey::Zero;
    Ok(t)
}

/// What a text is about.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Labels of the result, before those of the rule.
    pub labels: Value,
    /// Labels of the server.
    pub external_labels: Value,
    /// URL of the server.
    pub external_url: Arc<str>,
    /// The result: a float, or the text of a histogram.
    pub value: Value,
}

impl Object for Scope {
    fn type_name(&self) -> &'static str {
        "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
    }
    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(self.labels.clone()),
            "ExternalLabels" => Some(self.external_labels.clone()),
            "ExternalURL" => Some(Value::Text(self.external_url.clone())),
            "Value" => Some(self.value.clone()),
            _ => None,
        }
    }
    fn text(&self) -> String {
        format!(
            "{{{} {} {} {}}}",
            self.labels.text(),
            self.external_labels.text(),
            self.external_url,
            self.value.text()
        )
    }
}

/// Expands a template; a failure becomes the text `<error expanding template: ...>`, because an
/// alert is worth more than its words.
pub fn expand(template: &Template, scope: &Scope, source: &mut dyn Source) -> String {
    let data = Value::Object(Arc::new(scope.clone()));
    match run(template, &data, source) {
        Ok(text) => text,
        Err(e) => format!(
            "<error expanding template: error executing template {}: {e}>",
            template.name
        ),
    }
}

/// Expands a template with any data.
///
/// # Errors
/// See [`ExecError`].
pub fn run(
    template: &Template,
    data: &Value,
    source: &mut dyn Source,
) -> Result<String, ExecError> {
    let mut out = String::new();
    template.execute(data, &mut Asked(source), Budget::default(), &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests;
