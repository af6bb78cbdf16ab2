//! Role `pod`: a target for each declared port of each container, and one without a port for each
//! container that declares none.

use engine::model::LabelsBuilder;

use super::meta;
use super::object::{Container, ContainerPort, Kind, Pod, key};
use super::view::Others;
use crate::discovery::naming::join_host_port;
use crate::discovery::{ADDRESS, TargetGroup};

/// The group of a pod; without targets while it has no address.
pub(super) fn group(o: &Pod, others: &Others<'_>) -> TargetGroup {
    let source = format!("pod/{}/{}", o.metadata.namespace, o.metadata.name);
    let mut common = LabelsBuilder::new();
    meta::namespace(&mut common, &o.metadata.namespace, others);
    labels(&mut common, o, others);
    // A node that is not known is one that the selector of nodes leaves out.
    let placed = !others.attach.node || meta::node(&mut common, &o.spec.node_name, others);
    let mut targets = Vec::new();
    if !o.status.pod_ip.is_empty() && placed {
        for (c, init) in containers(o) {
            let mut b = LabelsBuilder::new();
            container(&mut b, c, init);
            meta::set(&mut b, "pod_container_id", container_id(o, &c.name, init));
            if c.ports.is_empty() {
                b.set(ADDRESS, &o.status.pod_ip);
                targets.push(b.build());
            }
            for p in &c.ports {
                let mut b = b.clone();
                b.set(ADDRESS, &join_host_port(&o.status.pod_ip, p.container_port));
                port(&mut b, p, &p.protocol);
                targets.push(b.build());
            }
        }
    }
    TargetGroup {
        source,
        targets,
        labels: common.build(),
    }
}

/// Containers, then init containers; true for the latter.
pub(super) fn containers(o: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let usual = o.spec.containers.iter().map(|c| (c, false));
    usual.chain(o.spec.init_containers.iter().map(|c| (c, true)))
}

/// Labels of a container.
pub(super) fn container(b: &mut LabelsBuilder, c: &Container, init: bool) {
    meta::set(b, "pod_container_name", &c.name);
    meta::set(b, "pod_container_image", &c.image);
    meta::set_bool(b, "pod_container_init", init);
}

/// Labels of a container's port.
pub(super) fn port(b: &mut LabelsBuilder, p: &ContainerPort, protocol: &str) {
    meta::set(b, "pod_container_port_name", &p.name);
    let number = p.container_port.to_string();
    meta::set(b, "pod_container_port_number", &number);
    meta::set(b, "pod_container_port_protocol", protocol);
}

fn container_id<'o>(o: &'o Pod, name: &str, init: bool) -> &'o str {
    let all = if init {
        &o.status.init_container_statuses
    } else {
        &o.status.container_statuses
    };
    let found = all.iter().find(|s| s.name == name);
    found.map_or("", |s| s.container_id.as_str())
}

/// Labels of the pod itself.
pub(super) fn labels(b: &mut LabelsBuilder, o: &Pod, others: &Others<'_>) {
    meta::object(b, "pod", &o.metadata);
    let ready = o.status.conditions.iter().find(|c| c.r#type == "Ready");
    let ready = ready.map_or("unknown".to_owned(), |c| c.status.to_lowercase());
    for (name, value) in [
        ("pod_ip", &o.status.pod_ip),
        ("pod_ready", &ready),
        ("pod_phase", &o.status.phase),
        ("pod_node_name", &o.spec.node_name),
        ("pod_host_ip", &o.status.host_ip),
        ("pod_uid", &o.metadata.uid),
    ] {
        meta::set(b, name, value);
    }
    let Some(owner) = o.metadata.controller() else {
        return;
    };
    meta::set(b, "pod_controller_kind", &owner.kind);
    meta::set(b, "pod_controller_name", &owner.name);
    let a = others.attach;
    // Deployments own pods through replica sets, cron jobs through jobs.
    let through = |kind: Kind, want: &str| {
        let above = others.meta(kind, &key(&o.metadata.namespace, &owner.name))?;
        let above = above.controller().filter(|c| c.kind == want)?;
        Some(above.name.as_str())
    };
    match owner.kind.as_str() {
        "ReplicaSet" if a.deployment => {
            let name = through(Kind::ReplicaSet, "Deployment");
            meta::set_some(b, "pod_deployment_name", name);
        }
        "Job" => {
            if a.job {
                meta::set(b, "pod_job_name", &owner.name);
            }
            if a.cronjob {
                let name = through(Kind::Job, "CronJob");
                meta::set_some(b, "pod_cronjob_name", name);
            }
        }
        _ => {}
    }
}
