//! Messages of syslog senders: RFC 5424 and RFC 3164, and how they are told apart in a stream.
//!
//! Owns: framing, the two formats, the names of severities and facilities, labels of a message.
//! Knows nothing of: sockets, TLS, what becomes of a message.
//!
//! Invariants
//! - SYL1  A sender costs bounded memory: a frame longer than allowed is never held as a whole.
//! - SYL2  What is no message is an error with its reason; the stream goes on behind it where its
//!   end can be found.
//!
//! Read next: `frame.rs`, `rfc5424.rs`, `rfc3164.rs`.

mod frame;
mod rfc3164;
mod rfc5424;

use super::entry::LabelSet;

pub use frame::{Frames, Framing};

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyslogError {
    /// The stream goes on behind it: count it.
    #[error("{what} at byte {at} of the message")]
    Malformed {
        /// What was expected there.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// The stream goes on behind it: count it.
    #[error("message of more than {max} bytes")]
    TooLong {
        /// The longest allowed.
        max: usize,
    },
    /// Where the next message begins is not known: end the connection.
    #[error("{0}")]
    OutOfStep(String),
}

/// Which format senders use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// RFC 5424.
    #[default]
    Rfc5424,
    /// RFC 3164, which has no year, no zone and no structured data.
    Rfc3164,
}

/// A message. What the sender left out is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message<'t> {
    /// Facility times 8 plus severity.
    pub priority: u8,
    /// Its time in ns since 1970.
    pub time_ns: Option<i64>,
    /// Machine.
    pub hostname: Option<&'t str>,
    /// Program.
    pub app_name: Option<&'t str>,
    /// Process.
    pub proc_id: Option<&'t str>,
    /// Kind of message.
    pub msg_id: Option<&'t str>,
    /// Structured data: id, name, value.
    pub data: Vec<(&'t str, &'t str, String)>,
    /// The text.
    pub message: Option<&'t str>,
}

const SEVERITIES: [&str; 8] = [
    "emergency",
    "alert",
    "critical",
    "error",
    "warning",
    "notice",
    "informational",
    "debug",
];

const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];

/// Largest priority: the last facility with the last severity.
const PRIORITY_MAX: u16 = 191;

impl<'t> Message<'t> {
    /// Reads one message. `now_ns` gives RFC 3164 its year.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn parse(text: &'t str, format: Format, now_ns: i64) -> Result<Self, SyslogError> {
        match format {
            Format::Rfc5424 => rfc5424::parse(text),
            Format::Rfc3164 => rfc3164::parse(text, now_ns),
        }
    }

    /// Name of the severity.
    #[must_use]
    pub fn severity(&self) -> &'static str {
        SEVERITIES[usize::from(self.priority & 7)]
    }

    /// Name of the facility.
    #[must_use]
    pub fn facility(&self) -> &'static str {
        FACILITIES
            .get(usize::from(self.priority >> 3))
            .copied()
            .unwrap_or("unknown")
    }

    /// The labels that rules may use: `__syslog_message_*`, with `structured` those of the data
    /// too.
    pub fn put_labels(&self, structured: bool, out: &mut LabelSet) {
        let fixed = [
            ("severity", Some(self.severity())),
            ("facility", Some(self.facility())),
            ("hostname", self.hostname),
            ("app_name", self.app_name),
            ("proc_id", self.proc_id),
            ("msg_id", self.msg_id),
        ];
        for (name, value) in fixed {
            if let Some(v) = value {
                out.insert(format!("__syslog_message_{name}"), v.to_owned());
            }
        }
        for (id, name, value) in self.data.iter().filter(|_| structured) {
            let plain = |t: &str| t.replace(['@', '.', '-'], "_");
            let label = format!("__syslog_message_sd_{}_{}", plain(id), plain(name));
            out.insert(label, value.clone());
        }
    }
}

/// Reads `<PRI>`; gives it and where it ends.
fn priority(text: &str) -> Result<(u8, usize), SyslogError> {
    let wrong = |at| SyslogError::Malformed {
        what: "expecting a priority value within angle brackets",
        at,
    };
    let inner = text.strip_prefix('<').ok_or_else(|| wrong(0))?;
    let end = inner
        .find('>')
        .filter(|n| (1..=3).contains(n))
        .ok_or_else(|| wrong(1))?;
    let digits = inner.get(..end).unwrap_or_default();
    let number = digits.parse::<u16>().ok().filter(|n| *n <= PRIORITY_MAX);
    let number = number.filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    let number = number.and_then(|n| u8::try_from(n).ok());
    Ok((number.ok_or_else(|| wrong(1))?, end + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_and_facilities_have_names() {
        for (priority, severity, facility) in [
            (0, "emergency", "kern"),
            (165, "notice", "local4"),
            (191, "debug", "local7"),
            (78, "informational", "cron"),
        ] {
            let m = Message {
                priority,
                ..Message::default()
            };
            assert_eq!((m.severity(), m.facility()), (severity, facility));
        }
        for bad in ["", "<>", "<192>", "<+1>", "<1234>", "1>", "<a>"] {
            assert!(priority(bad).is_err(), "{bad}");
        }
        assert_eq!(priority("<34>x"), Ok((34, 4)));
    }

    #[test]
    fn labels_of_a_message() {
        let text = r#"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" event.Source="A\"B"] An event"#;
        let m = Message::parse(text, Format::Rfc5424, 0).unwrap();
        let mut labels = LabelSet::new();
        m.put_labels(true, &mut labels);
        let all: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            all,
            [
                "__syslog_message_app_name=evntslog",
                "__syslog_message_facility=local4",
                "__syslog_message_hostname=mymachine.example.com",
                "__syslog_message_msg_id=ID47",
                "__syslog_message_sd_exampleSDID_32473_event_Source=A\"B",
                "__syslog_message_sd_exampleSDID_32473_iut=3",
                "__syslog_message_severity=notice",
            ]
        );
    }
}
