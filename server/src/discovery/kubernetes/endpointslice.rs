//! Role `endpointslice`: as `endpoints`, from the objects that have taken their place.

use engine::model::LabelsBuilder;

use super::endpoints::{Behind, attach_node};
use super::object::{Endpoint, EndpointSlice, Service, SlicePort, key};
use super::view::Others;
use super::{meta, service};
use crate::discovery::naming::{join_host_port, label_part};
use crate::discovery::{ADDRESS, TargetGroup};

/// The label of a slice that names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The group of a slice.
pub(super) fn group(o: &EndpointSlice, others: &Others<'_>) -> TargetGroup {
    let (namespace, name) = (&o.metadata.namespace, &o.metadata.name);
    let mut common = LabelsBuilder::new();
    meta::namespace(&mut common, namespace, others);
    meta::object(&mut common, "endpointslice", &o.metadata);
    let of = o.metadata.labels.get(SERVICE_NAME);
    let of = of.and_then(|of| others.service(&key(namespace, of)));
    if let Some(s) = of {
        service::labels(&mut common, s);
    }
    let mut targets = Vec::new();
    let mut behind = Behind::default();
    if !of.is_some_and(|s| second_family(o, s)) {
        for p in &o.ports {
            for e in &o.endpoints {
                for address in &e.addresses {
                    let mut b = LabelsBuilder::new();
                    meta::set(&mut b, "endpointslice_address_type", &o.address_type);
                    port(&mut b, address, p);
                    endpoint(&mut b, e);
                    attach_node(
                        &mut b,
                        e.node_name.as_deref(),
                        e.target_ref.as_ref(),
                        others,
                    );
                    let protocol = p.protocol.as_deref().unwrap_or_default();
                    behind.port(&mut b, e.target_ref.as_ref(), p.port, protocol, others);
                    targets.push(b.build());
                }
            }
        }
    }
    targets.extend(behind.undeclared(others));
    TargetGroup {
        source: format!("endpointslice/{namespace}/{name}"),
        targets,
        labels: common.build(),
    }
}

/// A service with addresses of both families has a slice for each: only that of its first family
/// gives targets, which would come twice otherwise.
fn second_family(o: &EndpointSlice, s: &Service) -> bool {
    let both = s.spec.ip_family_policy.ends_with("DualStack");
    let first = s.spec.ip_families.first();
    let known = matches!(o.address_type.as_str(), "IPv4" | "IPv6");
    both && known && first.is_some_and(|f| *f != o.address_type)
}

fn port(b: &mut LabelsBuilder, address: &str, p: &SlicePort) {
    match p.port {
        Some(number) => {
            b.set(ADDRESS, &join_host_port(address, number));
            meta::set(b, "endpointslice_port", &number.to_string());
        }
        None => {
            b.set(ADDRESS, address);
        }
    }
    for (name, value) in [
        ("endpointslice_port_name", &p.name),
        ("endpointslice_port_protocol", &p.protocol),
        ("endpointslice_port_app_protocol", &p.app_protocol),
    ] {
        meta::set_some(b, name, value.as_deref());
    }
}

fn endpoint(b: &mut LabelsBuilder, e: &Endpoint) {
    for (name, value) in [
        ("ready", e.conditions.ready),
        ("serving", e.conditions.serving),
        ("terminating", e.conditions.terminating),
    ] {
        if let Some(v) = value {
            meta::set_bool(b, &format!("endpointslice_endpoint_conditions_{name}"), v);
        }
    }
    for (name, value) in [
        ("endpointslice_endpoint_hostname", &e.hostname),
        ("endpointslice_endpoint_node_name", &e.node_name),
        ("endpointslice_endpoint_zone", &e.zone),
    ] {
        meta::set_some(b, name, value.as_deref());
    }
    if let Some(to) = &e.target_ref {
        meta::set(b, "endpointslice_address_target_kind", &to.kind);
        meta::set(b, "endpointslice_address_target_name", &to.name);
    }
    for (name, value) in &e.deprecated_topology {
        let name = label_part(name);
        let topology = "endpointslice_endpoint_topology";
        meta::set(b, &format!("{topology}_{name}"), value);
        meta::set(b, &format!("{topology}_present_{name}"), "true");
    }
}
