//! Which form to answer in, and how names are escaped for readers of the old naming rules.

use std::borrow::Cow;

use super::Format;

/// What is done to names outside `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Escaping {
    /// Nothing: they are written in quotes.
    AllowUtf8,
    /// Every invalid character becomes `_`.
    #[default]
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`, other invalid characters `__`.
    Dots,
    /// `U__` in front, `_` becomes `__`, invalid characters `_hex_`.
    Values,
}

impl Escaping {
    /// From the word in an `escaping=` parameter.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "allow-utf-8" => Some(Self::AllowUtf8),
            "underscores" => Some(Self::Underscores),
            "dots" => Some(Self::Dots),
            "values" => Some(Self::Values),
            _ => None,
        }
    }

    /// The word of an `escaping=` parameter.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// The name as this scheme writes it. `colon` is true for metric names.
    #[must_use]
    pub fn escape(self, name: &str, colon: bool) -> Cow<'_, str> {
        if self == Self::AllowUtf8 || name.is_empty() {
            return Cow::Borrowed(name);
        }
        let legal = is_legacy_name(name, colon);
        if legal && !(self == Self::Dots && name.contains('_')) {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            out.push_str("U__");
        }
        for (i, c) in name.chars().enumerate() {
            let valid = c.is_ascii_alphabetic()
                || c == '_'
                || (colon && c == ':')
                || (c.is_ascii_digit() && i > 0);
            match self {
                Self::Dots if c == '_' => out.push_str("__"),
                Self::Dots if c == '.' => out.push_str("_dot_"),
                Self::Dots if !valid => out.push_str("__"),
                Self::Values if c == '_' => out.push_str("__"),
                Self::Values if !valid => out.push_str(&format!("_{:x}_", c as u32)),
                Self::Underscores if !valid => out.push('_'),
                _ => out.push(c),
            }
        }
        Cow::Owned(out)
    }
}

/// True for names that need no quotes.
#[must_use]
pub fn is_legacy_name(name: &str, colon: bool) -> bool {
    !name.is_empty()
        && name.bytes().enumerate().all(|(i, b)| {
            b.is_ascii_alphabetic()
                || b == b'_'
                || (colon && b == b':')
                || (i > 0 && b.is_ascii_digit())
        })
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Format.
    pub format: Format,
    /// Version, for the text formats.
    pub version: &'static str,
    /// Escaping applied.
    pub escaping: Escaping,
}

impl Offer {
    /// Text 0.0.4 with underscores: what fits everybody.
    pub const FALLBACK: Offer = Offer {
        format: Format::Text,
        version: "0.0.4",
        escaping: Escaping::Underscores,
    };

    /// The `Content-Type` that states this form.
    #[must_use]
    pub fn content_type(&self) -> String {
        match self.format {
            Format::Protobuf => format!(
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping={}",
                self.escaping.word()
            ),
            Format::OpenMetrics => format!(
                "application/openmetrics-text; version={}; charset=utf-8; escaping={}",
                self.version,
                self.escaping.word()
            ),
            Format::Text => format!(
                "text/plain; version={}; charset=utf-8; escaping={}",
                self.version,
                self.escaping.word()
            ),
        }
    }
}

/// Chooses by the q-values of an `Accept` header among `formats`; of equal ones the first in the
/// header wins. Without a match: [`Offer::FALLBACK`] (with the escaping of a matching `text/plain`).
#[must_use]
pub fn negotiate(accept: &str, formats: &[Format]) -> Offer {
    let mut best: Option<(f64, Offer)> = None;
    for part in accept.split(',') {
        let mut words = part.split(';').map(str::trim);
        let media = words.next().unwrap_or("").to_ascii_lowercase();
        let (mut q, mut version, mut escaping) = (1.0, "", None);
        let (mut proto, mut delimited) = ("", true);
        for w in words {
            let (key, value) = w.split_once('=').unwrap_or((w, ""));
            let value = value.trim().trim_matches('"');
            match key.trim() {
                "q" => q = value.parse().unwrap_or(0.0),
                "version" => version = value,
                "escaping" => escaping = Escaping::from_word(value),
                "proto" => proto = value,
                "encoding" => delimited = value == "delimited",
                _ => {}
            }
        }
        let format = match media.as_str() {
            "application/vnd.google.protobuf"
                if proto == "io.prometheus.client.MetricFamily" && delimited =>
            {
                Format::Protobuf
            }
            "application/openmetrics-text" if matches!(version, "" | "0.0.1" | "1.0.0") => {
                Format::OpenMetrics
            }
            "text/plain" if matches!(version, "" | "0.0.4" | "1.0.0") => Format::Text,
            _ => continue,
        };
        if q <= 0.0 || !formats.contains(&format) {
            continue;
        }
        if best.as_ref().is_none_or(|(b, _)| q > *b) {
            let version = match (format, version) {
                (_, "1.0.0") => "1.0.0",
                (Format::OpenMetrics, _) => "0.0.1",
                _ => "0.0.4",
            };
            let offer = Offer {
                format,
                version,
                escaping: escaping.unwrap_or_default(),
            };
            best = Some((q, offer));
        }
    }
    best.map_or(Offer::FALLBACK, |(_, o)| o)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Format] = &[Format::Text, Format::OpenMetrics, Format::Protobuf];

    #[test]
    fn the_highest_weight_wins() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let o = negotiate(prometheus, ALL);
        assert_eq!(
            (o.format, o.version, o.escaping),
            (Format::OpenMetrics, "1.0.0", Escaping::AllowUtf8)
        );
        let o = negotiate(prometheus, &[Format::Text, Format::Protobuf]);
        assert_eq!((o.format, o.version), (Format::Text, "1.0.0"));
        assert_eq!(negotiate("", ALL), Offer::FALLBACK);
        assert_eq!(negotiate("*/*", ALL), Offer::FALLBACK);
        assert_eq!(
            negotiate("text/html, application/json;q=0.9", ALL),
            Offer::FALLBACK
        );
        assert_eq!(
            Offer::FALLBACK.content_type(),
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
        );
        let o = negotiate(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;q=0.3",
            ALL,
        );
        assert_eq!(o.format, Format::Protobuf);
    }

    #[test]
    fn names_are_escaped() {
        for (scheme, want) in [
            (Escaping::AllowUtf8, "my.metric_é"),
            (Escaping::Underscores, "my_metric__"),
            (Escaping::Dots, "my_dot_metric____"),
            (Escaping::Values, "U__my_2e_metric___e9_"),
        ] {
            assert_eq!(scheme.escape("my.metric_é", true), want, "{scheme:?}");
        }
        assert_eq!(Escaping::Values.escape("fine_name", true), "fine_name");
        assert_eq!(Escaping::Dots.escape("a_b", true), "a__b");
        assert_eq!(Escaping::Underscores.escape("a:b", false), "a_b");
    }
}
