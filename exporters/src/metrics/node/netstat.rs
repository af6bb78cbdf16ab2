//! Counters of the network protocols, from `/proc/net/{netstat,snmp,snmp6}`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use regex::Regex;

use super::read::{self, Outcome, Roots};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const FIELDS: Flag = Flag::text(
    "collector.netstat.fields",
    "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
    "Fields to show, as a regular expression",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("netstat", &[FIELDS], build);

struct Netstat {
    fields: Option<Regex>,
    /// Fields that were asked for before: there are some hundred of them, always the same.
    known: Mutex<HashMap<String, bool>>,
}

/// More fields than any kernel has.
const KNOWN_MAX: usize = 4096;

fn build(s: &Settings) -> Result<Run, String> {
    let n = Netstat {
        fields: s.pattern(&FIELDS)?,
        known: Mutex::default(),
    };
    Ok(Box::new(move |r, out| n.collect(r, out)))
}

impl Netstat {
    fn collect(&self, r: &Roots, out: &mut Sink) -> Outcome {
        for file in ["net/netstat", "net/snmp"] {
            let text = read::text(&r.proc(file))?;
            let mut lines = text.lines();
            // Two lines per protocol: names, values.
            while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
                let (mut names, mut values) = (names.split_whitespace(), values.split_whitespace());
                let protocol = names.next().unwrap_or("").trim_end_matches(':');
                values.next();
                for (name, value) in names.zip(values) {
                    self.emit(protocol, name, value, out);
                }
            }
        }
        // No IPv6, no file.
        let text = match read::text(&r.proc("net/snmp6")) {
            Err(p) if p.is_absent() => return Ok(()),
            t => t?,
        };
        for row in read::rows(&text) {
            if let [name, value] = row.as_slice()
                && let Some(six) = name.find('6')
            {
                let (protocol, field) = name.split_at(six + 1);
                self.emit(protocol, field, value, out);
            }
        }
        Ok(())
    }

    fn emit(&self, protocol: &str, name: &str, value: &str, out: &mut Sink) {
        let key = format!("{protocol}_{name}");
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = match known.get(&key) {
            Some(shown) => *shown,
            None => {
                let shown = self.fields.as_ref().is_none_or(|f| f.is_match(&key));
                if known.len() < KNOWN_MAX {
                    known.insert(key.clone(), shown);
                }
                shown
            }
        };
        if let (true, Some(v)) = (shown, read::parse(value)) {
            let family = out.family(
                format!("node_netstat_{key}"),
                format!("Statistic {protocol}{name}."),
                Kind::Untyped,
            );
            out.add(family, &[], v);
        }
    }
}
