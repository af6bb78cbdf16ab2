//! The way to the API server: where it is, who we are, requests and their errors.
//!
//! Credentials in files are read at every request, certificates whenever the way is built anew:
//! what the cluster rotates is taken up without a reload.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use url::Url;

use super::kubeconfig;
use crate::config::prometheus::{HttpClientConfig, KubernetesSdConfig};
use crate::discovery::error_text;
use crate::http::client::{self, ClientLimits, Credentials};

/// Where the cluster puts token, certificate and namespace of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Environment variable that names another folder, for processes that get these files elsewhere.
const SERVICE_ACCOUNT_VARIABLE: &str = "SEXTANT_SERVICE_ACCOUNT_DIR";

const LIMITS: ClientLimits = ClientLimits {
    timeout: Duration::from_secs(60),
    connect_timeout: Duration::from_secs(10),
};
/// Longest body of a refusal that is read.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// Why an answer was not had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// There is no cluster around us: wait until there is one.
    #[error("{0}")]
    NoCluster(String),
    /// A file or setting cannot be used.
    #[error("{0}")]
    Setup(String),
    /// The server refused; 410 means that the version asked for is gone.
    #[error("{status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// The server was not reached or its answer was cut off.
    #[error("{0}")]
    Failed(String),
    /// The answer cannot be understood.
    #[error("the answer cannot be understood: {0}")]
    Answer(String),
}

impl ApiError {
    /// True when versions are too old to go on from.
    pub(super) fn gone(&self) -> bool {
        matches!(self, Self::Refused { status: 410, .. })
    }
}

/// An address with what it takes to be let in.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) server: String,
    pub(super) client: HttpClientConfig,
}

struct Api {
    base: Url,
    client: reqwest::Client,
    credentials: Credentials,
}

/// The API server of one configuration section; the way there is built when it is needed, and anew
/// after a failure.
pub(super) struct Door {
    config: KubernetesSdConfig,
    api: Mutex<Option<Arc<Api>>>,
}

impl Door {
    pub(super) fn new(config: KubernetesSdConfig) -> Self {
        Self {
            config,
            api: Mutex::new(None),
        }
    }

    /// Checks that there is a way, without going.
    ///
    /// # Errors
    /// [`ApiError::NoCluster`] and [`ApiError::Setup`].
    pub(super) fn check(&self) -> Result<(), ApiError> {
        self.open().map(drop)
    }

    fn open(&self) -> Result<Arc<Api>, ApiError> {
        let mut api = self.api.lock();
        if let Some(api) = &*api {
            return Ok(Arc::clone(api));
        }
        let mut place = self.place()?;
        // Each watch holds its own connection. As streams of one they would wait for each other as
        // soon as there are more than the server lets a connection have.
        place.client.enable_http2 = false;
        let setup = |e: client::ClientError| ApiError::Setup(e.to_string());
        let built = Arc::new(Api {
            base: Url::parse(&place.server).map_err(|e| {
                ApiError::Setup(format!("address of the API server {:?}: {e}", place.server))
            })?,
            client: client::build(&place.client, LIMITS).map_err(setup)?,
            credentials: Credentials::new(&place.client, LIMITS).map_err(setup)?,
        });
        *api = Some(Arc::clone(&built));
        Ok(built)
    }

    fn place(&self) -> Result<Place, ApiError> {
        let c = &self.config;
        if !c.kubeconfig_file.is_empty() {
            return kubeconfig::read(&c.kubeconfig_file).map_err(ApiError::Setup);
        }
        if !c.api_server.is_empty() {
            return Ok(Place {
                server: c.api_server.as_str().to_owned(),
                client: c.http_client(),
            });
        }
        in_cluster()
    }

    /// The namespace of our own pod.
    ///
    /// # Errors
    /// When its file cannot be read or is empty.
    pub(super) fn own_namespace() -> Result<String, ApiError> {
        let file = service_account().join("namespace");
        let name = std::fs::read_to_string(&file).map_err(|e| {
            ApiError::NoCluster(format!(
                "the namespace of the own pod is not known: {}: {e}",
                file.display()
            ))
        })?;
        match name.trim() {
            "" => Err(ApiError::Setup(format!("{}: empty", file.display()))),
            name => Ok(name.to_owned()),
        }
    }

    /// Asks for `path` with `query`; gives an answer of status 200, of which the body is to be read
    /// within `timeout`.
    ///
    /// # Errors
    /// Any [`ApiError`].
    pub(super) async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<reqwest::Response, ApiError> {
        let answer = self.ask(path, query, timeout).await;
        // Another certificate or address may help the next time; a refusal came from the server.
        if !matches!(answer, Ok(_) | Err(ApiError::Refused { .. })) {
            *self.api.lock() = None;
        }
        answer
    }

    async fn ask(
        &self,
        path: &str,
        query: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<reqwest::Response, ApiError> {
        let api = self.open()?;
        let mut url = api.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        url.query_pairs_mut().extend_pairs(query);
        let headers = api.credentials.headers().await;
        let headers = headers.map_err(|e| ApiError::Setup(e.to_string()))?;
        let answer = api
            .client
            .get(url)
            .headers(headers)
            .header("Accept", "application/json")
            .timeout(timeout)
            .send()
            .await
            .map_err(|e| {
                let at = api.base.host_str().unwrap_or_default();
                ApiError::Failed(format!("API server at {at}: {}", error_text(&e)))
            })?;
        if answer.status() == reqwest::StatusCode::OK {
            return Ok(answer);
        }
        Err(refusal(answer).await)
    }
}

/// What the server says about a request that it refused.
async fn refusal(mut answer: reqwest::Response) -> ApiError {
    let status = answer.status().as_u16();
    let body = crate::discovery::answer::read(&mut answer, ERROR_BYTES_MAX).await;
    refused(status, &body.unwrap_or_default())
}

/// A refusal from the server's own words: a `Status` object.
pub(super) fn refused(status: u16, body: &[u8]) -> ApiError {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Status {
        message: String,
        code: u16,
    }
    let said: Status = serde_json::from_slice(body).unwrap_or_default();
    let status = if said.code == 0 { status } else { said.code };
    let message = if said.message.is_empty() {
        "no reason given".to_owned()
    } else {
        said.message
    };
    ApiError::Refused { status, message }
}

fn service_account() -> PathBuf {
    std::env::var_os(SERVICE_ACCOUNT_VARIABLE)
        .filter(|v| !v.is_empty())
        .map_or_else(|| PathBuf::from(SERVICE_ACCOUNT), PathBuf::from)
}

/// As every pod finds its cluster.
fn in_cluster() -> Result<Place, ApiError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let (Some(host), Some(port)) = (
        variable("KUBERNETES_SERVICE_HOST"),
        variable("KUBERNETES_SERVICE_PORT"),
    ) else {
        return Err(ApiError::NoCluster(
            "this server does not run in a Kubernetes cluster (KUBERNETES_SERVICE_HOST and \
             KUBERNETES_SERVICE_PORT are not set), and neither api_server nor kubeconfig_file \
             is given"
                .into(),
        ));
    };
    let dir = service_account();
    let token = dir.join("token");
    if let Err(e) = std::fs::metadata(&token) {
        return Err(ApiError::NoCluster(format!(
            "no service account: {}: {e}",
            token.display()
        )));
    }
    let mut client = HttpClientConfig {
        bearer_token_file: token.display().to_string(),
        ..HttpClientConfig::default()
    };
    let ca = dir.join("ca.crt");
    if ca.exists() {
        client.tls_config.ca_file = ca.display().to_string();
    }
    Ok(Place {
        server: format!(
            "https://{}",
            crate::discovery::naming::join_host_port(&host, port)
        ),
        client,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_words_are_given() {
        let body =
            br#"{"kind":"Status","status":"Failure","message":"pods is forbidden","code":403}"#;
        assert_eq!(refused(403, body).to_string(), "403: pods is forbidden");
        assert!(refused(410, b"<html>").gone());
        assert!(refused(200, br#"{"code":410,"message":"too old"}"#).gone());
    }
}
