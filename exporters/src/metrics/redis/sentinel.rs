//! Sentinels: the masters that they watch.

use std::collections::BTreeMap;

use super::info::{self, Info};
use super::resp::Reply;
use super::{Asked, Named, Options};

/// Fields of `INFO` that are shown as they are.
const FIELDS: [(&str, &str); 5] = [
    (
        "sentinel_masters",
        "The number of masters this sentinel is watching",
    ),
    ("sentinel_tilt", "Sentinel is in TILT mode"),
    (
        "sentinel_running_scripts",
        "Number of scripts in execution right now",
    ),
    (
        "sentinel_scripts_queue_length",
        "Queue of user scripts to execute",
    ),
    ("sentinel_simulate_failure_flags", "Failures simulations"),
];

/// Field of a master, divisor, metric, help.
const SETTINGS: [(&str, f64, &str, &str); 6] = [
    (
        "quorum",
        1.0,
        "sentinel_master_setting_ckquorum",
        "Show the current ckquorum config for each master",
    ),
    (
        "failover-timeout",
        1.0,
        "sentinel_master_setting_failover_timeout",
        "Show the current failover-timeout config for each master",
    ),
    (
        "parallel-syncs",
        1.0,
        "sentinel_master_setting_parallel_syncs",
        "Show the current parallel-syncs config for each master",
    ),
    (
        "down-after-milliseconds",
        1.0,
        "sentinel_master_setting_down_after_milliseconds",
        "Show the current down-after-milliseconds config for each master",
    ),
    (
        "config-epoch",
        1.0,
        "sentinel_master_config_epoch",
        "The configuration epoch of the master (increments on each failover)",
    ),
    (
        "last-ok-ping-reply",
        1000.0,
        "sentinel_master_last_ok_ping_reply_seconds",
        "Elapsed time in seconds since the last successful ping reply from the master",
    ),
];

/// Names and values of a reply that lists them in turn.
fn facts(reply: &Reply) -> BTreeMap<String, String> {
    let pairs = reply.list().chunks_exact(2);
    pairs
        .filter_map(|p| match p {
            [name, value] => Some((name.text()?, value.text()?)),
            _ => None,
        })
        .collect()
}

/// Whether nobody thinks that an instance is down.
fn is_up(flags: &str) -> bool {
    !flags.contains("o_down") && !flags.contains("s_down")
}

/// Shows a sentinel; nothing for other servers.
pub(super) fn emit(
    server: &mut Asked,
    info: &Info<'_>,
    options: &Options,
    out: &mut Named<'_>,
) -> Result<(), String> {
    if info.get("sentinel_masters").is_none() {
        return Ok(());
    }
    for (field, help) in FIELDS {
        if let Some(v) = info.get(field).and_then(info::number) {
            out.gauge(field, help, &[], v);
        }
    }
    for (_, value) in info.masters() {
        status(value, out);
    }
    let masters = server.maybe(&["SENTINEL", "MASTERS"])?;
    for reply in masters.as_ref().map_or(&[][..], Reply::list) {
        master(server, &facts(reply), options, out)?;
    }
    if !options.config_metrics {
        return Ok(());
    }
    let config = server.maybe(&["SENTINEL", "CONFIG", "GET", "*"])?;
    for (key, value) in config.as_ref().map(facts).unwrap_or_default() {
        out.gauge(
            "sentinel_config_key_value",
            "Sentinel global config key and value",
            &[("key", &key), ("value", &value)],
            1.0,
        );
        if let Ok(v) = value.parse() {
            let help = "Sentinel global config key and value as metric";
            out.gauge("sentinel_config_value", help, &[("key", &key)], v);
        }
    }
    Ok(())
}

/// `name=mymaster,status=ok,address=192.0.2.1:6379,slaves=1,sentinels=3`
fn status(value: &str, out: &mut Named<'_>) {
    let facts = info::pairs(value);
    let of = |key: &str| facts.get(key).copied().unwrap_or("");
    let (Ok(slaves), Ok(sentinels)) = (of("slaves").parse(), of("sentinels").parse()) else {
        return;
    };
    let name = ("master_name", of("name"));
    let address = ("master_address", of("address"));
    out.gauge(
        "sentinel_master_status",
        "Master status on Sentinel",
        &[name, address, ("master_status", of("status"))],
        f64::from(u8::from(of("status") == "ok")),
    );
    let labels = [name, address];
    let help = "The number of slaves of the master";
    out.gauge("sentinel_master_slaves", help, &labels, slaves);
    let help = "The number of sentinels monitoring this master";
    out.gauge("sentinel_master_sentinels", help, &labels, sentinels);
}

fn master(
    server: &mut Asked,
    facts_of: &BTreeMap<String, String>,
    options: &Options,
    out: &mut Named<'_>,
) -> Result<(), String> {
    let of = |key: &str| facts_of.get(key).map_or("", String::as_str);
    let name = of("name");
    if name.is_empty() || of("ip").is_empty() {
        return Ok(());
    }
    let address = format!("{}:{}", of("ip"), of("port"));
    let labels = [("master_name", name), ("master_address", &*address)];
    let (ok, message) = server.said(&["SENTINEL", "CKQUORUM", name])?;
    out.gauge(
        "sentinel_master_ckquorum_status",
        "Master ckquorum status",
        &[("master_name", name), ("message", &message)],
        f64::from(u8::from(ok)),
    );
    for (field, divisor, metric, help) in SETTINGS {
        let v = of(field).parse().unwrap_or(0.0);
        out.gauge(metric, help, &labels, v / divisor);
    }
    // The one that is asked is in good order.
    let mut up = 1;
    let sentinels = server.maybe(&["SENTINEL", "SENTINELS", name])?;
    for reply in sentinels.as_ref().map_or(&[][..], Reply::list) {
        let facts = facts(reply);
        let of = |key: &str| facts.get(key).map_or("", String::as_str);
        up += u32::from(facts.contains_key("flags") && is_up(of("flags")));
        if options.sentinel_peers {
            let [name, address] = labels;
            out.gauge(
                "sentinel_peer_info",
                "Other Sentinel peers discovered via SENTINEL SENTINELS (one scrape from one Sentinel)",
                &[
                    name,
                    address,
                    ("name", of("name")),
                    ("ip", of("ip")),
                    ("port", of("port")),
                    ("runid", of("runid")),
                    ("flags", of("flags")),
                ],
                1.0,
            );
        }
    }
    out.gauge(
        "sentinel_master_ok_sentinels",
        "The number of okay sentinels monitoring this master",
        &labels,
        f64::from(up),
    );
    let replicas = server.maybe(&["SENTINEL", "SLAVES", name])?;
    let replicas = replicas.as_ref().map_or(&[][..], Reply::list).iter();
    let up = replicas.filter(|r| facts(r).get("flags").is_some_and(|f| is_up(f)));
    out.gauge(
        "sentinel_master_ok_slaves",
        "The number of okay slaves of the master",
        &labels,
        up.count() as f64,
    );
    Ok(())
}
