//! `docker_sd_configs`: the containers of one Docker engine, over its socket or TCP.
//!
//! A container is a target for each of its networks and open TCP ports; without an open port it is
//! one target for each network, on the port of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use engine::model::{Labels, LabelsBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::answer::{self, error_text, or_default};
use super::naming::{join_host_port, label_part};
use super::notice::Notice;
use super::{ADDRESS, Reporter, TargetGroup};
use crate::config::prometheus::{DockerSdConfig, TlsConfig};
use crate::http::client::{self, ClientLimits, Credentials};

const PREFIX: &str = "__meta_docker_";
/// Largest answer.
const BODY_BYTES_MAX: usize = 64 << 20;
/// How long the engine may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The network mode of containers without a network of their own.
const HOST_MODE: &str = "host";

pub(super) async fn run(c: DockerSdConfig, to: Reporter) {
    let every = c.refresh_interval.as_std().max(Duration::from_secs(1));
    let mut notice = Notice::new(&to, format!("docker {}", c.host));
    let mut engine = None;
    loop {
        match ask(&c, &mut engine).await {
            Ok(group) => {
                notice.fine();
                to.report(vec![group]);
            }
            Err(e) => {
                // A socket may come back, certificates may be others.
                engine = None;
                notice.say(&e);
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// The way to an engine.
struct Engine {
    base: Url,
    client: reqwest::Client,
    credentials: Credentials,
}

async fn ask(c: &DockerSdConfig, engine: &mut Option<Engine>) -> Result<TargetGroup, String> {
    let engine = match engine {
        Some(e) => e,
        None => engine.insert(Engine::open(c)?),
    };
    let mut filters: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for f in &c.filters {
        filters.entry(&f.name).or_default().extend(&f.values);
    }
    let filters = serde_json::to_string(&filters).map_err(|e| e.to_string())?;
    let query = [("filters", filters.as_str())];
    let containers: Vec<Container> = engine.get("containers/json", &query).await?;
    let networks: Vec<Network> = engine.get("networks", &[]).await?;
    Ok(TargetGroup {
        source: "Docker".into(),
        targets: targets(c, &containers, &networks),
        labels: Labels::empty(),
    })
}

impl Engine {
    fn open(c: &DockerSdConfig) -> Result<Self, String> {
        let limits = ClientLimits {
            timeout: TIMEOUT,
            connect_timeout: TIMEOUT,
        };
        let config = c.http_client();
        let (base, socket) = place(&c.host, config.tls_config == TlsConfig::default())?;
        let client = match socket {
            Some(path) => client::build_for_socket(&config, limits, &path),
            None => client::build(&config, limits),
        };
        Ok(Self {
            base,
            client: client.map_err(|e| e.to_string())?,
            credentials: Credentials::new(&config, limits).map_err(|e| e.to_string())?,
        })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, String> {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}/{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let headers = self.credentials.headers().await;
        let request = self.client.get(url);
        let request = request.headers(headers.map_err(|e| e.to_string())?);
        let mut got = request.send().await.map_err(|e| error_text(&e))?;
        let status = got.status();
        let body = answer::read(&mut got, BODY_BYTES_MAX).await?;
        if !status.is_success() {
            #[derive(Deserialize)]
            struct Said {
                message: String,
            }
            let said = serde_json::from_slice(&body).map(|s: Said| s.message);
            let said = said.unwrap_or_else(|_| "no reason given".into());
            return Err(format!("/{path}: {status}: {said}"));
        }
        serde_json::from_slice(&body).map_err(|e| format!("/{path}: {e}"))
    }
}

/// The URL that stands for `host`, and the socket behind it if it is one.
pub(crate) fn place(host: &str, plain: bool) -> Result<(Url, Option<PathBuf>), String> {
    let (scheme, rest) = host
        .split_once("://")
        .ok_or_else(|| format!("host {host:?} has no scheme"))?;
    let url = |text: String| Url::parse(&text).map_err(|e| format!("host {host:?}: {e}"));
    match scheme {
        // The name is what the engine expects to be called.
        "unix" => Ok((url("http://docker".into())?, Some(PathBuf::from(rest)))),
        "tcp" if plain => Ok((url(format!("http://{rest}"))?, None)),
        "tcp" => Ok((url(format!("https://{rest}"))?, None)),
        "http" | "https" => Ok((url(host.to_owned())?, None)),
        other => Err(format!(
            "host {host:?}: scheme {other:?} is not one of unix, tcp, http, https"
        )),
    }
}

fn targets(c: &DockerSdConfig, containers: &[Container], networks: &[Network]) -> Vec<Labels> {
    let mut targets = Vec::new();
    for container in containers {
        let Some(name) = container.names.first() else {
            continue;
        };
        let common = container_labels(container, name);
        let all = networks_of(container, containers);
        // Sorted by name, so that the first is always the same.
        let wanted = if c.match_first_network { 1 } else { all.len() };
        for attached in all.values().take(wanted) {
            let mut b = common.clone();
            set(&mut b, "network_ip", &attached.ip_address);
            if let Some(n) = networks.iter().find(|n| n.id == attached.network_id) {
                network_labels(&mut b, n);
            }
            let before = targets.len();
            for port in container.ports.iter().filter(|p| p.r#type == "tcp") {
                let mut b = b.clone();
                let private = port.private_port;
                b.set(ADDRESS, &join_host_port(&attached.ip_address, private));
                set(&mut b, "port_private", &private.to_string());
                if port.public_port > 0 {
                    set(&mut b, "port_public", &port.public_port.to_string());
                    set(&mut b, "port_public_ip", &port.ip);
                }
                targets.push(b.build());
            }
            if targets.len() == before {
                let address = if container.host_config.network_mode == HOST_MODE {
                    c.host_networking_host.clone()
                } else {
                    join_host_port(&attached.ip_address, c.port)
                };
                b.set(ADDRESS, &address);
                targets.push(b.build());
            }
        }
    }
    targets
}

/// The networks of a container: its own, or those of the one whose network it shares.
fn networks_of<'c>(of: &'c Container, all: &'c [Container]) -> BTreeMap<&'c str, &'c Attached> {
    let mut of = of;
    // A chain is no longer than there are containers.
    for _ in 0..=all.len() {
        let own = &of.network_settings.networks;
        if !own.is_empty() {
            let own = own.iter();
            return own
                .filter_map(|(name, a)| Some((name.as_str(), a.as_ref()?)))
                .collect();
        }
        let shared = of.host_config.network_mode.strip_prefix("container:");
        let next = shared.and_then(|id| all.iter().find(|c| c.id == id));
        let Some(next) = next else { break };
        of = next;
    }
    BTreeMap::new()
}

fn set(b: &mut LabelsBuilder, name: &str, value: &str) {
    b.set(&format!("{PREFIX}{name}"), value);
}

fn container_labels(c: &Container, name: &str) -> LabelsBuilder {
    let mut b = LabelsBuilder::new();
    for (label, value) in [
        ("container_id", c.id.as_str()),
        ("container_name", name),
        ("container_image", &c.image),
        ("container_image_id", &c.image_id),
        ("container_network_mode", &c.host_config.network_mode),
    ] {
        set(&mut b, label, value);
    }
    for (label, value) in &c.labels {
        set(
            &mut b,
            &format!("container_label_{}", label_part(label)),
            value,
        );
    }
    b
}

fn network_labels(b: &mut LabelsBuilder, n: &Network) {
    let word = |is: bool| if is { "true" } else { "false" };
    for (label, value) in [
        ("network_id", n.id.as_str()),
        ("network_name", &n.name),
        ("network_scope", &n.scope),
        ("network_internal", word(n.internal)),
        ("network_ingress", word(n.ingress)),
    ] {
        set(b, label, value);
    }
    for (label, value) in &n.labels {
        set(b, &format!("network_label_{}", label_part(label)), value);
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Container {
    id: String,
    #[serde(deserialize_with = "or_default")]
    names: Vec<String>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<Port>,
    #[serde(deserialize_with = "or_default")]
    host_config: HostConfig,
    #[serde(deserialize_with = "or_default")]
    network_settings: NetworkSettings,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Port {
    #[serde(rename = "IP")]
    ip: String,
    private_port: u16,
    public_port: u16,
    r#type: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    network_mode: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkSettings {
    #[serde(deserialize_with = "or_default")]
    networks: BTreeMap<String, Option<Attached>>,
}

/// A container in a network.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Attached {
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Network {
    id: String,
    name: String,
    scope: String,
    internal: bool,
    ingress: bool,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_sockets_or_urls() {
        let at = |host: &str, plain| {
            let (url, socket) = place(host, plain).unwrap();
            (url.to_string(), socket.map(|s| s.display().to_string()))
        };
        let socket = Some("/var/run/docker.sock".to_owned());
        let unix = at("unix:///var/run/docker.sock", true);
        assert_eq!(unix, ("http://docker/".to_owned(), socket));
        assert_eq!(at("tcp://h:2375", true).0, "http://h:2375/");
        assert_eq!(at("tcp://h:2376", false).0, "https://h:2376/");
        assert_eq!(at("http://h:2375/engine", true).0, "http://h:2375/engine");
        let e = place("npipe:////./pipe/docker_engine", true).unwrap_err();
        assert!(
            e.contains("\"npipe\" is not one of unix, tcp, http, https"),
            "{e}"
        );
    }

    #[test]
    fn a_circle_of_shared_networks_ends() {
        let json = r#"[{"Id":"a","HostConfig":{"NetworkMode":"container:b"}},
            {"Id":"b","HostConfig":{"NetworkMode":"container:a"},"NetworkSettings":null}]"#;
        let all: Vec<Container> = serde_json::from_str(json).unwrap();
        assert!(networks_of(&all[0], &all).is_empty());
    }
}
