//! Jira: one issue for a group, found again by a label.

use std::future::Future;
use std::pin::Pin;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::http::Http;
use super::{Built, Failure, Message, Notifier, Sent, cut};
use crate::config::alertmanager::JiraConfig;

/// Longest parts, characters; the service's limits.
const SUMMARY_CHARS_MAX: usize = 255;
const DESCRIPTION_CHARS_MAX: usize = 32_767;

struct Jira {
    config: JiraConfig,
    http: Http,
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn new(c: &JiraConfig) -> Built {
    let http = Http::new(c.http_config.as_deref(), &[429])?;
    let config = c.clone();
    Ok((Box::new(Jira { config, http }), 0.0))
}

/// A text of the configuration, and whether it is sent when an issue is changed.
fn part(v: &Value) -> (&str, bool) {
    let text = v.as_str().or_else(|| v.get("template")?.as_str());
    let update = v.get("enable_update").and_then(Value::as_bool);
    (text.unwrap_or_default(), update.unwrap_or(true))
}

impl Jira {
    fn base(&self) -> &str {
        self.config.api_url.expose().trim_end_matches('/')
    }

    async fn ask(&self, method: Method, url: &str, body: &Value) -> Result<Value, Failure> {
        let headers = [("accept-language", "en")];
        let answer = match method {
            Method::GET => {
                let answer = self.http.request(method, url, Vec::new(), &headers).await?;
                self.http.checked(answer)?
            }
            method => self.http.json(method, url, body, &headers).await?,
        };
        Ok(answer.document())
    }

    fn is_cloud(&self) -> bool {
        let host = url::Url::parse(self.base()).ok();
        let host = host.as_ref().and_then(|u| u.host_str()).unwrap_or_default();
        match self.config.api_type.as_str() {
            "cloud" => true,
            "datacenter" => false,
            _ => host.ends_with("atlassian.net"),
        }
    }

    /// The issue of the group, unless there is none that counts.
    async fn find(&self, m: &Message, label: &str) -> Result<Option<Value>, Failure> {
        let c = &self.config;
        let quote = ::query::text::quote::quote;
        let mut jql = String::new();
        if !c.wont_fix_resolution.is_empty() {
            jql.push_str(&format!(
                "resolution != {} and ",
                quote(&c.wont_fix_resolution)
            ));
        }
        let minutes = c.reopen_duration.as_ms() / 60_000;
        if m.fires() && !c.reopen_transition.is_empty() && minutes > 0 {
            jql.push_str(&format!(
                "(resolutiondate is EMPTY OR resolutiondate >= -{minutes}m) and "
            ));
        } else {
            jql.push_str("statusCategory != Done and ");
        }
        let project = m.text(&c.project)?;
        jql.push_str(&format!(
            "project={} and labels={} order by status ASC,resolutiondate DESC",
            quote(&project),
            quote(label)
        ));
        let body = json!({ "jql": jql, "maxResults": 2, "fields": ["status"] });
        let url = match self.is_cloud() {
            true => format!("{}/search/jql", self.base()).replacen("/2", "/3", 1),
            false => format!("{}/search", self.base()),
        };
        let found = self.ask(Method::POST, &url, &body).await?;
        let issues = found.get("issues").and_then(Value::as_array);
        Ok(issues.and_then(|i| i.first()).cloned())
    }

    fn issue(&self, m: &Message, label: &str, update: bool) -> Result<Value, Failure> {
        let c = &self.config;
        let mut fields: Map<String, Value> = Map::new();
        for (name, v) in &c.fields {
            fields.insert(name.clone(), m.document(v)?);
        }
        fields.insert("project".into(), json!({ "key": m.text(&c.project)? }));
        fields.insert(
            "issuetype".into(),
            json!({ "name": m.text(&c.issue_type)? }),
        );
        let (summary, changes) = part(&c.summary);
        if changes || !update {
            let text = cut(&m.text(summary)?, SUMMARY_CHARS_MAX);
            fields.insert("summary".into(), text.into());
        }
        let (description, changes) = part(&c.description);
        if changes || !update {
            let text = cut(&m.text(description)?, DESCRIPTION_CHARS_MAX);
            let text = match self.base().ends_with("/3") {
                true => serde_json::from_str(&text)
                    .map_err(|e| Failure::last(format!("description: {e}")))?,
                false => Value::from(text),
            };
            fields.insert("description".into(), text);
        }
        let mut labels = Vec::with_capacity(c.labels.len() + 1);
        for l in &c.labels {
            labels.push(m.text(l)?);
        }
        labels.push(label.to_owned());
        labels.sort();
        fields.insert("labels".into(), json!(labels));
        let priority = m.text(&c.priority)?;
        if !priority.is_empty() {
            fields.insert("priority".into(), json!({ "name": priority }));
        }
        Ok(json!({ "fields": fields }))
    }

    /// Moves a known issue to where it belongs now.
    async fn transition(&self, issue: &Value, key: &str, fires: bool) -> Result<(), Failure> {
        let category = issue.pointer("/fields/status/statusCategory/key");
        let Some(category) = category.and_then(Value::as_str) else {
            return Ok(());
        };
        let name = match (fires, category == "done") {
            (true, true) => &self.config.reopen_transition,
            (false, false) => &self.config.resolve_transition,
            _ => return Ok(()),
        };
        let url = format!("{}/issue/{key}/transitions", self.base());
        let known = self.ask(Method::GET, &url, &Value::Null).await?;
        let all = known.get("transitions").and_then(Value::as_array);
        let found = all.into_iter().flatten().find(|t| {
            let own = t.get("name").and_then(Value::as_str);
            own == Some(name.as_str())
        });
        let id = found.and_then(|t| t.get("id")?.as_str());
        let id = id.ok_or_else(|| {
            Failure::last(format!("can't find transition {name} for issue {key}"))
        })?;
        let body = json!({ "transition": { "id": id } });
        self.ask(Method::POST, &url, &body).await.map(drop)
    }
}

impl Notifier for Jira {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let label = format!("ALERT{{{}}}", m.group_hash());
            let known = self.find(m, &label).await?;
            let key = known.as_ref().and_then(|i| i.get("key")?.as_str());
            match (&known, key) {
                (Some(issue), Some(key)) => {
                    let url = format!("{}/issue/{key}", self.base());
                    let body = self.issue(m, &label, true)?;
                    self.ask(Method::PUT, &url, &body).await?;
                    self.transition(issue, key, m.fires()).await?;
                }
                // What is over needs no new issue.
                _ if !m.fires() => {}
                _ => {
                    let url = format!("{}/issue", self.base());
                    let body = self.issue(m, &label, false)?;
                    self.ask(Method::POST, &url, &body).await?;
                }
            }
            Ok(String::new())
        })
    }
}
