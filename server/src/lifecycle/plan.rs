//! What to start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::api::ServerOptions;
use crate::config::limits::SeriesLimits;
use crate::config::prometheus::{LoadedConfig, load, load_text};
use crate::config::{ByteSize, ConfigError, PromDuration};
use crate::exporting::{Exporter, WebOptions};
use crate::http::ListenerOptions;
use crate::rules::RuleOptions;

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub(crate) enum ConfigSource {
    /// A file; read again on reload.
    File(PathBuf),
    /// Built in.
    Text(String),
}

impl ConfigSource {
    /// Loads it.
    ///
    /// # Errors
    /// As the loader's.
    pub(crate) fn load(&self) -> Result<LoadedConfig, ConfigError> {
        match self {
            Self::File(f) => load(f),
            Self::Text(t) => load_text(Path::new("built-in.yml"), t),
        }
    }

    /// The file, when there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(f) => Some(f),
            Self::Text(_) => None,
        }
    }
}

/// When written samples are synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WalSync {
    /// Before they are acknowledged.
    Always,
    /// This often.
    Interval(Duration),
    /// When the system likes.
    Off,
}

impl std::str::FromStr for WalSync {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "always" => Ok(Self::Always),
            "off" => Ok(Self::Off),
            _ => match s.strip_prefix("interval:").map(str::parse::<PromDuration>) {
                Some(Ok(d)) if !d.is_zero() => Ok(Self::Interval(d.as_std())),
                _ => Err(format!("{s:?} is none of always, interval:<duration>, off")),
            },
        }
    }
}

/// Options of the store.
#[derive(Debug, Clone)]
pub(crate) struct StorageOptions {
    /// Directory of the data.
    pub(crate) dir: PathBuf,
    /// When written samples are synced.
    pub(crate) wal_sync: WalSync,
    /// Whether sealed files are mapped.
    pub(crate) mmap: bool,
    /// How long data is kept; zero for ever.
    pub(crate) retention_time: PromDuration,
    /// How much of it; zero for any.
    pub(crate) retention_size: ByteSize,
    /// Range of a block cut from the head.
    pub(crate) block_range: PromDuration,
    /// What a tenant and a series may cost.
    pub(crate) limits: SeriesLimits,
}

/// An address where users of another tool of the family expect it.
#[derive(Debug, Clone)]
pub(crate) struct Familiar {
    /// The tool.
    pub(crate) what: &'static str,
    /// `host:port`.
    pub(crate) address: String,
}

/// Alerting, and its port.
#[derive(Debug, Clone)]
pub(crate) struct AlertmanagerPlan {
    /// Options of the service.
    pub(crate) options: crate::alerting::AlertingOptions,
    /// Addresses to listen on.
    pub(crate) listen: Vec<String>,
    /// Whether everything goes on when an address is taken.
    pub(crate) port_is_optional: bool,
    /// The web configuration file of the port.
    pub(crate) web_config: Option<PathBuf>,
    /// Prefix of all routes of the port, empty or starting with a slash.
    pub(crate) route_prefix: String,
    /// What the port allows.
    pub(crate) limits: crate::api::alertmanager::RequestLimits,
    /// Other instances, when there may be some.
    pub(crate) cluster: Option<ClusterPlan>,
}

/// Instances of alerting that tell each thing once.
#[derive(Debug, Clone)]
pub(crate) struct ClusterPlan {
    /// Options of the service; the advertised address is as the flag says, perhaps empty.
    pub(crate) options: crate::alerting::ClusterOptions,
    /// Address to listen on for the others.
    pub(crate) listen: String,
    /// Whether everything goes on alone when the address is taken.
    pub(crate) listen_is_optional: bool,
    /// File with TLS settings for both directions.
    pub(crate) tls: Option<PathBuf>,
    /// How long the addresses of a peer may take to be found.
    pub(crate) resolve_timeout: Duration,
}

/// An exporter, and its port.
#[derive(Clone)]
pub(crate) struct ExporterPlan {
    /// What is scraped.
    pub(crate) exporter: Arc<dyn Exporter>,
    /// Addresses to listen on.
    pub(crate) listen: Vec<String>,
    /// Whether everything goes on when an address is taken.
    pub(crate) port_is_optional: bool,
    /// The web configuration file of the port.
    pub(crate) web_config: Option<PathBuf>,
    /// Its pages.
    pub(crate) web: WebOptions,
}

impl std::fmt::Debug for ExporterPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.exporter.name();
        write!(f, "{name} on {:?}", self.listen)
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The configuration.
    pub(crate) config: ConfigSource,
    /// Addresses to listen on.
    pub(crate) listen: Vec<String>,
    /// Ports that other tools of the family have by default: whoever has one keeps it, since every
    /// path also answers on the main addresses. Ours under `{what}` in [`Self::announce`].
    pub(crate) familiar: Vec<Familiar>,
    /// The web configuration file.
    pub(crate) web_config: Option<PathBuf>,
    /// Settings of the listener.
    pub(crate) listener: ListenerOptions,
    /// Options of the interfaces.
    pub(crate) options: ServerOptions,
    /// Flags with their values, for display.
    pub(crate) flags: BTreeMap<String, String>,
    /// Rules and where alerts go.
    pub(crate) rules: RuleOptions,
    /// The store.
    pub(crate) storage: StorageOptions,
    /// How often the configuration file is looked at for changes, if at all.
    pub(crate) auto_reload: Option<Duration>,
    /// What `loki-config.yml` says.
    pub(crate) loki: crate::config::loki::LokiConfig,
    /// Alerting, when it runs.
    pub(crate) alertmanager: Option<AlertmanagerPlan>,
    /// The log agent that reads for this process' own store.
    pub(crate) agent: Option<crate::config::promtail::PromtailConfig>,
    /// Exporters that run in this process.
    pub(crate) exporters: Vec<ExporterPlan>,
    /// What to print once everything is up: `{url}` stands for our address.
    pub(crate) announce: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_modes_are_read() {
        assert_eq!("always".parse(), Ok(WalSync::Always));
        assert_eq!("off".parse(), Ok(WalSync::Off));
        let interval = WalSync::Interval(Duration::from_millis(100));
        assert_eq!("interval:100ms".parse(), Ok(interval));
        for bad in ["", "interval", "interval:0", "interval:x", "segment"] {
            assert!(bad.parse::<WalSync>().is_err(), "{bad}");
        }
    }
}
