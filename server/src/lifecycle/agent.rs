//! The log agent: as the whole of a process, or reading for this process' own store.

use std::io::{BufRead as _, BufReader};
use std::sync::Arc;
use std::time::Duration;

use engine::store::Store;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::Exit;
use super::run::DRAIN;
use super::signals::{Request, Signals};
use super::tasks::{self, Tasks};
use crate::agent::{Agent, Destination, Door, Local, Plan, Reload, router};
use crate::api::Api;
use crate::config::promtail::{PromtailConfig, ServerConfig};
use crate::http::{Guard, Listener, ListenerOptions, bind};
use exporters::logs::stages::Inspect;

/// How long the own store may take to take what was read last.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Where an agent's configuration comes from when it is read again.
pub(crate) type Load = Box<dyn Fn() -> Result<PromtailConfig, String> + Send>;

/// Requests for a reload that wait.
const RELOADS: usize = 4;

/// Runs the agent until it is told to stop. `load` reads its configuration again.
pub(crate) fn run_agent(
    plan: Plan,
    to: fn() -> Destination,
    load: Load,
    options: &ListenerOptions,
) -> Exit {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2);
    tasks::block_on(&mut builder, Exit::Runtime, async {
        match serve(plan, to, load, options).await {
            Ok(()) => Exit::Ok,
            Err(e) => {
                tracing::error!("{e}");
                Exit::Runtime
            }
        }
    })
}

/// Sends what stands on standard input through the first job's pipeline, and ends.
pub(crate) fn run_stdin(plan: Plan, to: Destination) -> Exit {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2);
    let lines = BufReader::new(std::io::stdin()).lines();
    let lines = lines.map_while(Result::ok);
    tasks::block_on(&mut builder, Exit::Runtime, async {
        match plan.stdin_to(to, lines).await {
            Ok(()) => Exit::Ok,
            Err(e) => {
                tracing::error!("{e}");
                Exit::Runtime
            }
        }
    })
}

fn address(server: &ServerConfig) -> String {
    format!("{}:{}", server.http_listen_address, server.http_listen_port)
}

/// Serves the agent's pages.
fn serve_pages(
    server: &ServerConfig,
    door: Arc<Door>,
    socket: TcpListener,
    options: &ListenerOptions,
    http: &Tasks,
) -> Result<(), String> {
    if let Ok(address) = socket.local_addr() {
        tracing::info!(%address, "listening");
    }
    let routes = match server.http_path_prefix.trim_matches('/') {
        "" => router(door),
        prefix => axum::Router::new().nest(&format!("/{prefix}"), router(door)),
    };
    let guard = Arc::new(Guard::new(None)?);
    let listener = Listener::new(routes, guard, Arc::default(), options.clone());
    let task = listener.serve(socket, http.stop_signal(), DRAIN);
    http.spawn("agent http", task);
    Ok(())
}

/// An agent that can be exchanged for one of another configuration.
struct InForce<'o> {
    agent: Agent,
    config: PromtailConfig,
    inspect: Option<Inspect>,
    to: fn() -> Destination,
    load: Load,
    options: &'o ListenerOptions,
    door: Arc<Door>,
}

impl InForce<'_> {
    /// Reads the configuration again. A wrong one leaves everything as it is; one that cannot be
    /// started gives way to the old one.
    async fn reload(mut self) -> Result<(Self, Result<(), String>), String> {
        let wanted = (self.load)().and_then(|c| Ok((Plan::inspected(c.clone(), self.inspect)?, c)));
        let (plan, config) = match wanted {
            Ok(w) => w,
            Err(e) => return Ok((self, Err(format!("Error new Config: {e}")))),
        };
        if config == self.config {
            return Ok((self, Err("config has not changed".into())));
        }
        // Both would read the same files and listen at the same addresses.
        self.agent.stop(DRAIN).await;
        let started = Agent::start(plan, (self.to)(), self.options).await;
        let (agent, done) = match started {
            Ok(a) => {
                self.config = config;
                (a, Ok(()))
            }
            Err(e) => {
                let old = Plan::inspected(self.config.clone(), self.inspect)?;
                let old = Agent::start(old, (self.to)(), self.options).await?;
                (old, Err(format!("Error reloading config: {e}")))
            }
        };
        self.door.show(agent.pages());
        Ok((Self { agent, ..self }, done))
    }
}

async fn serve(
    plan: Plan,
    to: fn() -> Destination,
    load: Load,
    options: &ListenerOptions,
) -> Result<(), String> {
    let mut signals = Signals::new().map_err(|e| format!("signals: {e}"))?;
    let (config, inspect) = (plan.config().clone(), plan.inspect());
    let server = config.server.clone();
    let socket = if server.disable {
        None
    } else {
        let address = address(&server);
        let bound = bind(&address).await;
        Some(bound.map_err(|e| format!("listen on {address}: {e}"))?)
    };
    let (ask, mut asked) = mpsc::channel(RELOADS);
    let door = Arc::new(Door::new(server.enable_runtime_reload.then_some(ask)));
    let agent = Agent::start(plan, to(), options).await?;
    door.show(agent.pages());
    let mut now = InForce {
        agent,
        config,
        inspect,
        to,
        load,
        options,
        door: door.clone(),
    };
    let http = Tasks::new();
    if let Some(socket) = socket {
        serve_pages(&server, door.clone(), socket, options, &http)?;
    }
    loop {
        let answer: Option<Reload> = tokio::select! {
            request = signals.next() => match request {
                Request::Stop(reason) => {
                    tracing::info!(reason, "stopping");
                    break;
                }
                Request::Reload => None,
            },
            Some(answer) = asked.recv() => Some(answer),
        };
        let (next, done) = now.reload().await?;
        now = next;
        door.count(&done);
        match &done {
            Ok(()) => tracing::info!("configuration loaded"),
            Err(e) => tracing::error!(error = %e, "configuration not loaded"),
        }
        if let Some(answer) = answer {
            // Whoever asked may have gone.
            drop(answer.send(done));
        }
    }
    now.agent.stop(DRAIN).await;
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
                Ok(s) => {
                    let door = Arc::new(Door::new(None));
                    door.show(agent.pages());
                    serve_pages(&config.server, door, s, options, http)?;
                }
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
