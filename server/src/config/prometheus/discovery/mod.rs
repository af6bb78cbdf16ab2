//! Service discovery sections, spliced into every section that has targets.
//!
//! The essential kinds are typed completely, one file each. The others are accepted, so that a
//! file that names them loads, and reported once as without effect.

mod consul;
mod dns;
mod docker;
mod file;
mod http;
mod kubernetes;

pub(crate) use consul::ConsulSdConfig;
pub(crate) use dns::{DnsRecordType, DnsSdConfig};
pub(crate) use docker::DockerSdConfig;
pub(crate) use file::FileSdConfig;
pub(crate) use http::HttpSdConfig;
pub(crate) use kubernetes::{
    KubernetesAttach, KubernetesRole, KubernetesSdConfig, KubernetesSelector,
};

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::LabelMap;
use crate::config::fields::{Check, config};

/// A section of a kind that is known by name only.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UnsupportedSd;

impl<'de> Deserialize<'de> for UnsupportedSd {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(d).map(|_| Self)
    }
}

/// Its fields may hold secrets and are not kept.
impl Serialize for UnsupportedSd {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("<not supported>")
    }
}

config! {
    /// Targets written down in the configuration, or one group of a target file.
    pub(crate) struct StaticConfig("targetgroup.Group") {
        /// Addresses.
        targets: Vec<String> => keep;
        /// Labels of all of them.
        labels: LabelMap;
    }
}
impl Check for StaticConfig {}

/// Adds the discovery kinds' fields and `discovery()`, which gathers them.
macro_rules! with_discovery_fields {
    ($(#[$m:meta])* pub(crate) struct $name:ident($section:literal) + http { $($fields:tt)* }) => {
        $crate::config::prometheus::discovery::with_discovery_fields! {
            @kinds
            [azure_sd_configs digitalocean_sd_configs dockerswarm_sd_configs ec2_sd_configs
             eureka_sd_configs gce_sd_configs hetzner_sd_configs ionos_sd_configs kuma_sd_configs
             lightsail_sd_configs linode_sd_configs marathon_sd_configs nerve_sd_configs
             nomad_sd_configs oci_sd_configs openstack_sd_configs outscale_sd_configs
             ovhcloud_sd_configs puppetdb_sd_configs scaleway_sd_configs serverset_sd_configs
             stackit_sd_configs triton_sd_configs uyuni_sd_configs vultr_sd_configs
             aws_sd_configs]
            $(#[$m])* pub(crate) struct $name($section) { $($fields)* }
        }
    };
    (@kinds [$($kind:ident)*]
        $(#[$m:meta])* pub(crate) struct $name:ident($section:literal) { $($fields:tt)* }) => {
        $crate::config::prometheus::http_client::with_http_client_fields! {
            $(#[$m])* pub(crate) struct $name($section) {
                $($fields)*
                /// Targets written down here.
                static_configs: Vec<$crate::config::prometheus::StaticConfig>;
                /// Targets from files.
                file_sd_configs: Vec<$crate::config::prometheus::FileSdConfig>;
                /// Targets from an HTTP endpoint.
                http_sd_configs: Vec<$crate::config::prometheus::HttpSdConfig>;
                /// Targets from DNS.
                dns_sd_configs: Vec<$crate::config::prometheus::DnsSdConfig>;
                /// Targets from Kubernetes.
                kubernetes_sd_configs: Vec<$crate::config::prometheus::KubernetesSdConfig>;
                /// Targets from Docker.
                docker_sd_configs: Vec<$crate::config::prometheus::DockerSdConfig>;
                /// Targets from Consul.
                consul_sd_configs: Vec<$crate::config::prometheus::ConsulSdConfig>;
                $(
                    /// Accepted without effect.
                    $kind: Vec<$crate::config::prometheus::discovery::UnsupportedSd>;
                )*
            }
        }

        impl $name {
            /// The discovery sections of this section.
            pub(crate) fn discovery(&self) -> $crate::config::prometheus::DiscoveryConfigs {
                $crate::config::prometheus::DiscoveryConfigs {
                    static_configs: self.static_configs.clone(),
                    file: self.file_sd_configs.clone(),
                    http: self.http_sd_configs.clone(),
                    dns: self.dns_sd_configs.clone(),
                    kubernetes: self.kubernetes_sd_configs.clone(),
                    docker: self.docker_sd_configs.clone(),
                    consul: self.consul_sd_configs.clone(),
                    unsupported: [$((stringify!($kind), self.$kind.len())),*]
                        .into_iter()
                        .filter(|(_, n)| *n > 0)
                        .map(|(kind, _)| kind)
                        .collect(),
                }
            }

            /// Hands every file named by the discovery sections to `visit`.
            pub(in crate::config) fn discovery_files(&mut self, visit: &dyn Fn(&mut String)) {
                self.file_sd_configs.iter_mut().flat_map(|c| &mut c.files).for_each(visit);
                self.http_sd_configs.iter_mut().for_each(|c| c.http_client_files(visit));
                self.docker_sd_configs.iter_mut().for_each(|c| c.http_client_files(visit));
                self.consul_sd_configs.iter_mut().for_each(|c| c.http_client_files(visit));
                for c in &mut self.kubernetes_sd_configs {
                    visit(&mut c.kubeconfig_file);
                    c.http_client_files(visit);
                }
            }
        }
    };
}
pub(crate) use with_discovery_fields;

/// Where targets come from: what a discovery manager runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct DiscoveryConfigs {
    /// Targets written down in the configuration.
    pub(crate) static_configs: Vec<StaticConfig>,
    /// Targets from files.
    pub(crate) file: Vec<FileSdConfig>,
    /// Targets from HTTP endpoints.
    pub(crate) http: Vec<HttpSdConfig>,
    /// Targets from DNS.
    pub(crate) dns: Vec<DnsSdConfig>,
    /// Targets from Kubernetes.
    pub(crate) kubernetes: Vec<KubernetesSdConfig>,
    /// Targets from Docker.
    pub(crate) docker: Vec<DockerSdConfig>,
    /// Targets from Consul.
    pub(crate) consul: Vec<ConsulSdConfig>,
    /// Kinds that are accepted without effect, by the name of their field.
    pub(crate) unsupported: Vec<&'static str>,
}
