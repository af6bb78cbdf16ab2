//! From a plan to a running server and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::reload::{in_force, reload, warn_once, watch_files};
use super::services::{self, Services};
use super::signals::{Request, Signals};
use super::tasks::{self, Tasks};
use super::{Exit, Plan, agent, alerting, exporters, store};
use crate::api::loki::upkeep::Upkeep;
use crate::api::prometheus::router;
use crate::api::{Api, Phase};
use crate::config::prometheus::LoadedConfig;
use crate::http::{Guard, Listener, bind};
use crate::ruler::Ruler;
use crate::telemetry::{Gauge, Metrics};

/// How long requests in progress may take to end.
pub(super) const DRAIN: Duration = Duration::from_secs(15);

/// How long clients that follow lines are waited for when the server stops.
const TAILS_END: Duration = Duration::from_secs(1);

/// Runs the server until it is told to stop.
pub(crate) fn run(plan: Plan) -> Exit {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.thread_name("sextant");
    tasks::block_on(&mut builder, Exit::Start, serve(plan))
}

/// What is needed before anything is started.
struct Prepared {
    api: Arc<Api>,
    sockets: Vec<TcpListener>,
    listener: Listener,
    alerting: Option<alerting::Prepared>,
    exporters: Vec<exporters::Prepared>,
    reloads: mpsc::Receiver<crate::api::ReloadRequest>,
    quit: watch::Receiver<bool>,
    addresses: Vec<SocketAddr>,
    familiar: Vec<(&'static str, SocketAddr)>,
}

async fn prepare(plan: &Plan) -> Result<Prepared, String> {
    let config = plan.config.load().map_err(|e| match plan.config.file() {
        Some(f) => format!("Error loading config (--config.file={}): {e}", f.display()),
        None => format!("built-in configuration: {e}"),
    })?;
    warn_once(&config);
    let guard =
        Guard::new(plan.web_config.as_deref()).map_err(|e| format!("web configuration: {e}"))?;
    let mut sockets = Vec::new();
    let mut addresses = Vec::new();
    for address in &plan.listen {
        let socket = bind(address)
            .await
            .map_err(|e| format!("listen on {address}: {e}"))?;
        addresses.push(socket.local_addr().map_err(|e| e.to_string())?);
        sockets.push(socket);
    }
    let mut shown = Vec::new();
    for f in &plan.familiar {
        let bound = bind(&f.address).await;
        match bound.and_then(|s| Ok((s.local_addr()?, s))) {
            Ok((address, socket)) => {
                addresses.push(address);
                sockets.push(socket);
                shown.push((f.what, address));
            }
            Err(e) => tracing::warn!(
                address = %f.address,
                error = %e,
                "the usual address of {} is not to be had; its paths answer on the main address",
                f.what
            ),
        }
    }
    let (reload_queue, reloads) = mpsc::channel(1);
    let (quit_sender, quit) = watch::channel(false);
    let metrics = Arc::new(Metrics::default());
    metrics.set(Gauge::QueriesMax, plan.options.query_concurrency as f64);
    let config = Arc::new(config);
    let api = Arc::new(Api::new(
        (*config).clone(),
        plan.options.clone(),
        plan.flags.clone(),
        Arc::new(crate::ingest::LogService::new(plan.loki.clone())),
        metrics.clone(),
        reload_queue,
        quit_sender,
    ));
    in_force(&api, config);
    let alerting = alerting::prepare(plan, &api).await?;
    let mut exporters = Vec::new();
    for e in &plan.exporters {
        exporters.push(exporters::prepare(e, &plan.listener, &metrics).await?);
    }
    let listener = Listener::new(
        router(&api)?,
        Arc::new(guard),
        metrics,
        plan.listener.clone(),
    );
    Ok(Prepared {
        api,
        sockets,
        listener,
        alerting,
        exporters,
        reloads,
        quit,
        addresses,
        familiar: shown,
    })
}

async fn serve(plan: Plan) -> Exit {
    let prepared = match prepare(&plan).await {
        Ok(p) => p,
        Err(e) => {
            tracing::error!("{e}");
            return Exit::Start;
        }
    };
    let mut signals = match Signals::new() {
        Ok(s) => s,
        Err(e) => {
            tracing::error!(error = %e, "signals cannot be listened to");
            return Exit::Start;
        }
    };
    let Prepared {
        api,
        sockets,
        listener,
        mut alerting,
        exporters,
        reloads,
        mut quit,
        addresses,
        familiar,
    } = prepared;
    let (http, tasks) = (Tasks::new(), Tasks::new());
    for (socket, address) in sockets.into_iter().zip(&addresses) {
        tracing::info!(%address, "listening");
        let task = listener.clone().serve(socket, http.stop_signal(), DRAIN);
        http.spawn("http", task);
    }
    if let Some(a) = &mut alerting {
        a.listen(&http);
    }
    for e in exporters {
        e.listen(&http);
    }
    tell_manager(&[sd_notify::NotifyState::Status("reading data")]);
    let storage = plan.storage.clone();
    let config = api.config.load_full();
    let progress = api.replay.clone();
    let opening = tokio::task::spawn_blocking(move || store::open(&storage, &config, progress));
    let opened = tokio::select! {
        o = opening => o,
        request = stop_request(&mut signals, &mut quit) => {
            tracing::warn!(reason = request, "stopped while data was being read");
            api.set_phase(Phase::Stopping);
            http.stop(DRAIN).await;
            return Exit::Ok;
        }
    };
    let store = match opened {
        Ok(Ok((store, took))) => {
            api.metrics.set(Gauge::ReplaySeconds, took.as_secs_f64());
            Arc::new(store)
        }
        Ok(Err(e)) => {
            tracing::error!(error = %e, "the store cannot be opened");
            return Exit::Start;
        }
        Err(_) => return Exit::Start,
    };
    let db = store.metrics.clone();
    api.note_queries(&plan.storage.dir);
    let upkeep = Upkeep::new(Arc::clone(&api.logs), Arc::clone(&store));
    api.set_store(Some(store.clone()));
    let beside = alerting.map(|a| a.start(&api, &store, &tasks));
    tasks.spawn("log upkeep", upkeep.run(tasks.stop_signal()));
    let (changed, mut store_config) = watch::channel(api.config.load_full());
    let (tuned, storage) = (db.clone(), plan.storage.clone());
    tasks.spawn("store settings", async move {
        while store_config.changed().await.is_ok() {
            let config = store_config.borrow_and_update().clone();
            store::reconfigure(&tuned, &storage, &config);
        }
    });
    if let Some(every) = plan.auto_reload {
        let stop = tasks.stop_signal();
        tasks.spawn(
            "config watch",
            watch_files(api.clone(), plan.config.clone(), every, stop),
        );
    }
    let config = api.config.load_full();
    let services = Arc::new(Services::new(&plan, &api, &store));
    let url = api.options.external_url.as_str();
    match Ruler::new(&store, &api.logs, url, beside.clone(), &api.metrics) {
        Ok(ruler) => {
            let ruler = Arc::new(ruler);
            api.set_ruler(ruler.clone());
            tasks.spawn("ruler", ruler.run(tasks.stop_signal()));
        }
        Err(e) => tracing::error!(error = %e, "rules over lines are not evaluated"),
    }
    if let Some(local) = beside {
        services.rules.set_local(local);
    }
    if let Err(e) = services.apply(&api, &config) {
        tracing::error!(error = %e, "scraping, rules or remote write cannot be started");
        api.set_phase(Phase::Stopping);
        http.stop(DRAIN).await;
        return Exit::Start;
    }
    api.metrics.register(Arc::new(services.scraping.board()));
    let discovery = services.scraping.discovery_numbers();
    api.metrics.register(discovery);
    api.set_scraper(services.scraping.scraper());
    api.set_rules(services.rules.clone());
    let kept = (api.clone(), plan.config.clone(), services.clone());
    tasks.spawn(
        "reload",
        answer_reloads(kept, changed, reloads, tasks.stop_signal()),
    );
    api.set_phase(Phase::Ready);
    let reading = match &plan.agent {
        None => None,
        Some(c) => match agent::Beside::start(c, &api, &store, &plan.listener, &http).await {
            Ok(a) => Some(a),
            Err(e) => {
                tracing::error!(error = %e, "the log agent cannot be started");
                None
            }
        },
    };
    tell_manager(&[
        sd_notify::NotifyState::Ready,
        sd_notify::NotifyState::Status("ready"),
    ]);
    tracing::info!("server is ready to receive web requests");
    announce(&plan, &addresses, &familiar);
    let reason = run_until_stopped(&api, &mut signals, &mut quit).await;
    tracing::info!(reason, "stopping");
    tell_manager(&[sd_notify::NotifyState::Stopping]);
    api.set_phase(Phase::Stopping);
    // A second web request has no way in any more; only signals count now.
    let (_nobody, mut never) = watch::channel(false);
    tokio::select! {
        () = async {
            if let Some(a) = reading {
                a.stop().await;
            }
            api.logs.end_tails(TAILS_END).await;
            http.stop(DRAIN + Duration::from_secs(1)).await;
            tasks.stop(services::STOP).await;
            services.stop().await;
        } => {}
        again = stop_request(&mut signals, &mut never) => {
            tracing::warn!(reason = again, "second request to stop: ending at once");
            return Exit::Runtime;
        }
    }
    api.set_store(None);
    drop(db);
    let closed = tokio::task::spawn_blocking(move || store::close(&store)).await;
    if !matches!(closed, Ok(Ok(()))) {
        tracing::error!("the store could not be closed properly");
        return Exit::Runtime;
    }
    tracing::info!("stopped");
    Exit::Ok
}

/// Serves signals that do not stop the server; gives the reason to stop.
async fn run_until_stopped(
    api: &Arc<Api>,
    signals: &mut Signals,
    quit: &mut watch::Receiver<bool>,
) -> &'static str {
    loop {
        let request = tokio::select! {
            r = signals.next() => r,
            _ = quit.wait_for(|q| *q) => Request::Stop("web request"),
        };
        match request {
            Request::Stop(why) => return why,
            Request::Reload => {
                let (done, _answer) = tokio::sync::oneshot::channel();
                // A full queue means that a reload is about to happen anyway.
                drop(api.reload.try_send(done));
            }
        }
    }
}

/// Waits for a request to stop, ignoring others.
async fn stop_request(signals: &mut Signals, quit: &mut watch::Receiver<bool>) -> &'static str {
    loop {
        let request = tokio::select! {
            r = signals.next() => r,
            Ok(_) = quit.wait_for(|q| *q) => Request::Stop("web request"),
        };
        if let Request::Stop(why) = request {
            return why;
        }
    }
}

async fn answer_reloads(
    (api, source, services): (Arc<Api>, super::ConfigSource, Arc<Services>),
    changed: watch::Sender<Arc<LoadedConfig>>,
    mut reloads: mpsc::Receiver<crate::api::ReloadRequest>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let done = tokio::select! {
            d = reloads.recv() => d,
            _ = async { drop(stop.wait_for(|s| *s).await) } => return,
        };
        let Some(done) = done else { return };
        tell_manager(&[sd_notify::NotifyState::Reloading]);
        // Loading reads files and may take a moment.
        let result = tokio::task::block_in_place(|| reload(&api, &source, &services, &changed));
        tell_manager(&[sd_notify::NotifyState::Ready]);
        // The one who asked may be gone.
        drop(done.send(result));
    }
}

/// Tells the service manager, if there is one.
fn tell_manager(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::debug!(error = %e, "the service manager could not be told");
    }
}

/// Prints where we are: `{url}` is the main address, `{loki}` that of a tool, which is the main one
/// where it could not be had.
fn announce(plan: &Plan, addresses: &[SocketAddr], familiar: &[(&'static str, SocketAddr)]) {
    let (Some(text), Some(address)) = (&plan.announce, addresses.first()) else {
        return;
    };
    let shown = |address: &SocketAddr| {
        let host = if address.ip().is_unspecified() {
            format!("127.0.0.1:{}", address.port())
        } else {
            address.to_string()
        };
        format!("http://{host}{}", plan.options.route_prefix)
    };
    let mut text = text.replace("{url}", &shown(address));
    for wanted in &plan.familiar {
        let at = familiar.iter().find(|(what, _)| *what == wanted.what);
        let at = at.map_or(address, |(_, a)| a);
        text = text.replace(&format!("{{{}}}", wanted.what), &shown(at));
    }
    crate::cli::print(&text);
}
