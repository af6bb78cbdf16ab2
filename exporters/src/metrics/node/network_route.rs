//! Routes, from the kernel's routing socket.
//!
//! Format: `rtnetlink(7)` and the kernel's `rtnetlink.h`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Entry;
use super::netlink::{self, Attributes};
use super::read::{Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("network_route", collect).on_request().whole();

/// Bytes of the header of an interface's message, and the place of its number.
const LINK_HEADER: usize = 16;
const LINK_NUMBER: usize = 4;
/// An interface's name.
const NAME: u16 = 3;

/// Bytes of the header of a route's message, and places in it.
const ROUTE_HEADER: usize = 12;
const LENGTH: usize = 1;
const PROTOCOL: usize = 5;
const TYPE: usize = 7;
/// The type of a route to somewhere else: not local, not broadcast.
const UNICAST: u8 = 1;
/// Attributes of a route.
const DESTINATION: u16 = 1;
const INTERFACE: u16 = 4;
const GATEWAY: u16 = 5;
const PRIORITY: u16 = 6;
const SOURCE: u16 = 7;
const MULTIPATH: u16 = 9;
/// Bytes of the header of one of several next hops.
const HOP_HEADER: usize = 8;

/// Who has made a route, by number.
const PROTOCOLS: &[(u8, &str)] = &[
    (0, "unspec"),
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (8, "gated"),
    (9, "ra"),
    (10, "mrt"),
    (11, "zebra"),
    (12, "bird"),
    (13, "dnrouted"),
    (14, "xorp"),
    (15, "ntk"),
    (16, "dhcp"),
    (17, "mrouted"),
    (42, "babel"),
    (186, "bgp"),
    (187, "isis"),
    (188, "ospf"),
    (189, "rip"),
    (192, "eigrp"),
];

/// A route by one interface; its fields are the labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    interface: u32,
    source: String,
    destination: String,
    gateway: String,
    priority: u32,
    protocol: u8,
    weight: String,
}

fn collect(_: &Roots, out: &mut Sink) -> Outcome {
    let failed = |e: std::io::Error| Problem::Failed(format!("routing socket: {e}"));
    let mut devices = BTreeMap::new();
    let mut device = |head: &[u8], attributes: Attributes<'_>| {
        if let Some(name) = attributes.find(NAME) {
            let number = netlink::read_u32(head, LINK_NUMBER);
            devices.insert(number, netlink::c_text(name));
        }
    };
    netlink::dump(netlink::GET_LINK, LINK_HEADER, &mut device).map_err(failed)?;
    let mut all = BTreeSet::new();
    let mut each = |head: &[u8], attributes: Attributes<'_>| all.extend(routes(head, attributes));
    netlink::dump(netlink::GET_ROUTE, ROUTE_HEADER, &mut each).map_err(failed)?;
    let name = |n: &u32| devices.get(n).map_or("", String::as_str);
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    for route in &all {
        *numbers.entry(name(&route.interface)).or_default() += 1;
        let protocol = PROTOCOLS.iter().find(|(n, _)| *n == route.protocol);
        out.gauge(
            "node_network_route_info",
            "network routing table information",
            &[
                ("device", name(&route.interface)),
                ("src", &route.source),
                ("dest", &route.destination),
                ("gw", &route.gateway),
                ("priority", &route.priority.to_string()),
                ("proto", protocol.map_or("unknown", |(_, name)| name)),
                ("weight", &route.weight),
            ],
            1.0,
        );
    }
    for (device, n) in numbers {
        out.gauge(
            "node_network_routes",
            "network routes by interface",
            &[("device", device)],
            f64::from(n),
        );
    }
    Ok(())
}

/// The routes of a message: one, or one per next hop.
fn routes(head: &[u8], attributes: Attributes<'_>) -> Vec<Route> {
    let byte = |i: usize| head.get(i).copied().unwrap_or(0);
    if byte(TYPE) != UNICAST {
        return Vec::new();
    }
    let text = |kind: u16| {
        let found = attributes.find(kind).and_then(address);
        found.map_or_else(String::new, |a| a.to_string())
    };
    let number = |kind: u16| attributes.find(kind).map_or(0, |v| netlink::read_u32(v, 0));
    let route = Route {
        interface: number(INTERFACE),
        source: text(SOURCE),
        destination: network(attributes.find(DESTINATION).and_then(address), byte(LENGTH)),
        gateway: text(GATEWAY),
        priority: number(PRIORITY),
        protocol: byte(PROTOCOL),
        weight: String::new(),
    };
    let Some(mut hops) = attributes.find(MULTIPATH).filter(|h| !h.is_empty()) else {
        return vec![route];
    };
    let mut all = Vec::new();
    // Length, flags, hops, number of the interface; then attributes of its own.
    while let (Some([a, b]), Some(more)) = (hops.get(..2), hops.get(3)) {
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        let Some(hop) = hops.get(..length).filter(|h| h.len() >= HOP_HEADER) else {
            break;
        };
        let own = Attributes(hop.get(HOP_HEADER..).unwrap_or_default());
        let gateway = own.find(GATEWAY).and_then(address);
        all.push(Route {
            interface: netlink::read_u32(hop, 4),
            gateway: gateway.map_or_else(String::new, |a| a.to_string()),
            weight: (u32::from(*more) + 1).to_string(),
            ..route.clone()
        });
        hops = hops.get(length.div_ceil(4) * 4..).unwrap_or_default();
    }
    all
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    let six = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(six).into())
}

/// `192.0.2.0/24`, or `default` for everywhere.
fn network(address: Option<IpAddr>, length: u8) -> String {
    match address {
        Some(a) if length > 0 => format!("{a}/{length}"),
        _ => "default".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut out = u16::try_from(value.len() + 4)
            .expect("short")
            .to_ne_bytes()
            .to_vec();
        out.extend(kind.to_ne_bytes());
        out.extend(value);
        out.resize(out.len().div_ceil(4) * 4, 0);
        out
    }

    #[test]
    fn a_message_is_one_route_or_several() {
        let head = [2, 24, 0, 0, 0, 4, 0, UNICAST, 0, 0, 0, 0];
        let mut bytes = attribute(DESTINATION, &[192, 0, 2, 0]);
        bytes.extend(attribute(INTERFACE, &3u32.to_ne_bytes()));
        bytes.extend(attribute(GATEWAY, &[198, 51, 100, 1]));
        bytes.extend(attribute(PRIORITY, &100u32.to_ne_bytes()));
        let [one] = &routes(&head, Attributes(&bytes))[..] else {
            panic!("one route");
        };
        assert_eq!(
            (
                one.interface,
                &*one.destination,
                &*one.gateway,
                one.priority
            ),
            (3, "192.0.2.0/24", "198.51.100.1", 100)
        );
        let mut hops = Vec::new();
        for (interface, weight) in [(3u32, 0u8), (4, 9)] {
            let gateway = attribute(GATEWAY, &[198, 51, 100, weight]);
            let length = u16::try_from(HOP_HEADER + gateway.len()).expect("short");
            hops.extend(length.to_ne_bytes());
            hops.extend([0, weight]);
            hops.extend(interface.to_ne_bytes());
            hops.extend(gateway);
        }
        let bytes = attribute(MULTIPATH, &hops);
        let head = [2, 0, 0, 0, 0, 4, 0, UNICAST, 0, 0, 0, 0];
        let both = routes(&head, Attributes(&bytes));
        let shown = both
            .iter()
            .map(|r| (r.interface, &*r.destination, &*r.weight));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [(3, "default", "1"), (4, "default", "10")]
        );
        let local = [2, 0, 0, 0, 0, 4, 0, 2, 0, 0, 0, 0];
        assert_eq!(routes(&local, Attributes(&[])), []);
        // Cut hops are no panic.
        for n in 0..hops.len() {
            routes(&head, Attributes(&attribute(MULTIPATH, &hops[..n])));
        }
    }
}
