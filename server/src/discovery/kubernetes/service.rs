//! Role `service`: a target for each port of each service, under its name in the cluster's DNS.

use engine::model::LabelsBuilder;

use super::meta;
use super::object::Service;
use super::view::Others;
use crate::discovery::{ADDRESS, TargetGroup};

/// The group of a service.
pub(super) fn group(o: &Service, others: &Others<'_>) -> TargetGroup {
    let (namespace, name) = (&o.metadata.namespace, &o.metadata.name);
    let mut common = LabelsBuilder::new();
    meta::namespace(&mut common, namespace, others);
    labels(&mut common, o);
    let targets = o.spec.ports.iter().map(|p| {
        let mut b = LabelsBuilder::new();
        b.set(ADDRESS, &format!("{name}.{namespace}.svc:{}", p.port));
        meta::set(&mut b, "service_port_name", &p.name);
        meta::set(&mut b, "service_port_number", &p.port.to_string());
        meta::set(&mut b, "service_port_protocol", &p.protocol);
        meta::set(&mut b, "service_type", &o.spec.r#type);
        if o.spec.r#type == "ExternalName" {
            meta::set(&mut b, "service_external_name", &o.spec.external_name);
        } else {
            meta::set(&mut b, "service_cluster_ip", &o.spec.cluster_ip);
        }
        if o.spec.r#type == "LoadBalancer" {
            meta::set(&mut b, "service_loadbalancer_ip", &o.spec.load_balancer_ip);
        }
        b.build()
    });
    TargetGroup {
        source: format!("svc/{namespace}/{name}"),
        targets: targets.collect(),
        labels: common.build(),
    }
}

/// Labels of the service itself.
pub(super) fn labels(b: &mut LabelsBuilder, o: &Service) {
    meta::object(b, "service", &o.metadata);
}
