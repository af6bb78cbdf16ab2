//! Services that wake people and keep tickets: PagerDuty, OpsGenie, VictorOps, Pushover, Jira,
//! incident.io.

use std::collections::BTreeMap;

use super::super::global::{GlobalConfig, one_of};
use super::super::url::{HttpUrl, SecretUrl};
use super::plain::{fill, twin};
use super::receiver;
use crate::config::fields::{Check, config};
use crate::config::{LabelMap, PromDuration, Secret};

config! {
    /// An image of an event.
    pub(crate) struct PagerDutyImage("config.PagerdutyImage") {
        src: String;
        alt: String;
        href: String;
    }
}
impl Check for PagerDutyImage {}

config! {
    /// A link of an event.
    pub(crate) struct PagerDutyLink("config.PagerdutyLink") {
        href: String;
        text: String;
    }
}
impl Check for PagerDutyLink {}

receiver! {
    /// PagerDuty, second API with a routing key, first with a service key.
    PagerDutyConfig("config.PagerdutyConfig"), send_resolved: true,
    files: [routing_key_file, service_key_file] {
        service_key: Secret;
        service_key_file: String;
        routing_key: Secret;
        routing_key_file: String;
        url: HttpUrl;
        client: String = "{{ template \"pagerduty.default.client\" . }}".into();
        client_url: String = "{{ template \"pagerduty.default.clientURL\" . }}".into();
        description: String = "{{ template \"pagerduty.default.description\" .}}".into();
        details: BTreeMap<String, serde_json::Value>;
        images: Vec<PagerDutyImage>;
        links: Vec<PagerDutyLink>;
        source: String;
        severity: String = "error".into();
        class: String;
        component: String;
        group: String;
        timeout: PromDuration;
    }
}
impl Check for PagerDutyConfig {
    fn check(&mut self) -> Result<(), String> {
        let (routing, service) = (!self.routing_key.is_empty(), !self.service_key.is_empty());
        if !routing
            && !service
            && self.routing_key_file.is_empty()
            && self.service_key_file.is_empty()
        {
            return Err("missing service or routing key in PagerDuty config".into());
        }
        one_of("routing_key", routing, &self.routing_key_file)?;
        one_of("service_key", service, &self.service_key_file)?;
        for (name, text) in [
            ("firing", "{{ .Alerts.Firing | toJson }}"),
            ("resolved", "{{ .Alerts.Resolved | toJson }}"),
            ("num_firing", "{{ .Alerts.Firing | len }}"),
            ("num_resolved", "{{ .Alerts.Resolved | len }}"),
        ] {
            self.details
                .entry(name.to_owned())
                .or_insert_with(|| text.into());
        }
        if self.source.is_empty() {
            self.source.clone_from(&self.client);
        }
        Ok(())
    }
}
impl PagerDutyConfig {
    fn complete(&mut self, global: &GlobalConfig) -> Result<(), String> {
        fill(&mut self.url, &global.pagerduty_url);
        Ok(())
    }
}

config! {
    /// Who is responsible for an alert.
    pub(crate) struct OpsGenieResponder("config.OpsGenieConfigResponder") {
        id: String;
        name: String;
        username: String;
        r#type: String;
    }
}
impl Check for OpsGenieResponder {
    fn check(&mut self) -> Result<(), String> {
        if self.id.is_empty() && self.username.is_empty() && self.name.is_empty() {
            return Err(
                "OpsGenieConfig responder must have at least one of id, username or name specified"
                    .into(),
            );
        }
        let kind = self.r#type.to_lowercase();
        let known = ["team", "teams", "user", "escalation", "schedule"];
        if !kind.contains("{{") && !known.contains(&kind.as_str()) {
            return Err(format!(
                "OpsGenieConfig responder type {:?} is none of {}",
                self.r#type,
                known.join(", ")
            ));
        }
        Ok(())
    }
}

receiver! {
    /// OpsGenie.
    OpsGenieConfig("config.OpsGenieConfig"), send_resolved: true, files: [api_key_file] {
        api_key: Secret;
        api_key_file: String;
        api_url: HttpUrl;
        message: String = "{{ template \"opsgenie.default.message\" . }}".into();
        description: String = "{{ template \"opsgenie.default.description\" . }}".into();
        source: String = "{{ template \"opsgenie.default.source\" . }}".into();
        details: LabelMap;
        entity: String;
        responders: Vec<OpsGenieResponder>;
        actions: String;
        tags: String;
        note: String;
        priority: String;
        update_alerts: bool;
    }
}
impl Check for OpsGenieConfig {
    fn check(&mut self) -> Result<(), String> {
        one_of("api_key", !self.api_key.is_empty(), &self.api_key_file)
    }
}
impl OpsGenieConfig {
    fn complete(&mut self, global: &GlobalConfig) -> Result<(), String> {
        fill(&mut self.api_url, &global.opsgenie_api_url);
        self.api_url.end_with_slash();
        let known = twin(
            (&mut self.api_key, &mut self.api_key_file),
            (&global.opsgenie_api_key, &global.opsgenie_api_key_file),
        );
        if !known {
            return Err("no global OpsGenie API Key set either inline or in a file".into());
        }
        Ok(())
    }
}

/// Fields of a VictorOps message that a user's own may not replace.
const VICTOROPS_RESERVED: [&str; 6] = [
    "routing_key",
    "message_type",
    "state_message",
    "entity_display_name",
    "monitoring_tool",
    "entity_id",
];

receiver! {
    /// VictorOps.
    VictorOpsConfig("config.VictorOpsConfig"), send_resolved: true, files: [api_key_file] {
        api_key: Secret;
        api_key_file: String;
        api_url: HttpUrl;
        routing_key: String;
        message_type: String = "CRITICAL".into();
        state_message: String = "{{ template \"victorops.default.state_message\" . }}".into();
        entity_display_name: String =
            "{{ template \"victorops.default.entity_display_name\" . }}".into();
        monitoring_tool: String =
            "{{ template \"victorops.default.monitoring_tool\" . }}".into();
        custom_fields: LabelMap;
    }
}
impl Check for VictorOpsConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.routing_key.is_empty() {
            return Err("missing Routing key in VictorOps config".into());
        }
        one_of("api_key", !self.api_key.is_empty(), &self.api_key_file)?;
        for (name, _) in self.custom_fields.iter() {
            if VICTOROPS_RESERVED.contains(&name) {
                return Err(format!(
                    "VictorOps config contains custom field {name} which cannot be used as it conflicts with the fixed/static fields"
                ));
            }
        }
        Ok(())
    }
}
impl VictorOpsConfig {
    fn complete(&mut self, global: &GlobalConfig) -> Result<(), String> {
        fill(&mut self.api_url, &global.victorops_api_url);
        self.api_url.end_with_slash();
        let known = twin(
            (&mut self.api_key, &mut self.api_key_file),
            (&global.victorops_api_key, &global.victorops_api_key_file),
        );
        if !known {
            return Err("no global VictorOps API Key set".into());
        }
        Ok(())
    }
}

receiver! {
    /// Pushover.
    PushoverConfig("config.PushoverConfig"), send_resolved: true,
    files: [user_key_file, token_file] {
        user_key: Secret;
        user_key_file: String;
        token: Secret;
        token_file: String;
        title: String = "{{ template \"pushover.default.title\" . }}".into();
        message: String = "{{ template \"pushover.default.message\" . }}".into();
        url: String = "{{ template \"pushover.default.url\" . }}".into();
        url_title: String;
        device: String;
        sound: String;
        priority: String =
            "{{ if eq .Status \"firing\" }}2{{ else }}0{{ end }}".into();
        retry: PromDuration = PromDuration::from_secs(60);
        expire: PromDuration = PromDuration::from_secs(3600);
        ttl: PromDuration;
        html: bool;
        monospace: bool;
    }
}
impl Check for PushoverConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.user_key.is_empty() && self.user_key_file.is_empty() {
            return Err("one of user_key or user_key_file must be configured".into());
        }
        one_of("user_key", !self.user_key.is_empty(), &self.user_key_file)?;
        if self.token.is_empty() && self.token_file.is_empty() {
            return Err("one of token or token_file must be configured".into());
        }
        one_of("token", !self.token.is_empty(), &self.token_file)?;
        if self.html && self.monospace {
            return Err("at most one of monospace & html must be configured".into());
        }
        Ok(())
    }
}
impl PushoverConfig {
    fn complete(&mut self, _: &GlobalConfig) -> Result<(), String> {
        Ok(())
    }
}

receiver! {
    /// Jira.
    JiraConfig("config.JiraConfig"), send_resolved: true, files: [] {
        api_url: HttpUrl;
        api_type: String = "auto".into();
        project: String;
        summary: serde_json::Value = "{{ template \"jira.default.summary\" . }}".into() => keep;
        description: serde_json::Value =
            "{{ template \"jira.default.description\" . }}".into() => keep;
        labels: Vec<String>;
        priority: String = "{{ template \"jira.default.priority\" . }}".into();
        issue_type: String;
        reopen_transition: String;
        resolve_transition: String;
        wont_fix_resolution: String;
        reopen_duration: PromDuration;
        fields: BTreeMap<String, serde_json::Value>;
    }
}
impl Check for JiraConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.project.is_empty() {
            return Err("missing project in jira_config".into());
        }
        if self.issue_type.is_empty() {
            return Err("missing issue_type in jira_config".into());
        }
        if !matches!(self.api_type.as_str(), "auto" | "cloud" | "datacenter") {
            return Err(
                "unknown api_type on jira_config, must be cloud, datacenter, or auto".into(),
            );
        }
        Ok(())
    }
}
impl JiraConfig {
    fn complete(&mut self, global: &GlobalConfig) -> Result<(), String> {
        fill(&mut self.api_url, &global.jira_api_url);
        if self.api_url.is_empty() {
            return Err("no global Jira Cloud URL set".into());
        }
        Ok(())
    }
}

receiver! {
    /// incident.io.
    IncidentIoConfig("config.IncidentioConfig"), send_resolved: true,
    files: [url_file, alert_source_token_file] {
        url: SecretUrl;
        url_file: String;
        alert_source_token: Secret;
        alert_source_token_file: String;
        /// Alerts in a message at most; 0 for any number.
        max_alerts: u64;
        timeout: PromDuration;
    }
}
impl Check for IncidentIoConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.url.is_empty() && self.url_file.is_empty() {
            return Err("one of url or url_file must be configured".into());
        }
        one_of("url", !self.url.is_empty(), &self.url_file)?;
        one_of(
            "alert_source_token",
            !self.alert_source_token.is_empty(),
            &self.alert_source_token_file,
        )?;
        let by_token =
            !self.alert_source_token.is_empty() || !self.alert_source_token_file.is_empty();
        let by_header = self
            .http_config
            .as_ref()
            .is_some_and(|h| h.authorization.is_some());
        if by_token == by_header {
            return Err("exactly one of alert_source_token, alert_source_token_file or http_config.authorization must be configured".into());
        }
        Ok(())
    }
}
impl IncidentIoConfig {
    fn complete(&mut self, _: &GlobalConfig) -> Result<(), String> {
        Ok(())
    }
}
