//! RFC 3164, which describes what senders did: `<PRI>Mmm dd hh:mm:ss HOST TAG[PID]: MSG`.
//!
//! Its time has neither year nor zone: it is UTC in the year that brings it nearest to now. Senders
//! that write RFC 3339 times are understood too.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Message, SyslogError, priority};

/// Length of `Mmm dd hh:mm:ss`.
const TIME_LEN: usize = 15;
/// A time further ahead than this belongs to the year before.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(24 * 31);

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

fn in_year(text: &str, year: i16) -> Option<Timestamp> {
    let (month, rest) = text.split_once(' ')?;
    let month = MONTHS.iter().position(|m| *m == month)?;
    let (day, time) = rest.trim_start().split_once(' ')?;
    let mut parts = time.split(':').map(|p| p.parse::<i8>().ok());
    let (h, m, s) = (parts.next()??, parts.next()??, parts.next()??);
    let month = i8::try_from(month + 1).ok()?;
    let at = DateTime::new(year, month, day.parse().ok()?, h, m, s, 0).ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The time at the start of `text`, and where it ends.
fn time(text: &str, now_ns: i64) -> Option<(i64, usize)> {
    let ns = |t: Timestamp| i64::try_from(t.as_nanosecond()).ok();
    if let Some(head) = text
        .get(..TIME_LEN)
        .filter(|h| h.as_bytes().get(3) == Some(&b' '))
    {
        let now = Timestamp::from_nanosecond(i128::from(now_ns)).ok()?;
        let year = now.to_zoned(TimeZone::UTC).year();
        let near = |t: &Timestamp| t.duration_since(now) <= AHEAD_MAX;
        let this = in_year(head, year).filter(near);
        let t = this.or_else(|| in_year(head, year - 1))?;
        // The first days of a year that this machine has not reached yet.
        let next = in_year(head, year + 1)
            .filter(|n| n.duration_since(now).abs() < t.duration_since(now).abs());
        return Some((ns(next.unwrap_or(t))?, TIME_LEN));
    }
    let end = text.find(' ')?;
    let word = text.get(..end).filter(|w| w.contains('T'))?;
    Some((ns(word.parse().ok()?)?, end))
}

pub(super) fn parse(text: &str, now_ns: i64) -> Result<Message<'_>, SyslogError> {
    let (priority, at) = priority(text)?;
    let rest = text.get(at..).unwrap_or_default();
    let (time_ns, len) = time(rest, now_ns).ok_or(SyslogError::Malformed {
        what: "expecting a time like Oct 11 22:14:15",
        at,
    })?;
    let mut m = Message {
        priority,
        time_ns: Some(time_ns),
        ..Message::default()
    };
    let rest = rest.get(len..).unwrap_or_default();
    let rest = rest.strip_prefix(' ').ok_or(SyslogError::Malformed {
        what: "expecting a space and the hostname",
        at: at + len,
    })?;
    let (host, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    // A sender that leaves its name out begins with the tag.
    let rest = if host.ends_with(':') || host.contains('[') {
        text.get(at + len + 1..).unwrap_or_default()
    } else {
        m.hostname = Some(host).filter(|h| !h.is_empty());
        rest
    };
    let message = match rest.find([':', '[', ' ']) {
        Some(end) if end > 0 && !rest[end..].starts_with(' ') => {
            let after = &rest[end..];
            let (proc_id, after) = match after.strip_prefix('[').and_then(|a| a.split_once(']')) {
                Some((p, a)) => (Some(p).filter(|p| !p.is_empty()), a),
                None => (None, after),
            };
            match after.strip_prefix(':') {
                Some(text) => {
                    (m.app_name, m.proc_id) = (rest.get(..end), proc_id);
                    text.strip_prefix(' ').unwrap_or(text)
                }
                None => rest,
            }
        }
        _ => rest,
    };
    m.message = Some(message).filter(|m| !m.is_empty());
    Ok(m)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000_000;

    #[test]
    fn the_examples_of_the_rfc() {
        // 2024-11-01
        let now = 1_730_419_200_000_000_000;
        let m = parse("<34>Oct 11 22:14:15 mymachine su: 'su root' failed", now).unwrap();
        assert_eq!(
            (m.hostname, m.app_name, m.proc_id),
            (Some("mymachine"), Some("su"), None)
        );
        assert_eq!(m.message, Some("'su root' failed"));
        assert_eq!(m.time_ns, Some(1_728_684_855_000_000_000));
        let m = parse("<13>Feb  5 17:32:18 10.0.0.99 cron[42]: done: [ok]", now).unwrap();
        assert_eq!((m.app_name, m.proc_id), (Some("cron"), Some("42")));
        assert_eq!(m.message, Some("done: [ok]"));
        let m = parse("<13>Feb  5 17:32:18 host Use the BFG!", now).unwrap();
        assert_eq!((m.app_name, m.message), (None, Some("Use the BFG!")));
        let m = parse("<13>Feb  5 17:32:18 sshd[1]: in", now).unwrap();
        assert_eq!(
            (m.hostname, m.app_name, m.message),
            (None, Some("sshd"), Some("in"))
        );
        let m = parse("<13>2024-10-11T22:14:15Z host app: x", now).unwrap();
        assert_eq!(m.time_ns, Some(1_728_684_855_000_000_000));
        assert!(parse("<13>host app: x", now).is_err());
        assert!(parse("<13>Foo 11 22:14:15 h a: b", now).is_err());
        assert!(parse("<13>Feb 31 22:14:15 h a: b", now).is_err());
    }

    #[test]
    fn a_year_is_the_nearest() {
        // 2025-01-01
        let new_year = 1_735_689_600_000_000_000;
        let at = |text: &str, now| parse(text, now).unwrap().time_ns.unwrap();
        assert_eq!(at("<1>Dec 31 00:00:00 h a: b", new_year), new_year - DAY);
        assert_eq!(at("<1>Jan  1 00:00:00 h a: b", new_year - DAY), new_year);
    }
}
