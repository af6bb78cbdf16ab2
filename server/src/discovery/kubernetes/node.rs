//! Role `node`: one target for each node, its kubelet.

use engine::model::LabelsBuilder;

use super::meta;
use super::object::Node;
use crate::discovery::naming::{join_host_port, label_part};
use crate::discovery::{ADDRESS, TargetGroup};

/// Types of addresses, the best first.
const PREFERRED: [&str; 6] = [
    "InternalIP",
    "InternalDNS",
    "ExternalIP",
    "ExternalDNS",
    "LegacyHostIP",
    "Hostname",
];

/// The group of a node; without targets when it has no address.
pub(super) fn group(o: &Node) -> TargetGroup {
    let mut common = LabelsBuilder::new();
    meta::object(&mut common, "node", &o.metadata);
    meta::set(&mut common, "node_provider_id", &o.spec.provider_id);
    for c in &o.status.conditions {
        let name = label_part(&c.r#type.to_lowercase());
        meta::set(
            &mut common,
            &format!("node_condition_{name}"),
            &c.status.to_lowercase(),
        );
    }
    let first = |kind: &str| o.status.addresses.iter().find(|a| a.r#type == kind);
    let mut targets = Vec::new();
    if let Some(best) = PREFERRED.iter().find_map(|kind| first(kind)) {
        let mut b = LabelsBuilder::new();
        let port = o.status.daemon_endpoints.kubelet_endpoint.port;
        b.set(ADDRESS, &join_host_port(&best.address, port));
        b.set("instance", &o.metadata.name);
        // Of several addresses of a type the first one counts.
        for a in o.status.addresses.iter().rev() {
            let name = label_part(&a.r#type);
            meta::set(&mut b, &format!("node_address_{name}"), &a.address);
        }
        targets.push(b.build());
    } else {
        tracing::debug!(node = %o.metadata.name, "the node has no address");
    }
    TargetGroup {
        source: format!("node/{}", o.metadata.name),
        targets,
        labels: common.build(),
    }
}
