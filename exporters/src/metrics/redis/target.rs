//! Where a Redis server is and who asks it.

use super::resp::Encrypt;

/// The place in an address: `redis://`, `rediss://`, `unix://`, or a bare `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `host:port`.
    Tcp {
        /// `host:port`.
        address: String,
        /// Whether the connection is encrypted.
        encrypted: bool,
    },
    /// A socket of the file system.
    Unix(String),
}

/// A server to ask.
#[derive(Clone)]
pub struct Target {
    /// Where it is.
    pub place: Place,
    /// The user; empty for the default one.
    pub user: String,
    /// The password; empty for none.
    pub password: String,
    /// What encrypts connections.
    pub encrypt: Option<Encrypt>,
    /// The name that its certificate is for; empty for its host.
    pub server_name: String,
}

/// Redis' port.
const PORT: &str = "6379";

impl Target {
    /// Reads an address.
    ///
    /// # Errors
    /// Says what is wrong with it; never repeats a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("redis", text));
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((c, r)) => (c, r),
            None => ("", rest),
        };
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let (user, password) = (unescape(user)?, unescape(password)?);
        let place = match scheme {
            "unix" => Place::Unix(rest.to_owned()),
            "redis" | "rediss" | "valkey" | "valkeys" => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (host, _) = rest.split_at(end);
                if host.is_empty() {
                    return Err("the address has no host".into());
                }
                Place::Tcp {
                    address: with_port(host)?,
                    encrypted: scheme.ends_with("ss") || scheme == "valkeys",
                }
            }
            other => {
                return Err(format!(
                    "scheme {other:?} is none of redis, rediss, valkey, valkeys, unix"
                ));
            }
        };
        Ok(Self {
            place,
            user,
            password,
            encrypt: None,
            server_name: String::new(),
        })
    }

    /// The same server at another address: another node of its cluster.
    pub(super) fn at(&self, node: &str) -> Self {
        let encrypted = matches!(
            &self.place,
            Place::Tcp {
                encrypted: true,
                ..
            }
        );
        Self {
            place: Place::Tcp {
                address: node.to_owned(),
                encrypted,
            },
            ..self.clone()
        }
    }

    /// The address without user and password, as it may be shown.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.place {
            Place::Unix(path) => format!("unix://{path}"),
            Place::Tcp { address, encrypted } => {
                let scheme = if *encrypted { "rediss" } else { "redis" };
                format!("{scheme}://{address}")
            }
        }
    }
}

fn with_port(host: &str) -> Result<String, String> {
    let after = host.rfind(']').unwrap_or(0);
    let tail = host.get(after..).unwrap_or("");
    match tail.rsplit_once(':') {
        None => Ok(format!("{host}:{PORT}")),
        Some((_, port)) if port.parse::<u16>().is_ok() => Ok(host.to_owned()),
        Some((_, port)) => Err(format!("port {port:?} is not a number up to 65535")),
    }
}

/// Decodes `%XX`.
pub(super) fn unescape(text: &str) -> Result<String, String> {
    let broken = || "credentials have a broken %-escape".to_owned();
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let mut digit = || {
            let b = bytes.next()?;
            char::from(b).to_digit(16)
        };
        let (high, low) = (digit().ok_or_else(broken)?, digit().ok_or_else(broken)?);
        out.push(u8::try_from(high * 16 + low).map_err(|_| broken())?);
    }
    String::from_utf8(out).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(address: &str, encrypted: bool) -> Place {
        Place::Tcp {
            address: address.into(),
            encrypted,
        }
    }

    #[test]
    fn addresses_are_read() {
        for (text, place, user, password) in [
            ("redis:6379", tcp("redis:6379", false), "", ""),
            ("localhost", tcp("localhost:6379", false), "", ""),
            ("redis://h", tcp("h:6379", false), "", ""),
            ("rediss://u:p%40ss@h:1/2", tcp("h:1", true), "u", "p@ss"),
            (
                "redis://:secret@[::1]:7",
                tcp("[::1]:7", false),
                "",
                "secret",
            ),
            ("redis://[::1]", tcp("[::1]:6379", false), "", ""),
            (
                "unix:///run/r.sock",
                Place::Unix("/run/r.sock".into()),
                "",
                "",
            ),
        ] {
            let t = Target::parse(text).expect(text);
            assert_eq!(
                (t.place, &*t.user, &*t.password),
                (place, user, password),
                "{text}"
            );
        }
    }

    #[test]
    fn wrong_addresses_are_told_without_secrets() {
        for bad in [
            "http://x",
            "redis://",
            "redis://h:99999",
            "redis://u:secret%z@h",
        ] {
            let e = Target::parse(bad).err().expect(bad);
            assert!(!e.contains("secret"), "{e}");
        }
    }
}
