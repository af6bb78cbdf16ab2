//! Loading the configuration again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};

use super::{ConfigSource, Services};
use crate::api::Api;
use crate::config::prometheus::LoadedConfig;
use crate::telemetry::Gauge;

/// Message to the operator while the configuration in force is not the one in the file.
const NOTICE: &str = "Configuration reload has failed.";

/// Loads the configuration and puts it in force, or leaves things as they are (LIFE2).
///
/// # Errors
/// Why it cannot be loaded.
pub(super) fn reload(
    api: &Api,
    source: &ConfigSource,
    services: &Services,
    changed: &watch::Sender<Arc<LoadedConfig>>,
) -> Result<(), String> {
    if let Some(alerting) = api.alertmanager()
        && let Err(e) = alerting.reload()
    {
        tracing::error!(error = %e, "configuration of alerting not loaded, the old one stays in force");
    }
    let loaded = source.load().map_err(|e| e.to_string()).and_then(|c| {
        services.apply(api, &c)?;
        Ok(c)
    });
    let ok = loaded.is_ok();
    api.reload_ok.store(ok, Ordering::Relaxed);
    api.metrics
        .set(Gauge::ReloadSuccessful, f64::from(u8::from(ok)));
    api.notify(NOTICE, !ok);
    match loaded {
        Ok(config) => {
            let config = Arc::new(config);
            warn_once(&config);
            in_force(api, config.clone());
            changed.send_replace(config);
            tracing::info!("configuration loaded");
            Ok(())
        }
        Err(e) => {
            tracing::error!(error = %e, "configuration not loaded, the old one stays in force");
            Err(e)
        }
    }
}

/// Records that `config` is in force.
pub(super) fn in_force(api: &Api, config: Arc<LoadedConfig>) {
    let now = jiff::Timestamp::now();
    api.config.store(config);
    api.config_loaded.store(Arc::new(now));
    api.metrics.set(Gauge::ReloadSuccessful, 1.0);
    api.metrics
        .set(Gauge::ReloadTime, now.as_millisecond() as f64 / 1000.0);
}

/// Says what is accepted without effect.
pub(super) fn warn_once(config: &LoadedConfig) {
    for w in &config.warnings {
        tracing::warn!("{w}");
    }
}

/// Asks for a reload whenever the configuration or a file it names has changed.
pub(super) async fn watch_files(
    api: Arc<Api>,
    source: ConfigSource,
    every: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let Some(file) = source.file().map(std::path::Path::to_owned) else {
        return;
    };
    let look = |config: &LoadedConfig| -> Vec<Option<(SystemTime, u64)>> {
        let named = config.rules.iter().map(|(p, _)| p);
        std::iter::once(&file)
            .chain(named)
            .map(|f| {
                let m = std::fs::metadata(f).ok()?;
                Some((m.modified().ok()?, m.len()))
            })
            .collect()
    };
    let mut seen = look(&api.config.load());
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stop.wait_for(|s| *s) => return,
        }
        let now = look(&api.config.load());
        if now != seen {
            request(&api.reload).await;
            seen = look(&api.config.load());
        }
    }
}

/// Asks for a reload and waits for it; the outcome is logged where it happens.
async fn request(queue: &mpsc::Sender<crate::api::ReloadRequest>) {
    let (done, answer) = tokio::sync::oneshot::channel();
    if queue.send(done).await.is_ok() {
        drop(answer.await);
    }
}
