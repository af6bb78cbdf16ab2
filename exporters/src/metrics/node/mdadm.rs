//! Software RAID, from `/proc/mdstat` and `/sys/block/md*`.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("mdadm", collect);

/// Values of the state label.
const STATES: [&str; 5] = ["active", "inactive", "recovering", "resync", "check"];

/// One device of `/proc/mdstat`.
#[derive(Debug, Default)]
struct Device<'a> {
    name: &'a str,
    state: &'a str,
    active: f64,
    required: f64,
    failed: f64,
    spare: f64,
    blocks: f64,
    synced: f64,
}

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let text = read::text(&r.proc("mdstat"))?;
    for d in devices(&text) {
        let labels = [("device", d.name)];
        for state in STATES {
            let is = f64::from(u8::from(state == d.state));
            out.gauge(
                "node_md_state",
                "Indicates the state of md-device.",
                &[("device", d.name), ("state", state)],
                is,
            );
        }
        for (state, n) in [
            ("active", d.active),
            ("failed", d.failed),
            ("spare", d.spare),
        ] {
            out.gauge(
                "node_md_disks",
                "Number of active/failed/spare disks of device.",
                &[("device", d.name), ("state", state)],
                n,
            );
        }
        out.gauge(
            "node_md_disks_required",
            "Total number of disks of device.",
            &labels,
            d.required,
        );
        out.gauge(
            "node_md_blocks",
            "Total number of blocks on device.",
            &labels,
            d.blocks,
        );
        out.gauge(
            "node_md_blocks_synced",
            "Number of blocks synced on device.",
            &labels,
            d.synced,
        );
    }
    let block = r.sys("block");
    for (device, _) in read::numbered(&block, "md").unwrap_or_default() {
        let folder = block.join(&device).join("md");
        let labels = [("device", device.as_str())];
        if let Some(disks) = read::number_if(&folder.join("raid_disks")) {
            out.gauge(
                "node_md_raid_disks",
                "Number of raid disks on device.",
                &labels,
                disks,
            );
            // Levels without redundancy have no such file.
            let degraded = read::number_if(&folder.join("degraded")).unwrap_or(0.0);
            out.gauge(
                "node_md_degraded",
                "Number of degraded disks on device.",
                &labels,
                degraded,
            );
        }
    }
    Ok(())
}

fn devices(text: &str) -> Vec<Device<'_>> {
    let mut all = Vec::new();
    // A device is its line and the indented ones after it.
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some(d) = all.last_mut() {
                detail(d, line);
            }
        } else if let Some((name, rest)) = line.split_once(" : ")
            && name != "Personalities"
        {
            all.push(head(name.trim(), rest));
        }
    }
    all
}

fn head<'a>(name: &'a str, rest: &'a str) -> Device<'a> {
    let mut d = Device {
        name,
        state: rest.split_whitespace().next().unwrap_or(""),
        ..Device::default()
    };
    for disk in rest.split_whitespace().filter(|w| w.contains('[')) {
        if disk.contains("(F)") {
            d.failed += 1.0;
        } else if disk.contains("(S)") {
            d.spare += 1.0;
        } else {
            d.active += 1.0;
        }
    }
    if d.state == "inactive" {
        d.active = 0.0;
    }
    d.required = d.active;
    d
}

fn detail(d: &mut Device<'_>, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    if let [blocks, "blocks", rest @ ..] = words.as_slice() {
        d.blocks = read::parse(blocks).unwrap_or(0.0);
        d.synced = d.blocks;
        // [required/active]
        let ratio = rest.iter().find_map(|w| {
            let (all, up) = w.strip_prefix('[')?.strip_suffix(']')?.split_once('/')?;
            Some((read::parse(all)?, read::parse(up)?))
        });
        if let Some((all, up)) = ratio.filter(|_| d.state != "inactive") {
            (d.required, d.active) = (all, up);
        }
        return;
    }
    let Some(state) = ["recovery", "resync", "check", "reshape"]
        .into_iter()
        .find(|s| line.contains(s))
    else {
        return;
    };
    d.state = match state {
        "recovery" => "recovering",
        "reshape" => "reshaping",
        s => s,
    };
    // (done/all), or nothing done yet: resync=DELAYED, resync=PENDING.
    let done = words.iter().find_map(|w| {
        let (done, _) = w.strip_prefix('(')?.split_once('/')?;
        read::parse(done)
    });
    d.synced = done.unwrap_or(0.0);
}
