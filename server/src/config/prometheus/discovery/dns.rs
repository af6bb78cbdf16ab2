//! `dns_sd_configs`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::PromDuration;
use crate::config::fields::{Check, config};

/// Record types that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum DnsRecordType {
    /// Names and ports.
    #[default]
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail servers.
    Mx,
    /// Name servers.
    Ns,
}

impl DnsRecordType {
    const NAMES: [(&'static str, Self); 5] = [
        ("SRV", Self::Srv),
        ("A", Self::A),
        ("AAAA", Self::Aaaa),
        ("MX", Self::Mx),
        ("NS", Self::Ns),
    ];
}

impl<'de> Deserialize<'de> for DnsRecordType {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        let upper = name.to_ascii_uppercase();
        let found = Self::NAMES.iter().find(|(n, _)| *n == upper);
        found
            .map(|(_, t)| *t)
            .ok_or_else(|| serde::de::Error::custom(format!("invalid DNS-SD records type {name}")))
    }
}
impl Serialize for DnsRecordType {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let name = Self::NAMES.iter().find(|(_, t)| t == self);
        s.serialize_str(name.map_or("", |(n, _)| n))
    }
}

config! {
    /// Targets from DNS records.
    pub(crate) struct DnsSdConfig("dns.SDConfig") {
        /// Names to look up.
        names: Vec<String> => keep;
        /// How often.
        refresh_interval: PromDuration = PromDuration::from_secs(30);
        /// Record type.
        r#type: DnsRecordType => keep;
        /// Port of the targets, where the record has none.
        port: u16;
    }
}

impl Check for DnsSdConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.names.is_empty() {
            return Err("DNS-SD config must contain at least one SRV record name".into());
        }
        if self.r#type != DnsRecordType::Srv && self.port == 0 {
            return Err(
                "a port is required in DNS-SD configs for all record types except SRV".into(),
            );
        }
        Ok(())
    }
}
