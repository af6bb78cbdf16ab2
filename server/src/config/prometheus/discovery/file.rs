//! `file_sd_configs`.

use crate::config::PromDuration;
use crate::config::fields::{Check, config};

config! {
    /// Targets from JSON or YAML files that are read again when they change.
    pub(crate) struct FileSdConfig("file.SDConfig") {
        /// Paths; the last segment may hold `*`.
        files: Vec<String> => keep;
        /// How often they are read without a change being noticed.
        refresh_interval: PromDuration = PromDuration::from_secs(300);
    }
}

impl Check for FileSdConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.files.is_empty() {
            return Err("file service discovery config must contain at least one path name".into());
        }
        for path in &self.files {
            let known = [".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"];
            let directory = path.rsplit_once('/').map_or("", |(d, _)| d);
            if !known.iter().any(|e| path.ends_with(e)) || directory.contains('*') {
                return Err(format!(
                    "path name {path:?} is not valid for file discovery"
                ));
            }
        }
        Ok(())
    }
}
