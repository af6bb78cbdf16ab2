//! The web configuration file (`--web.config.file`): TLS, headers and users of our own listener.
//!
//! Read again for every connection and request, so that new certificates and passwords need no
//! reload.

use std::collections::BTreeMap;
use std::path::Path;

use super::fields::{Check, Omit, config};
use super::prometheus::{TlsConfig, TlsVersion};
use super::prometheus::{directory_of, resolve};
use super::{ConfigError, PromDuration, Secret, yaml};

config! {
    /// The whole document.
    pub(crate) struct WebConfig("web.Config") {
        /// TLS.
        tls_server_config: Option<TlsServerConfig>;
        /// HTTP.
        http_server_config: HttpServerConfig;
        /// Users with the bcrypt hash of their password.
        basic_auth_users: BTreeMap<String, Secret>;
        /// Requests per interval.
        rate_limit: Option<RateLimit>;
    }
}
impl Check for WebConfig {
    fn check(&mut self) -> Result<(), String> {
        for (user, hash) in &self.basic_auth_users {
            let form = hash.expose();
            let known = ["$2a$", "$2b$", "$2y$", "$2x$"]
                .iter()
                .any(|p| form.starts_with(p));
            if !known || form.len() != 60 {
                return Err(format!("password of user {user:?} is not a bcrypt hash"));
            }
        }
        Ok(())
    }
}

config! {
    /// TLS of our listener.
    pub(crate) struct TlsServerConfig("web.TLSConfig") {
        /// Certificate chain, PEM.
        cert: String;
        /// Key, PEM.
        key: Secret;
        /// File with `cert`.
        cert_file: String;
        /// File with `key`.
        key_file: String;
        /// Whether clients must have a certificate.
        client_auth_type: String;
        /// Authorities of client certificates, PEM.
        client_ca: String;
        /// File with `client_ca`.
        client_ca_file: String;
        /// Names of which a client certificate must have one.
        client_allowed_sans: Vec<String>;
        /// Oldest protocol version.
        min_version: Option<TlsVersion> = Some(TlsVersion::Tls12);
        /// Newest protocol version.
        max_version: Option<TlsVersion> = Some(TlsVersion::Tls13);
        /// Accepted; the library's own list is used.
        cipher_suites: Vec<String>;
        /// Accepted; the library's own list is used.
        curve_preferences: Vec<String>;
        /// Accepted; the server always chooses.
        prefer_server_cipher_suites: bool = true;
    }
}

/// What is asked of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// Nothing.
    None,
    /// A certificate if they have one.
    Optional,
    /// A certificate of a known authority.
    Required,
}

impl TlsServerConfig {
    /// What is asked of clients.
    ///
    /// # Errors
    /// When the name is not known.
    pub(crate) fn client_auth(&self) -> Result<ClientAuth, String> {
        Ok(match self.client_auth_type.as_str() {
            "" | "NoClientCert" => ClientAuth::None,
            "RequestClientCert" | "VerifyClientCertIfGiven" => ClientAuth::Optional,
            "RequireAnyClientCert" | "RequireClientCert" | "RequireAndVerifyClientCert" => {
                ClientAuth::Required
            }
            other => return Err(format!("invalid client_auth_type: {other:?}")),
        })
    }
}

impl Check for TlsServerConfig {
    fn check(&mut self) -> Result<(), String> {
        for (name, inline, file) in [
            ("cert", !self.cert.is_empty(), !self.cert_file.is_empty()),
            ("key", !self.key.is_empty(), !self.key_file.is_empty()),
        ] {
            if inline && file {
                return Err(format!(
                    "only one of {name} and {name}_file can be specified"
                ));
            }
            if !inline && !file {
                return Err(format!("missing one of {name} or {name}_file"));
            }
        }
        let ca = !self.client_ca.is_empty() || !self.client_ca_file.is_empty();
        let auth = self.client_auth()?;
        if auth == ClientAuth::None && ca {
            return Err("Client CA's have been configured without a Client Auth Policy".into());
        }
        if auth != ClientAuth::None && !ca {
            return Err(format!(
                "client_auth_type {:?} needs client_ca or client_ca_file",
                self.client_auth_type
            ));
        }
        for version in [self.min_version, self.max_version].into_iter().flatten() {
            if version < TlsVersion::Tls12 {
                return Err("TLS versions before 1.2 are not supported".into());
            }
        }
        Ok(())
    }
}

config! {
    /// HTTP options of our listener.
    pub(crate) struct HttpServerConfig("web.HTTPConfig") {
        /// Whether HTTP/2 is offered.
        http2: bool = true => keep;
        /// Headers of every answer.
        headers: BTreeMap<String, String>;
    }
}
impl Omit for HttpServerConfig {
    fn omit(&self) -> bool {
        *self == Self::default()
    }
}
impl Check for HttpServerConfig {
    fn check(&mut self) -> Result<(), String> {
        for (name, value) in &self.headers {
            let allowed: Option<&[&str]> = match name.to_ascii_lowercase().as_str() {
                "content-security-policy" | "strict-transport-security" | "x-xss-protection" => {
                    None
                }
                "x-frame-options" => Some(&["deny", "sameorigin"]),
                "x-content-type-options" => Some(&["nosniff"]),
                _ => return Err(format!("HTTP header {name:?} can not be configured")),
            };
            let value_lower = value.to_ascii_lowercase();
            if let Some(values) = allowed
                && !value.is_empty()
                && !values.contains(&value_lower.as_str())
            {
                return Err(format!(
                    "invalid value for {name}. Expected one of: {values:?}, but got: {value:?}"
                ));
            }
        }
        Ok(())
    }
}

config! {
    /// Requests per interval.
    pub(crate) struct RateLimit("web.RateLimitConfig") {
        /// Time between two requests.
        interval: PromDuration => keep;
        /// Requests that may come at once.
        burst: u64 => keep;
    }
}
impl Check for RateLimit {}

config! {
    /// The TLS file of a cluster (`--cluster.tls-config`): how we answer and how we ask.
    pub(crate) struct ClusterTls("cluster.TLSTransportConfig") {
        /// When others ask us.
        tls_server_config: Option<TlsServerConfig>;
        /// When we ask others.
        tls_client_config: TlsConfig;
    }
}
impl Check for ClusterTls {
    fn check(&mut self) -> Result<(), String> {
        match self.tls_server_config {
            Some(_) => Ok(()),
            None => Err("missing 'tls_server_config' entry in the TLS configuration".into()),
        }
    }
}

impl TlsServerConfig {
    fn files(&mut self) -> [&mut String; 3] {
        [
            &mut self.cert_file,
            &mut self.key_file,
            &mut self.client_ca_file,
        ]
    }
}

impl WebConfig {
    /// Loads `file`; paths in it are relative to its directory.
    ///
    /// # Errors
    /// When it cannot be read or is not valid.
    pub(crate) fn load(file: &Path) -> Result<Self, ConfigError> {
        let mut c: Self = yaml::parse(file, &yaml::read(file)?)?;
        let files = c.tls_server_config.iter_mut().flat_map(|t| t.files());
        files.for_each(|f| resolve(directory_of(file), f));
        Ok(c)
    }
}

impl ClusterTls {
    /// Loads `file`; paths in it are relative to its directory.
    ///
    /// # Errors
    /// When it cannot be read or is not valid.
    pub(crate) fn load(file: &Path) -> Result<Self, ConfigError> {
        let mut c: Self = yaml::parse(file, &yaml::read(file)?)?;
        let server = c.tls_server_config.iter_mut().flat_map(|t| t.files());
        let all = server.chain(c.tls_client_config.files());
        all.for_each(|f| resolve(directory_of(file), f));
        Ok(c)
    }
}
