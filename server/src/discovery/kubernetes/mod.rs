//! `kubernetes_sd_configs`: the objects of a cluster as targets.
//!
//! Owns: the way to the API server (`api`, `kubeconfig`), following objects (`watch`), what is
//! known of them (`view`), and one file for each role that says which targets an object is.
//! Knows nothing of: relabelling, scraping, other kinds of discovery.
//!
//! Invariants
//! - KSD1  Targets of a namespace are handed on only once everything they are made of has been
//!   listed: a target never shows up without labels that it has.
//! - KSD2  Each object is one group whose source names it (`pod/namespace/name`); it is made anew
//!   when the object, or another one that it was made of, has changed.

mod api;
mod endpoints;
mod endpointslice;
mod ingress;
mod kubeconfig;
mod meta;
mod node;
mod object;
mod pod;
mod service;
mod view;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Reporter;
use super::notice::Notice;
use crate::config::prometheus::{KubernetesRole, KubernetesSdConfig};
use api::{ApiError, Door};
use object::Kind;
use view::View;
use watch::Scope;

/// Changes that wait to be taken up.
const QUEUE: usize = 256;
/// Changes that are taken up before targets are made of them.
const BURST: usize = 4096;
/// Changes come in bursts: what comes this soon after one is taken up with it.
const GATHER: Duration = Duration::from_millis(200);

pub(super) async fn run(c: KubernetesSdConfig, to: Reporter) {
    let Some(role) = c.role else { return };
    let what = format!("kubernetes {}", role.name());
    let mut notice = Notice::new(&to, &what);
    let door = Arc::new(Door::new(c.clone()));
    let namespaces = loop {
        match door.check().and_then(|()| namespaces(&c)) {
            Ok(names) => break names,
            Err(ApiError::NoCluster(why)) => notice.wait_for(&why),
            Err(e) => notice.say(&e.to_string()),
        }
        notice.pause().await;
    };
    notice.fine();
    let scopes = scopes(&c, role, &namespaces);
    let mut view = View::new(role, &c.attach_metadata, &scopes);
    let (out, mut changes) = mpsc::channel(QUEUE);
    let mut followers = JoinSet::new();
    for scope in scopes {
        let (_, name) = scope.kind.path();
        let of = match scope.namespace.as_str() {
            "" => format!("{what}: {name}"),
            namespace => format!("{what}: {name} of namespace {namespace:?}"),
        };
        let notice = Notice::new(&to, of);
        let door = Arc::clone(&door);
        followers.spawn(watch::follow(door, scope, notice, out.clone()));
    }
    drop(out);
    while let Some(first) = changes.recv().await {
        view.take(first);
        tokio::time::sleep(GATHER).await;
        for _ in 0..BURST {
            let Ok(more) = changes.try_recv() else { break };
            view.take(more);
        }
        to.events(view.events());
        if view.refresh() {
            to.report(view.groups());
        }
    }
}

/// The namespaces to look at; the empty one stands for all.
fn namespaces(c: &KubernetesSdConfig) -> Result<Vec<String>, ApiError> {
    let mut names = c.namespaces.names.clone();
    if c.namespaces.own_namespace {
        names.push(Door::own_namespace()?);
    }
    if names.is_empty() {
        names.push(String::new());
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Everything that has to be followed for `role`.
fn scopes(c: &KubernetesSdConfig, role: KubernetesRole, namespaces: &[String]) -> Vec<Scope> {
    let a = &c.attach_metadata;
    let mut kinds = match role {
        KubernetesRole::Node => return vec![scope(c, Kind::Node, "")],
        KubernetesRole::Pod => vec![Kind::Pod],
        KubernetesRole::Service => vec![Kind::Service],
        KubernetesRole::Endpoints => vec![Kind::Endpoints, Kind::Service, Kind::Pod],
        KubernetesRole::EndpointSlice => vec![Kind::EndpointSlice, Kind::Service, Kind::Pod],
        KubernetesRole::Ingress => vec![Kind::Ingress],
    };
    let mut out = Vec::new();
    if a.namespace {
        out.push(scope(c, Kind::Namespace, ""));
    }
    if kinds.contains(&Kind::Pod) {
        if a.node {
            out.push(scope(c, Kind::Node, ""));
        }
        if a.deployment {
            kinds.push(Kind::ReplicaSet);
        }
        if a.cronjob {
            kinds.push(Kind::Job);
        }
    }
    for namespace in namespaces {
        out.extend(kinds.iter().map(|kind| scope(c, *kind, namespace)));
    }
    out
}

fn scope(c: &KubernetesSdConfig, kind: Kind, namespace: &str) -> Scope {
    let selected = match kind {
        Kind::Node => Some(KubernetesRole::Node),
        Kind::Pod => Some(KubernetesRole::Pod),
        Kind::Service => Some(KubernetesRole::Service),
        Kind::Endpoints => Some(KubernetesRole::Endpoints),
        Kind::EndpointSlice => Some(KubernetesRole::EndpointSlice),
        Kind::Ingress => Some(KubernetesRole::Ingress),
        Kind::Namespace | Kind::ReplicaSet | Kind::Job => None,
    };
    let selector = c
        .selectors
        .iter()
        .find(|s| s.role.is_some() && s.role == selected);
    Scope {
        kind,
        namespace: namespace.to_owned(),
        label_selector: selector.map_or(String::new(), |s| s.label.clone()),
        field_selector: selector.map_or(String::new(), |s| s.field.clone()),
    }
}
