//! Exporters' part of the process: their ports, beside a server or as the whole of it.

use std::sync::Arc;

use super::run::DRAIN;
use super::signals::{Request, Signals};
use super::tasks::{self, Tasks};
use super::{Exit, ExporterPlan};
use crate::exporting::router;
use crate::http::{Guard, Listener, ListenerOptions, bind};
use crate::telemetry::Metrics;

/// Threads that may block in scrapes. More scrapes at a time wait for one.
const BLOCKING_THREADS: usize = 8;

/// An exporter with its sockets.
pub(super) struct Prepared {
    name: &'static str,
    sockets: Vec<tokio::net::TcpListener>,
    listener: Listener,
}

/// Binds the ports of `plan`.
///
/// # Errors
/// When an address that must be had is not.
pub(super) async fn prepare(
    plan: &ExporterPlan,
    options: &ListenerOptions,
    metrics: &Arc<Metrics>,
) -> Result<Prepared, String> {
    let guard =
        Guard::new(plan.web_config.as_deref()).map_err(|e| format!("web configuration: {e}"))?;
    let name = plan.exporter.name();
    let mut sockets = Vec::new();
    for address in &plan.listen {
        match bind(address).await {
            Ok(s) => sockets.push(s),
            Err(e) if plan.port_is_optional => tracing::warn!(
                exporter = name,
                %address,
                error = %e,
                "the exporter's usual address is not to be had; whoever has it is scraped there"
            ),
            Err(e) => return Err(format!("listen on {address}: {e}")),
        }
    }
    let listener = Listener::new(
        router(plan.exporter.clone(), plan.web.clone()),
        Arc::new(guard),
        metrics.clone(),
        options.clone(),
    );
    Ok(Prepared {
        name,
        sockets,
        listener,
    })
}

impl Prepared {
    /// Serves the ports.
    pub(super) fn listen(self, http: &Tasks) {
        for socket in self.sockets {
            if let Ok(address) = socket.local_addr() {
                tracing::info!(exporter = self.name, %address, "listening");
            }
            let task = self.listener.clone();
            let task = task.serve(socket, http.stop_signal(), DRAIN);
            http.spawn("exporter http", task);
        }
    }
}

/// Runs one exporter and nothing else until it is told to stop.
pub(crate) fn run_exporter(plan: &ExporterPlan, options: &ListenerOptions) -> Exit {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.max_blocking_threads(BLOCKING_THREADS);
    tasks::block_on(&mut builder, Exit::Runtime, async {
        let prepared = prepare(plan, options, &Arc::default()).await;
        let (prepared, mut signals) = match (prepared, Signals::new()) {
            (Ok(p), Ok(s)) => (p, s),
            (Err(e), _) => {
                tracing::error!("{e}");
                return Exit::Runtime;
            }
            (_, Err(e)) => {
                tracing::error!(error = %e, "signals cannot be listened to");
                return Exit::Runtime;
            }
        };
        let http = Tasks::new();
        prepared.listen(&http);
        loop {
            if let Request::Stop(reason) = signals.next().await {
                tracing::info!(reason, "stopping");
                break;
            }
        }
        http.stop(DRAIN).await;
        Exit::Ok
    })
}
