//! `/status`, `/receivers`.

use serde_json::json;

use super::{Answer, Ask, Said, shown};
use crate::api::BuildInfo;

/// Version, configuration, cluster.
pub(super) async fn status(ask: Ask) -> Answer {
    Ok(Said::json(&json!({
        "cluster": { "peers": [], "status": "disabled" },
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
