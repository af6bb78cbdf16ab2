//! The file with which `kubectl` finds a cluster.
//!
//! Read: the current context's cluster and user; address, certificate authority, server name,
//! proxy; token, token file, client certificate, user and password. Programs that make tokens
//! (`exec`, `auth-provider`) are refused: a server does not start programs that a file names.

use std::path::Path;

use base64::Engine as _;
use serde::Deserialize;

use super::api::Place;
use crate::config::prometheus::{BasicAuth, HttpClientConfig};
use crate::config::{Check as _, Secret};

/// Largest file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The server that the file leads to.
///
/// # Errors
/// One sentence with the file's name.
pub(super) fn read(file: &str) -> Result<Place, String> {
    let path = Path::new(file);
    let text = std::fs::metadata(path).and_then(|m| {
        if m.len() > FILE_BYTES_MAX {
            return Err(std::io::Error::other("too large"));
        }
        std::fs::read_to_string(path)
    });
    let text = text.map_err(|e| format!("kubeconfig_file {file}: {e}"))?;
    parse(path, &text).map_err(|e| format!("kubeconfig_file {file}: {e}"))
}

fn parse(path: &Path, text: &str) -> Result<Place, String> {
    let file: File = crate::config::parse_yaml(path, text)
        .map_err(|e: crate::config::ConfigError| e.to_string())?;
    let context = named(&file.contexts, &file.current_context, "context")?;
    let context = &context.context;
    let cluster = &named(&file.clusters, &context.cluster, "cluster")?.cluster;
    let user = if context.user.is_empty() {
        None
    } else {
        Some(&named(&file.users, &context.user, "user")?.user)
    };
    if cluster.server.is_empty() {
        return Err(format!("cluster {:?} has no server", context.cluster));
    }
    let dir = path.parent().unwrap_or(Path::new(""));
    let beside = |file: &str| {
        if file.is_empty() {
            String::new()
        } else {
            dir.join(file).display().to_string()
        }
    };
    let mut client = HttpClientConfig::default();
    let tls = &mut client.tls_config;
    if cluster.certificate_authority_data.is_empty() {
        tls.ca_file = beside(&cluster.certificate_authority);
    } else {
        tls.ca = pem(
            &cluster.certificate_authority_data,
            "certificate-authority-data",
        )?;
    }
    tls.insecure_skip_verify = cluster.insecure_skip_tls_verify;
    tls.server_name.clone_from(&cluster.tls_server_name);
    if !cluster.proxy_url.is_empty() {
        client.proxy.url = serde_json::from_value(cluster.proxy_url.clone().into())
            .map_err(|e| format!("proxy-url: {e}"))?;
    }
    if let Some(u) = user {
        credentials(u, &mut client, &beside)
            .map_err(|e| format!("user {:?}: {e}", context.user))?;
    }
    Ok(Place {
        server: cluster.server.clone(),
        client,
    })
}

fn credentials(
    u: &User,
    client: &mut HttpClientConfig,
    beside: &dyn Fn(&str) -> String,
) -> Result<(), String> {
    for (field, value) in [("exec", &u.exec), ("auth-provider", &u.auth_provider)] {
        if value.is_some() {
            return Err(format!(
                "{field} is not supported: give token, tokenFile or a client certificate"
            ));
        }
    }
    let tls = &mut client.tls_config;
    if u.client_certificate_data.is_empty() {
        tls.cert_file = beside(&u.client_certificate);
    } else {
        tls.cert = pem(&u.client_certificate_data, "client-certificate-data")?;
    }
    if u.client_key_data.is_empty() {
        tls.key_file = beside(&u.client_key);
    } else {
        tls.key = Secret::new(pem(&u.client_key_data, "client-key-data")?);
    }
    // The file counts more: it may be renewed.
    if !u.token_file.is_empty() {
        client.bearer_token_file = beside(&u.token_file);
    } else if !u.token.is_empty() {
        client.bearer_token = Secret::new(u.token.clone());
    } else if !u.username.is_empty() {
        client.basic_auth = Some(BasicAuth {
            username: u.username.clone(),
            password: Secret::new(u.password.clone()),
            ..BasicAuth::default()
        });
    }
    client.tls_config.check()?;
    client.check()
}

/// PEM from its base64.
fn pem(data: &str, field: &str) -> Result<String, String> {
    let compact: String = data.split_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(compact)
        .map_err(|e| format!("{field}: {e}"))?;
    String::from_utf8(bytes).map_err(|_| format!("{field}: no PEM"))
}

fn named<'a, T: Named>(list: &'a [T], name: &str, what: &str) -> Result<&'a T, String> {
    if name.is_empty() {
        return Err(format!("no {what} is chosen"));
    }
    list.iter()
        .find(|e| e.name() == name)
        .ok_or_else(|| format!("there is no {what} {name:?}"))
}

trait Named {
    fn name(&self) -> &str;
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    current_context: String,
    contexts: Vec<ContextEntry>,
    clusters: Vec<ClusterEntry>,
    users: Vec<UserEntry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContextEntry {
    name: String,
    context: Context,
}
#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClusterEntry {
    name: String,
    cluster: Cluster,
}
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: String,
    certificate_authority_data: String,
    insecure_skip_tls_verify: bool,
    tls_server_name: String,
    proxy_url: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserEntry {
    name: String,
    user: User,
}
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    token: String,
    #[serde(rename = "tokenFile")]
    token_file: String,
    client_certificate: String,
    client_certificate_data: String,
    client_key: String,
    client_key_data: String,
    username: String,
    password: String,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
}

impl Named for ContextEntry {
    fn name(&self) -> &str {
        &self.name
    }
}
impl Named for ClusterEntry {
    fn name(&self) -> &str {
        &self.name
    }
}
impl Named for UserEntry {
    fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: here
preferences: {}
contexts:
- name: here
  context: {cluster: c, user: u, namespace: n}
clusters:
- name: other
  cluster: {server: 'https://other'}
- name: c
  cluster:
    server: https://10.0.0.1:6443
    certificate-authority-data: Q0E=
    tls-server-name: kubernetes
users:
- name: u
  user: USER
";

    fn with(user: &str) -> Result<Place, String> {
        parse(Path::new("/etc/k/config"), &FILE.replace("USER", user))
    }

    #[test]
    fn the_chosen_cluster_and_user_count() {
        let p = with("{token: t, tokenFile: t.txt}").unwrap();
        assert_eq!(p.server, "https://10.0.0.1:6443");
        assert_eq!(p.client.tls_config.ca, "CA");
        assert_eq!(p.client.tls_config.server_name, "kubernetes");
        assert_eq!(p.client.bearer_token_file, "/etc/k/t.txt");
        assert!(p.client.bearer_token.is_empty());
        let p = with("{client-certificate: c.pem, client-key-data: S0VZ}").unwrap();
        assert_eq!(p.client.tls_config.cert_file, "/etc/k/c.pem");
        assert_eq!(p.client.tls_config.key.expose(), "KEY");
        let p = with("{username: a, password: b}").unwrap();
        assert_eq!(p.client.basic_auth.unwrap().username, "a");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (user, said) in [
            (
                "{exec: {command: aws}}",
                "user \"u\": exec is not supported",
            ),
            (
                "{auth-provider: {name: gcp}}",
                "auth-provider is not supported",
            ),
            (
                "{client-certificate: c.pem}",
                "exactly one of key or key_file",
            ),
            ("{client-key-data: '%%'}", "client-key-data: "),
        ] {
            let e = with(user).unwrap_err();
            assert!(e.contains(said), "{e}");
        }
        let e = parse(Path::new("k"), "{current-context: x}").unwrap_err();
        assert_eq!(e, "there is no context \"x\"");
        let e = parse(Path::new("k"), "{}").unwrap_err();
        assert_eq!(e, "no context is chosen");
    }
}
