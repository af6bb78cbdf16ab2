//! Objects of the cluster with only the fields that labels and addresses are made of.
//!
//! The API server sends `null` for empty lists: every field takes it as its default.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::discovery::answer::or_default;

/// Objects that are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Node,
    Namespace,
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Ingress,
    ReplicaSet,
    Job,
}

impl Kind {
    /// The role that its objects are targets of.
    pub(super) fn role(self) -> Option<&'static str> {
        match self {
            Self::Node => Some("node"),
            Self::Pod => Some("pod"),
            Self::Service => Some("service"),
            Self::Endpoints => Some("endpoints"),
            Self::EndpointSlice => Some("endpointslice"),
            Self::Ingress => Some("ingress"),
            Self::Namespace | Self::ReplicaSet | Self::Job => None,
        }
    }

    /// Root of its API group, and its name in paths.
    pub(super) fn path(self) -> (&'static str, &'static str) {
        match self {
            Self::Node => ("/api/v1", "nodes"),
            Self::Namespace => ("/api/v1", "namespaces"),
            Self::Pod => ("/api/v1", "pods"),
            Self::Service => ("/api/v1", "services"),
            Self::Endpoints => ("/api/v1", "endpoints"),
            Self::EndpointSlice => ("/apis/discovery.k8s.io/v1", "endpointslices"),
            Self::Ingress => ("/apis/networking.k8s.io/v1", "ingresses"),
            Self::ReplicaSet => ("/apis/apps/v1", "replicasets"),
            Self::Job => ("/apis/batch/v1", "jobs"),
        }
    }

    /// The objects of a list's page, its version and the token of the next page.
    pub(super) fn page(self, json: &[u8]) -> Result<Page, serde_json::Error> {
        match self {
            Self::Node => page(json, Object::Node),
            Self::Namespace => page(json, Object::Bare),
            Self::Pod => page(json, Object::Pod),
            Self::Service => page(json, Object::Service),
            Self::Endpoints => page(json, Object::Endpoints),
            Self::EndpointSlice => page(json, Object::EndpointSlice),
            Self::Ingress => page(json, Object::Ingress),
            Self::ReplicaSet | Self::Job => page(json, Object::Bare),
        }
    }

    /// The object of a watch event.
    pub(super) fn event(self, json: &[u8]) -> Result<Object, serde_json::Error> {
        match self {
            Self::Node => event(json, Object::Node),
            Self::Namespace => event(json, Object::Bare),
            Self::Pod => event(json, Object::Pod),
            Self::Service => event(json, Object::Service),
            Self::Endpoints => event(json, Object::Endpoints),
            Self::EndpointSlice => event(json, Object::EndpointSlice),
            Self::Ingress => event(json, Object::Ingress),
            Self::ReplicaSet | Self::Job => event(json, Object::Bare),
        }
    }
}

/// One page of a list.
pub(super) struct Page {
    pub(super) objects: Vec<Object>,
    pub(super) version: String,
    pub(super) more: String,
}

fn page<T: DeserializeOwned>(
    json: &[u8],
    wrap: fn(T) -> Object,
) -> Result<Page, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(bound = "T: DeserializeOwned")]
    struct List<T> {
        #[serde(default, deserialize_with = "or_default")]
        metadata: ListMeta,
        #[serde(default = "Vec::new", deserialize_with = "or_default")]
        items: Vec<T>,
    }
    let list: List<T> = serde_json::from_slice(json)?;
    Ok(Page {
        objects: list.items.into_iter().map(wrap).collect(),
        version: list.metadata.resource_version,
        more: list.metadata.r#continue,
    })
}

fn event<T: DeserializeOwned>(
    json: &[u8],
    wrap: fn(T) -> Object,
) -> Result<Object, serde_json::Error> {
    #[derive(Deserialize)]
    struct Event<T> {
        object: T,
    }
    serde_json::from_slice(json).map(|e: Event<T>| wrap(e.object))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    #[serde(deserialize_with = "or_default")]
    resource_version: String,
    #[serde(deserialize_with = "or_default")]
    r#continue: String,
}

/// Any object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object {
    Node(Node),
    Pod(Pod),
    Service(Service),
    Endpoints(Endpoints),
    EndpointSlice(EndpointSlice),
    Ingress(Ingress),
    /// One of which only the metadata counts.
    Bare(Bare),
}

impl Object {
    /// Its metadata.
    pub(super) fn meta(&self) -> &Meta {
        match self {
            Self::Node(o) => &o.metadata,
            Self::Pod(o) => &o.metadata,
            Self::Service(o) => &o.metadata,
            Self::Endpoints(o) => &o.metadata,
            Self::EndpointSlice(o) => &o.metadata,
            Self::Ingress(o) => &o.metadata,
            Self::Bare(o) => &o.metadata,
        }
    }

    /// Takes its version out of it: objects that differ in nothing else are equal.
    pub(super) fn take_version(&mut self) -> String {
        let meta = match self {
            Self::Node(o) => &mut o.metadata,
            Self::Pod(o) => &mut o.metadata,
            Self::Service(o) => &mut o.metadata,
            Self::Endpoints(o) => &mut o.metadata,
            Self::EndpointSlice(o) => &mut o.metadata,
            Self::Ingress(o) => &mut o.metadata,
            Self::Bare(o) => &mut o.metadata,
        };
        std::mem::take(&mut meta.resource_version)
    }
}

/// Declares structs of which every field may be absent or null.
macro_rules! object {
    ($($(#[$m:meta])* struct $name:ident { $($(#[$fm:meta])* $f:ident : $t:ty,)* })*) => {$(
        $(#[$m])*
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(super) struct $name {
            $($(#[$fm])* #[serde(deserialize_with = "or_default")] pub(super) $f: $t,)*
        }
    )*};
}

object! {
    struct Meta {
        name: String,
        namespace: String,
        uid: String,
        resource_version: String,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        owner_references: Vec<Owner>,
    }
    struct Owner {
        kind: String,
        name: String,
        controller: bool,
    }
    struct Bare {
        metadata: Meta,
    }

    struct Node {
        metadata: Meta,
        spec: NodeSpec,
        status: NodeStatus,
    }
    struct NodeSpec {
        #[serde(rename = "providerID")]
        provider_id: String,
    }
    struct NodeStatus {
        addresses: Vec<NodeAddress>,
        conditions: Vec<Condition>,
        daemon_endpoints: DaemonEndpoints,
    }
    struct NodeAddress {
        r#type: String,
        address: String,
    }
    struct Condition {
        r#type: String,
        status: String,
    }
    struct DaemonEndpoints {
        kubelet_endpoint: DaemonEndpoint,
    }
    struct DaemonEndpoint {
        #[serde(rename = "Port")]
        port: i32,
    }

    struct Pod {
        metadata: Meta,
        spec: PodSpec,
        status: PodStatus,
    }
    struct PodSpec {
        node_name: String,
        containers: Vec<Container>,
        init_containers: Vec<Container>,
    }
    struct Container {
        name: String,
        image: String,
        ports: Vec<ContainerPort>,
    }
    struct ContainerPort {
        name: String,
        container_port: i32,
        protocol: String,
    }
    struct PodStatus {
        phase: String,
        #[serde(rename = "podIP")]
        pod_ip: String,
        #[serde(rename = "hostIP")]
        host_ip: String,
        conditions: Vec<Condition>,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
    }
    struct ContainerStatus {
        name: String,
        #[serde(rename = "containerID")]
        container_id: String,
    }

    struct Service {
        metadata: Meta,
        spec: ServiceSpec,
    }
    struct ServiceSpec {
        r#type: String,
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        #[serde(rename = "loadBalancerIP")]
        load_balancer_ip: String,
        external_name: String,
        ports: Vec<ServicePort>,
        ip_families: Vec<String>,
        ip_family_policy: String,
    }
    struct ServicePort {
        name: String,
        port: i32,
        protocol: String,
    }

    struct Endpoints {
        metadata: Meta,
        subsets: Vec<Subset>,
    }
    struct Subset {
        addresses: Vec<EndpointAddress>,
        not_ready_addresses: Vec<EndpointAddress>,
        ports: Vec<ServicePort>,
    }
    struct EndpointAddress {
        ip: String,
        hostname: String,
        node_name: Option<String>,
        target_ref: Option<TargetRef>,
    }
    struct TargetRef {
        kind: String,
        name: String,
        namespace: String,
    }

    struct EndpointSlice {
        metadata: Meta,
        address_type: String,
        endpoints: Vec<Endpoint>,
        ports: Vec<SlicePort>,
    }
    struct Endpoint {
        addresses: Vec<String>,
        conditions: EndpointConditions,
        hostname: Option<String>,
        node_name: Option<String>,
        zone: Option<String>,
        target_ref: Option<TargetRef>,
        deprecated_topology: BTreeMap<String, String>,
    }
    struct EndpointConditions {
        ready: Option<bool>,
        serving: Option<bool>,
        terminating: Option<bool>,
    }
    struct SlicePort {
        name: Option<String>,
        port: Option<i32>,
        protocol: Option<String>,
        app_protocol: Option<String>,
    }

    struct Ingress {
        metadata: Meta,
        spec: IngressSpec,
    }
    struct IngressSpec {
        ingress_class_name: Option<String>,
        tls: Vec<IngressTls>,
        rules: Vec<IngressRule>,
    }
    struct IngressTls {
        hosts: Vec<String>,
    }
    struct IngressRule {
        host: String,
        http: Option<IngressHttp>,
    }
    struct IngressHttp {
        paths: Vec<IngressPath>,
    }
    struct IngressPath {
        path: String,
    }
}

impl Meta {
    /// `namespace/name`, or the name of an object of the whole cluster.
    pub(super) fn key(&self) -> String {
        key(&self.namespace, &self.name)
    }

    /// The owner that controls it.
    pub(super) fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|o| o.controller)
    }
}

/// The key of an object.
pub(super) fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}
