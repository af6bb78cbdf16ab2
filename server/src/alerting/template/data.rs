//! What a message is about, as templates see it.
//!
//! Owns: the shape of the data: names of fields, methods of label sets and lists of alerts.
//! Knows nothing of: groups, receivers, where the data comes from.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use query::template::{Kind, Object, Value, ZERO_SECOND};
use serde::Deserialize;

use crate::alerting::alert::LabelSet;

/// An alert of a message.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AlertData {
    /// `firing` or `resolved`.
    pub(crate) status: String,
    /// Its labels.
    pub(crate) labels: LabelSet,
    /// Its texts.
    pub(crate) annotations: LabelSet,
    /// Since when, RFC 3339; empty for Go's zero time.
    pub(crate) starts_at: String,
    /// Until when, RFC 3339; empty for Go's zero time.
    pub(crate) ends_at: String,
    /// Where it comes from.
    #[serde(rename = "generatorURL")]
    pub(crate) generator_url: String,
    /// Its identity, 16 hexadecimal digits.
    pub(crate) fingerprint: String,
}

/// What a message is about; also the JSON that templates are tried with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Data {
    /// The receiver's name, as a pattern.
    pub(crate) receiver: String,
    /// `firing` when any alert fires.
    pub(crate) status: String,
    /// Everything in the message.
    pub(crate) alerts: Vec<AlertData>,
    /// Labels of the group.
    pub(crate) group_labels: LabelSet,
    /// Labels that all alerts share.
    pub(crate) common_labels: LabelSet,
    /// Texts that all alerts share.
    pub(crate) common_annotations: LabelSet,
    /// URL under which users reach the server.
    #[serde(rename = "externalURL")]
    pub(crate) external_url: String,
    /// Labels of the route.
    pub(crate) route_labels: LabelSet,
    /// Why the message is sent.
    #[serde(rename = "notification_reason")]
    pub(crate) notification_reason: String,
}

/// Go's zero time in JSON.
pub(crate) const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

impl Data {
    /// The value that templates are given.
    pub(crate) fn value(&self) -> Value {
        let alerts: Vec<Value> = self.alerts.iter().map(AlertData::value).collect();
        structure(
            "*template.Data",
            vec![
                ("Receiver", "receiver", self.receiver.as_str().into()),
                ("Status", "status", self.status.as_str().into()),
                ("Alerts", "alerts", alerts_value(alerts)),
                ("GroupLabels", "groupLabels", set(&self.group_labels)),
                ("CommonLabels", "commonLabels", set(&self.common_labels)),
                (
                    "CommonAnnotations",
                    "commonAnnotations",
                    set(&self.common_annotations),
                ),
                (
                    "ExternalURL",
                    "externalURL",
                    self.external_url.as_str().into(),
                ),
                ("RouteLabels", "routeLabels", set(&self.route_labels)),
                (
                    "NotificationReason",
                    "notification_reason",
                    self.notification_reason.as_str().into(),
                ),
            ],
        )
    }
}

impl AlertData {
    fn value(&self) -> Value {
        structure(
            "template.Alert",
            vec![
                ("Status", "status", self.status.as_str().into()),
                ("Labels", "labels", set(&self.labels)),
                ("Annotations", "annotations", set(&self.annotations)),
                ("StartsAt", "startsAt", time(&self.starts_at)),
                ("EndsAt", "endsAt", time(&self.ends_at)),
                (
                    "GeneratorURL",
                    "generatorURL",
                    self.generator_url.as_str().into(),
                ),
                (
                    "Fingerprint",
                    "fingerprint",
                    self.fingerprint.as_str().into(),
                ),
            ],
        )
    }

    fn fires(&self) -> bool {
        self.status == "firing"
    }
}

/// A time in the zone in which it was written.
fn time(text: &str) -> Value {
    let instant = text.parse::<Timestamp>().ok();
    let zero = || Timestamp::from_second(ZERO_SECOND).unwrap_or(Timestamp::UNIX_EPOCH);
    let offset = match text.as_bytes() {
        [.., sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let digit = |b: &u8| i32::from(b.wrapping_sub(b'0'));
            let seconds = (digit(h1) * 10 + digit(h2)) * 3600 + (digit(m1) * 10 + digit(m2)) * 60;
            let seconds = if *sign == b'-' { -seconds } else { seconds };
            Offset::from_seconds(seconds).ok()
        }
        _ => None,
    };
    let zone = offset.map_or(TimeZone::UTC, TimeZone::fixed);
    Value::Time(Box::new(instant.unwrap_or_else(zero).to_zoned(zone)))
}

/// A structure: names of fields in templates and in JSON.
#[derive(Debug)]
struct Structure {
    type_name: &'static str,
    fields: Vec<(&'static str, &'static str, Value)>,
}

fn structure(type_name: &'static str, fields: Vec<(&'static str, &'static str, Value)>) -> Value {
    Value::Object(Arc::new(Structure { type_name, fields }))
}

impl Object for Structure {
    fn type_name(&self) -> &str {
        self.type_name
    }
    fn field(&self, name: &str) -> Option<Value> {
        let mut fields = self.fields.iter();
        let (_, _, v) = fields.find(|(n, _, _)| *n == name)?;
        Some(v.clone())
    }
    fn members(&self) -> Vec<(&'static str, Value)> {
        let each = self.fields.iter();
        each.map(|(_, json, v)| (*json, v.clone())).collect()
    }
    fn text(&self) -> String {
        let pointer = if self.type_name.starts_with('*') {
            "&"
        } else {
            ""
        };
        let each: Vec<String> = self.fields.iter().map(|(_, _, v)| v.text()).collect();
        format!("{pointer}{{{}}}", each.join(" "))
    }
}

/// All alerts of a message.
#[derive(Debug)]
struct Alerts(Value);

fn alerts_value(alerts: Vec<Value>) -> Value {
    Value::Object(Arc::new(Alerts(alerts.into())))
}

impl Object for Alerts {
    fn type_name(&self) -> &'static str {
        "template.Alerts"
    }
    fn base(&self) -> Option<&Value> {
        Some(&self.0)
    }
    fn signature(&self, name: &str) -> Option<&'static [Kind]> {
        matches!(name, "Firing" | "Resolved").then_some(&[])
    }
    fn call(&self, name: &str, _args: &[Value]) -> Result<Value, String> {
        let Value::List(all) = &self.0 else {
            return Ok(Value::Nil);
        };
        let wanted = if name == "Firing" {
            "firing"
        } else {
            "resolved"
        };
        let has_status = |v: &&Value| match v {
            Value::Object(o) => o
                .field("Status")
                .is_some_and(|s| s.as_text() == Some(wanted)),
            _ => false,
        };
        Ok(alerts_value(
            all.iter().filter(has_status).cloned().collect(),
        ))
    }
    fn text(&self) -> String {
        self.0.text()
    }
}

/// A label set.
#[derive(Debug)]
struct Set(Value);

fn set(labels: &LabelSet) -> Value {
    let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    Value::Object(Arc::new(Set(Value::texts(pairs))))
}

impl Set {
    /// The alert's name first, then in the order of bytes.
    fn sorted(&self) -> Vec<(String, String)> {
        let Value::Map(m) = &self.0 else {
            return Vec::new();
        };
        let all = m.entries.iter();
        let mut pairs: Vec<_> = all.map(|(n, v)| (n.to_string(), v.text())).collect();
        pairs.sort_by_key(|(n, _)| n != "alertname");
        pairs
    }
}

impl Object for Set {
    fn type_name(&self) -> &'static str {
        "template.KV"
    }
    fn base(&self) -> Option<&Value> {
        Some(&self.0)
    }
    fn signature(&self, name: &str) -> Option<&'static [Kind]> {
        match name {
            "SortedPairs" | "Names" | "Values" | "String" => Some(&[]),
            "Remove" => Some(&[Kind::Texts]),
            _ => None,
        }
    }
    fn call(&self, name: &str, args: &[Value]) -> Result<Value, String> {
        let pairs = self.sorted();
        Ok(match name {
            "SortedPairs" => Value::Object(Arc::new(Pairs::new(pairs))),
            "Names" => strings(pairs.into_iter().map(|(n, _)| n)),
            "Values" => strings(pairs.into_iter().map(|(_, v)| v)),
            "String" => self.text().into(),
            _ => {
                let gone: Vec<String> = match args.first().map(Value::base) {
                    Some(Value::Texts(names)) => names.iter().map(Value::text).collect(),
                    _ => Vec::new(),
                };
                let left = pairs.into_iter().filter(|(n, _)| !gone.contains(n));
                set(&left.collect())
            }
        })
    }
    fn text(&self) -> String {
        shown(&self.sorted())
    }
}

fn shown(pairs: &[(String, String)]) -> String {
    let each: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
    each.join(", ")
}

/// Names with values, in order.
#[derive(Debug)]
struct Pairs {
    pairs: Vec<(String, String)>,
    list: Value,
}

impl Pairs {
    fn new(pairs: Vec<(String, String)>) -> Self {
        let each = pairs.iter().map(|(n, v)| {
            let fields = vec![
                ("Name", "Name", n.as_str().into()),
                ("Value", "Value", v.as_str().into()),
            ];
            structure("template.Pair", fields)
        });
        let list = each.collect::<Vec<_>>().into();
        Self { pairs, list }
    }
}

impl Object for Pairs {
    fn type_name(&self) -> &'static str {
        "template.Pairs"
    }
    fn base(&self) -> Option<&Value> {
        Some(&self.list)
    }
    fn signature(&self, name: &str) -> Option<&'static [Kind]> {
        matches!(name, "Names" | "Values" | "String").then_some(&[])
    }
    fn call(&self, name: &str, _args: &[Value]) -> Result<Value, String> {
        let pairs = self.pairs.iter().cloned();
        Ok(match name {
            "Names" => strings(pairs.map(|(n, _)| n)),
            "Values" => strings(pairs.map(|(_, v)| v)),
            _ => self.text().into(),
        })
    }
    fn text(&self) -> String {
        shown(&self.pairs)
    }
}

/// Texts that can be joined.
#[derive(Debug)]
struct Strings(Value);

fn strings(texts: impl Iterator<Item = String>) -> Value {
    Value::Object(Arc::new(Strings(Value::list_of_texts(texts))))
}

impl Object for Strings {
    fn type_name(&self) -> &'static str {
        "template.Strings"
    }
    fn base(&self) -> Option<&Value> {
        Some(&self.0)
    }
    fn signature(&self, name: &str) -> Option<&'static [Kind]> {
        (name == "Join").then_some(&[Kind::Text])
    }
    fn call(&self, _name: &str, args: &[Value]) -> Result<Value, String> {
        let between = args.first().and_then(Value::as_text).unwrap_or_default();
        Ok(joined(&self.0, between).into())
    }
    fn text(&self) -> String {
        self.0.text()
    }
}

/// Texts of a list with `between` between them.
pub(super) fn joined(list: &Value, between: &str) -> String {
    match list.base() {
        Value::Texts(l) => {
            let each: Vec<String> = l.iter().map(Value::text).collect();
            each.join(between)
        }
        _ => String::new(),
    }
}

impl Data {
    /// How many alerts fire.
    pub(crate) fn firing(&self) -> usize {
        self.alerts.iter().filter(|a| a.fires()).count()
    }
}
