//! `ruler`: rules over lines.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::walk::Walk;

/// Where rule files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuleStorage {
    /// In our own durable tables: the interface changes them.
    Own,
    /// Files in folders of tenants below this folder: the interface shows them.
    Local(String),
}

/// The section.
#[derive(Debug, Clone)]
pub(crate) struct RulerConfig {
    /// Where rules are.
    pub(crate) storage: RuleStorage,
    /// Alertmanagers, `http://host:port/prefix`, separated by commas.
    pub(crate) alertmanager_url: String,
    /// The interface is there.
    pub(crate) enable_api: bool,
    /// How often groups are evaluated that do not say.
    pub(crate) evaluation_ms: i64,
    /// How often files are looked at.
    pub(crate) poll_ms: i64,
    /// URL that alerts link to: that of the dashboards.
    pub(crate) external_url: String,
    /// Identity of the data source there.
    pub(crate) datasource_uid: String,
    /// Labels of all alerts.
    pub(crate) external_labels: BTreeMap<String, String>,
    /// Where results go besides our own store, as Prometheus writes it down.
    pub(crate) remote_write: Vec<Value>,
    /// Shortest time between two sendings of an alert, ms.
    pub(crate) resend_ms: i64,
    /// Longest outage after which alerts go on, ms.
    pub(crate) outage_ms: i64,
    /// Shortest `for` that is restored from series, ms.
    pub(crate) grace_ms: i64,
    /// Alerts that wait for one Alertmanager.
    pub(crate) queue: usize,
    /// How long an Alertmanager may take, ms.
    pub(crate) timeout_ms: i64,
}

impl Default for RulerConfig {
    fn default() -> Self {
        Self {
            storage: RuleStorage::Own,
            alertmanager_url: String::new(),
            enable_api: true,
            evaluation_ms: 60_000,
            poll_ms: 60_000,
            external_url: String::new(),
            datasource_uid: String::new(),
            external_labels: BTreeMap::new(),
            remote_write: Vec::new(),
            resend_ms: 60_000,
            outage_ms: 3_600_000,
            grace_ms: 600_000,
            queue: 10_000,
            timeout_ms: 10_000,
        }
    }
}

/// Kinds of storage that are folders.
const FOLDERS: [&str; 2] = ["local", "filesystem"];

impl RulerConfig {
    pub(super) fn read(&mut self, w: &mut Walk<'_, '_>) -> Result<(), String> {
        w.text("alertmanager_url", &mut self.alertmanager_url)?;
        w.bool("enable_api", &mut self.enable_api)?;
        w.duration("evaluation_interval", &mut self.evaluation_ms)?;
        w.duration("poll_interval", &mut self.poll_ms)?;
        w.text("external_url", &mut self.external_url)?;
        w.text("datasource_uid", &mut self.datasource_uid)?;
        w.duration("resend_delay", &mut self.resend_ms)?;
        w.duration("for_outage_tolerance", &mut self.outage_ms)?;
        w.duration("for_grace_period", &mut self.grace_ms)?;
        w.count("notification_queue_capacity", &mut self.queue)?;
        w.duration("notification_timeout", &mut self.timeout_ms)?;
        w.map("external_labels", &mut self.external_labels)?;
        let (mut kind, mut directory) = (String::new(), String::new());
        w.section("storage", |w| {
            w.text("type", &mut kind)?;
            for name in FOLDERS {
                w.section(name, |w| {
                    w.text("directory", &mut directory)?;
                    w.text("dir", &mut directory)?;
                    w.accept_rest();
                    Ok(())
                })?;
            }
            w.accept_rest();
            Ok(())
        })?;
        if FOLDERS.contains(&kind.as_str()) && !directory.is_empty() {
            self.storage = RuleStorage::Local(directory);
        }
        w.section("remote_write", |w| {
            let mut enabled = false;
            w.bool("enabled", &mut enabled)?;
            let client = w.raw("client").cloned();
            let clients = w.raw("clients").and_then(Value::as_object);
            let clients = clients.into_iter().flat_map(Map::values).cloned();
            if enabled {
                self.remote_write = client.into_iter().chain(clients).collect();
            }
            w.accept_rest();
            Ok(())
        })?;
        // The rest arranges several processes, or a log of samples that our store is.
        w.accept_rest();
        Ok(())
    }

    /// What says where alerts go and how often rules are evaluated, as a document of Prometheus.
    /// Without an address here they go to the alerting of this process.
    ///
    /// # Errors
    /// Names an address that is none.
    pub(crate) fn document(&self) -> Result<Value, String> {
        let mut receivers = Vec::new();
        let addresses = self.alertmanager_url.split(',').map(str::trim);
        for address in addresses.filter(|a| !a.is_empty()) {
            let url = url::Url::parse(address).ok().filter(url::Url::has_host);
            let url = url.ok_or_else(|| {
                format!("ruler.alertmanager_url: {address:?} is not a URL with a host")
            })?;
            let port = url.port_or_known_default().unwrap_or(9093);
            let host = url.host_str().unwrap_or_default();
            let mut receiver = json!({
                "scheme": url.scheme(),
                "timeout": format!("{}ms", self.timeout_ms.max(1)),
                "static_configs": [{"targets": [format!("{host}:{port}")]}],
            });
            if url.path() != "/" {
                receiver["path_prefix"] = url.path().into();
            }
            if !url.username().is_empty() {
                receiver["basic_auth"] = json!({
                    "username": url.username(),
                    "password": url.password().unwrap_or_default(),
                });
            }
            receivers.push(receiver);
        }
        let mut global = json!({"evaluation_interval": format!("{}ms", self.evaluation_ms.max(1))});
        if !self.external_labels.is_empty() {
            global["external_labels"] = json!(self.external_labels);
        }
        Ok(json!({"global": global, "alerting": {"alertmanagers": receivers}}))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_section_says_where_rules_are_and_alerts_go() {
        let text = "ruler:\n  storage: {type: local, local: {directory: /rules}}\n  \
            rule_path: /tmp/x\n  alertmanager_url: 'http://u:p@am:9093/base, https://b'\n  \
            evaluation_interval: 15s\n  ring: {kvstore: {store: inmemory}}\n  \
            external_labels: {site: a}\n  remote_write: {enabled: true, client: {url: 'http://x/w'}}\n";
        let c = super::super::parse(Path::new("x.yml"), text).unwrap();
        assert_eq!(c.warnings, Vec::<String>::new());
        let r = &c.ruler;
        assert_eq!(r.storage, RuleStorage::Local("/rules".into()));
        assert_eq!(r.remote_write, [json!({"url": "http://x/w"})]);
        let d = r.document().unwrap();
        assert_eq!(d["global"]["evaluation_interval"], "15000ms");
        let all = &d["alerting"]["alertmanagers"];
        assert_eq!(all[0]["path_prefix"], "/base");
        assert_eq!(all[0]["basic_auth"]["password"], "p");
        assert_eq!(all[1]["static_configs"][0]["targets"][0], "b:443");
        let config = crate::config::render_yaml(&d);
        let loaded = crate::config::prometheus::load_text(Path::new("ruler.yml"), &config);
        assert_eq!(loaded.unwrap().document.alerting.alertmanagers.len(), 2);
        let bad = RulerConfig {
            alertmanager_url: "nohost".into(),
            ..RulerConfig::default()
        };
        assert!(bad.document().unwrap_err().contains("\"nohost\""));
    }

    #[test]
    fn common_folders_are_folders_of_rules() {
        let text = "common: {storage: {filesystem: {rules_directory: /r}}}\nruler: {}\n";
        let c = super::super::parse(Path::new("x.yml"), text).unwrap();
        assert_eq!(c.ruler.storage, RuleStorage::Local("/r".into()));
    }
}
