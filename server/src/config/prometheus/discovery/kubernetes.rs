//! `kubernetes_sd_configs`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::ConfigUrl;
use crate::config::fields::{Check, Omit, config};

/// Which objects become targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum KubernetesRole {
    /// Nodes.
    Node,
    /// Pods.
    Pod,
    /// Services.
    Service,
    /// Endpoints.
    Endpoints,
    /// Endpoint slices.
    EndpointSlice,
    /// Ingresses.
    Ingress,
}

impl KubernetesRole {
    const NAMES: [(&'static str, Self); 6] = [
        ("node", Self::Node),
        ("pod", Self::Pod),
        ("service", Self::Service),
        ("endpoints", Self::Endpoints),
        ("endpointslice", Self::EndpointSlice),
        ("ingress", Self::Ingress),
    ];

    /// The name in configuration files.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, r)| *r == self)
            .map_or("", |(n, _)| n)
    }
}

impl<'de> Deserialize<'de> for KubernetesRole {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        let found = Self::NAMES.iter().find(|(n, _)| *n == name);
        found
            .map(|(_, r)| *r)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown Kubernetes SD role {name:?}")))
    }
}
impl Serialize for KubernetesRole {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

config! {
    /// Objects of a Kubernetes cluster.
    pub(crate) struct KubernetesSdConfig("kubernetes.SDConfig") + http {
        /// API server; empty inside the cluster.
        api_server: ConfigUrl;
        /// Which objects.
        role: Option<KubernetesRole>;
        /// File with address and credentials.
        kubeconfig_file: String;
        /// Which namespaces.
        namespaces: KubernetesNamespaces;
        /// Which objects of each role.
        selectors: Vec<KubernetesSelector>;
        /// Whose labels are added.
        attach_metadata: KubernetesAttach;
    }
}

config! {
    /// Which namespaces are watched; all when neither is set.
    pub(crate) struct KubernetesNamespaces("kubernetes.NamespaceDiscovery") {
        /// The server's own.
        own_namespace: bool => keep;
        /// These.
        names: Vec<String> => keep;
    }
}
impl Check for KubernetesNamespaces {}
impl Omit for KubernetesNamespaces {
    fn omit(&self) -> bool {
        *self == Self::default()
    }
}

config! {
    /// Limits a role to some objects.
    pub(crate) struct KubernetesSelector("kubernetes.SelectorConfig") {
        /// The role.
        role: Option<KubernetesRole>;
        /// Label selector.
        label: String;
        /// Field selector.
        field: String;
    }
}
impl Check for KubernetesSelector {
    fn check(&mut self) -> Result<(), String> {
        if self.role.is_none() {
            return Err(ROLE_MISSING.into());
        }
        Ok(())
    }
}

config! {
    /// Metadata of related objects to add.
    pub(crate) struct KubernetesAttach("kubernetes.AttachMetadataConfig") {
        /// Of the node.
        node: bool => keep;
        /// Of the namespace.
        namespace: bool;
        /// Of the deployment.
        deployment: bool;
        /// Of the job.
        job: bool;
        /// Of the cron job.
        cronjob: bool;
    }
}
impl Check for KubernetesAttach {}
impl Omit for KubernetesAttach {
    fn omit(&self) -> bool {
        *self == Self::default()
    }
}

const ROLE_MISSING: &str =
    "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)";

impl KubernetesSdConfig {
    fn selector_fits(role: KubernetesRole, selected: KubernetesRole) -> bool {
        use KubernetesRole as R;
        match role {
            R::Endpoints => matches!(selected, R::Pod | R::Service | R::Endpoints | R::Node),
            R::EndpointSlice => {
                matches!(selected, R::Pod | R::Service | R::EndpointSlice | R::Node)
            }
            R::Pod => matches!(selected, R::Pod | R::Node),
            r => r == selected,
        }
    }
}

impl Check for KubernetesSdConfig {
    fn check(&mut self) -> Result<(), String> {
        let Some(role) = self.role else {
            return Err(ROLE_MISSING.into());
        };
        let client = self.http_client();
        client.check()?;
        let in_cluster = self.api_server.is_empty() && self.kubeconfig_file.is_empty();
        let custom = client != crate::config::prometheus::HttpClientConfig::default();
        if !self.api_server.is_empty() && !self.kubeconfig_file.is_empty() {
            return Err("cannot use 'kubeconfig_file' and 'api_server' simultaneously".into());
        }
        if !self.kubeconfig_file.is_empty() && custom {
            return Err(
                "cannot use a custom HTTP client configuration together with 'kubeconfig_file'"
                    .into(),
            );
        }
        if in_cluster && custom {
            return Err("to use custom HTTP client configuration please provide the 'api_server' URL explicitly".into());
        }
        for (given, field) in [
            (!self.api_server.is_empty(), "api_server"),
            (!self.kubeconfig_file.is_empty(), "kubeconfig_file"),
        ] {
            if given && self.namespaces.own_namespace {
                return Err(format!(
                    "cannot use '{field}' and 'namespaces.own_namespace' simultaneously"
                ));
            }
        }
        for (i, s) in self.selectors.iter().enumerate() {
            if self.selectors[..i]
                .iter()
                .any(|before| before.role == s.role)
            {
                let role = s.role.map_or("", KubernetesRole::name);
                return Err(format!("duplicated selector role: {role}"));
            }
            if let Some(selected) = s.role
                && !Self::selector_fits(role, selected)
            {
                return Err(format!(
                    "{} role does not support {} selectors",
                    role.name(),
                    selected.name()
                ));
            }
        }
        Ok(())
    }
}
