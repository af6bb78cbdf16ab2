//! Whether SELinux runs and what it enforces.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("selinux", collect);

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let enforce = read::number_if(&r.sys("fs/selinux/enforce"));
    out.gauge(
        "node_selinux_enabled",
        "SELinux is enabled, 1 is true, 0 is false",
        &[],
        f64::from(u8::from(enforce.is_some())),
    );
    let Some(enforce) = enforce else {
        return Ok(());
    };
    let config = read::text(&r.root("etc/selinux/config")).unwrap_or_default();
    let configured = config
        .lines()
        .find_map(|l| l.trim().strip_prefix("SELINUX="));
    let configured = match configured.map(str::trim) {
        Some("enforcing") => 1.0,
        Some("permissive") => 0.0,
        _ => -1.0,
    };
    out.gauge(
        "node_selinux_config_mode",
        "Configured SELinux enforcement mode",
        &[],
        configured,
    );
    out.gauge(
        "node_selinux_current_mode",
        "Current SELinux enforcement mode",
        &[],
        enforce,
    );
    Ok(())
}
