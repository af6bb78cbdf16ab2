//! Counters of the network protocols, from `/proc/net/{netstat,snmp,snmp6}`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

use regex::Regex;

use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const FIELDS: Flag = Flag::text(
    "collector.netstat.fields",
    "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
    "Fields to show, as a regular expression",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("netstat", &[FIELDS], build).whole();

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
            let path = r.proc(file);
            let text = read::text(&path)?;
            let mut rows = read::rows(&text);
            // Two lines per protocol: names, values.
            while let Some(names) = rows.next() {
                let values = rows.next().unwrap_or_default();
                let protocol = names.first().map_or("", |n| n.trim_end_matches(':'));
                if names.len() != values.len() {
                    let why = format_args!("{protocol} has not as many values as names");
                    return Err(Problem::format(&path, why));
                }
                for (name, value) in names.iter().zip(&values).skip(1) {
                    self.emit(&path, (protocol, name), value, out)?;
                }
            }
        }
        // No IPv6, no file.
        let path = r.proc("net/snmp6");
        let text = match read::text(&path) {
            Err(p) if p.is_absent() => return Ok(()),
            t => t?,
        };
        for row in read::rows(&text) {
            if let [name, value, ..] = row.as_slice()
                && let Some(six) = name.find('6')
            {
                let (protocol, field) = name.split_at(six + 1);
                self.emit(&path, (protocol, field), value, out)?;
            }
        }
        Ok(())
    }

    fn emit(
        &self,
        path: &Path,
        (protocol, name): (&str, &str),
        value: &str,
        out: &mut Sink,
    ) -> Outcome {
        let v = read::parse(value).ok_or_else(|| {
            Problem::format(
                path,
                format_args!("{protocol} {name} {value:?} is no number"),
            )
        })?;
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
        if shown {
            let family = out.family(
                format!("node_netstat_{key}"),
                format!("Statistic {protocol}{name}."),
                Kind::Untyped,
            );
            out.add(family, &[], v);
        }
        Ok(())
    }
}
