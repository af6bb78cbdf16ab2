//! The state of a cluster, and the nodes there are.

use super::resp::Reply;
use super::{Named, fields, info};

/// Shows the reply to `CLUSTER INFO`.
pub(super) fn emit(reply: Option<&Reply>, out: &mut Named<'_>) {
    let text = reply.and_then(Reply::text).unwrap_or_default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let shown = [
            "cluster_state",
            "cluster_slots_assigned",
            "cluster_slots_ok",
            "cluster_slots_pfail",
            "cluster_slots_fail",
            "cluster_known_nodes",
            "cluster_size",
            "cluster_current_epoch",
            "cluster_my_epoch",
            "cluster_stats_messages_sent",
            "cluster_stats_messages_received",
        ];
        if !shown.contains(&key) {
            continue;
        }
        let Some(v) = info::number(value.trim()) else {
            continue;
        };
        match fields::field(key) {
            Some((name, kind)) => out.add(name, &format!("{name} metric"), kind, &[], v),
            None => out.gauge(key, &format!("{key} metric"), &[], v),
        }
    }
}

/// Addresses in the reply to `CLUSTER NODES`, by their host names if these are wanted and known.
pub(super) fn nodes(text: &str, hostnames: bool) -> Vec<String> {
    text.lines().filter_map(|l| node(l, hostnames)).collect()
}

/// `ID 192.0.2.1:6379@16379,host master - 0 1742836359057 3 connected 0-5460`
fn node(line: &str, hostnames: bool) -> Option<String> {
    let place = line.split_whitespace().nth(1)?;
    let (address, rest) = place.split_once('@')?;
    let (ip, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok().filter(|_| !ip.is_empty())?;
    let host = rest
        .split(',')
        .nth(1)
        .filter(|h| hostnames && !h.is_empty());
    Some(format!("{}:{port}", host.unwrap_or(ip)))
}

#[cfg(test)]
mod tests {
    use super::nodes;

    #[test]
    fn nodes_are_read() {
        let text = "a 192.0.2.1:7000@17000,one.example master - 0 1 1 connected 0-100\n\
                    b 192.0.2.2:7001@17001 slave a 0 1 1 connected\nc :0@0 noaddr - 0 0\n\n";
        assert_eq!(nodes(text, false), ["192.0.2.1:7000", "192.0.2.2:7001"]);
        assert_eq!(nodes(text, true), ["one.example:7000", "192.0.2.2:7001"]);
    }
}
