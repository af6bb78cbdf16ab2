//! A document of which not everything can be used: the rest is used.
//!
//! A placeholder where an address should stand makes the whole file useless to the strict loader.
//! Someone who only wants to see the stack run is better served by alerting with one receiver less
//! than by none. What is left out is told; `check` stays strict.
//!
//! Invariants
//! - USE1  Only integrations and defaults of receivers are left out, never a route, a rule or a
//!   receiver: who would be told stays as written.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{LoadedAlertmanager, load_text};
use crate::config::{ConfigError, yaml};

/// Loads what can be used of a file; gives a sentence for each part that cannot.
///
/// # Errors
/// When the rest cannot be used either.
pub(crate) fn load_usable(file: &Path) -> Result<(LoadedAlertmanager, Vec<String>), ConfigError> {
    load_usable_text(file, &yaml::read(file)?)
}

/// As [`load_usable`], of a text; names of files are relative to the folder of `file`.
///
/// # Errors
/// As there.
pub(crate) fn load_usable_text(
    file: &Path,
    text: &str,
) -> Result<(LoadedAlertmanager, Vec<String>), ConfigError> {
    let strict = match load_text(file, text) {
        Ok(loaded) => return Ok((loaded, Vec::new())),
        Err(e) => e,
    };
    let Ok(mut document) = yaml::parse::<Value>(file, text) else {
        return Err(strict);
    };
    let mut left_out = Vec::new();
    without_bad_defaults(file, &mut document, &mut left_out);
    without_bad_integrations(file, &mut document, &mut left_out);
    if left_out.is_empty() {
        return Err(strict);
    }
    // JSON is YAML.
    let loaded = load_text(file, &document.to_string())?;
    Ok((loaded, left_out))
}

/// Why a document with nothing but these parts cannot be used.
fn fault(file: &Path, global: &Value, receiver: Value) -> Option<String> {
    let alone = json!({
        "global": global,
        "route": {"receiver": "x"},
        "receivers": [receiver],
    });
    let e = load_text(file, &alone.to_string()).err()?;
    Some(match e {
        // The position is one in the parts, which are not what somebody wrote.
        ConfigError::Parse { what, .. } => match what.split_once(": ") {
            Some((at, why)) if at.starts_with("line ") => why.to_owned(),
            _ => what,
        },
        e => e.to_string(),
    })
}

fn without_bad_defaults(file: &Path, document: &mut Value, left_out: &mut Vec<String>) {
    let Some(Value::Object(global)) = document.get_mut("global") else {
        return;
    };
    let names: Vec<String> = global.keys().cloned().collect();
    for name in names {
        let Some(value) = global.get(&name) else {
            continue;
        };
        // A name that does not exist is a mistake of another kind.
        let empty = fault(file, &json!({ name.as_str(): null }), json!({"name": "x"}));
        let mut alone = Map::new();
        alone.insert(name.clone(), value.clone());
        let why = fault(file, &Value::Object(alone), json!({"name": "x"}));
        if let (None, Some(why)) = (empty, why) {
            global.remove(&name);
            left_out.push(format!("global.{name}: {why}"));
        }
    }
}

fn without_bad_integrations(file: &Path, document: &mut Value, left_out: &mut Vec<String>) {
    let global = document.get("global").cloned().unwrap_or(json!({}));
    let Some(Value::Array(receivers)) = document.get_mut("receivers") else {
        return;
    };
    for r in receivers {
        let Value::Object(r) = r else { continue };
        let name = r.get("name").and_then(Value::as_str).unwrap_or_default();
        let name = name.to_owned();
        let kinds: Vec<String> = r
            .keys()
            .filter(|k| k.ends_with("_configs"))
            .cloned()
            .collect();
        for kind in kinds {
            let Some(Value::Array(list)) = r.get_mut(&kind) else {
                continue;
            };
            let mut index = 0;
            list.retain(|section| {
                let alone = json!({"name": "x", kind.as_str(): [section]});
                let why = fault(file, &global, alone);
                if let Some(why) = &why {
                    left_out.push(format!("receiver {name:?}, {kind}[{index}]: {why}"));
                }
                index += 1;
                why.is_none()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_left_out_and_told() {
        let text = "
global: {slack_api_url: 'YOUR_URL', resolve_timeout: 3m}
route: {receiver: a, routes: [{receiver: b}]}
receivers:
- name: a
  slack_configs: [{channel: '#x'}]
  webhook_configs: [{url: 'http://h/1'}, {url: 'nope'}]
- name: b
  email_configs: [{to: x@y}]
";
        let file = Path::new("am.yml");
        assert!(load_text(file, text).is_err());
        let (loaded, left_out) = load_usable_text(file, text).unwrap();
        let d = &loaded.document;
        assert_eq!(d.receivers.len(), 2);
        assert_eq!(d.receivers[0].webhook_configs.len(), 1);
        assert_eq!(
            d.receivers.iter().map(|r| r.integrations()).sum::<usize>(),
            1
        );
        assert_eq!(d.global.resolve_timeout.as_ms(), 180_000);
        for part in [
            "global.slack_api_url",
            "receiver \"a\", slack_configs[0]",
            "receiver \"a\", webhook_configs[1]",
            "receiver \"b\", email_configs[0]",
        ] {
            assert!(
                left_out.iter().any(|l| l.contains(part)),
                "{part}: {left_out:?}"
            );
        }
    }

    #[test]
    fn mistakes_in_who_is_told_stay_mistakes() {
        for text in [
            "route: {receiver: nope}\nreceivers: [{name: a}]",
            "route: {receiver: a}\nreceivers: [{name: a}]\nglobal: {nosuch: 1}",
            "route: {receiver: a, matchers: ['x=1']}\nreceivers: [{name: a}]",
            "not yaml: [",
        ] {
            assert!(
                load_usable_text(Path::new("am.yml"), text).is_err(),
                "{text}"
            );
        }
    }
}
