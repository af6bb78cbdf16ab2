//! What the command lines of exporters share.

use std::sync::Arc;
use std::time::Duration;

use super::flags::{Flag, Kind, Values, flag, ignored};
use super::{complain, personality};
use crate::exporting::{Exporter, WebOptions};
use crate::http::ListenerOptions;
use crate::lifecycle::{self, Exit, ExporterPlan};

/// Connections of scrapers at a time.
const CONNECTIONS_MAX: usize = 512;
/// How long a scraper may take for a request's headers, and be idle between two scrapes.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// Flags of logging and of the socket, as the exporters of the family have them.
pub(super) fn shared(listen: &'static str) -> Vec<Flag> {
    vec![
        flag(
            "web.listen-address",
            listen,
            Kind::List,
            "Address to listen on, may be repeated",
        ),
        flag(
            "web.telemetry-path",
            "/metrics",
            Kind::Text,
            "Path of the metrics",
        ),
        flag(
            "web.config.file",
            "",
            Kind::Text,
            "File with TLS settings and users",
        ),
        ignored("web.systemd-socket", "false", Kind::Bool),
        flag(
            "log.level",
            "info",
            Kind::Text,
            "debug, info, warn or error",
        ),
        flag("log.format", "logfmt", Kind::Text, "logfmt or json"),
    ]
}

/// Runs what `build` makes of the command line, with the log at `level` in `format`. Whatever keeps it from starting ends it with 1, as
/// with the originals.
pub(super) fn run(
    v: &Values<'_>,
    (level, format): (&str, &str),
    web: WebOptions,
    build: impl FnOnce() -> Result<Arc<dyn Exporter>, String>,
) -> u8 {
    if let Err(e) = personality::start_log(level, format) {
        complain(&format!("{e}\n"));
        return Exit::Runtime.code();
    }
    for name in v.without_effect() {
        tracing::warn!(flag = %format!("--{name}"), "flag is accepted without effect");
    }
    if !web.telemetry_path.starts_with('/') {
        let path = &web.telemetry_path;
        complain(&format!(
            "--web.telemetry-path {path:?} does not begin with a slash\n"
        ));
        return Exit::Runtime.code();
    }
    let exporter = match build() {
        Ok(e) => e,
        Err(e) => {
            complain(&format!("{e}\n"));
            return Exit::Runtime.code();
        }
    };
    let file = v.text("web.config.file");
    let plan = ExporterPlan {
        exporter,
        listen: v.list("web.listen-address"),
        port_is_optional: false,
        web_config: (!file.is_empty()).then(|| file.into()),
        web,
    };
    lifecycle::run_exporter(&plan, &listener()).code()
}

/// Settings of an exporter's listener.
pub(super) fn listener() -> ListenerOptions {
    ListenerOptions {
        connections_max: CONNECTIONS_MAX,
        read_timeout: READ_TIMEOUT,
    }
}

/// How long a server may take to be found reachable at the start.
const KNOCK: Duration = Duration::from_millis(300);

/// Whether somebody listens at `host:port`, or a socket is at the path.
pub(super) fn reachable(address: &str) -> bool {
    use std::net::{TcpStream, ToSocketAddrs as _};
    if address.starts_with('/') {
        return std::path::Path::new(address).exists();
    }
    let found = address.to_socket_addrs().into_iter().flatten().next();
    found.is_some_and(|a| TcpStream::connect_timeout(&a, KNOCK).is_ok())
}

/// An exporter as part of everything, on `address` if that is free.
pub(super) fn beside(exporter: Arc<dyn Exporter>, address: &str, web: WebOptions) -> ExporterPlan {
    ExporterPlan {
        exporter,
        listen: vec![address.to_owned()],
        port_is_optional: true,
        web_config: None,
        web,
    }
}
