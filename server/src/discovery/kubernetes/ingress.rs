//! Role `ingress`: a target for each path of each host, for those who look from outside.

use engine::model::LabelsBuilder;

use super::meta;
use super::object::{Ingress, IngressRule};
use super::view::Others;
use crate::discovery::{ADDRESS, TargetGroup};

/// The group of an ingress.
pub(super) fn group(o: &Ingress, others: &Others<'_>) -> TargetGroup {
    let (namespace, name) = (&o.metadata.namespace, &o.metadata.name);
    let mut common = LabelsBuilder::new();
    meta::namespace(&mut common, namespace, others);
    meta::object(&mut common, "ingress", &o.metadata);
    let class = o.spec.ingress_class_name.as_deref();
    meta::set_some(&mut common, "ingress_class_name", class);
    let mut targets = Vec::new();
    for rule in &o.spec.rules {
        let mut hosts = o.spec.tls.iter().flat_map(|t| &t.hosts);
        let secure = hosts.any(|pattern| covers(pattern, &rule.host));
        for path in paths(rule) {
            let mut b = LabelsBuilder::new();
            b.set(ADDRESS, &rule.host);
            meta::set(
                &mut b,
                "ingress_scheme",
                if secure { "https" } else { "http" },
            );
            meta::set(&mut b, "ingress_host", &rule.host);
            meta::set(&mut b, "ingress_path", path);
            targets.push(b.build());
        }
    }
    TargetGroup {
        source: format!("ingress/{namespace}/{name}"),
        targets,
        labels: common.build(),
    }
}

/// Paths of a rule; `/` when it has none.
fn paths(rule: &IngressRule) -> Vec<&str> {
    let all = rule.http.iter().flat_map(|h| &h.paths);
    let mut paths: Vec<&str> = all.map(|p| p.path.as_str()).collect();
    if paths.is_empty() {
        paths.push("");
    }
    for p in paths.iter_mut().filter(|p| p.is_empty()) {
        *p = "/";
    }
    paths
}

/// Whether a certificate's host is this one; `*` stands for exactly one part, the first.
fn covers(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    let (Some(domain), Some((first, rest))) = (pattern.strip_prefix("*."), host.split_once('.'))
    else {
        return false;
    };
    !first.is_empty() && rest == domain
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_star_stands_for_one_part() {
        for (pattern, host, want) in [
            ("a.example.com", "a.example.com", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "b.a.example.com", false),
            ("*.example.com", ".example.com", false),
            ("a.*.com", "a.example.com", false),
        ] {
            assert_eq!(covers(pattern, host), want, "{pattern} {host}");
        }
    }
}
