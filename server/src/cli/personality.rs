//! What personalities share: addresses, URLs, logging.

use crate::telemetry::log::{self, Format};

/// Starts logging as the flags say.
///
/// # Errors
/// Names the flag with its value.
pub(super) fn start_log(level: &str, format: &str) -> Result<(), String> {
    let level = match level {
        "debug" => tracing::Level::DEBUG,
        "info" => tracing::Level::INFO,
        "warn" => tracing::Level::WARN,
        "error" => tracing::Level::ERROR,
        other => {
            return Err(format!(
                "--log.level {other:?} is none of debug, info, warn, error"
            ));
        }
    };
    let format = match format {
        "logfmt" => Format::Logfmt,
        "json" => Format::Json,
        other => return Err(format!("--log.format {other:?} is none of logfmt, json")),
    };
    log::start(level, format);
    Ok(())
}

/// The host of the first address: parts that have a port of their own listen where the main one does.
pub(super) fn host(listen: &[String]) -> &str {
    let first = listen.first().and_then(|l| l.rsplit_once(':'));
    first.map_or("127.0.0.1", |(host, _)| host)
}

/// The URL users reach us under and the prefix of our routes.
///
/// # Errors
/// When the URL is not one.
pub(super) fn urls(
    external: &str,
    prefix: Option<&str>,
    listen: &str,
) -> Result<(String, String), String> {
    let external = if external.is_empty() {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let port = listen.rsplit_once(':').map_or("9090", |(_, p)| p);
        let host = if host.trim().is_empty() {
            "localhost"
        } else {
            host.trim()
        };
        format!("http://{host}:{port}")
    } else {
        external.trim_end_matches('/').to_owned()
    };
    let parsed = url::Url::parse(&external)
        .map_err(|e| format!("--web.external-url {external:?} is not a URL: {e}"))?;
    let prefix = prefix.unwrap_or_else(|| parsed.path());
    let prefix = prefix.trim_matches('/');
    let prefix = if prefix.is_empty() {
        String::new()
    } else {
        format!("/{prefix}")
    };
    Ok((external, prefix))
}

#[cfg(test)]
mod tests {
    use super::urls;

    #[test]
    fn prefixes_come_from_the_external_url_unless_given() {
        let (e, p) = urls("http://x/prom/", None, ":9090").unwrap();
        assert_eq!((e.as_str(), p.as_str()), ("http://x/prom", "/prom"));
        let (_, p) = urls("http://x/prom/", Some("/"), ":9090").unwrap();
        assert_eq!(p, "");
        let (_, p) = urls("", Some("a/b/"), ":9090").unwrap();
        assert_eq!(p, "/a/b");
        assert!(urls("not a url", None, ":9090").is_err());
    }
}
