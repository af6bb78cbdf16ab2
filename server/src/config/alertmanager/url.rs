//! URLs of receivers: most of them are secrets themselves.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::HostPort;
use crate::config::fields::Omit;
use crate::config::secret::SECRET_TEXT;

/// Checks that `text` is an absolute `http` or `https` URL.
fn checked(text: &str) -> Result<(), String> {
    let scheme = text.split_once(':').map_or("", |(s, _)| s);
    let url = match url::Url::parse(text) {
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            return Err(format!("unsupported scheme {:?} for URL", ""));
        }
        // The text may be a secret: only its scheme is told.
        Err(e) => return Err(format!("{scheme} URL cannot be used: {e}")),
        Ok(url) => url,
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("unsupported scheme {:?} for URL", url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("missing host for URL".into());
    }
    Ok(())
}

macro_rules! url_type {
    ($(#[$m:meta])* $name:ident, shown: $shown:literal, template: $template:literal) => {
        $(#[$m])*
        #[derive(Clone, PartialEq, Eq, Default)]
        pub(crate) struct $name(String);

        impl $name {
            /// The URL, for the one place that uses it; empty when not configured.
            pub(crate) fn expose(&self) -> &str {
                &self.0
            }
            /// True when not configured.
            pub(crate) fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(if $shown { &self.0 } else { SECRET_TEXT })
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                if !($template && text.contains("{{")) {
                    checked(&text).map_err(D::Error::custom)?;
                }
                Ok(Self(text))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                let text = if $shown || self.0.is_empty() { &self.0 } else { SECRET_TEXT };
                s.serialize_str(text)
            }
        }
        impl Omit for $name {
            fn omit(&self) -> bool {
                self.0.is_empty()
            }
        }
    };
}

url_type!(
    /// An address that may be shown.
    HttpUrl,
    shown: true,
    template: false
);
url_type!(
    /// An address whose knowledge is enough to post there.
    SecretUrl,
    shown: false,
    template: false
);
url_type!(
    /// As [`SecretUrl`]; a text with actions is checked when it has been expanded.
    SecretUrlTemplate,
    shown: false,
    template: true
);

impl HttpUrl {
    /// Makes sure that a relative path can be appended.
    pub(super) fn end_with_slash(&mut self) {
        if !self.0.is_empty() && !self.0.ends_with('/') {
            self.0.push('/');
        }
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        match text.rsplit_once(':') {
            _ if text.is_empty() => Ok(Self::default()),
            None => Err(D::Error::custom(format!(
                "address {text}: missing port in address"
            ))),
            Some((_, "")) => Err(D::Error::custom(format!(
                "address {text:?}: port cannot be empty"
            ))),
            Some((host, port)) => Ok(Self {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: port.to_owned(),
            }),
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.host.contains(':'), self.omit()) {
            (_, true) => Ok(()),
            (true, _) => write!(f, "[{}]:{}", self.host, self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Omit for HostPort {
    fn omit(&self) -> bool {
        self.port.is_empty()
    }
}
