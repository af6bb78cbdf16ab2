//! RFC 5424: `<PRI>1 TIME HOST APP PROC MSGID [SD] MSG`.

use super::{Message, SyslogError, priority};

/// Longest values of the header, as the RFC bounds them.
const HOSTNAME_MAX: usize = 255;
const APP_NAME_MAX: usize = 48;
const PROC_ID_MAX: usize = 128;
const MSG_ID_MAX: usize = 32;
/// Longest id or name of structured data.
const NAME_MAX: usize = 32;

struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, what: &'static str) -> SyslogError {
        SyslogError::Malformed { what, at: self.at }
    }

    /// One word and the space behind it; `-` is none.
    fn word(&mut self, max: usize, what: &'static str) -> Result<Option<&'t str>, SyslogError> {
        let rest = self.rest();
        let end = rest.find(' ').unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        if word.is_empty() || word.len() > max || !word.bytes().all(|b| (33..=126).contains(&b)) {
            return Err(self.wrong(what));
        }
        self.at += end;
        if !self.take(' ') {
            return Err(self.wrong("expecting a space and more of the header"));
        }
        Ok((word != "-").then_some(word))
    }

    fn take(&mut self, c: char) -> bool {
        let there = self.rest().starts_with(c);
        self.at += if there { c.len_utf8() } else { 0 };
        there
    }

    /// A name of structured data.
    fn name(&mut self, what: &'static str) -> Result<&'t str, SyslogError> {
        let rest = self.rest();
        let stop = |c: char| matches!(c, '=' | ' ' | ']' | '"') || !c.is_ascii_graphic();
        let end = rest.find(stop).unwrap_or(rest.len());
        if end == 0 || end > NAME_MAX {
            return Err(self.wrong(what));
        }
        self.at += end;
        Ok(rest.get(..end).unwrap_or_default())
    }

    /// A quoted value; `\"`, `\\` and `\]` stand for the second character.
    fn value(&mut self) -> Result<String, SyslogError> {
        if !self.take('"') {
            return Err(self.wrong("expecting a quoted value"));
        }
        let mut out = String::new();
        let mut chars = self.rest().char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 1;
                    return Ok(out);
                }
                '\\' => match chars.peek() {
                    Some((_, n @ ('"' | '\\' | ']'))) => {
                        out.push(*n);
                        chars.next();
                    }
                    _ => out.push('\\'),
                },
                ']' => break,
                c => out.push(c),
            }
        }
        Err(self.wrong("expecting the end of a quoted value"))
    }

    /// `-`, or elements in brackets.
    fn data(&mut self) -> Result<Vec<(&'t str, &'t str, String)>, SyslogError> {
        let mut out = Vec::new();
        if self.take('-') {
            return Ok(out);
        }
        let what = "expecting structured data: - or elements in brackets";
        if !self.rest().starts_with('[') {
            return Err(self.wrong(what));
        }
        while self.take('[') {
            let id = self.name(what)?;
            while self.take(' ') {
                let name = self.name("expecting the name of a parameter")?;
                if !self.take('=') {
                    return Err(self.wrong("expecting an equals sign"));
                }
                let value = self.value()?;
                out.push((id, name, value));
            }
            if !self.take(']') {
                return Err(self.wrong("expecting a closing bracket"));
            }
        }
        Ok(out)
    }
}

pub(super) fn parse(text: &str) -> Result<Message<'_>, SyslogError> {
    let (priority, at) = priority(text)?;
    let mut c = Cursor { text, at };
    let what = "expecting a version from 1 to 999";
    let version = c.word(3, what)?.and_then(|v| v.parse::<u16>().ok());
    if version.is_none_or(|v| v == 0) {
        return Err(SyslogError::Malformed { what, at });
    }
    let at = c.at;
    let what = "expecting a time as RFC 3339 writes it, or -";
    let time_ns = match c.word(64, what)? {
        None => None,
        Some(t) => {
            let read = t
                .parse::<jiff::Timestamp>()
                .ok()
                .filter(|_| t.contains('T'));
            let ns = read.and_then(|t| i64::try_from(t.as_nanosecond()).ok());
            Some(ns.ok_or(SyslogError::Malformed { what, at })?)
        }
    };
    let hostname = c.word(
        HOSTNAME_MAX,
        "expecting a hostname of at most 255 characters, or -",
    )?;
    let app_name = c.word(
        APP_NAME_MAX,
        "expecting a name of at most 48 characters, or -",
    )?;
    let proc_id = c.word(
        PROC_ID_MAX,
        "expecting a process of at most 128 characters, or -",
    )?;
    let msg_id = c.word(
        MSG_ID_MAX,
        "expecting a message id of at most 32 characters, or -",
    )?;
    let data = c.data()?;
    let message = match c.rest() {
        "" => None,
        rest => match rest.strip_prefix(' ') {
            Some(m) => Some(m).filter(|m| !m.is_empty()),
            None => return Err(c.wrong("expecting a space and the message")),
        },
    };
    Ok(Message {
        priority,
        time_ns,
        hostname,
        app_name,
        proc_id,
        msg_id,
        data,
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        let m = parse("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed for lonvick on /dev/pts/8").unwrap();
        assert_eq!((m.severity(), m.facility()), ("critical", "auth"));
        assert_eq!(m.time_ns, Some(1_065_910_455_003_000_000));
        assert_eq!(
            (m.app_name, m.proc_id, m.msg_id),
            (Some("su"), None, Some("ID47"))
        );
        assert_eq!(
            m.message,
            Some("'su root' failed for lonvick on /dev/pts/8")
        );
        let m =
            parse("<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time")
                .unwrap();
        assert_eq!(m.time_ns, Some(1_061_727_255_000_003_000));
        assert_eq!(m.proc_id, Some("8710"));
        let m = parse(r#"<165>1 - - - - - [a@1 x="1" y="\]"][b@2] text"#).unwrap();
        let data: Vec<_> = m
            .data
            .iter()
            .map(|(i, n, v)| (*i, *n, v.as_str()))
            .collect();
        assert_eq!(data, [("a@1", "x", "1"), ("a@1", "y", "]")]);
        assert_eq!(
            (m.time_ns, m.hostname, m.message),
            (None, None, Some("text"))
        );
        assert_eq!(parse("<1>1 - - - - - -").unwrap().message, None);
    }

    #[test]
    fn what_is_no_message_says_where() {
        for (text, at) in [
            ("hello", 0),
            ("<1>0 - - - - - -", 3),
            ("<1>1 yesterday - - - - -", 5),
            ("<1>1 - - - - -", 13),
            ("<1>1 - - - - - x", 15),
            ("<1>1 - - - - - [a b]", 18),
            ("<1>1 - - - - - [a b=\"c]", 20),
            ("<1>1 - - - - - -x", 16),
        ] {
            match parse(text) {
                Err(SyslogError::Malformed { at: seen, .. }) => {
                    assert!(seen.abs_diff(at) <= 1, "{text}: {seen}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
