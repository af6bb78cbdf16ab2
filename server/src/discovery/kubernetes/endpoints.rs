//! Role `endpoints`: a target for each address and port of a service, with what is known of its pod;
//! and one for each further port of these pods.

use std::collections::BTreeMap;

use engine::model::{Labels, LabelsBuilder};

use super::object::{EndpointAddress, Endpoints, Pod, TargetRef, key};
use super::view::Others;
use super::{meta, pod, service};
use crate::discovery::naming::join_host_port;
use crate::discovery::{ADDRESS, TargetGroup};

/// The group of an endpoints object.
pub(super) fn group(o: &Endpoints, others: &Others<'_>) -> TargetGroup {
    let (namespace, name) = (&o.metadata.namespace, &o.metadata.name);
    let mut common = LabelsBuilder::new();
    meta::namespace(&mut common, namespace, others);
    if let Some(s) = others.service(&key(namespace, name)) {
        service::labels(&mut common, s);
    }
    meta::object(&mut common, "endpoints", &o.metadata);
    let mut targets = Vec::new();
    let mut behind = Behind::default();
    for subset in &o.subsets {
        for p in &subset.ports {
            let ready = subset.addresses.iter().map(|a| (a, true));
            let not_ready = subset.not_ready_addresses.iter().map(|a| (a, false));
            for (a, ready) in ready.chain(not_ready) {
                let mut b = LabelsBuilder::new();
                b.set(ADDRESS, &join_host_port(&a.ip, p.port));
                meta::set(&mut b, "endpoint_port_name", &p.name);
                meta::set(&mut b, "endpoint_port_protocol", &p.protocol);
                meta::set_bool(&mut b, "endpoint_ready", ready);
                address(&mut b, a, others);
                behind.port(
                    &mut b,
                    a.target_ref.as_ref(),
                    Some(p.port),
                    &p.protocol,
                    others,
                );
                targets.push(b.build());
            }
        }
    }
    targets.extend(behind.undeclared(others));
    TargetGroup {
        source: format!("endpoints/{namespace}/{name}"),
        targets,
        labels: common.build(),
    }
}

fn address(b: &mut LabelsBuilder, a: &EndpointAddress, others: &Others<'_>) {
    if let Some(to) = &a.target_ref {
        meta::set(b, "endpoint_address_target_kind", &to.kind);
        meta::set(b, "endpoint_address_target_name", &to.name);
    }
    meta::set_some(b, "endpoint_node_name", a.node_name.as_deref());
    meta::set(b, "endpoint_hostname", &a.hostname);
    attach_node(b, a.node_name.as_deref(), a.target_ref.as_ref(), others);
}

/// What is attached of the node on which an endpoint is, or which it is.
pub(super) fn attach_node(
    b: &mut LabelsBuilder,
    on: Option<&str>,
    is: Option<&TargetRef>,
    others: &Others<'_>,
) {
    let is = is.filter(|r| r.kind == "Node").map(|r| r.name.as_str());
    if others.attach.node
        && let Some(name) = on.or(is)
    {
        meta::node(b, name, others);
    }
}

/// The pods behind endpoints, with the ports under which they were seen.
#[derive(Default)]
pub(super) struct Behind<'a>(BTreeMap<String, (&'a Pod, Vec<i32>)>);

impl<'a> Behind<'a> {
    /// Labels of the pod that `to` names and of its container with this port, if it is known.
    pub(super) fn port(
        &mut self,
        b: &mut LabelsBuilder,
        to: Option<&TargetRef>,
        number: Option<i32>,
        protocol: &str,
        others: &Others<'a>,
    ) {
        let Some(to) = to.filter(|r| r.kind == "Pod") else {
            return;
        };
        let key = key(&to.namespace, &to.name);
        let Some(o) = others.pod(&key) else { return };
        pod_labels(b, o, others);
        let (_, seen) = self.0.entry(key).or_insert((o, Vec::new()));
        let Some(number) = number else { return };
        for (c, init) in pod::containers(o) {
            if let Some(p) = c.ports.iter().find(|p| p.container_port == number) {
                pod::container(b, c, init);
                pod::port(b, p, protocol);
            }
        }
        seen.push(number);
    }

    /// Targets for the ports of the pods' containers that are no endpoints.
    pub(super) fn undeclared(&self, others: &Others<'a>) -> Vec<Labels> {
        let mut targets = Vec::new();
        for (o, seen) in self.0.values() {
            // It is starting, or was evicted.
            if o.status.pod_ip.is_empty() {
                continue;
            }
            for (c, init) in pod::containers(o) {
                for p in &c.ports {
                    if seen.contains(&p.container_port) {
                        continue;
                    }
                    let mut b = LabelsBuilder::new();
                    let address = join_host_port(&o.status.pod_ip, p.container_port);
                    b.set(ADDRESS, &address);
                    pod::container(&mut b, c, init);
                    pod::port(&mut b, p, &p.protocol);
                    pod_labels(&mut b, o, others);
                    if others.attach.node {
                        meta::node(&mut b, &o.spec.node_name, others);
                    }
                    targets.push(b.build());
                }
            }
        }
        targets
    }
}

fn pod_labels(b: &mut LabelsBuilder, o: &Pod, others: &Others<'_>) {
    meta::set(b, "namespace", &o.metadata.namespace);
    pod::labels(b, o, others);
}
