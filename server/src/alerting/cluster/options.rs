//! What the command line says about other instances.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use jiff::SignedDuration;

/// Options of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct ClusterOptions {
    /// Our name; empty for a random one.
    pub(crate) name: String,
    /// Where others reach us, `host:port`.
    pub(crate) advertise: String,
    /// Instances with another one are strangers.
    pub(crate) label: String,
    /// Others, `host:port`.
    pub(crate) peers: Vec<String>,
    /// How long each instance waits for the one before it.
    pub(crate) peer_timeout: SignedDuration,
    /// How long notifications wait at the start for the others, at most.
    pub(crate) settle_timeout: SignedDuration,
    /// Shortest time between two questions that bring nothing.
    pub(crate) gossip_interval: SignedDuration,
    /// How often a peer is heard of at least, and tried while it does not answer.
    pub(crate) probe_interval: SignedDuration,
    /// How long an answer may take, the waiting that was asked for aside.
    pub(crate) tcp_timeout: SignedDuration,
    /// How often a peer that is gone is tried.
    pub(crate) reconnect_interval: SignedDuration,
    /// How long a peer that is gone is tried when no file or flag names it.
    pub(crate) reconnect_timeout: SignedDuration,
}

impl ClusterOptions {
    /// The time of a whole question, at most.
    pub(super) fn longest(&self) -> SignedDuration {
        self.probe_interval
            .checked_add(self.tcp_timeout)
            .unwrap_or(SignedDuration::MAX)
    }
}

/// Where others reach a socket bound to `bound`: the address that was asked for; without one, the
/// bound one; and when that is every address, the one from which we reach the first of `peers`.
///
/// # Errors
/// When `wanted` is no `host:port` or has a port of 0.
pub(crate) fn advertised(
    wanted: &str,
    bound: SocketAddr,
    peers: &[String],
) -> Result<String, String> {
    if !wanted.is_empty() {
        let port = wanted.rsplit_once(':').map(|(_, p)| p.parse::<u16>());
        return match port {
            Some(Ok(p)) if p > 0 => Ok(wanted.to_owned()),
            _ => Err(format!(
                "--cluster.advertise-address {wanted:?} is not host:port"
            )),
        };
    }
    if !bound.ip().is_unspecified() {
        return Ok(bound.to_string());
    }
    let ip = towards(peers.first().map_or("192.0.2.1:9", String::as_str));
    let ip = ip.unwrap_or_else(|| {
        tracing::warn!("no address is known under which peers reach this instance");
        IpAddr::from([127, 0, 0, 1])
    });
    Ok(SocketAddr::new(ip, bound.port()).to_string())
}

/// The own address on the way to `peer`. Nothing is sent.
fn towards(peer: &str) -> Option<IpAddr> {
    let any = |v6: bool| if v6 { "[::]:0" } else { "0.0.0.0:0" };
    let there = std::net::ToSocketAddrs::to_socket_addrs(peer)
        .ok()?
        .next()?;
    let socket = UdpSocket::bind(any(there.is_ipv6())).ok()?;
    socket.connect(there).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_unspecified()).then_some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_others_is_found() {
        let bound: SocketAddr = "127.0.0.1:9094".parse().unwrap();
        assert_eq!(advertised("", bound, &[]).unwrap(), "127.0.0.1:9094");
        assert_eq!(advertised("a.b:1", bound, &[]).unwrap(), "a.b:1");
        for bad in ["a.b", "a:0", "a:x"] {
            assert!(advertised(bad, bound, &[]).is_err(), "{bad}");
        }
        let any: SocketAddr = "0.0.0.0:9094".parse().unwrap();
        let own = advertised("", any, &["127.0.0.1:1".into()]).unwrap();
        assert_eq!(own, "127.0.0.1:9094");
    }
}
