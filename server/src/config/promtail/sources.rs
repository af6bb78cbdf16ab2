//! Sections of sources that are no files.

use super::ServerConfig;
use crate::config::fields::{Check, config};
use crate::config::prometheus::TlsConfig;
use crate::config::{LabelMap, PromDuration};

config! {
    /// A receiver of syslog messages.
    pub(crate) struct SyslogConfig("scrapeconfig.SyslogTargetConfig") {
        /// Address to listen on.
        listen_address: String => keep;
        /// `tcp` or `udp`.
        listen_protocol: String = "tcp".into() => keep;
        /// How long a connection may say nothing.
        idle_timeout: PromDuration = PromDuration::from_secs(120) => keep;
        /// Longest message, bytes.
        max_message_length: u32 = 8192 => keep;
        /// Structured data gives labels.
        label_structured_data: bool => keep;
        /// Labels of all messages.
        labels: LabelMap;
        /// The time is the message's, not that of its arrival.
        use_incoming_timestamp: bool => keep;
        /// The line is the whole message.
        use_rfc5424_message: bool => keep;
        /// `rfc5424` or `rfc3164`.
        syslog_format: String = "rfc5424".into() => keep;
        /// Certificate and key, and who may send.
        tls_config: TlsConfig;
    }
}
impl Check for SyslogConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.listen_address.is_empty() {
            return Err("syslog: listen_address is required".into());
        }
        let p = &self.listen_protocol;
        if p != "tcp" && p != "udp" {
            return Err(format!("syslog: listen_protocol {p:?} is none of tcp, udp"));
        }
        let f = &self.syslog_format;
        if f != "rfc5424" && f != "rfc3164" {
            return Err(format!(
                "syslog: syslog_format {f:?} is none of rfc5424, rfc3164"
            ));
        }
        let tls = &self.tls_config;
        if tls.cert_file.is_empty() != tls.key_file.is_empty() {
            return Err("syslog: tls_config needs both cert_file and key_file".into());
        }
        if !tls.ca_file.is_empty() && tls.cert_file.is_empty() {
            return Err("syslog: tls_config: ca_file needs cert_file and key_file".into());
        }
        if p == "udp" && !tls.cert_file.is_empty() {
            return Err("syslog: tls_config needs listen_protocol tcp".into());
        }
        if self.max_message_length == 0 {
            self.max_message_length = 8192;
        }
        if self.idle_timeout.is_zero() {
            self.idle_timeout = PromDuration::from_secs(120);
        }
        Ok(())
    }
}

config! {
    /// A receiver of pushes.
    pub(crate) struct PushApiConfig("scrapeconfig.PushTargetConfig") {
        /// Where it listens.
        server: ServerConfig;
        /// Labels of all entries.
        labels: LabelMap;
        /// The time is the entry's, not that of its arrival.
        use_incoming_timestamp: bool => keep;
        /// Largest body, bytes; 0 stands for 100 MiB, which is the most.
        max_send_msg_size: u64;
    }
}
impl Check for PushApiConfig {}

impl PushApiConfig {
    /// Largest body, bytes.
    pub(crate) fn body_max(&self) -> usize {
        let most = crate::config::limits::PUSH_BODY_BYTES_MAX;
        match usize::try_from(self.max_send_msg_size) {
            Ok(0) | Err(_) => most,
            Ok(n) => n.min(most),
        }
    }
}

config! {
    /// The systemd journal.
    pub(crate) struct JournalConfig("scrapeconfig.JournalTargetConfig") {
        /// Oldest entry at the first start.
        max_age: PromDuration = PromDuration::from_secs(7 * 3600) => keep;
        /// The line is all fields as JSON.
        json: bool => keep;
        /// Labels of all entries.
        labels: LabelMap;
        /// Folder of the journal; the machine's own without one.
        path: String;
        /// `FIELD=value`, several with spaces between.
        matches: String;
    }
}
impl Check for JournalConfig {
    fn check(&mut self) -> Result<(), String> {
        if let Some(bad) = self.matches.split_whitespace().find(|m| !m.contains('=')) {
            return Err(format!("journal: matches: {bad:?} is not FIELD=value"));
        }
        Ok(())
    }
}
