//! `dns_sd_configs`: targets from SRV, A, AAAA, MX and NS records.

use std::time::Duration;

use engine::model::{Labels, LabelsBuilder};
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::naming::join_host_port;
use super::{ADDRESS, Reporter, TargetGroup};
use crate::config::prometheus::{DnsRecordType, DnsSdConfig};

/// Most targets of one name.
const RECORDS_MAX: usize = 10_000;

pub(super) async fn run(c: DnsSdConfig, to: Reporter) {
    let every = c.refresh_interval.as_std().max(Duration::from_secs(1));
    let mut groups: Vec<TargetGroup> = Vec::new();
    loop {
        match resolver() {
            Ok(resolver) => {
                for name in &c.names {
                    match lookup(&resolver, name, &c).await {
                        // A name that fails keeps its targets.
                        Err(e) => {
                            to.failed();
                            tracing::error!(name, error = %e, "DNS lookup failed");
                        }
                        Ok(group) => match groups.iter_mut().find(|g| g.source == *name) {
                            Some(g) => *g = group,
                            None => groups.push(group),
                        },
                    }
                }
                to.report(groups.clone());
            }
            Err(e) => tracing::error!(error = %e, "cannot read resolver configuration"),
        }
        tokio::time::sleep(every).await;
    }
}

/// The system's configuration is read every time: it may change.
fn resolver() -> Result<TokioResolver, String> {
    TokioResolver::builder_tokio()
        .and_then(|b| b.build())
        .map_err(|e| e.to_string())
}

async fn lookup(
    resolver: &TokioResolver,
    name: &str,
    c: &DnsSdConfig,
) -> Result<TargetGroup, String> {
    let kind = match c.r#type {
        DnsRecordType::Srv => RecordType::SRV,
        DnsRecordType::A => RecordType::A,
        DnsRecordType::Aaaa => RecordType::AAAA,
        DnsRecordType::Mx => RecordType::MX,
        DnsRecordType::Ns => RecordType::NS,
    };
    let found = match resolver.lookup(name, kind).await {
        Ok(found) => found,
        // The name exists without such records, or does not exist: no targets.
        Err(e) if e.is_no_records_found() || e.is_nx_domain() => {
            return Ok(TargetGroup {
                source: name.to_owned(),
                targets: Vec::new(),
                labels: Labels::empty(),
            });
        }
        Err(e) => return Err(e.to_string()),
    };
    let targets = found
        .answers()
        .iter()
        .filter_map(|r| target(name, &r.data, c.port))
        .take(RECORDS_MAX)
        .collect();
    Ok(TargetGroup {
        source: name.to_owned(),
        targets,
        labels: Labels::empty(),
    })
}

/// A record as a target; `None` for records of another type (aliases on the way).
fn target(name: &str, data: &RData, port: u16) -> Option<Labels> {
    let mut b = LabelsBuilder::new();
    b.set("__meta_dns_name", name);
    let join = |host: &str, port: u16| join_host_port(host.trim_end_matches('.'), port);
    let address = match data {
        RData::SRV(srv) => {
            let host = srv.target.to_string();
            b.set("__meta_dns_srv_record_target", &host);
            b.set("__meta_dns_srv_record_port", &srv.port.to_string());
            join(&host, srv.port)
        }
        RData::MX(mx) => {
            let host = mx.exchange.to_string();
            b.set("__meta_dns_mx_record_target", &host);
            join(&host, port)
        }
        RData::NS(ns) => {
            let host = ns.0.to_string();
            b.set("__meta_dns_ns_record_target", &host);
            join(&host, port)
        }
        RData::A(a) => join(&a.0.to_string(), port),
        RData::AAAA(a) => join(&a.0.to_string(), port),
        _ => return None,
    };
    b.set(ADDRESS, &address);
    Some(b.build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};

    #[test]
    fn records_become_targets() {
        let srv = RData::SRV(SRV::new(1, 1, 9100, "db.example.org.".parse().unwrap()));
        let t = target("_x._tcp.example.org", &srv, 0).unwrap();
        assert_eq!(t.get(ADDRESS), Some("db.example.org:9100"));
        assert_eq!(
            t.get("__meta_dns_srv_record_target"),
            Some("db.example.org.")
        );
        let a = RData::A(A::new(10, 0, 0, 1));
        assert_eq!(
            target("n", &a, 80).unwrap().get(ADDRESS),
            Some("10.0.0.1:80")
        );
        let aaaa = RData::AAAA(AAAA::new(0, 0, 0, 0, 0, 0, 0, 1));
        assert_eq!(
            target("n", &aaaa, 80).unwrap().get(ADDRESS),
            Some("[::1]:80")
        );
    }
}
