//! `http_sd_configs`: an endpoint that answers with the JSON of a target file.

use std::time::Duration;

use super::{Reporter, TargetGroup};
use crate::config::prometheus::HttpSdConfig;
use crate::http::client::{self, ClientLimits, Credentials};

/// Largest answer.
const BODY_BYTES_MAX: usize = 64 << 20;

pub(super) async fn run(c: HttpSdConfig, to: Reporter) {
    let every = c.refresh_interval.as_std().max(Duration::from_secs(1));
    let mut credentials = None;
    loop {
        match ask(&c, &mut credentials).await {
            Ok(groups) => {
                if !to.report(groups).await {
                    return;
                }
            }
            Err(e) => {
                tracing::error!(url = %c.url.redacted(), error = %e, "unable to refresh target groups");
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// One request. `credentials` are kept from one to the next, with their token.
async fn ask(
    c: &HttpSdConfig,
    credentials: &mut Option<Credentials>,
) -> Result<Vec<TargetGroup>, String> {
    let every = c.refresh_interval.as_std();
    let limits = ClientLimits {
        timeout: every,
        connect_timeout: every,
    };
    let config = c.http_client();
    let client = client::build(&config, limits).map_err(|e| e.to_string())?;
    let known = match credentials.take() {
        Some(c) => c,
        None => Credentials::new(&config, limits).map_err(|e| e.to_string())?,
    };
    let headers = credentials.insert(known).headers().await;
    let headers = headers.map_err(|e| e.to_string())?;
    let mut resp = client
        .get(c.url.as_str())
        .headers(headers)
        .header("Accept", "application/json")
        .header(
            "X-Prometheus-Refresh-Interval-Seconds",
            every.as_secs_f64().to_string(),
        )
        .send()
        .await
        .map_err(|e| error_text(&e))?;
    if resp.status() != reqwest::StatusCode::OK {
        return Err(format!("server returned HTTP status {}", resp.status()));
    }
    let content_type = resp
        .headers()
        .get(reqwest::header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    let media = content_type.split(';').next().unwrap_or("").trim();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(format!("unsupported content type {content_type:?}"));
    }
    let mut body = Vec::new();
    while let Some(chunk) = resp.chunk().await.map_err(|e| error_text(&e))? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(format!("answer is larger than {BODY_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(body).map_err(|_| "answer is not UTF-8".to_owned())?;
    let url = c.url.redacted();
    Ok(super::file::parse_json(&text)?
        .iter()
        .enumerate()
        .map(|(i, g)| TargetGroup::from_static(format!("{url}:{i}"), g, &[("__meta_url", &url)]))
        .collect())
}

/// An error with its causes, without the URL (it may hold credentials).
pub(crate) fn error_text(e: &reqwest::Error) -> String {
    use std::error::Error;
    let mut text = String::new();
    let mut source = e.source();
    while let Some(s) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&s.to_string());
        source = s.source();
    }
    if text.is_empty() {
        if e.is_timeout() {
            return "request timed out".into();
        }
        return "request failed".into();
    }
    text
}
