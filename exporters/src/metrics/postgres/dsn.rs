//! Data source names: where a PostgreSQL server is, who asks it, and how it is encrypted.
//!
//! Format: the manual's "Connection Strings", as URI or as pairs. The words about certificates are
//! taken out and kept apart, because the client library does not know them.

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// How much the server has to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// No encryption.
    None,
    /// Encrypted if the server can, to whoever it is.
    Any,
    /// The certificate comes from a known authority.
    Known,
}

/// A server and how to reach it.
#[derive(Clone)]
pub struct Source {
    /// Where it is and who asks.
    pub(super) config: Config,
    /// How much it has to prove.
    pub proof: Proof,
    /// File with authorities; empty for those of the system.
    pub authorities: String,
    /// File with the certificate to show; empty for none.
    pub certificate: String,
    /// File with its key.
    pub key: String,
}

impl Source {
    /// Reads a data source name.
    ///
    /// # Errors
    /// Says what is wrong; never repeats a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut kept = Kept::default();
        let plain = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            kept.strip_uri(text)
        } else if is_pairs(text) {
            kept.strip_pairs(text)?
        } else {
            // A target as people type it: host, port, database, options.
            kept.strip_uri(&format!("postgresql://{text}"))
        };
        let mut config: Config = plain.parse().map_err(|e: tokio_postgres::Error| {
            let why = std::error::Error::source(&e).map(ToString::to_string);
            format!(
                "the data source name cannot be read: {}",
                why.unwrap_or_else(|| e.to_string())
            )
        })?;
        if config.get_hosts().is_empty() {
            config.host("localhost");
        }
        if config.get_user().is_none() {
            config.user("postgres");
        }
        if config.get_application_name().is_none() {
            config.application_name("postgres_exporter");
        }
        let proof = match kept.mode.as_str() {
            "disable" => Proof::None,
            "" | "allow" | "prefer" | "require" => Proof::Any,
            "verify-ca" | "verify-full" => Proof::Known,
            other => {
                return Err(format!(
                    "sslmode {other:?} is none of disable, allow, prefer, require, verify-ca, verify-full"
                ));
            }
        };
        Ok(Self {
            config,
            proof,
            authorities: kept.authorities,
            certificate: kept.certificate,
            key: kept.key,
        })
    }

    /// `host:port` of the first server.
    #[must_use]
    pub fn address(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(h)) => h.clone(),
            Some(Host::Unix(p)) => p.to_string_lossy().into_owned(),
            None => "localhost".into(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!("{host}:{port}")
    }

    /// Uses another user and password.
    pub fn credentials(&mut self, user: &str, password: &str) {
        self.config.user(user).password(password);
    }
}

#[derive(Default)]
struct Kept {
    mode: String,
    authorities: String,
    certificate: String,
    key: String,
}

impl Kept {
    /// Keeps a word about encryption; gives what the library should read instead, if anything.
    fn take(&mut self, key: &str, value: &str) -> Option<(String, String)> {
        match key {
            "sslmode" => {
                value.clone_into(&mut self.mode);
                let known = match value {
                    "verify-ca" | "verify-full" | "require" => "require",
                    "allow" | "prefer" => "prefer",
                    _ => "disable",
                };
                return Some(("sslmode".into(), known.into()));
            }
            "sslrootcert" => value.clone_into(&mut self.authorities),
            "sslcert" => value.clone_into(&mut self.certificate),
            "sslkey" => value.clone_into(&mut self.key),
            // Words of other clients that change nothing here.
            "fallback_application_name" | "binary_parameters" | "sslsni" | "sslinline" => {}
            _ => return Some((key.to_owned(), value.to_owned())),
        }
        None
    }

    fn strip_uri(&mut self, text: &str) -> String {
        let Some((head, query)) = text.split_once('?') else {
            return text.to_owned();
        };
        let left: Vec<String> = query
            .split('&')
            .filter(|p| !p.is_empty())
            .filter_map(|p| {
                let (key, value) = p.split_once('=').unwrap_or((p, ""));
                // Paths are the only values with escapes here, and slashes the only escapes.
                let value = value.replace("%2F", "/").replace("%2f", "/");
                let (key, value) = self.take(key, &value)?;
                Some(format!("{key}={}", value.replace('/', "%2F")))
            })
            .collect();
        if left.is_empty() {
            head.to_owned()
        } else {
            format!("{head}?{}", left.join("&"))
        }
    }

    /// `key=value key='a value'`
    fn strip_pairs(&mut self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (key, tail) = rest
                .split_once('=')
                .ok_or("the data source name is neither an URI nor pairs of key=value")?;
            let (value, tail) = value(tail.trim_start())?;
            if let Some((key, value)) = self.take(key.trim(), &value) {
                let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
                out.push_str(&format!("{key}='{quoted}' "));
            }
            rest = tail.trim_start();
        }
        Ok(out)
    }
}

/// Whether the text begins with `word=`, or is empty.
fn is_pairs(text: &str) -> bool {
    let is_word = |key: &str| {
        let mut letters = key.trim().bytes();
        letters.all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    text.trim().is_empty() || text.split_once('=').is_some_and(|(key, _)| is_word(key))
}

fn value(text: &str) -> Result<(String, &str), String> {
    let quoted = text.strip_prefix('\'');
    let body = quoted.unwrap_or(text);
    let mut out = String::new();
    let mut chars = body.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => out.extend(chars.next().map(|(_, c)| c)),
            '\'' if quoted.is_some() => return Ok((out, body.get(i + 1..).unwrap_or(""))),
            c if quoted.is_none() && c.is_whitespace() => {
                return Ok((out, body.get(i..).unwrap_or("")));
            }
            c => out.push(c),
        }
    }
    match quoted {
        Some(_) => Err("a quote in the data source name is not closed".into()),
        None => Ok((out, "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        for (text, address, proof, authorities) in [
            (
                "postgresql://u:p@h:5433/db?sslmode=disable",
                "h:5433",
                Proof::None,
                "",
            ),
            (
                "postgres://h/db?sslmode=verify-full&sslrootcert=%2Fca.pem",
                "h:5432",
                Proof::Known,
                "/ca.pem",
            ),
            (
                "host=h port=1 user=u password='a b' sslmode=require",
                "h:1",
                Proof::Any,
                "",
            ),
            ("user=u dbname=d", "localhost:5432", Proof::Any, ""),
            ("h:7/db?sslmode=disable", "h:7", Proof::None, ""),
            ("h:7/db", "h:7", Proof::Any, ""),
            (
                "host=/run/postgresql user=u",
                "/run/postgresql:5432",
                Proof::Any,
                "",
            ),
        ] {
            let s = Source::parse(text).expect(text);
            assert_eq!(
                (s.address().as_str(), s.proof, s.authorities.as_str()),
                (address, proof, authorities),
                "{text}"
            );
        }
    }

    #[test]
    fn wrong_names_are_told_without_secrets() {
        for bad in [
            "host=h password='secret",
            "host=h password=secret port=x",
            "postgres://u:secret@h:port/db",
            "host=h password=secret sslmode=maybe",
        ] {
            let e = Source::parse(bad).err().expect(bad);
            assert!(!e.contains("secret"), "{e}");
        }
    }
}
