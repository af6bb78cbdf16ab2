//! Relabelling rules as written.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::fields::{Check, Nullable, config};

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RelabelAction {
    /// Sets a label from a match.
    #[default]
    Replace,
    /// Keeps what matches.
    Keep,
    /// Drops what matches.
    Drop,
    /// Keeps where two labels are equal.
    KeepEqual,
    /// Drops where two labels are equal.
    DropEqual,
    /// Sets a label to a hash modulo n.
    HashMod,
    /// Copies labels whose name matches.
    LabelMap,
    /// Removes labels whose name matches.
    LabelDrop,
    /// Removes labels whose name does not match.
    LabelKeep,
    /// Sets a label to the lower case of a value.
    Lowercase,
    /// Sets a label to the upper case of a value.
    Uppercase,
}

impl RelabelAction {
    const NAMES: [(&'static str, Self); 11] = [
        ("replace", Self::Replace),
        ("keep", Self::Keep),
        ("drop", Self::Drop),
        ("keepequal", Self::KeepEqual),
        ("dropequal", Self::DropEqual),
        ("hashmod", Self::HashMod),
        ("labelmap", Self::LabelMap),
        ("labeldrop", Self::LabelDrop),
        ("labelkeep", Self::LabelKeep),
        ("lowercase", Self::Lowercase),
        ("uppercase", Self::Uppercase),
    ];

    /// The name in configuration files.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, a)| *a == self)
            .map_or("", |(n, _)| n)
    }
}

impl<'de> Deserialize<'de> for RelabelAction {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let lower = text.to_lowercase();
        let found = Self::NAMES.iter().find(|(n, _)| *n == lower);
        found
            .map(|(_, a)| *a)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown relabel action {text:?}")))
    }
}
impl Serialize for RelabelAction {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

/// A pattern as written. A `null` pattern is the empty one, an absent one is `(.*)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(pub(crate) String);

impl Pattern {
    /// The pattern of a rule that does not name one.
    pub(crate) const DEFAULT: &str = "(.*)";
}

impl Nullable for Pattern {
    fn null() -> Self {
        Self(String::new())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        check_pattern(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(text))
    }
}
impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

/// Whether the pattern compiles in the dialect of the query languages.
fn check_pattern(text: &str) -> Result<(), String> {
    let compiled = query::regex::GoRegex::anchored(text);
    compiled.map(|_| ()).map_err(|e| e.to_string())
}

config! {
    /// One relabelling rule.
    pub(crate) struct RelabelConfig("relabel.Config") {
        /// Labels whose values are joined and matched.
        source_labels: Vec<String>;
        /// What they are joined with.
        separator: String = ";".into() => keep;
        /// Pattern, fully anchored.
        regex: Pattern = Pattern(Pattern::DEFAULT.into()) => nullable;
        /// For `hashmod`.
        modulus: u64;
        /// Label that is set.
        target_label: String;
        /// Its new value, with `$1` references.
        replacement: String = "$1".into() => keep;
        /// What the rule does.
        action: RelabelAction => keep;
    }
}

impl Check for RelabelConfig {
    fn check(&mut self) -> Result<(), String> {
        use RelabelAction as A;
        let action = self.action.name();
        let needs_target = matches!(
            self.action,
            A::Replace | A::HashMod | A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual
        );
        if self.modulus == 0 && self.action == A::HashMod {
            return Err("relabel configuration for hashmod requires non-zero modulus".into());
        }
        if needs_target && self.target_label.is_empty() {
            return Err(format!(
                "relabel configuration for {action} action requires 'target_label' value"
            ));
        }
        let default_regex = self.regex.0 == Pattern::DEFAULT;
        let default_replacement = self.replacement == "$1";
        let plain = self.modulus == 0 && self.separator == ";";
        if matches!(self.action, A::Lowercase | A::Uppercase) && !default_replacement {
            return Err(format!("'replacement' can not be set for {action} action"));
        }
        if matches!(self.action, A::LabelMap) && self.replacement.is_empty() {
            return Err(format!("\"\" is invalid 'replacement' for {action} action"));
        }
        if matches!(self.action, A::LabelDrop | A::LabelKeep)
            && !(plain
                && default_replacement
                && self.source_labels.is_empty()
                && self.target_label.is_empty())
        {
            return Err(format!(
                "{action} action requires only 'regex', and no other fields"
            ));
        }
        if matches!(self.action, A::KeepEqual | A::DropEqual)
            && !(plain && default_replacement && default_regex)
        {
            return Err(format!(
                "{action} action requires only 'source_labels' and `target_label`, and no other fields"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;
    use std::path::Path;

    fn error(text: &str) -> String {
        let r = yaml::parse::<RelabelConfig>(Path::new("f"), text);
        r.map_or_else(|e| e.to_string(), |_| String::new())
    }

    #[test]
    fn a_null_pattern_matches_only_nothing() {
        for (text, pattern) in [
            ("target_label: a", "(.*)"),
            ("{target_label: a, regex: null}", ""),
            ("{target_label: a, regex: }", ""),
            ("{target_label: a, regex: ~, separator: null}", ""),
        ] {
            let c: RelabelConfig = yaml::parse(Path::new("f"), text).unwrap();
            assert_eq!(c.regex.0, pattern, "{text}");
            assert_eq!(c.separator, ";");
        }
    }

    #[test]
    fn contradictions_are_named() {
        assert_eq!(error("action: REPLACE\ntarget_label: a"), "");
        for (text, reason) in [
            ("action: foo", r#"unknown relabel action "foo""#),
            ("action: ''", r#"unknown relabel action """#),
            (
                "action: hashmod\ntarget_label: a",
                "requires non-zero modulus",
            ),
            (
                "action: replace",
                "replace action requires 'target_label' value",
            ),
            (
                "action: labeldrop\ntarget_label: a",
                "requires only 'regex'",
            ),
            (
                "action: uppercase\ntarget_label: a\nreplacement: b",
                "'replacement' can not be set",
            ),
            (
                "action: keepequal\ntarget_label: a\nregex: b",
                "requires only 'source_labels'",
            ),
        ] {
            let e = error(text);
            assert!(e.contains(reason), "{text}: {e}");
        }
    }
}
