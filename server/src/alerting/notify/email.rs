//! Mail: headers, parts, envelope (RFC 5322, 2045, 2047).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::smtp::{self, Login, Server};
use super::{Built, Failure, Message, Notifier, Sent, secret};
use crate::config::Secret;
use crate::config::alertmanager::EmailConfig;
use crate::config::prometheus::TlsConfig;
use crate::http::tls_client::client_config;

/// The port on which TLS begins with the first byte.
const SMTPS: u16 = 465;
/// Longest line of an encoded part, characters.
const LINE_CHARS_MAX: usize = 76;
/// Longest encoded word of a header, characters.
const WORD_CHARS_MAX: usize = 75;

struct Email {
    config: EmailConfig,
    server: Server,
}

/// The notifier of a section.
///
/// # Errors
/// When its TLS options or its port cannot be used.
pub(super) fn new(c: &EmailConfig) -> Built {
    let host = c.smarthost.host.clone();
    let port = match c.smarthost.port.as_str() {
        "smtp" => 25,
        "submission" => 587,
        "smtps" | "submissions" => SMTPS,
        n => n
            .parse()
            .map_err(|_| format!("smarthost: {n:?} is no port"))?,
    };
    let tls = c.tls_config.clone().unwrap_or_default();
    let server_name = if tls.server_name.is_empty() {
        &host
    } else {
        &tls.server_name
    };
    let server = Server {
        port,
        hello: if c.hello.is_empty() {
            "localhost".into()
        } else {
            c.hello.clone()
        },
        implicit_tls: c.force_implicit_tls.unwrap_or(port == SMTPS),
        require_tls: c.require_tls.unwrap_or(true),
        tls_name: server_name.clone(),
        tls: config(&tls)?,
        host,
    };
    let config = c.clone();
    Ok((Box::new(Email { config, server }), 0.0))
}

fn config(tls: &TlsConfig) -> Result<Arc<rustls::ClientConfig>, String> {
    client_config(tls)
}

impl Email {
    fn login(&self) -> Result<Login, Failure> {
        let c = &self.config;
        Ok(Login {
            identity: c.auth_identity.clone(),
            username: c.auth_username.clone(),
            password: Secret::new(secret(c.auth_password.expose(), &c.auth_password_file)?),
            secret: Secret::new(secret(c.auth_secret.expose(), &c.auth_secret_file)?),
        })
    }

    fn headers(&self, m: &Message) -> Result<String, Failure> {
        let c = &self.config;
        let mut all: Vec<(&str, String)> = Vec::new();
        for (name, own) in [
            ("Subject", "{{ template \"email.default.subject\" . }}"),
            ("To", c.to.as_str()),
            ("From", c.from.as_str()),
        ] {
            if !c.headers.0.contains_key(name) {
                all.push((name, m.text(own)?));
            }
        }
        for (name, own) in c.headers.iter() {
            all.push((name, m.text(own)?));
        }
        let own_id = c.headers.0.contains_key("Message-Id");
        if !own_id {
            let id = uuid::Uuid::new_v4().simple().to_string();
            all.push(("Message-Id", format!("<{id}@{}>", host_name())));
        }
        if c.threading.enabled {
            let date = match c.threading.thread_by_date.as_str() {
                "none" => String::new(),
                _ => m.now.strftime("%Y-%m-%d").to_string(),
            };
            let hash = m.group_hash();
            let hash = hash.get(..16).unwrap_or_default();
            let thread = format!("<alert-{hash}-{date}@alertmanager>");
            all.push(("References", thread.clone()));
            all.push(("In-Reply-To", thread));
        }
        let date = m.now.to_zoned(jiff::tz::TimeZone::system());
        all.push((
            "Date",
            date.strftime("%a, %d %b %Y %H:%M:%S %z").to_string(),
        ));
        let mut out = String::new();
        for (name, value) in all {
            out.push_str(&format!("{name}: {}\r\n", encoded_words(&value)));
        }
        Ok(out)
    }

    fn mail(&self, m: &Message) -> Result<String, Failure> {
        let c = &self.config;
        let boundary = uuid::Uuid::new_v4().simple().to_string();
        let mut out = self.headers(m)?;
        out.push_str(&format!(
            "Content-Type: multipart/alternative;  boundary={boundary}\r\nMIME-Version: 1.0\r\n\r\n"
        ));
        let mut part = |kind: &str, body: &str| {
            out.push_str(&format!(
                "--{boundary}\r\nContent-Transfer-Encoding: quoted-printable\r\n\
                 Content-Type: {kind}; charset=UTF-8\r\n\r\n{}\r\n",
                quoted_printable(body)
            ));
        };
        if !c.text.is_empty() {
            part("text/plain", &m.text(&c.text)?);
        }
        if !c.html.is_empty() {
            part("text/html", &m.html(&c.html)?);
        }
        out.push_str(&format!("--{boundary}--\r\n"));
        Ok(out)
    }
}

impl Notifier for Email {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let c = &self.config;
            let from = addresses(&m.text(&c.from)?).map_err(Failure::last)?;
            let [from] = from.as_slice() else {
                let text = format!("must be exactly one 'from' address (got: {})", from.len());
                return Err(Failure::last(text));
            };
            let to = addresses(&m.text(&c.to)?).map_err(Failure::last)?;
            let (mail, login) = (self.mail(m)?, self.login()?);
            smtp::send(&self.server, &login, (from, &to), mail.as_bytes()).await?;
            Ok(String::new())
        })
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".into(),
        name => name.to_owned(),
    }
}

/// The bare addresses of `Name <a@b>, c@d`.
///
/// # Errors
/// When a part is no address.
fn addresses(list: &str) -> Result<Vec<String>, String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut escaped, mut comment) = (false, false, 0u32);
    for c in list.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => comment += 1,
            ')' if !quoted && comment > 0 => {
                comment -= 1;
                continue;
            }
            ',' if !quoted && comment == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if comment == 0
            && let Some(p) = parts.last_mut()
        {
            p.push(c);
        }
    }
    let each = parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty());
    let each = each.map(|p| {
        let bare = match (p.rfind('<'), p.strip_suffix('>')) {
            (Some(open), Some(inner)) => inner.get(open + 1..).unwrap_or_default(),
            (None, None) => p,
            _ => "",
        };
        let bare = bare.trim();
        let fine = bare
            .split_once('@')
            .is_some_and(|(l, d)| !l.is_empty() && !d.is_empty())
            && !p.contains(char::is_control)
            && !bare.contains(|c: char| c.is_whitespace() || c.is_control() || "<>".contains(c));
        match fine {
            true => Ok(bare.to_owned()),
            false => Err(format!("parse addresses: {p:?} is no address")),
        }
    });
    let all: Vec<String> = each.collect::<Result<_, _>>()?;
    match all.is_empty() {
        true => Err("parse addresses: there is none".into()),
        false => Ok(all),
    }
}

/// A header's value: encoded words when it is not plain.
fn encoded_words(value: &str) -> String {
    let plain = |c: char| c == '\t' || (' '..='~').contains(&c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    const OPEN: &str = "=?utf-8?q?";
    const CLOSE: &str = "?=";
    let mut out = String::from(OPEN);
    let mut length = OPEN.len() + CLOSE.len();
    for c in value.chars() {
        let piece: String = match c {
            ' ' => "_".into(),
            '!'..='~' if !matches!(c, '=' | '?' | '_') => c.into(),
            c => {
                let mut bytes = [0; 4];
                let bytes = c.encode_utf8(&mut bytes).bytes();
                bytes.map(|b| format!("={b:02X}")).collect()
            }
        };
        if length + piece.len() > WORD_CHARS_MAX {
            out.push_str(&format!("{CLOSE}\r\n {OPEN}"));
            length = OPEN.len() + CLOSE.len();
        }
        length += piece.len();
        out.push_str(&piece);
    }
    out + CLOSE
}

/// Text as quoted-printable, lines ended by CR LF.
fn quoted_printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let lines: Vec<&str> = text.split('\n').collect();
    for (i, line) in lines.iter().enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let mut length = 0;
        let bytes = line.as_bytes();
        for (at, b) in bytes.iter().enumerate() {
            let last = at + 1 == bytes.len();
            let piece = match b {
                b' ' | b'\t' if !last => (*b as char).to_string(),
                b'!'..=b'~' if *b != b'=' => (*b as char).to_string(),
                b => format!("={b:02X}"),
            };
            if length + piece.len() >= LINE_CHARS_MAX {
                out.push_str("=\r\n");
                length = 0;
            }
            length += piece.len();
            out.push_str(&piece);
        }
        if i + 1 < lines.len() {
            out.push_str("\r\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_lists() {
        let list = "ops@x.y, Bob <bob@x.y>, \"A, B\" <ab@x.y> (both)";
        assert_eq!(addresses(list).unwrap(), ["ops@x.y", "bob@x.y", "ab@x.y"]);
        for bad in ["", "nobody", "a <b", "x y@z", "a@b\r\nRCPT TO:<c@d>"] {
            assert!(addresses(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_plain_is_encoded() {
        assert_eq!(encoded_words("plain [1]"), "plain [1]");
        assert_eq!(encoded_words("é a\nb"), "=?utf-8?q?=C3=A9_a=0Ab?=");
        let long = encoded_words(&"ü".repeat(40));
        assert!(long.split("\r\n ").all(|w| w.len() <= 75), "{long}");
        assert_eq!(
            quoted_printable("a=b \né\r\n.x"),
            "a=3Db=20\r\n=C3=A9\r\n.x"
        );
        let long = quoted_printable(&"x".repeat(200));
        assert!(long.split("\r\n").all(|l| l.len() <= 76));
    }
}
