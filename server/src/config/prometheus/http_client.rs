//! Options of outbound HTTP, spliced into every section that makes requests.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::fields::{Check, Omit, config};
use crate::config::{ConfigUrl, MultiMap, PromDuration, Secret};

/// Adds the HTTP client's fields to a section and `http_client()`, which gathers them.
macro_rules! with_http_client_fields {
    ($(#[$m:meta])* pub(crate) struct $name:ident($section:literal) { $($fields:tt)* }) => {
        $crate::config::fields::config! {
            $(#[$m])* pub(crate) struct $name($section) {
                $($fields)*
                /// User and password.
                basic_auth: Option<Box<$crate::config::prometheus::BasicAuth>>;
                /// Any other `Authorization` header.
                authorization: Option<Box<$crate::config::prometheus::Authorization>>;
                /// OAuth 2.0 client credentials.
                oauth2: Option<Box<$crate::config::prometheus::OAuth2>>;
                /// Old form of `authorization.credentials`.
                bearer_token: $crate::config::Secret;
                /// Old form of `authorization.credentials_file`.
                bearer_token_file: String;
                /// TLS of the connection.
                tls_config: $crate::config::prometheus::TlsConfig;
                /// Whether redirects are followed.
                follow_redirects: bool = true => keep;
                /// Whether HTTP/2 may be used.
                enable_http2: bool = true => keep;
                /// Proxy for all requests.
                proxy_url: $crate::config::ConfigUrl;
                /// Hosts that are reached without the proxy.
                no_proxy: String;
                /// Takes the proxy from the environment.
                proxy_from_environment: bool;
                /// Headers of the CONNECT request.
                proxy_connect_header:
                    std::collections::BTreeMap<String, Vec<$crate::config::Secret>>;
                /// Extra headers of every request.
                http_headers:
                    std::collections::BTreeMap<String, $crate::config::prometheus::HttpHeader>;
            }
        }

        impl $name {
            /// The HTTP client options of this section.
            #[allow(dead_code, reason = "some sections have their own transport")]
            pub(crate) fn http_client(&self) -> $crate::config::prometheus::HttpClientConfig {
                $crate::config::prometheus::HttpClientConfig {
                    basic_auth: self.basic_auth.as_deref().cloned(),
                    authorization: self.authorization.as_deref().cloned(),
                    oauth2: self.oauth2.clone(),
                    bearer_token: self.bearer_token.clone(),
                    bearer_token_file: self.bearer_token_file.clone(),
                    tls_config: self.tls_config.clone(),
                    follow_redirects: self.follow_redirects,
                    enable_http2: self.enable_http2,
                    proxy: $crate::config::prometheus::ProxyConfig {
                        url: self.proxy_url.clone(),
                        no_proxy: self.no_proxy.clone(),
                        from_environment: self.proxy_from_environment,
                        connect_header: self.proxy_connect_header.clone(),
                    },
                    http_headers: self.http_headers.clone(),
                }
            }

            /// Hands every file named by the HTTP client options to `visit`.
            pub(in crate::config) fn http_client_files(&mut self, visit: &dyn Fn(&mut String)) {
                visit(&mut self.bearer_token_file);
                if let Some(b) = &mut self.basic_auth {
                    visit(&mut b.username_file);
                    visit(&mut b.password_file);
                }
                if let Some(a) = &mut self.authorization {
                    visit(&mut a.credentials_file);
                }
                if let Some(o) = &mut self.oauth2 {
                    visit(&mut o.client_secret_file);
                    o.tls_config.files().into_iter().for_each(visit);
                }
                self.tls_config.files().into_iter().for_each(visit);
                self.http_headers.values_mut().flat_map(|h| &mut h.files).for_each(visit);
            }
        }
    };
}
pub(crate) use with_http_client_fields;

config! {
    /// A file of nothing but these options, for tools that make requests.
    pub(crate) struct HttpClientFile("config.HTTPClientConfig") + http {
    }
}

impl Check for HttpClientFile {
    fn check(&mut self) -> Result<(), String> {
        self.http_client().check()
    }
}

/// How to make outbound requests: what `http::client` builds a client from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HttpClientConfig {
    /// User and password.
    pub(crate) basic_auth: Option<BasicAuth>,
    /// Any other `Authorization` header.
    pub(crate) authorization: Option<Authorization>,
    /// OAuth 2.0 client credentials.
    pub(crate) oauth2: Option<Box<OAuth2>>,
    /// Old form of `authorization.credentials`.
    pub(crate) bearer_token: Secret,
    /// Old form of `authorization.credentials_file`.
    pub(crate) bearer_token_file: String,
    /// TLS of the connection.
    pub(crate) tls_config: TlsConfig,
    /// Whether redirects are followed.
    pub(crate) follow_redirects: bool,
    /// Whether HTTP/2 may be used.
    pub(crate) enable_http2: bool,
    /// Proxy options.
    pub(crate) proxy: ProxyConfig,
    /// Extra headers of every request.
    pub(crate) http_headers: std::collections::BTreeMap<String, HttpHeader>,
}

/// Through which proxy to go.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ProxyConfig {
    /// Proxy for all requests.
    pub(crate) url: ConfigUrl,
    /// Hosts that are reached without it.
    pub(crate) no_proxy: String,
    /// Takes the proxy from the environment.
    pub(crate) from_environment: bool,
    /// Headers of the CONNECT request.
    pub(crate) connect_header: std::collections::BTreeMap<String, Vec<Secret>>,
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            bearer_token: Secret::default(),
            bearer_token_file: String::new(),
            tls_config: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            proxy: ProxyConfig::default(),
            http_headers: std::collections::BTreeMap::new(),
        }
    }
}

config! {
    /// User and password.
    pub(crate) struct BasicAuth("config.BasicAuth") {
        /// User.
        username: String;
        /// File with the user.
        username_file: String;
        /// Password.
        password: Secret;
        /// File with the password.
        password_file: String;
    }
}
impl Check for BasicAuth {
    fn check(&mut self) -> Result<(), String> {
        if !self.username.is_empty() && !self.username_file.is_empty() {
            return Err(
                "at most one of basic_auth username & username_file must be configured".into(),
            );
        }
        if !self.password.is_empty() && !self.password_file.is_empty() {
            return Err(
                "at most one of basic_auth password & password_file must be configured".into(),
            );
        }
        Ok(())
    }
}

config! {
    /// An `Authorization` header.
    pub(crate) struct Authorization("config.Authorization") {
        /// Its first word.
        r#type: String = "Bearer".into();
        /// The rest.
        credentials: Secret;
        /// File with the rest.
        credentials_file: String;
    }
}
impl Check for Authorization {
    fn check(&mut self) -> Result<(), String> {
        self.r#type = self.r#type.trim().to_owned();
        if self.r#type.eq_ignore_ascii_case("basic") {
            return Err(
                r#"authorization type cannot be set to "basic", use "basic_auth" instead"#.into(),
            );
        }
        if !self.credentials.is_empty() && !self.credentials_file.is_empty() {
            return Err(
                "at most one of authorization credentials & credentials_file must be configured"
                    .into(),
            );
        }
        Ok(())
    }
}

config! {
    /// OAuth 2.0 client credentials.
    pub(crate) struct OAuth2("config.OAuth2") {
        /// Client id.
        client_id: String => keep;
        /// Client secret.
        client_secret: Secret;
        /// File with it.
        client_secret_file: String;
        /// Scopes to ask for.
        scopes: Vec<String>;
        /// Where tokens come from.
        token_url: String => keep;
        /// Extra form values of the token request.
        endpoint_params: std::collections::BTreeMap<String, String>;
        /// TLS of the token request.
        tls_config: TlsConfig;
        /// Proxy of the token request.
        proxy_url: ConfigUrl;
        /// Hosts that are reached without it.
        no_proxy: String;
        /// Takes the proxy from the environment.
        proxy_from_environment: bool;
        /// Headers of the CONNECT request.
        proxy_connect_header: std::collections::BTreeMap<String, Vec<Secret>>;
    }
}
impl Check for OAuth2 {
    fn check(&mut self) -> Result<(), String> {
        if self.client_id.is_empty() {
            return Err("oauth2 client_id must be configured".into());
        }
        if self.token_url.is_empty() {
            return Err("oauth2 token_url must be configured".into());
        }
        match (
            self.client_secret.is_empty(),
            self.client_secret_file.is_empty(),
        ) {
            (true, true) => {
                Err("either oauth2 client_secret or client_secret_file must be configured".into())
            }
            (false, false) => Err(
                "at most one of oauth2 client_secret & client_secret_file must be configured"
                    .into(),
            ),
            _ => Ok(()),
        }
    }
}

/// TLS protocol versions that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TlsVersion {
    /// 1.0: known, not supported.
    Tls10,
    /// 1.1: known, not supported.
    Tls11,
    /// 1.2.
    Tls12,
    /// 1.3.
    Tls13,
}

impl TlsVersion {
    const NAMES: [(&'static str, Self); 4] = [
        ("TLS10", Self::Tls10),
        ("TLS11", Self::Tls11),
        ("TLS12", Self::Tls12),
        ("TLS13", Self::Tls13),
    ];
}

impl<'de> Deserialize<'de> for TlsVersion {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        let found = Self::NAMES.iter().find(|(n, _)| *n == name);
        found
            .map(|(_, v)| *v)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown TLS version: {name}")))
    }
}
impl Serialize for TlsVersion {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let name = Self::NAMES.iter().find(|(_, v)| v == self);
        s.serialize_str(name.map_or("", |(n, _)| n))
    }
}

config! {
    /// TLS of outbound connections.
    pub(crate) struct TlsConfig("config.TLSConfig") {
        /// Certificate authorities, PEM.
        ca: String;
        /// Client certificate, PEM.
        cert: String;
        /// Client key, PEM.
        key: Secret;
        /// File with `ca`.
        ca_file: String;
        /// File with `cert`.
        cert_file: String;
        /// File with `key`.
        key_file: String;
        /// Name to expect in the server's certificate.
        server_name: String;
        /// Accepts any certificate.
        insecure_skip_verify: bool => keep;
        /// Oldest protocol version.
        min_version: Option<TlsVersion>;
        /// Newest protocol version.
        max_version: Option<TlsVersion>;
    }
}
impl Omit for TlsConfig {
    fn omit(&self) -> bool {
        *self == Self::default()
    }
}
impl TlsConfig {
    pub(crate) fn files(&mut self) -> [&mut String; 3] {
        [&mut self.ca_file, &mut self.cert_file, &mut self.key_file]
    }
}
impl Check for TlsConfig {
    fn check(&mut self) -> Result<(), String> {
        for (name, inline, file) in [
            ("ca", self.ca.is_empty(), self.ca_file.is_empty()),
            ("cert", self.cert.is_empty(), self.cert_file.is_empty()),
            ("key", self.key.is_empty(), self.key_file.is_empty()),
        ] {
            if !inline && !file {
                return Err(format!(
                    "at most one of {name} and {name}_file must be configured"
                ));
            }
        }
        let cert = !self.cert.is_empty() || !self.cert_file.is_empty();
        let key = !self.key.is_empty() || !self.key_file.is_empty();
        if cert && !key {
            return Err("exactly one of key or key_file must be configured when a client certificate is configured".into());
        }
        if key && !cert {
            return Err("exactly one of cert or cert_file must be configured when a client key is configured".into());
        }
        if let (Some(min), Some(max)) = (self.min_version, self.max_version)
            && max < min
        {
            return Err("tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified".into());
        }
        Ok(())
    }
}

config! {
    /// Values of one extra header.
    pub(crate) struct HttpHeader("config.Header") {
        /// Values in the clear.
        values: Vec<String>;
        /// Values that are hidden.
        secrets: Vec<Secret>;
        /// Files with values.
        files: Vec<String>;
    }
}
impl Check for HttpHeader {}

/// Headers that the client sets itself.
const RESERVED_HEADERS: [&str; 19] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
    "accept",
    "te",
    "transfer-encoding",
    "upgrade",
];

impl HttpClientConfig {
    /// The checks that concern more than one field. `section` makes requests of its own kind.
    ///
    /// # Errors
    /// Names the contradiction.
    pub(crate) fn check(&self) -> Result<(), String> {
        let set = usize::from;
        let bearer = !self.bearer_token.is_empty();
        let bearer_file = !self.bearer_token_file.is_empty();
        if bearer && bearer_file {
            return Err(
                "at most one of bearer_token & bearer_token_file must be configured".into(),
            );
        }
        let old = bearer || bearer_file;
        if set(self.basic_auth.is_some()) + set(self.oauth2.is_some()) + set(old) > 1 {
            return Err("at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured".into());
        }
        if self.authorization.is_some() {
            if old {
                return Err(
                    "authorization is not compatible with bearer_token & bearer_token_file".into(),
                );
            }
            if self.basic_auth.is_some() || self.oauth2.is_some() {
                return Err(
                    "at most one of basic_auth, oauth2 & authorization must be configured".into(),
                );
            }
        }
        self.proxy.check()?;
        if let Some(o) = &self.oauth2 {
            o.proxy().check()?;
        }
        for (name, header) in &self.http_headers {
            if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!("setting header {name:?} is not allowed"));
            }
            if header.values.is_empty() && header.secrets.is_empty() && header.files.is_empty() {
                return Err(format!("no value for header {name:?}"));
            }
        }
        Ok(())
    }
}

impl OAuth2 {
    /// Proxy of the token request.
    pub(crate) fn proxy(&self) -> ProxyConfig {
        ProxyConfig {
            url: self.proxy_url.clone(),
            no_proxy: self.no_proxy.clone(),
            from_environment: self.proxy_from_environment,
            connect_header: self.proxy_connect_header.clone(),
        }
    }
}

impl ProxyConfig {
    fn check(&self) -> Result<(), String> {
        if self.from_environment && !self.url.is_empty() {
            return Err(
                "if proxy_from_environment is configured, proxy_url must not be configured".into(),
            );
        }
        if self.from_environment && !self.no_proxy.is_empty() {
            return Err(
                "if proxy_from_environment is configured, no_proxy must not be configured".into(),
            );
        }
        if self.url.is_empty() && !self.no_proxy.is_empty() {
            return Err("if no_proxy is configured, proxy_url must also be configured".into());
        }
        if !self.connect_header.is_empty() && self.url.is_empty() && !self.from_environment {
            return Err("if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured".into());
        }
        Ok(())
    }
}

/// Checks headers of remote write and read sections.
pub(super) fn check_remote_headers(
    headers: &std::collections::BTreeMap<String, String>,
) -> Result<(), String> {
    for name in headers.keys() {
        let lower = name.to_ascii_lowercase();
        if lower == "authorization" {
            return Err("authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter".into());
        }
        if RESERVED_HEADERS.contains(&lower.as_str()) && lower != "accept" {
            return Err(format!(
                "{name} is a reserved header. It must not be changed"
            ));
        }
    }
    Ok(())
}

/// Used by sections whose requests have a deadline of their own.
pub(crate) fn positive(name: &str, d: PromDuration) -> Result<(), String> {
    if d.is_zero() {
        return Err(format!("{name} must be greater than 0"));
    }
    Ok(())
}

/// URL parameters in the order of their names, each value once per occurrence.
pub(crate) fn query_pairs(params: &MultiMap) -> impl Iterator<Item = (&str, &str)> {
    params
        .iter()
        .flat_map(|(n, vs)| vs.iter().map(move |v| (n.as_str(), v.as_str())))
}
