//! Software RAID, from `/proc/mdstat` and `/sys/block/md*`.

use std::path::Path;

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
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
    let path = r.proc("mdstat");
    let text = read::text(&path)?;
    let devices = devices(&text).map_err(|e| Problem::format(&path, e))?;
    for d in &devices {
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
    arrays(r, out)
}

/// What sysfs knows of arrays.
fn arrays(r: &Roots, out: &mut Sink) -> Outcome {
    let block = r.sys("block");
    let mut found = Vec::new();
    for (device, _) in read::numbered(&block, "md").unwrap_or_default() {
        let folder = block.join(&device).join("md");
        if folder.is_dir() {
            found.push((array(&folder)?, device));
        }
    }
    for ((disks, degraded), device) in &found {
        let labels = [("device", device.as_str())];
        if let Some(disks) = disks {
            out.gauge(
                "node_md_raid_disks",
                "Number of raid disks on device.",
                &labels,
                *disks,
            );
        }
        out.gauge(
            "node_md_degraded",
            "Number of degraded disks on device.",
            &labels,
            *degraded,
        );
    }
    Ok(())
}

/// Disks of an array, if it has any of its own, and how many of them are missing. Files that every
/// array of its level has must be there.
fn array(folder: &Path) -> Result<(Option<f64>, f64), Problem> {
    let level = read::word(&folder.join("level"))?;
    for file in ["array_state", "metadata_version", "uuid"] {
        read::word(&folder.join(file))?;
    }
    // Containers have no disks of their own; while it is reshaped an array has two numbers.
    let disks = match level.as_str() {
        "" | "container" | "imsm" | "ddf" => None,
        _ => read::word(&folder.join("raid_disks"))?
            .split(' ')
            .next()
            .and_then(read::count),
    };
    let redundant = ["raid1", "raid4", "raid5", "raid6", "raid10"];
    let degraded = if redundant.contains(&level.as_str()) {
        read::count_in(&folder.join("degraded"))?
    } else {
        0.0
    };
    Ok((disks, degraded))
}

/// The devices of `/proc/mdstat`: a line each, then one about blocks, perhaps one about a bitmap,
/// then perhaps one about work in progress.
fn devices(text: &str) -> Result<Vec<Device<'_>>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let line = |i: usize| lines.get(i).copied().unwrap_or("");
    let mut all = Vec::new();
    for (i, head) in lines.iter().enumerate() {
        let other = head.starts_with([' ', '\t']) || head.starts_with("unused");
        if other || head.trim().is_empty() || head.starts_with("Personalities :") {
            continue;
        }
        let words: Vec<&str> = head.split_whitespace().collect();
        let [name, _, state, ..] = words.as_slice() else {
            return Err(format!("{head:?} is no device"));
        };
        if lines.len() < i + 3 {
            return Err(format!("{name} has too few lines"));
        }
        let mut d = blocks(head, line(i + 1))?;
        (d.name, d.state) = (name, state);
        d.failed = head.matches("(F)").count() as f64;
        d.spare = head.matches("(S)").count() as f64;
        let work = match line(i + 2) {
            l if l.contains("bitmap") => line(i + 3),
            l => l,
        };
        progress(&mut d, work)?;
        all.push(d);
    }
    Ok(all)
}

/// `523968 blocks super 1.2 [4/4] [UUUU]`
fn blocks<'a>(head: &str, line: &str) -> Result<Device<'a>, String> {
    let wrong = || format!("{line:?} does not tell blocks and disks");
    let blocks = line.split_whitespace().next().and_then(read::whole);
    let blocks = blocks.ok_or_else(wrong)?;
    let (required, active) = if head.contains("raid0") || head.contains("linear") {
        // Only disks have a number in brackets.
        let all = head.matches('[').count() as f64;
        (all, all)
    } else if head.contains("inactive") {
        (0.0, 0.0)
    } else {
        let inside = |w: &'_ str| Some(w.strip_prefix('[')?.strip_suffix(']')?.to_owned());
        let brackets: Vec<String> = line.split_whitespace().filter_map(inside).collect();
        let pair = brackets.iter().find_map(|w| {
            let (all, up) = w.split_once('/')?;
            Some((read::whole(all)?, read::whole(up)?))
        });
        // A letter per disk follows.
        let letters = |w: &String| !w.is_empty() && w.bytes().all(|b| b == b'U' || b == b'_');
        pair.filter(|_| brackets.iter().any(letters))
            .ok_or_else(wrong)?
    };
    Ok(Device {
        required,
        active,
        blocks,
        synced: blocks,
        ..Device::default()
    })
}

/// `[>....]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec`
fn progress(d: &mut Device<'_>, line: &str) -> Result<(), String> {
    let Some(work) = ["recovery", "reshape", "check", "resync"]
        .into_iter()
        .find(|w| line.contains(w))
    else {
        return Ok(());
    };
    d.state = match work {
        "recovery" => "recovering",
        "reshape" => "reshaping",
        w => w,
    };
    d.synced = if line.contains("PENDING") || line.contains("DELAYED") {
        0.0
    } else {
        let done = line.split_whitespace().find_map(|w| {
            let (done, all) = w.strip_prefix('(')?.strip_suffix(')')?.split_once('/')?;
            read::whole(all)?;
            read::whole(done)
        });
        done.ok_or_else(|| format!("{line:?} does not tell how much is done"))?
    };
    Ok(())
}
