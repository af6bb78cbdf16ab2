//! Names of machines that connect.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;

/// How long a name may take: a sender waits for it.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Names that are remembered.
const KNOWN_MAX: usize = 1024;

/// Names by address, remembered until there are too many.
#[derive(Debug, Default)]
pub(super) struct Hosts(BTreeMap<IpAddr, String>);

impl Hosts {
    /// Names of an address with commas between, empty without one.
    pub(super) async fn name(&mut self, ip: IpAddr) -> &str {
        if self.0.len() >= KNOWN_MAX && !self.0.contains_key(&ip) {
            self.0.clear();
        }
        match self.0.entry(ip) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(look_up(ip).await),
        }
    }
}

/// The name of one address.
pub(super) async fn look_up(ip: IpAddr) -> String {
    let file = tokio::fs::read_to_string("/etc/hosts").await;
    let file = file.unwrap_or_default();
    let names = in_file(&file, ip);
    if !names.is_empty() {
        return names.join(",");
    }
    let asked = async {
        let resolver = TokioResolver::builder_tokio()
            .and_then(|b| b.build())
            .ok()?;
        let found = resolver.reverse_lookup(ip).await.ok()?;
        let names = found.answers().iter().filter_map(|r| match &r.data {
            RData::PTR(name) => Some(name.to_string()),
            _ => None,
        });
        Some(names.collect::<Vec<_>>().join(","))
    };
    let asked = tokio::time::timeout(TIMEOUT, asked).await;
    asked.ok().flatten().unwrap_or_default()
}

/// Names that a hosts file gives an address.
fn in_file(text: &str, ip: IpAddr) -> Vec<&str> {
    let lines = text.lines().map(|l| l.split('#').next().unwrap_or(""));
    let mut names = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        if words.next().and_then(|w| w.parse::<IpAddr>().ok()) == Some(ip) {
            names.extend(words);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_file() {
        let text = "127.0.0.1\tlocalhost # me\n# 10.0.0.1 no\n10.0.0.1 a b\nnonsense x\n";
        let ip = |t: &str| t.parse().unwrap();
        assert_eq!(in_file(text, ip("127.0.0.1")), ["localhost"]);
        assert_eq!(in_file(text, ip("10.0.0.1")), ["a", "b"]);
        assert!(in_file(text, ip("::1")).is_empty());
    }
}
