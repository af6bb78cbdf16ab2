//! The log agent as the whole of a process.

use std::sync::Arc;

use super::Exit;
use super::run::DRAIN;
use super::signals::{Request, Signals};
use super::tasks::Tasks;
use crate::agent::{Agent, Destination, Plan, router};
use crate::http::{Guard, Listener, ListenerOptions, bind};

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

async fn serve(plan: Plan, to: Destination, options: &ListenerOptions) -> Result<(), String> {
    let mut signals = Signals::new().map_err(|e| format!("signals: {e}"))?;
    let server = plan.config().server.clone();
    let socket = if server.disable {
        None
    } else {
        let address = format!("{}:{}", server.http_listen_address, server.http_listen_port);
        let bound = bind(&address).await;
        Some(bound.map_err(|e| format!("listen on {address}: {e}"))?)
    };
    let agent = Agent::start(plan, to, options).await?;
    let http = Tasks::new();
    if let Some(socket) = socket {
        if let Ok(address) = socket.local_addr() {
            tracing::info!(%address, "listening");
        }
        let guard = Guard::new(None)?;
        let routes = match server.http_path_prefix.trim_matches('/') {
            "" => router(agent.pages()),
            prefix => axum::Router::new().nest(&format!("/{prefix}"), router(agent.pages())),
        };
        let listener = Listener::new(routes, Arc::new(guard), Arc::default(), options.clone());
        http.spawn(
            "agent http",
            listener.serve(socket, http.stop_signal(), DRAIN),
        );
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
