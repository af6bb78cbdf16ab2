//! bcachefs file systems, from `/sys/fs/bcachefs`.

use std::path::Path;

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("bcachefs", collect);

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let folder = r.sys("fs/bcachefs");
    for uuid in read::names(&folder)? {
        let folder = folder.join(&uuid);
        let fs = ("uuid", uuid.as_str());
        out.gauge("node_bcachefs_info", "Filesystem information.", &[fs], 1.0);
        if let Some(v) = size(&read::word_or_empty(&folder.join("btree_cache_size"))) {
            out.gauge(
                "node_bcachefs_btree_cache_size_bytes",
                "Btree cache memory usage in bytes.",
                &[fs],
                v,
            );
        }
        compression(&folder, fs, out)?;
        errors(&folder, fs, out)?;
        counters(&folder.join("counters"), fs, out)?;
        btree_writes(&folder, fs, out)?;
        for (name, device) in read::numbered(&folder, "dev-")? {
            devices(&folder.join(name), &[("device", &device), fs], out)?;
        }
    }
    Ok(())
}

/// The file's text; empty when this kernel has no such file.
fn optional(path: &Path) -> Result<String, Problem> {
    match read::text(path) {
        Err(p) if p.is_absent() => Ok(String::new()),
        t => t,
    }
}

fn compression(folder: &Path, fs: (&str, &str), out: &mut Sink) -> Outcome {
    let text = optional(&folder.join("compression_stats"))?;
    for row in read::rows(&text).skip(1) {
        let [algorithm, compressed, uncompressed, ..] = row.as_slice() else {
            continue;
        };
        let labels = [("algorithm", *algorithm), fs];
        if let Some(v) = size(compressed) {
            out.gauge(
                "node_bcachefs_compression_compressed_bytes",
                "Compressed size by algorithm.",
                &labels,
                v,
            );
        }
        if let Some(v) = size(uncompressed) {
            out.gauge(
                "node_bcachefs_compression_uncompressed_bytes",
                "Uncompressed size by algorithm.",
                &labels,
                v,
            );
        }
    }
    Ok(())
}

fn errors(folder: &Path, fs: (&str, &str), out: &mut Sink) -> Outcome {
    for row in read::rows(&optional(&folder.join("errors"))?) {
        // Name, number, time of the last one.
        if let [name, n, ..] = row.as_slice()
            && let Some(v) = read::parse(n)
        {
            out.counter(
                "node_bcachefs_errors_total",
                "Error count by error type.",
                &[("error_type", name), fs],
                v,
            );
        }
    }
    Ok(())
}

fn counters(folder: &Path, fs: (&str, &str), out: &mut Sink) -> Outcome {
    let names = match read::names(folder) {
        Err(p) if p.is_absent() => return Ok(()),
        n => n?,
    };
    for name in names {
        let text = optional(&folder.join(&name))?;
        let total = text
            .lines()
            .find_map(|l| l.strip_prefix("since filesystem creation:"));
        if let Some(v) = total.and_then(|t| size(t.trim())) {
            out.counter(
                format!("node_bcachefs_{name}_total"),
                format!("Bcachefs counter {name} since filesystem creation."),
                &[fs],
                v,
            );
        }
    }
    Ok(())
}

fn btree_writes(folder: &Path, fs: (&str, &str), out: &mut Sink) -> Outcome {
    for row in read::rows(&optional(&folder.join("btree_write_stats"))?) {
        let [kind, n, average] = row.as_slice() else {
            continue;
        };
        let labels = [("type", kind.trim_end_matches(':')), fs];
        if let (Some(n), Some(average)) = (read::parse(n), size(average)) {
            out.counter(
                "node_bcachefs_btree_writes_total",
                "Number of btree writes by type.",
                &labels,
                n,
            );
            out.gauge(
                "node_bcachefs_btree_write_average_size_bytes",
                "Average btree write size by type.",
                &labels,
                average,
            );
        }
    }
    Ok(())
}

fn devices(folder: &Path, labels: &[(&str, &str); 2], out: &mut Sink) -> Outcome {
    let [device, fs] = *labels;
    let fact = |file: &str| read::word_or_empty(&folder.join(file));
    out.gauge(
        "node_bcachefs_device_info",
        "Device information.",
        &[
            device,
            fs,
            ("label", &fact("label")),
            ("state", &fact("state")),
        ],
        1.0,
    );
    for (file, name, help) in [
        (
            "bucket_size",
            "node_bcachefs_device_bucket_size_bytes",
            "Bucket size in bytes.",
        ),
        (
            "nbuckets",
            "node_bcachefs_device_buckets",
            "Total number of buckets.",
        ),
        (
            "durability",
            "node_bcachefs_device_durability",
            "Device durability setting.",
        ),
    ] {
        if let Some(v) = size(&fact(file)) {
            out.gauge(name, help, labels, v);
        }
    }
    let mut operation = String::new();
    for line in optional(&folder.join("io_done"))?.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        if value.trim().is_empty() {
            key.trim().clone_into(&mut operation);
        } else if let Some(v) = read::parse(value.trim()) {
            let labels = [
                ("data_type", key.trim()),
                ("operation", &operation),
                device,
                fs,
            ];
            out.counter(
                "node_bcachefs_device_io_done_bytes_total",
                "IO bytes by operation type and data type.",
                &labels,
                v,
            );
        }
    }
    let text = optional(&folder.join("io_errors"))?;
    // The second half counts since somebody reset it.
    let since = text
        .lines()
        .skip_while(|l| !l.contains("filesystem creation"));
    for line in since.skip(1).take_while(|l| l.starts_with(' ')) {
        if let Some((kind, n)) = line.split_once(':')
            && let Some(v) = read::parse(n.trim())
        {
            let labels = [("type", kind.trim()), device, fs];
            out.counter(
                "node_bcachefs_device_io_errors_total",
                "IO errors by error type.",
                &labels,
                v,
            );
        }
    }
    Ok(())
}

/// `28.2k`, `2.05G`, `720`: whole bytes.
fn size(text: &str) -> Option<f64> {
    let unit = text.chars().last()?;
    let Some(power) = "kMGTPE".find(unit) else {
        return read::parse(text);
    };
    let number: f64 = text.get(..text.len() - 1)?.parse().ok()?;
    Some((number * 1024f64.powi(i32::try_from(power).ok()? + 1)).trunc())
}
