//! The log agent: as the whole of a process, or reading for this process' own store.

use std::sync::Arc;
use std::time::Duration;

use engine::store::Store;
use tokio::net::TcpListener;

use super::Exit;
use super::run::DRAIN;
use super::signals::{Request, Signals};
use super::tasks::Tasks;
use crate::agent::{Agent, Destination, Local, Pages, Plan, router};
use crate::api::Api;
use crate::config::promtail::{PromtailConfig, ServerConfig};
use crate::http::{Guard, Listener, ListenerOptions, bind};

/// How long the own store may take to take what was read last.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Runs the agent until it is told to stop.
pub(crate) fn run_agent(plan: Plan, to: Destination, options: &ListenerOptions) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(r) => r,
        Err(e) => {
            tracing::error!(error = %e, "the runtime could not be started");
            return Exit::Runtime;
        }
    };
    let exit = runtime.block_on(async {
        match serve(plan, to, options).await {
            Ok(()) => Exit::Ok,
            Err(e) => {
                tracing::error!("{e}");
                Exit::Runtime
            }
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    exit
}

fn address(server: &ServerConfig) -> String {
    format!("{}:{}", server.http_listen_address, server.http_listen_port)
}

/// Serves the agent's pages.
fn serve_pages(
    server: &ServerConfig,
    pages: Arc<Pages>,
    socket: TcpListener,
    options: &ListenerOptions,
    http: &Tasks,
) -> Result<(), String> {
    if let Ok(address) = socket.local_addr() {
        tracing::info!(%address, "listening");
    }
    let routes = match server.http_path_prefix.trim_matches('/') {
        "" => router(pages),
        prefix => axum::Router::new().nest(&format!("/{prefix}"), router(pages)),
    };
    let guard = Arc::new(Guard::new(None)?);
    let listener = Listener::new(routes, guard, Arc::default(), options.clone());
    let task = listener.serve(socket, http.stop_signal(), DRAIN);
    http.spawn("agent http", task);
    Ok(())
}

async fn serve(plan: Plan, to: Destination, options: &ListenerOptions) -> Result<(), String> {
    let mut signals = Signals::new().map_err(|e| format!("signals: {e}"))?;
    let server = plan.config().server.clone();
    let socket = if server.disable {
        None
    } else {
        let address = address(&server);
        let bound = bind(&address).await;
        Some(bound.map_err(|e| format!("listen on {address}: {e}"))?)
    };
    let agent = Agent::start(plan, to, options).await?;
    let http = Tasks::new();
    if let Some(socket) = socket {
        serve_pages(&server, agent.pages(), socket, options, &http)?;
    }
    loop {
        if let Request::Stop(reason) = signals.next().await {
            tracing::info!(reason, "stopping");
            break;
        }
    }
    agent.stop(DRAIN).await;
    http.stop(DRAIN).await;
    Ok(())
}

/// The agent beside a server, whose store takes what it reads.
pub(super) struct Beside(Agent);

impl Beside {
    /// Starts to read. Pages are served when their address is free: whoever has it keeps it.
    ///
    /// # Errors
    /// Why it cannot start; the server goes on without it.
    pub(super) async fn start(
        config: &PromtailConfig,
        api: &Api,
        store: &Arc<Store>,
        options: &ListenerOptions,
        http: &Tasks,
    ) -> Result<Self, String> {
        let plan = Plan::new(config.clone())?;
        let first = config.clients.first();
        let external = first.map(|c| c.external_labels.clone()).unwrap_or_default();
        let tenant = first.map_or("", |c| c.tenant_id.as_str());
        let local = Local::new(api.logs.clone(), store.clone(), external, tenant);
        let agent = Agent::start(plan, Destination::Local(local), options).await?;
        if !config.server.disable {
            let address = address(&config.server);
            match bind(&address).await {
                Ok(s) => serve_pages(&config.server, agent.pages(), s, options, http)?,
                Err(e) => tracing::warn!(
                    %address,
                    error = %e,
                    "the log agent's usual address is not to be had: it works without pages"
                ),
            }
        }
        Ok(Self(agent))
    }

    /// Stops reading; what was read is stored before.
    pub(super) async fn stop(self) {
        self.0.stop(LAST_LINES).await;
    }
}
