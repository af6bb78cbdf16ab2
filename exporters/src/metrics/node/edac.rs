//! Errors that the memory controllers corrected or could not, from sysfs.

use std::path::Path;

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("edac", collect);

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("devices/system/edac/mc");
    for (name, controller) in read::numbered(&folder, "mc")? {
        if controller.is_empty() || !controller.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let folder = folder.join(name);
        let mc = ("controller", controller.as_str());
        count(
            &folder,
            "ce_count",
            out,
            (
                "node_edac_correctable_errors_total",
                "Total correctable memory errors.",
                Kind::Counter,
            ),
            &[mc],
        )?;
        count(
            &folder,
            "ue_count",
            out,
            (
                "node_edac_uncorrectable_errors_total",
                "Total uncorrectable memory errors.",
                Kind::Counter,
            ),
            &[mc],
        )?;
        // Errors of no known row.
        let labels = [mc, ("csrow", "unknown")];
        let (corrected, uncorrected) = (
            (
                "node_edac_csrow_correctable_errors_total",
                "Total correctable memory errors for this csrow.",
                Kind::Counter,
            ),
            (
                "node_edac_csrow_uncorrectable_errors_total",
                "Total uncorrectable memory errors for this csrow.",
                Kind::Counter,
            ),
        );
        count(&folder, "ce_noinfo_count", out, corrected, &labels)?;
        count(&folder, "ue_noinfo_count", out, uncorrected, &labels)?;
        for (name, csrow) in read::numbered(&folder, "csrow")? {
            let folder = folder.join(name);
            let labels = [mc, ("csrow", csrow.as_str())];
            count(&folder, "ce_count", out, corrected, &labels)?;
            count(&folder, "ue_count", out, uncorrected, &labels)?;
            channels(&folder, &labels, out)?;
        }
    }
    Ok(())
}

fn channels(folder: &Path, row: &[(&str, &str); 2], out: &mut Sink) -> Outcome {
    let [mc, csrow] = *row;
    for (file, rest) in read::numbered(folder, "ch")? {
        let Some(channel) = rest.strip_suffix("_dimm_label") else {
            continue;
        };
        let label = dimm(&read::word(&folder.join(file))?);
        let labels = [mc, csrow, ("channel", channel), ("dimm_label", &label)];
        for (file, family) in [
            (
                "ce",
                (
                    "node_edac_channel_correctable_errors_total",
                    "Total correctable memory errors for this channel.",
                    Kind::Counter,
                ),
            ),
            (
                "ue",
                (
                    "node_edac_channel_uncorrectable_errors_total",
                    "Total uncorrectable memory errors for this channel.",
                    Kind::Counter,
                ),
            ),
        ] {
            // Not every controller tells both.
            match count(
                folder,
                &format!("ch{channel}_{file}_count"),
                out,
                family,
                &labels,
            ) {
                Err(Problem::Absent(_)) => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// Labels that nobody has set say where the module is, and are written with underscores.
fn dimm(label: &str) -> String {
    let place = label.replace('#', "");
    let parts = ["csrow", "channel"];
    if !place.starts_with("mc") || !parts.iter().all(|p| place.contains(p)) || place.contains('_') {
        return label.to_owned();
    }
    parts
        .iter()
        .fold(place, |t, p| t.replace(p, &format!("_{p}")))
}

fn count(
    folder: &Path,
    file: &str,
    out: &mut Sink,
    (name, help, kind): (&'static str, &'static str, Kind),
    labels: &[(&str, &str)],
) -> Outcome {
    let n = read::number(&folder.join(file))?;
    let family = out.family(name, help, kind);
    out.add(family, labels, n);
    Ok(())
}
