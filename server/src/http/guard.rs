//! The web configuration file in force: TLS settings, users, headers.
//!
//! The file and the files it names are looked at for every connection and request; they are read
//! again only when one of them has changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Instant, SystemTime};

use axum::response::Response;
use base64::Engine as _;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;

use crate::config::web::{ClusterTls, RateLimit, WebConfig};

/// Hash of a text nobody knows: unknown users cost what known ones do.
static DUMMY_HASH: LazyLock<String> =
    LazyLock::new(|| bcrypt::hash(uuid::Uuid::new_v4().as_bytes(), 10).unwrap_or_default());

/// The settings read from the file.
pub(super) struct Settings {
    config: WebConfig,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    stamp: Vec<Stamp>,
}

type Stamp = (PathBuf, Option<(SystemTime, u64)>);

/// Decides who may talk to us and how.
pub(crate) struct Guard {
    file: Option<PathBuf>,
    load: fn(&Path) -> Result<WebConfig, String>,
    current: Mutex<Option<Arc<Settings>>>,
    /// Last password of each user that was found right, with the hash it was right for. Keyed by
    /// configured names only, never by what a client sends.
    proven: Mutex<HashMap<String, (String, Vec<u8>)>>,
    /// One hash at a time: guessing must not take the machine.
    hashing: tokio::sync::Semaphore,
    bucket: Mutex<Option<(Instant, f64)>>,
}

impl Guard {
    /// A guard for `file`; without one everybody may talk to us in the clear.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) fn new(file: Option<&Path>) -> Result<Self, String> {
        Self::with(file, |f| WebConfig::load(f).map_err(|e| e.to_string()))
    }

    /// A guard for the TLS file of a cluster; without one everybody may talk to us in the clear.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) fn of_cluster(file: Option<&Path>) -> Result<Self, String> {
        Self::with(file, |f| {
            let tls = ClusterTls::load(f).map_err(|e| e.to_string())?;
            Ok(WebConfig {
                tls_server_config: tls.tls_server_config,
                ..WebConfig::default()
            })
        })
    }

    fn with(
        file: Option<&Path>,
        load: fn(&Path) -> Result<WebConfig, String>,
    ) -> Result<Self, String> {
        let guard = Self {
            file: file.map(Path::to_owned),
            load,
            current: Mutex::new(None),
            proven: Mutex::default(),
            hashing: tokio::sync::Semaphore::new(1),
            bucket: Mutex::new(None),
        };
        guard.settings()?;
        Ok(guard)
    }

    /// Settings in force; none without a file.
    pub(super) fn settings(&self) -> Result<Option<Arc<Settings>>, String> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let mut current = self.current.lock();
        if let Some(s) = current.as_ref()
            && s.stamp.iter().all(|(f, seen)| stamp_of(f) == *seen)
        {
            return Ok(Some(s.clone()));
        }
        let fresh = Arc::new(read(file, (self.load)(file)?)?);
        *current = Some(fresh.clone());
        Ok(Some(fresh))
    }

    /// Lets the request pass, or gives the answer to it (HTTP3).
    pub(super) async fn check(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<Settings>>, Response> {
        let settings = self.settings().map_err(|e| {
            tracing::error!(error = %e, "web configuration file cannot be used");
            super::plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error\n")
        })?;
        let Some(s) = &settings else {
            return Ok(None);
        };
        if let Some(limit) = &s.config.rate_limit
            && !self.within(limit)
        {
            return Err(super::plain(
                StatusCode::TOO_MANY_REQUESTS,
                "Too Many Requests\n",
            ));
        }
        if !s.config.basic_auth_users.is_empty() && !self.known(s, headers).await {
            let mut r = super::plain(StatusCode::UNAUTHORIZED, "Unauthorized\n");
            r.headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
            return Err(r);
        }
        Ok(settings)
    }

    async fn known(&self, s: &Settings, headers: &HeaderMap) -> bool {
        let Some((user, password)) = credentials(headers) else {
            return false;
        };
        let hash = s.config.basic_auth_users.get(&user);
        let text = hash.map_or(DUMMY_HASH.as_str(), |h| h.expose()).to_owned();
        if hash.is_some()
            && let Some((proven_for, proven)) = self.proven.lock().get(&user)
            && *proven_for == text
            && bool::from(proven.ct_eq(&password))
        {
            return true;
        }
        let Ok(_turn) = self.hashing.acquire().await else {
            return false;
        };
        let (pw, h) = (password.clone(), text.clone());
        let right = tokio::task::spawn_blocking(move || bcrypt::verify(pw, &h).unwrap_or(false));
        let right = right.await.unwrap_or(false) && hash.is_some();
        if right {
            self.proven.lock().insert(user, (text, password));
        }
        right
    }

    /// Takes a token out of the bucket.
    fn within(&self, limit: &RateLimit) -> bool {
        let interval = limit.interval.as_std().as_secs_f64();
        if interval <= 0.0 {
            return true;
        }
        let burst = (limit.burst as f64).max(1.0);
        let now = Instant::now();
        let mut bucket = self.bucket.lock();
        let (at, tokens) = bucket.unwrap_or((now, burst));
        let tokens = (tokens + now.duration_since(at).as_secs_f64() / interval).min(burst);
        let pass = tokens >= 1.0;
        *bucket = Some((now, if pass { tokens - 1.0 } else { tokens }));
        pass
    }
}

/// User and password of a `Basic` header.
pub(crate) fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = base64::engine::general_purpose::STANDARD
        .decode(rest.trim())
        .ok()?;
    let colon = text.iter().position(|b| *b == b':')?;
    let user = String::from_utf8(text.get(..colon)?.to_vec()).ok()?;
    Some((user, text.get(colon + 1..)?.to_vec()))
}

fn stamp_of(file: &Path) -> Option<(SystemTime, u64)> {
    let m = std::fs::metadata(file).ok()?;
    Some((m.modified().ok()?, m.len()))
}

fn read(file: &Path, config: WebConfig) -> Result<Settings, String> {
    let mut files = vec![file.to_owned()];
    let mut tls = None;
    if let Some(t) = &config.tls_server_config {
        for f in [&t.cert_file, &t.key_file, &t.client_ca_file] {
            if !f.is_empty() {
                files.push(PathBuf::from(f));
            }
        }
        let http2 = config.http_server_config.http2;
        tls = Some(Arc::new(super::tls::server_config(t, http2)?));
    }
    let mut headers = Vec::new();
    for (name, value) in &config.http_server_config.headers {
        let pair = name.parse::<HeaderName>().ok().zip(value.parse().ok());
        headers
            .push(pair.ok_or_else(|| format!("header {name:?} has an invalid value {value:?}"))?);
    }
    let stamp = files
        .into_iter()
        .map(|f| (f.clone(), stamp_of(&f)))
        .collect();
    Ok(Settings {
        config,
        tls,
        headers,
        stamp,
    })
}
