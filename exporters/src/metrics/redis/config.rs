//! The configuration of a server, from `CONFIG GET`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use super::resp::Reply;
use super::{Named, Options};

/// Settings that are secrets.
const SECRETS: [&str; 4] = [
    "masterauth",
    "requirepass",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
];
/// Settings that are shown in any case.
const SHOWN: [&str; 4] = ["io-threads", "maxclients", "maxmemory", "repl-backlog-size"];
/// Most databases that are looked at.
const DATABASES_MAX: usize = 4096;

/// Settings by name.
pub(super) struct Config(BTreeMap<String, String>);

impl Config {
    /// Reads the reply.
    pub(super) fn new(reply: &Reply) -> Self {
        let pairs = reply.list().chunks_exact(2);
        let all = pairs.filter_map(|p| match p {
            [name, value] => Some((name.text()?, value.text()?)),
            _ => None,
        });
        Self(all.collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// How many databases there are; none when it is not told.
    pub(super) fn databases(&self) -> Option<usize> {
        let n: usize = self.get("databases").parse().ok()?;
        Some(n.min(DATABASES_MAX)).filter(|n| *n > 0)
    }

    /// Shows the settings.
    pub(super) fn emit(&self, options: &Options, out: &mut Named<'_>) {
        for (key, value) in &self.0 {
            let number = value.parse::<f64>().ok();
            if let Some(n) = number.filter(|_| SHOWN.contains(&key.as_str())) {
                let name = format!("config_{}", key.replace('-', "_"));
                out.gauge(&name, &format!("{name} metric"), &[], n);
            }
            let hidden = options.redact_config && SECRETS.contains(&key.as_str());
            if !options.config_metrics || hidden {
                continue;
            }
            out.gauge(
                "config_key_value",
                "Config key and value",
                &[("key", key), ("value", value)],
                1.0,
            );
            if let Some(n) = number {
                let help = "Config key and value as metric";
                out.gauge("config_value", help, &[("key", key)], n);
            }
        }
        self.buffers(out);
        if options.rdb_size {
            self.rdb(out);
        }
    }

    /// `normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60`
    fn buffers(&self, out: &mut Named<'_>) {
        let words: Vec<&str> = self.get("client-output-buffer-limit").split(' ').collect();
        for class in words.chunks_exact(4) {
            let [class, hard, soft, seconds] = class else {
                continue;
            };
            let bytes = (
                "config_client_output_buffer_limit_bytes",
                "The configured buffer limits per class",
            );
            let time = (
                "config_client_output_buffer_limit_overcome_seconds",
                "How long for buffer limits per class to be exceeded before replicas are dropped",
            );
            for ((name, help), limit, value) in [
                (bytes, "hard", hard),
                (bytes, "soft", soft),
                (time, "soft", seconds),
            ] {
                if let Ok(v) = value.parse() {
                    out.gauge(name, help, &[("class", class), ("limit", limit)], v);
                }
            }
        }
    }

    /// The size of the dump, if the server's files are ours to see.
    fn rdb(&self, out: &mut Named<'_>) {
        let (folder, name) = (self.get("dir"), self.get("dbfilename"));
        // A name, not a path.
        if folder.is_empty() || Path::new(name).file_name() != Some(name.as_ref()) {
            return;
        }
        let bytes = match std::fs::symlink_metadata(Path::new(folder).join(name)) {
            Ok(m) if m.is_file() => m.len() as f64,
            Err(e) if e.kind() == ErrorKind::NotFound => 0.0,
            _ => return,
        };
        let help = "Current RDB file size in bytes";
        out.gauge("rdb_current_size_bytes", help, &[], bytes);
    }
}
