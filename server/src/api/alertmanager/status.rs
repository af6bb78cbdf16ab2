//! `/status`, `/receivers`.

use serde_json::json;

use super::{Answer, Ask, Said, shown};
use crate::api::BuildInfo;

/// The instances that are reached, this one among them.
fn cluster(ask: &Ask) -> serde_json::Value {
    let Some(cluster) = ask.service.cluster() else {
        return json!({ "peers": [], "status": "disabled" });
    };
    let members = cluster.members();
    let peers = members.iter();
    let peers = peers.map(|m| json!({ "address": m.address, "name": m.name }));
    json!({
        "name": cluster.name(),
        "peers": peers.collect::<Vec<_>>(),
        "status": cluster.status(),
    })
}

/// Version, configuration, cluster.
pub(super) async fn status(ask: Ask) -> Answer {
    Ok(Said::json(&json!({
        "cluster": cluster(&ask),
        "config": { "original": ask.service.in_force().shown },
        "uptime": shown(ask.service.started()),
        "versionInfo": {
            "branch": "",
            "buildDate": "",
            "buildUser": "",
            "goVersion": BuildInfo::TOOLCHAIN,
            "revision": BuildInfo::REVISION,
            "version": BuildInfo::VERSION,
        },
    })))
}

/// Names and labels of receivers.
pub(super) async fn receivers(ask: Ask) -> Answer {
    let wanted = ask.receivers()?;
    let in_force = ask.service.in_force();
    let all = in_force.receivers.iter().filter(|(name, _)| wanted(name));
    let all = all.map(|(name, r)| json!({ "name": name, "labels": r.labels }));
    Ok(Said::json(&all.collect::<Vec<_>>()))
}
