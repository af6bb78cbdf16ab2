//! `consul_sd_configs`: the services of a Consul catalogue, by blocking queries.
//!
//! The list of services is one query, each service another; each answers when something has
//! changed, but none is asked more often than once in the refresh interval.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::model::{Labels, LabelsBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use url::Url;

use super::answer::{self, error_text, or_default};
use super::naming::{join_host_port, label_part};
use super::notice::Notice;
use super::{ADDRESS, Reporter, TargetGroup};
use crate::config::prometheus::ConsulSdConfig;
use crate::http::client::{self, ClientLimits, Credentials};

const PREFIX: &str = "__meta_consul_";
/// How long the server may hold a query back.
const WAIT: Duration = Duration::from_secs(120);
/// Beyond that it adds a sixteenth at most, and needs a moment to answer.
const LIMITS: ClientLimits = ClientLimits {
    timeout: Duration::from_secs(WAIT.as_secs() + WAIT.as_secs() / 16 + 15),
    connect_timeout: Duration::from_secs(10),
};
/// Largest answer.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Most services of one section.
const SERVICES_MAX: usize = 20_000;
/// Changes that wait to be taken up.
const QUEUE: usize = 256;
/// Changes come in bursts: what comes this soon after one is reported with it.
const GATHER: Duration = Duration::from_millis(200);

/// What the queries have found.
enum Found {
    /// The services to follow.
    Services(BTreeSet<String>),
    /// The targets of one.
    Targets(String, TargetGroup),
}

pub(super) async fn run(c: ConsulSdConfig, to: Reporter) {
    let mut notice = Notice::new(&to, format!("consul {}", c.server));
    let agent = loop {
        match Agent::open(&c).await {
            Ok(agent) => break Arc::new(agent),
            Err(e) => notice.say(&e),
        }
        notice.pause().await;
    };
    notice.fine();
    let (out, mut found) = mpsc::channel(QUEUE);
    let mut catalogue = Catalogue {
        agent,
        to,
        out,
        tasks: JoinSet::new(),
        followed: BTreeMap::new(),
        groups: BTreeMap::new(),
    };
    // Without tags there is no need to ask which of the services named here there are.
    if c.services.is_empty() || !c.tags.is_empty() {
        let (agent, out) = (catalogue.agent.clone(), catalogue.out.clone());
        let follow = follow_catalog(agent, notice, out);
        catalogue.tasks.spawn(follow);
    } else {
        catalogue.follow(c.services.iter().cloned().collect());
    }
    while let Some(first) = found.recv().await {
        catalogue.take(first);
        tokio::time::sleep(GATHER).await;
        for _ in 0..QUEUE {
            let Ok(more) = found.try_recv() else { break };
            catalogue.take(more);
        }
        catalogue.report();
    }
}

/// The services that are followed, and what is known of them.
struct Catalogue {
    agent: Arc<Agent>,
    to: Reporter,
    out: mpsc::Sender<Found>,
    tasks: JoinSet<()>,
    followed: BTreeMap<String, AbortHandle>,
    groups: BTreeMap<String, TargetGroup>,
}

impl Catalogue {
    fn take(&mut self, found: Found) {
        match found {
            Found::Services(names) => self.follow(names),
            // It may have left the catalogue since it was asked for.
            Found::Targets(name, group) if self.followed.contains_key(&name) => {
                self.groups.insert(name, group);
            }
            Found::Targets(..) => {}
        }
    }

    /// Follows exactly these services.
    fn follow(&mut self, names: BTreeSet<String>) {
        self.followed.retain(|name, task| {
            let stays = names.contains(name);
            if !stays {
                task.abort();
            }
            stays
        });
        self.groups.retain(|name, _| names.contains(name));
        for name in names {
            self.followed.entry(name).or_insert_with_key(|name| {
                let what = format!("consul {}: service {name:?}", self.agent.config.server);
                let notice = Notice::new(&self.to, what);
                let (agent, out) = (self.agent.clone(), self.out.clone());
                let follow = follow_service(agent, name.clone(), notice, out);
                self.tasks.spawn(follow)
            });
        }
        // Those that were ended are not kept.
        while self.tasks.try_join_next().is_some() {}
    }

    fn report(&self) {
        self.to.report(self.groups.values().cloned().collect());
    }
}

async fn follow_catalog(agent: Arc<Agent>, mut notice: Notice, out: mpsc::Sender<Found>) {
    let mut index = 0;
    loop {
        let begin = Instant::now();
        let query = agent.config.node_meta.iter();
        let query: Vec<(&str, String)> = query
            .map(|(k, v)| ("node-meta", format!("{k}:{v}")))
            .collect();
        let filter = &agent.config.filter;
        let got = agent
            .get("/v1/catalog/services", query, filter, index)
            .await;
        let services: BTreeMap<String, Option<Vec<String>>> = match got {
            Ok((services, new)) => {
                notice.fine();
                if std::mem::replace(&mut index, new) == new && new != 0 {
                    agent.rest(begin).await;
                    continue;
                }
                services
            }
            Err(e) => {
                notice.say(&e);
                index = 0;
                notice.pause().await;
                continue;
            }
        };
        let c = &agent.config;
        let wanted = services.into_iter().filter(|(name, tags)| {
            let named = c.services.is_empty() || c.services.contains(name);
            let has = |t: &String| tags.as_ref().is_some_and(|tags| tags.contains(t));
            named && c.tags.iter().all(has)
        });
        let mut names: BTreeSet<String> = wanted.map(|(name, _)| name).collect();
        if names.len() > SERVICES_MAX {
            notice.say(&format!(
                "more than {SERVICES_MAX} services: only as many are followed"
            ));
            names = names.into_iter().take(SERVICES_MAX).collect();
        }
        if out.send(Found::Services(names)).await.is_err() {
            return;
        }
        agent.rest(begin).await;
    }
}

async fn follow_service(
    agent: Arc<Agent>,
    name: String,
    mut notice: Notice,
    out: mpsc::Sender<Found>,
) {
    let escaped: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    let path = format!("/v1/health/service/{}", escaped.replace('+', "%20"));
    let mut index = 0;
    loop {
        let begin = Instant::now();
        let c = &agent.config;
        let tags = c.tags.iter().map(|t| ("tag", t.clone()));
        let meta = c.node_meta.iter();
        let meta = meta.map(|(k, v)| ("node-meta", format!("{k}:{v}")));
        let query = tags.chain(meta).collect();
        let got = agent.get(&path, query, &c.health_filter, index).await;
        match got {
            Ok((entries, new)) => {
                notice.fine();
                let entries: Vec<Entry> = entries;
                if std::mem::replace(&mut index, new) != new || new == 0 {
                    let group = agent.group(&name, &entries);
                    if out.send(Found::Targets(name.clone(), group)).await.is_err() {
                        return;
                    }
                }
                agent.rest(begin).await;
            }
            Err(e) => {
                notice.say(&e);
                index = 0;
                notice.pause().await;
            }
        }
    }
}

/// An agent of Consul.
struct Agent {
    config: ConsulSdConfig,
    base: Url,
    client: reqwest::Client,
    credentials: Credentials,
    datacenter: String,
}

impl Agent {
    async fn open(c: &ConsulSdConfig) -> Result<Self, String> {
        let config = c.http_client();
        let text = format!("{}://{}{}", c.scheme, c.server, c.path_prefix);
        let mut agent = Self {
            base: Url::parse(&text).map_err(|e| format!("server {:?}: {e}", c.server))?,
            client: client::build(&config, LIMITS).map_err(|e| e.to_string())?,
            credentials: Credentials::new(&config, LIMITS).map_err(|e| e.to_string())?,
            datacenter: c.datacenter.clone(),
            config: c.clone(),
        };
        if agent.datacenter.is_empty() {
            #[derive(Deserialize)]
            #[serde(rename_all = "PascalCase")]
            struct Own {
                config: OwnConfig,
            }
            #[derive(Deserialize)]
            #[serde(rename_all = "PascalCase")]
            struct OwnConfig {
                datacenter: String,
            }
            let (own, _): (Own, u64) = agent.get("/v1/agent/self", Vec::new(), "", 0).await?;
            agent.datacenter = own.config.datacenter;
        }
        Ok(agent)
    }

    /// One query; with an index other than 0 it is answered when there is something newer. Gives
    /// the answer's index.
    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Vec<(&str, String)>,
        filter: &str,
        index: u64,
    ) -> Result<(T, u64), String> {
        let c = &self.config;
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        let mut all = query;
        for (name, value) in [
            ("dc", c.datacenter.as_str()),
            ("ns", &c.namespace),
            ("partition", &c.partition),
            ("filter", filter),
        ] {
            if !value.is_empty() {
                all.push((name, value.to_owned()));
            }
        }
        if c.allow_stale {
            all.push(("stale", String::new()));
        }
        if index > 0 {
            all.push(("index", index.to_string()));
            all.push(("wait", format!("{}ms", WAIT.as_millis())));
        }
        if !all.is_empty() {
            url.query_pairs_mut().extend_pairs(all);
        }
        let headers = self.credentials.headers().await;
        let request = self.client.get(url);
        let mut request = request.headers(headers.map_err(|e| e.to_string())?);
        if !c.token.is_empty() {
            request = request.header("X-Consul-Token", c.token.expose());
        }
        let mut got = request.send().await.map_err(|e| error_text(&e))?;
        let status = got.status();
        let new = got.headers().get("X-Consul-Index");
        let new = new.and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(0);
        let body = answer::read(&mut got, BODY_BYTES_MAX).await?;
        if !status.is_success() {
            let said = String::from_utf8_lossy(&body);
            let said: String = said.trim().chars().take(200).collect();
            return Err(format!("{path}: {status}: {said}"));
        }
        let parsed = serde_json::from_slice(&body).map_err(|e| format!("{path}: {e}"))?;
        // An index that goes back belongs to another history, which has to be read from its start.
        Ok((parsed, if new < index { 0 } else { new }))
    }

    /// Waits until the refresh interval since `begin` is over.
    async fn rest(&self, begin: Instant) {
        let every = self.config.refresh_interval.as_std();
        let every = every.max(Duration::from_millis(100));
        tokio::time::sleep_until(begin + every).await;
    }

    fn group(&self, name: &str, entries: &[Entry]) -> TargetGroup {
        let mut common = LabelsBuilder::new();
        set(&mut common, "service", name);
        set(&mut common, "dc", &self.datacenter);
        TargetGroup {
            source: name.to_owned(),
            targets: entries.iter().map(|e| self.target(e)).collect(),
            labels: common.build(),
        }
    }

    fn target(&self, e: &Entry) -> Labels {
        let (node, service) = (&e.node, &e.service);
        let mut b = LabelsBuilder::new();
        let host = if service.address.is_empty() {
            &node.address
        } else {
            &service.address
        };
        b.set(ADDRESS, &join_host_port(host, service.port));
        // Separators at both ends, so that an expression finds a tag wherever it stands.
        let separator = &self.config.tag_separator;
        let tags = service.tags.join(separator);
        for (label, value) in [
            ("address", node.address.as_str()),
            ("node", &node.node),
            ("namespace", &service.namespace),
            ("partition", &service.partition),
            ("tags", &format!("{separator}{tags}{separator}")),
            ("service_address", &service.address),
            ("service_port", &service.port.to_string()),
            ("service_id", &service.id),
            ("health", health(&e.checks)),
        ] {
            set(&mut b, label, value);
        }
        for (what, all) in [
            ("metadata", &node.meta),
            ("service_metadata", &service.meta),
            ("tagged_address", &node.tagged_addresses),
        ] {
            for (name, value) in all {
                set(&mut b, &format!("{what}_{}", label_part(name)), value);
            }
        }
        b.build()
    }
}

fn set(b: &mut LabelsBuilder, name: &str, value: &str) {
    b.set(&format!("{PREFIX}{name}"), value);
}

/// The worst of the checks: maintenance, critical, warning, passing.
fn health(checks: &[HealthCheck]) -> &'static str {
    let mut worst = "passing";
    for c in checks {
        if c.check_id == "_node_maintenance" || c.check_id.starts_with("_service_maintenance:") {
            return "maintenance";
        }
        match c.status.as_str() {
            "critical" => worst = "critical",
            "warning" if worst != "critical" => worst = "warning",
            _ => {}
        }
    }
    worst
}

/// An instance of a service.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Entry {
    node: Node,
    service: Service,
    #[serde(deserialize_with = "or_default")]
    checks: Vec<HealthCheck>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Node {
    node: String,
    address: String,
    #[serde(deserialize_with = "or_default")]
    tagged_addresses: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    meta: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    address: String,
    port: i64,
    #[serde(deserialize_with = "or_default")]
    tags: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    meta: BTreeMap<String, String>,
    namespace: String,
    partition: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct HealthCheck {
    #[serde(rename = "CheckID")]
    check_id: String,
    status: String,
}
