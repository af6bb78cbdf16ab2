//! OTLP logs: `ExportLogsServiceRequest` in protobuf and JSON, translated to streams as Loki does.
//!
//! Owns: the messages, which attributes become stream labels and which structured metadata.
//! Knows nothing of: limits, discovery of service names, HTTP.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::decode::Decoder;
use super::json::{plain, text};
use super::{DecodeError, PARTS_MAX};
use crate::wire::loki::{Pairs, PushEntry, PushStream};

/// Resource attributes that are stream labels unless the configuration says otherwise.
const INDEX_LABELS: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

/// What becomes of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Label,
    Metadata,
    Drop,
}

/// Actions for attributes by name.
#[derive(Debug, Clone, Default)]
struct Rules(Vec<(String, Action)>);

impl Rules {
    fn read(list: Option<&Value>) -> Self {
        let mut out = Vec::new();
        for rule in list.and_then(Value::as_array).into_iter().flatten() {
            let action = match rule.get("action").and_then(Value::as_str) {
                Some("index_label") => Action::Label,
                Some("drop") => Action::Drop,
                _ => Action::Metadata,
            };
            let names = rule.get("attributes").and_then(Value::as_array);
            for name in names.into_iter().flatten().filter_map(Value::as_str) {
                out.push((name.to_owned(), action));
            }
        }
        Self(out)
    }

    fn of(&self, name: &str) -> Option<Action> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, a)| *a)
    }
}

/// How attributes are translated.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    resource: Rules,
    ignore_defaults: bool,
    scope: Rules,
    log: Rules,
    severity_label: bool,
}

impl Settings {
    /// From the keys of `limits_config.otlp_config`; absent keys mean the defaults.
    #[must_use]
    pub fn from_json(config: &Value, severity_label: bool) -> Self {
        let resource = config.get("resource_attributes");
        Self {
            ignore_defaults: resource
                .and_then(|r| r.get("ignore_defaults"))
                .and_then(Value::as_bool)
                .unwrap_or(false),
            resource: Rules::read(resource.and_then(|r| r.get("attributes_config"))),
            scope: Rules::read(config.get("scope_attributes")),
            log: Rules::read(config.get("log_attributes")),
            severity_label,
        }
    }

    fn of_resource(&self, name: &str) -> Action {
        let default = !self.ignore_defaults && INDEX_LABELS.contains(&name);
        self.resource.of(name).unwrap_or(if default {
            Action::Label
        } else {
            Action::Metadata
        })
    }
}

type Attributes = Vec<(String, Value)>;

#[derive(Debug, Default)]
struct Record {
    time: u64,
    observed: u64,
    severity_number: i64,
    severity_text: String,
    body: Value,
    attributes: Attributes,
    dropped: u64,
    flags: u64,
    trace_id: String,
    span_id: String,
}

#[derive(Debug, Default)]
struct ScopeLogs {
    name: String,
    version: String,
    attributes: Attributes,
    dropped: u64,
    records: Vec<Record>,
}

#[derive(Debug, Default)]
struct ResourceLogs {
    attributes: Attributes,
    scopes: Vec<ScopeLogs>,
}

/// The streams of a request body; `now` stands for times that are not set, ns.
///
/// # Errors
/// When the body is malformed or has more than [`PARTS_MAX`] parts.
pub fn decode(
    body: &[u8],
    json: bool,
    settings: &Settings,
    now: i64,
) -> Result<Vec<PushStream<'static>>, DecodeError> {
    let resources = if json {
        from_json(body)?
    } else {
        from_protobuf(body)?
    };
    Ok(resources
        .into_iter()
        .flat_map(|r| streams(r, settings, now))
        .collect())
}

fn from_protobuf(body: &[u8]) -> Result<Vec<ResourceLogs>, DecodeError> {
    let mut out = Vec::new();
    let mut d = Decoder::default();
    d.fields(body, |d, field, v| {
        if field == 1 {
            let mut r = ResourceLogs::default();
            d.fields(v.bytes(1)?, |d, field, v| {
                match field {
                    1 => d.fields(v.bytes(1)?, |d, field, v| {
                        if field == 1 {
                            r.attributes.push(d.key_value(v.bytes(1)?, 0)?);
                        }
                        Ok(())
                    })?,
                    2 => r.scopes.push(scope_logs(d, v.bytes(2)?)?),
                    _ => {}
                }
                Ok(())
            })?;
            out.push(r);
        }
        Ok(())
    })?;
    Ok(out)
}

fn scope_logs(d: &mut Decoder, message: &[u8]) -> Result<ScopeLogs, DecodeError> {
    let mut s = ScopeLogs::default();
    d.fields(message, |d, field, v| {
        match field {
            1 => d.fields(v.bytes(1)?, |d, field, v| {
                match field {
                    1 => s.name = v.string(1)?.to_owned(),
                    2 => s.version = v.string(2)?.to_owned(),
                    3 => s.attributes.push(d.key_value(v.bytes(3)?, 0)?),
                    4 => s.dropped = v.varint(4)?,
                    _ => {}
                }
                Ok(())
            })?,
            2 => s.records.push(record(d, v.bytes(2)?)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(s)
}

fn record(d: &mut Decoder, message: &[u8]) -> Result<Record, DecodeError> {
    let mut r = Record::default();
    d.fields(message, |d, field, v| {
        match field {
            1 => r.time = v.fixed64(1)?,
            2 => r.severity_number = v.varint(2)?.cast_signed(),
            3 => r.severity_text = v.string(3)?.to_owned(),
            5 => r.body = d.any(v.bytes(5)?, 0)?,
            6 => r.attributes.push(d.key_value(v.bytes(6)?, 0)?),
            7 => r.dropped = v.varint(7)?,
            // fixed32, which the reader hands out as a field of its own width.
            8 => r.flags = v.varint(8).unwrap_or(0),
            9 => r.trace_id = super::decode::hex(v.bytes(9)?),
            10 => r.span_id = super::decode::hex(v.bytes(10)?),
            11 => r.observed = v.fixed64(11)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(r)
}

fn from_json(body: &[u8]) -> Result<Vec<ResourceLogs>, DecodeError> {
    if memchr::memchr_iter(b'{', body).count() > PARTS_MAX / 2 {
        return Err(DecodeError("too many objects in one request".into()));
    }
    let document: Value = serde_json::from_slice(body).map_err(|e| DecodeError(e.to_string()))?;
    if !document.is_object() {
        return Err(DecodeError("expected an object".into()));
    }
    let resources = list(&document, "resourceLogs").map(|r| ResourceLogs {
        attributes: attributes(r.get("resource")),
        scopes: list(r, "scopeLogs")
            .map(|s| {
                let scope = s.get("scope");
                let word = |k: &str| scope.and_then(|s| s.get(k)).map(string).unwrap_or_default();
                ScopeLogs {
                    name: word("name"),
                    version: word("version"),
                    attributes: attributes(scope),
                    dropped: scope.map_or(0, |s| uint(s, "droppedAttributesCount")),
                    records: list(s, "logRecords").map(json_record).collect(),
                }
            })
            .collect(),
    });
    Ok(resources.collect())
}

fn json_record(r: &Value) -> Record {
    let word = |k: &str| r.get(k).map(string).unwrap_or_default();
    Record {
        time: uint(r, "timeUnixNano"),
        observed: uint(r, "observedTimeUnixNano"),
        severity_number: uint(r, "severityNumber").cast_signed(),
        severity_text: word("severityText"),
        body: r.get("body").map_or(Value::Null, plain),
        attributes: attributes(Some(r)),
        dropped: uint(r, "droppedAttributesCount"),
        flags: uint(r, "flags"),
        trace_id: word("traceId").to_ascii_lowercase(),
        span_id: word("spanId").to_ascii_lowercase(),
    }
}

fn list<'v>(v: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    v.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn string(v: &Value) -> String {
    v.as_str().unwrap_or("").to_owned()
}

fn uint(v: &Value, key: &str) -> u64 {
    let n = v.get(key).and_then(super::json::int);
    n.map_or(0, i64::cast_unsigned)
}

fn attributes(owner: Option<&Value>) -> Attributes {
    let Some(owner) = owner else {
        return Vec::new();
    };
    list(owner, "attributes")
        .map(|kv| {
            let key = kv.get("key").map(string).unwrap_or_default();
            (key, kv.get("value").map_or(Value::Null, plain))
        })
        .collect()
}

/// A name as a label name.
fn name(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    if key.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    out.extend(key.chars().map(|c| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '_'
        }
    }));
    out
}

/// Adds an attribute; maps are flattened.
fn add(out: &mut Pairs<'static>, key: &str, value: &Value) {
    match value {
        Value::Object(map) => flatten(out, key, map),
        v => {
            let v = text(v);
            out.push((Cow::Owned(name(key)), Cow::Owned(v)));
        }
    }
}

fn flatten(out: &mut Pairs<'static>, prefix: &str, map: &Map<String, Value>) {
    for (k, v) in map {
        add(out, &format!("{prefix}_{k}"), v);
    }
}

fn streams(r: ResourceLogs, settings: &Settings, now: i64) -> Vec<PushStream<'static>> {
    let mut labels: Pairs<'static> = Vec::new();
    let mut shared: Pairs<'static> = Vec::new();
    for (key, value) in &r.attributes {
        match settings.of_resource(key) {
            Action::Label => add(&mut labels, key, value),
            Action::Metadata => add(&mut shared, key, value),
            Action::Drop => {}
        }
    }
    let mut out: Vec<PushStream<'static>> = Vec::new();
    for s in r.scopes {
        let mut scope = shared.clone();
        for (key, value) in &s.attributes {
            if settings.scope.of(key) != Some(Action::Drop) {
                add(&mut scope, key, value);
            }
        }
        let mut set = |key: &str, value: &str| {
            if !value.is_empty() {
                scope.push((Cow::Owned(key.to_owned()), Cow::Owned(value.to_owned())));
            }
        };
        set("scope_name", &s.name);
        set("scope_version", &s.version);
        set("scope_dropped_attributes_count", &count(s.dropped));
        for record in s.records {
            let (own, entry) = translate(record, &labels, &scope, settings, now);
            match out.iter_mut().find(|s| s.labels == own) {
                Some(stream) => stream.entries.push(entry),
                None => out.push(PushStream {
                    labels: own,
                    entries: vec![entry],
                }),
            }
        }
    }
    out
}

fn count(n: u64) -> String {
    if n == 0 { String::new() } else { n.to_string() }
}

fn translate(
    r: Record,
    labels: &Pairs<'static>,
    scope: &Pairs<'static>,
    settings: &Settings,
    now: i64,
) -> (Pairs<'static>, PushEntry<'static>) {
    let mut labels = labels.clone();
    let mut metadata = scope.clone();
    for (key, value) in &r.attributes {
        match settings.log.of(key) {
            Some(Action::Drop) => {}
            Some(Action::Label) => add(&mut labels, key, value),
            _ => add(&mut metadata, key, value),
        }
    }
    let severity = r.severity_text.clone();
    if settings.severity_label && !severity.is_empty() {
        labels.push(("severity_text".into(), severity.into()));
    } else if !severity.is_empty() {
        metadata.push(("severity_text".into(), severity.into()));
    }
    let number = count(r.severity_number.cast_unsigned());
    for (key, value) in [
        ("observed_timestamp", count(r.observed)),
        ("severity_number", number),
        ("flags", count(r.flags)),
        ("dropped_attributes_count", count(r.dropped)),
        ("trace_id", r.trace_id),
        ("span_id", r.span_id),
    ] {
        if !value.is_empty() {
            metadata.push((key.into(), value.into()));
        }
    }
    let time = [r.time, r.observed]
        .into_iter()
        .find(|t| *t > 0)
        .map_or(now, |t| i64::try_from(t).unwrap_or(i64::MAX));
    let entry = PushEntry {
        time,
        line: text(&r.body).into(),
        metadata,
    };
    (labels, entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::Writer;

    const REQUEST: &str = r#"{"resourceLogs":[{"resource":{"attributes":[
        {"key":"service.name","value":{"stringValue":"shop"}},
        {"key":"host.name","value":{"stringValue":"h1"}}]},
        "scopeLogs":[{"scope":{"name":"lib","version":"1"},"logRecords":[
        {"timeUnixNano":"5","severityNumber":9,"severityText":"Info","body":{"stringValue":"hello"},
         "traceId":"AB01","attributes":[{"key":"nested","value":{"kvlistValue":{"values":[
            {"key":"in.ner","value":{"intValue":"5"}}]}}}]},
        {"observedTimeUnixNano":"7","body":{"kvlistValue":{"values":[
            {"key":"a","value":{"stringValue":"b"}}]}}}]}]}]}"#;

    #[test]
    fn json_requests_become_streams() {
        let s = decode(REQUEST.as_bytes(), true, &Settings::default(), 99).unwrap();
        assert_eq!(s.len(), 1);
        assert_eq!(s[0].labels, [("service_name".into(), "shop".into())]);
        let e = &s[0].entries[0];
        assert_eq!((e.time, e.line.as_ref()), (5, "hello"));
        for (k, v) in [
            ("host_name", "h1"),
            ("scope_name", "lib"),
            ("nested_in_ner", "5"),
            ("severity_text", "Info"),
            ("severity_number", "9"),
            ("trace_id", "ab01"),
        ] {
            assert!(
                e.metadata.contains(&(k.into(), v.into())),
                "{k}: {:?}",
                e.metadata
            );
        }
        assert_eq!(s[0].entries[1].time, 7);
        assert_eq!(s[0].entries[1].line, r#"{"a":"b"}"#);
        assert!(decode(b"[]", true, &Settings::default(), 0).is_err());
    }

    #[test]
    fn protobuf_requests_become_the_same() {
        let mut body = Vec::new();
        Writer::new(&mut body).message(1, |r| {
            r.message(1, |res| {
                res.message(1, |kv| {
                    kv.bytes(1, b"service.name");
                    kv.message(2, |v| v.bytes(1, b"shop"));
                });
            });
            r.message(2, |s| {
                s.message(2, |rec| {
                    rec.uint(2, 17);
                    rec.message(5, |v| v.bytes(1, b"boom"));
                    rec.bytes(9, &[0xab, 1]);
                });
            });
        });
        let s = decode(&body, false, &Settings::default(), 42).unwrap();
        assert_eq!(s[0].labels, [("service_name".into(), "shop".into())]);
        let e = &s[0].entries[0];
        assert_eq!((e.time, e.line.as_ref()), (42, "boom"));
        assert!(
            e.metadata
                .contains(&("severity_number".into(), "17".into()))
        );
        assert!(e.metadata.contains(&("trace_id".into(), "ab01".into())));
    }

    #[test]
    fn actions_move_attributes() {
        let config = serde_json::json!({
            "resource_attributes": {"attributes_config": [
                {"action": "index_label", "attributes": ["host.name"]},
                {"action": "drop", "attributes": ["service.name"]}]},
            "log_attributes": [{"action": "drop", "attributes": ["nested"]}],
        });
        let settings = Settings::from_json(&config, true);
        let s = decode(REQUEST.as_bytes(), true, &settings, 0).unwrap();
        assert_eq!(
            s[0].labels,
            [
                ("host_name".into(), "h1".into()),
                ("severity_text".into(), "Info".into())
            ]
        );
        assert!(
            s[0].entries[0]
                .metadata
                .iter()
                .all(|(k, _)| !k.starts_with("nested"))
        );
    }
}
