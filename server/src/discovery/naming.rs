//! How names and addresses of the outside become label names and target addresses.

/// A name as part of a label name: what may not stand there becomes an underscore.
pub(super) fn label_part(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}

/// `host:port`; IPv6 addresses in brackets.
pub(super) fn join_host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains([':', '%']) {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_made_fit() {
        assert_eq!(
            label_part("app.kubernetes.io/name"),
            "app_kubernetes_io_name"
        );
        assert_eq!(label_part("größe-1"), "gr__e_1");
        assert_eq!(join_host_port("10.0.0.1", 80), "10.0.0.1:80");
        assert_eq!(join_host_port("fd00::1", 80), "[fd00::1]:80");
    }
}
