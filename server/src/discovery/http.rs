//! `http_sd_configs`: an endpoint that answers with the JSON of a target file.

use std::time::Duration;

use super::answer::error_text;
use super::{Reporter, TargetGroup, answer};
use crate::config::prometheus::HttpSdConfig;
use crate::http::client::{self, ClientLimits, Credentials};

/// Largest answer.
const BODY_BYTES_MAX: usize = 64 << 20;

pub(super) async fn run(c: HttpSdConfig, to: Reporter) {
    let every = c.refresh_interval.as_std().max(Duration::from_secs(1));
    let mut credentials = None;
    loop {
        match ask(&c, &mut credentials).await {
            Ok(groups) => to.report(groups),
            Err(e) => {
                to.failed();
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
    let body = answer::read(&mut resp, BODY_BYTES_MAX).await?;
    let text = String::from_utf8(body).map_err(|_| "answer is not UTF-8".to_owned())?;
    let url = c.url.redacted();
    Ok(super::file::parse_json(&text)?
        .iter()
        .enumerate()
        .map(|(i, g)| TargetGroup::from_static(format!("{url}:{i}"), g, &[("__meta_url", &url)]))
        .collect())
}
