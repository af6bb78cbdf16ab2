//! Flags of the collectors, as tables and as values.
//!
//! A collector says in its own file which flags it takes; whoever owns the command line makes a
//! parser of the tables and gives the values back.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;

use crate::metrics::duration;

/// What a flag's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagKind {
    /// Any text.
    Text,
    /// `--x`, `--no-x`.
    Switch,
    /// `1h30m`.
    Duration,
    /// May be repeated.
    List,
}

/// One flag.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Name without dashes.
    pub name: &'static str,
    /// Value when it is not given.
    pub default: &'static str,
    /// What it takes.
    pub kind: FlagKind,
    /// One sentence.
    pub help: &'static str,
}

impl Flag {
    /// A flag that takes a text.
    pub(super) const fn text(
        name: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            default,
            kind: FlagKind::Text,
            help,
        }
    }

    /// A flag that is given or not.
    pub(super) const fn switch(name: &'static str, on: bool, help: &'static str) -> Self {
        Self {
            name,
            default: if on { "true" } else { "false" },
            kind: FlagKind::Switch,
            help,
        }
    }

    /// A flag that may be given several times.
    pub(super) const fn list(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            default: "",
            kind: FlagKind::List,
            help,
        }
    }
}

/// Values of flags.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    given: BTreeMap<String, Vec<String>>,
    /// Whether `--collector.X` or `--no-collector.X` was given.
    switched: BTreeMap<String, bool>,
    /// Start from no collectors at all.
    pub none_by_default: bool,
}

impl Settings {
    /// Sets a flag that was given.
    pub fn give(&mut self, name: &str, values: Vec<String>) {
        self.given.insert(name.to_owned(), values);
    }

    /// Switches a collector, whatever its default is.
    pub fn switch(&mut self, collector: &str, on: bool) {
        self.switched.insert(collector.to_owned(), on);
    }

    /// Whether a collector runs.
    pub(super) fn runs(&self, collector: &str, by_default: bool) -> bool {
        let default = by_default && !self.none_by_default;
        self.switched.get(collector).copied().unwrap_or(default)
    }

    /// Whether the flag was given.
    pub(super) fn is_given(&self, flag: &str) -> bool {
        self.given.contains_key(flag)
    }

    /// The flag's value.
    pub(super) fn text<'a>(&'a self, flag: &'a Flag) -> &'a str {
        let given = self.given.get(flag.name).and_then(|v| v.last());
        given.map_or(flag.default, String::as_str)
    }

    /// Whether the switch is on.
    pub(super) fn on(&self, flag: &Flag) -> bool {
        self.text(flag) == "true"
    }

    /// All values.
    pub(super) fn list(&self, flag: &Flag) -> &[String] {
        self.given.get(flag.name).map_or(&[], Vec::as_slice)
    }

    /// The one of a flag and its older name that is given.
    ///
    /// # Errors
    /// When both are.
    pub(super) fn either<'a>(&self, flag: &'a Flag, older: &'a Flag) -> Result<&'a Flag, String> {
        match (self.is_given(older.name), self.is_given(flag.name)) {
            (false, _) => Ok(flag),
            (true, false) => Ok(older),
            (true, true) => Err(format!(
                "--{} and --{} are mutually exclusive",
                older.name, flag.name
            )),
        }
    }

    /// The value as a time: `5s`, `500ms`, `1m30s`.
    pub(super) fn duration(&self, flag: &Flag) -> Result<Duration, String> {
        let text = self.text(flag);
        duration::parse(text)
            .ok_or_else(|| format!("--{} {text:?} is not a duration like 5s", flag.name))
    }

    /// The value as a pattern; none when it is empty.
    pub(super) fn pattern(&self, flag: &Flag) -> Result<Option<Regex>, String> {
        let text = self.text(flag);
        if text.is_empty() {
            return Ok(None);
        }
        Regex::new(text)
            .map(Some)
            .map_err(|e| format!("--{} {text:?} is not a regular expression: {e}", flag.name))
    }
}

/// Which devices a collector shows.
#[derive(Debug, Default)]
pub(super) struct Filter {
    include: Option<Regex>,
    exclude: Option<Regex>,
}

impl Filter {
    /// A filter of two flags of which only one may be given.
    ///
    /// # Errors
    /// When both are given or one is no regular expression.
    pub(super) fn new(s: &Settings, include: &Flag, exclude: &Flag) -> Result<Self, String> {
        let both = [include, exclude]
            .iter()
            .all(|f| s.is_given(f.name) && !s.text(f).is_empty());
        if both {
            return Err(format!(
                "--{} and --{} are mutually exclusive",
                exclude.name, include.name
            ));
        }
        let include = s.pattern(include)?;
        let exclude = match include {
            Some(_) => None,
            None => s.pattern(exclude)?,
        };
        Ok(Self { include, exclude })
    }

    /// A filter of one flag.
    pub(super) fn excluding(exclude: Option<Regex>) -> Self {
        Self {
            include: None,
            exclude,
        }
    }

    /// Whether `name` is shown.
    pub(super) fn keeps(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|r| r.is_match(name))
            && self.exclude.as_ref().is_none_or(|r| !r.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_side_of_a_filter_may_be_given() {
        const IN: Flag = Flag::text("in", "", "");
        const OUT: Flag = Flag::text("out", "^lo$", "");
        let mut s = Settings::default();
        let f = Filter::new(&s, &IN, &OUT).expect("defaults");
        assert!(f.keeps("eth0") && !f.keeps("lo"));
        s.give("in", vec!["lo".into()]);
        let f = Filter::new(&s, &IN, &OUT).expect("one side");
        assert!(!f.keeps("eth0") && f.keeps("lo"));
        s.give("out", vec!["x".into()]);
        let e = Filter::new(&s, &IN, &OUT).expect_err("both sides");
        assert_eq!(e, "--out and --in are mutually exclusive");
        let mut s = Settings::default();
        s.give("in", vec!["(".into()]);
        assert!(Filter::new(&s, &IN, &OUT).is_err_and(|e| e.contains("--in")));
    }
}
