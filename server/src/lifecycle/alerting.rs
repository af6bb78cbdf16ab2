//! Alerting's part of the process: its port, its start.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::plan::{AlertmanagerPlan, ClusterPlan, Plan};
use super::run::DRAIN;
use super::tasks::Tasks;
use crate::alerting::{
    Alertmanager, Cluster, HttpLink, InForce, Keeper, PostedAlert, WallClock, advertised,
};
use crate::api::{Api, alertmanager};
use crate::config::web::ClusterTls;
use crate::http::{Guard, Listener, bind};
use crate::rules::{Local, Sent};

/// Everything that is needed before data is read.
pub(super) struct Prepared {
    plan: AlertmanagerPlan,
    in_force: InForce,
    sockets: Vec<TcpListener>,
    listener: Listener,
    cluster: Option<PreparedCluster>,
}

/// The port for other instances.
struct PreparedCluster {
    service: Arc<Cluster>,
    socket: Option<TcpListener>,
    listener: Listener,
}

/// Loads the configuration and binds the port; nothing when alerting is not asked for.
///
/// # Errors
/// What cannot be used.
pub(super) async fn prepare(plan: &Plan, api: &Arc<Api>) -> Result<Option<Prepared>, String> {
    let Some(own) = &plan.alertmanager else {
        return Ok(None);
    };
    let in_force = InForce::load(&own.options.source)
        .map_err(|e| format!("error loading configuration file: {e}"))?;
    let guard =
        Guard::new(own.web_config.as_deref()).map_err(|e| format!("web configuration: {e}"))?;
    let mut sockets = Vec::new();
    for address in &own.listen {
        match bind(address).await {
            Ok(s) => sockets.push(s),
            Err(e) if own.port_is_optional => {
                tracing::warn!(%address, error = %e, "alerting has no port of its own; its paths are on the main one");
            }
            Err(e) => return Err(format!("listen on {address}: {e}")),
        }
    }
    let listener = Listener::new(
        alertmanager::router(api, &own.route_prefix, own.limits),
        Arc::new(guard),
        api.metrics.clone(),
        plan.listener.clone(),
    );
    let cluster = match &own.cluster {
        Some(c) => prepare_cluster(c, plan, api).await?,
        None => None,
    };
    Ok(Some(Prepared {
        plan: own.clone(),
        in_force,
        sockets,
        listener,
        cluster,
    }))
}

/// Binds the port for other instances; nothing when it is taken and nobody asked for it.
async fn prepare_cluster(
    own: &ClusterPlan,
    plan: &Plan,
    api: &Arc<Api>,
) -> Result<Option<PreparedCluster>, String> {
    let wrong = |e: String| format!("unable to initialize the cluster: {e}");
    let socket = match bind(&own.listen).await {
        Ok(s) => s,
        Err(e) if own.listen_is_optional => {
            tracing::warn!(address = %own.listen, error = %e, "alerting runs alone: the port for other instances is taken");
            return Ok(None);
        }
        Err(e) => return Err(wrong(format!("listen on {}: {e}", own.listen))),
    };
    let bound = socket.local_addr().map_err(|e| wrong(e.to_string()))?;
    let mut options = own.options.clone();
    options.advertise = advertised(&options.advertise, bound, &options.peers).map_err(wrong)?;
    let tls = match &own.tls {
        Some(f) => Some(ClusterTls::load(f).map_err(|e| wrong(e.to_string()))?),
        None => None,
    };
    let guard = Guard::of_cluster(own.tls.as_deref()).map_err(wrong)?;
    let std = |d: jiff::SignedDuration| d.unsigned_abs();
    let link = HttpLink::new(
        tls.map(|t| t.tls_client_config),
        std(options.probe_interval + options.tcp_timeout),
        std(options.tcp_timeout),
        own.resolve_timeout,
    );
    let link = Arc::new(link.map_err(wrong)?);
    Ok(Some(PreparedCluster {
        service: Cluster::new(options, link, Arc::new(WallClock)),
        socket: Some(socket),
        listener: Listener::new(
            alertmanager::cluster_router(api),
            Arc::new(guard),
            api.metrics.clone(),
            plan.listener.clone(),
        ),
    }))
}

impl Prepared {
    /// Serves the port: until [`Prepared::start`] it says that it is not ready.
    pub(super) fn listen(&mut self, http: &Tasks) {
        for socket in std::mem::take(&mut self.sockets) {
            if let Ok(address) = socket.local_addr() {
                tracing::info!(service = "alertmanager", %address, "listening");
            }
            let task = self
                .listener
                .clone()
                .serve(socket, http.stop_signal(), DRAIN);
            http.spawn("alertmanager http", task);
        }
        let Some(c) = &mut self.cluster else { return };
        if let Some(socket) = c.socket.take() {
            if let Ok(address) = socket.local_addr() {
                tracing::info!(service = "cluster", %address, "listening");
            }
            let task = c.listener.clone().serve(socket, http.stop_signal(), DRAIN);
            http.spawn("cluster http", task);
        }
    }

    /// Starts the service on the opened store; gives where rules of this process put their alerts.
    pub(super) fn start(
        self,
        api: &Arc<Api>,
        store: &Arc<engine::store::Store>,
        tasks: &Tasks,
    ) -> Arc<dyn Local> {
        let keeper = Keeper::new(store.clone());
        let clock = Arc::new(WallClock);
        let cluster = self.cluster.map(|c| c.service);
        let (options, in_force) = (self.plan.options, self.in_force);
        let service = Alertmanager::new(options, in_force, keeper, clock, cluster.clone());
        let service = Arc::new(service);
        if let Some(c) = cluster {
            tasks.spawn("cluster", c.run(service.clone(), tasks.stop_signal()));
        }
        api.metrics.register(service.clone());
        api.set_alertmanager(service.clone());
        tasks.spawn("alerting", service.clone().run(tasks.stop_signal()));
        Arc::new(Beside(service))
    }
}

/// Alerts of rules go to alerting in the same process without a detour.
struct Beside(Arc<Alertmanager>);

impl Local for Beside {
    fn put(&self, alerts: &[Sent]) {
        let time = |ms| jiff::Timestamp::from_millisecond(ms).ok();
        let posted = alerts.iter().map(|a| PostedAlert {
            labels: a.labels.iter().map(|(n, v)| (n.into(), v.into())).collect(),
            annotations: a.annotations.clone(),
            starts_at: time(a.starts_at),
            ends_at: time(a.ends_at),
            generator_url: a.generator_url.clone(),
        });
        for refused in self.0.put(posted.collect()) {
            tracing::warn!(reason = refused, "alerting refused an alert of a rule");
        }
    }
}
