//! Flags as the family writes them: long names with dots, `--[no-]x`, one table per personality.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{ByteSize, PromDuration};

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// `--x`, `--no-x`.
    Bool,
    /// `1h30m`.
    Duration,
    /// `512MB`.
    Size,
    /// A whole number, also as `5e7`.
    Number,
    /// May be repeated; values may hold commas.
    List,
}

/// One flag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    /// Name without dashes.
    pub(super) name: &'static str,
    /// Value when it is not given.
    pub(super) default: &'static str,
    /// What it takes.
    pub(super) kind: Kind,
    /// One sentence.
    pub(super) help: &'static str,
    /// False when it is accepted without effect.
    pub(super) works: bool,
    /// The variable that gives it, when it is not the one of our own.
    pub(super) variable: Option<&'static str>,
}

impl Flag {
    /// The same, given by a variable of the original.
    pub(super) const fn from(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }
}

/// A flag that does what it says.
pub(super) const fn flag(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    help: &'static str,
) -> Flag {
    Flag {
        name,
        default,
        kind,
        help,
        works: true,
        variable: None,
    }
}

/// A flag that is accepted so that command lines keep working.
pub(super) const fn ignored(name: &'static str, default: &'static str, kind: Kind) -> Flag {
    Flag {
        name,
        default,
        kind,
        help: "Accepted without effect",
        works: false,
        variable: None,
    }
}

/// The web configuration file.
pub(super) const WEB_CONFIG_FILE: Flag = flag(
    "web.config.file",
    "",
    Kind::Text,
    "File with TLS settings and users",
);
/// Our URL.
pub(super) const WEB_EXTERNAL_URL: Flag = flag(
    "web.external-url",
    "",
    Kind::Text,
    "URL under which users reach this server",
);
/// Prefix of our routes.
pub(super) const WEB_ROUTE_PREFIX: Flag = flag(
    "web.route-prefix",
    "",
    Kind::Text,
    "Prefix of all routes; by default the path of --web.external-url",
);
/// How much is logged.
pub(super) const LOG_LEVEL: Flag = flag(
    "log.level",
    "info",
    Kind::Text,
    "debug, info, warn or error",
);
/// How lines are logged.
pub(super) const LOG_FORMAT: Flag = flag("log.format", "logfmt", Kind::Text, "logfmt or json");
/// For the runtime of the originals.
pub(super) const AUTO_GOMAXPROCS: Flag = ignored("auto-gomaxprocs", "true", Kind::Bool);
/// For the runtime of the originals.
pub(super) const AUTO_GOMEMLIMIT_RATIO: Flag = ignored("auto-gomemlimit.ratio", "0.9", Kind::Text);

/// Turns `--no-x` into `--x=false`, which is what the parser below understands.
pub(super) fn normalise(args: Vec<OsString>) -> Vec<OsString> {
    let each = args.into_iter().map(|a| match a.to_str() {
        Some(t) => match t.strip_prefix("--no-") {
            Some(name) if !name.contains('=') => format!("--{name}=false").into(),
            _ => a,
        },
        None => a,
    });
    each.collect()
}

/// Adds the table's flags to a command.
pub(super) fn add(command: Command, table: &'static [Flag]) -> Command {
    table.iter().fold(command, |c, f| {
        let own = || format!("SEXTANT_{}", f.name.to_uppercase().replace(['.', '-'], "_"));
        let variable = f.variable.map_or_else(own, str::to_owned);
        let arg = Arg::new(f.name)
            .long(f.name)
            .help(f.help)
            .env(variable)
            .hide(!f.works);
        let arg = match f.kind {
            Kind::Bool => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(clap::value_parser!(bool)),
            Kind::Duration => {
                arg.value_parser(|s: &str| s.parse::<PromDuration>().map(|_| s.to_owned()))
            }
            Kind::Size => arg.value_parser(|s: &str| s.parse::<ByteSize>().map(|_| s.to_owned())),
            Kind::Number => arg.value_parser(|s: &str| number(s).map(|_| s.to_owned())),
            Kind::List => arg.action(ArgAction::Append),
            Kind::Text => arg,
        };
        let arg = if f.default.is_empty() {
            arg
        } else {
            arg.default_value(f.default)
        };
        c.arg(arg)
    })
}

fn number(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a whole number");
    if let Ok(n) = text.parse::<u64>() {
        return Ok(n);
    }
    let v: f64 = text.parse().map_err(|_| bad())?;
    if v.fract() != 0.0 || !(0.0..1e18).contains(&v) {
        return Err(bad());
    }
    Ok(v as u64)
}

/// Values of a parsed command line.
pub(super) struct Values<'a> {
    matches: &'a ArgMatches,
    table: &'static [Flag],
}

impl<'a> Values<'a> {
    /// The values of `table`'s flags.
    pub(super) fn new(matches: &'a ArgMatches, table: &'static [Flag]) -> Self {
        Self { matches, table }
    }

    /// A text, empty when not given.
    pub(super) fn text(&self, name: &str) -> String {
        let v = self.matches.get_one::<String>(name);
        v.cloned().unwrap_or_default()
    }

    /// Whether a switch is on.
    pub(super) fn on(&self, name: &str) -> bool {
        self.matches.get_one::<bool>(name).copied().unwrap_or(false)
    }

    /// A duration; zero when not given.
    pub(super) fn duration(&self, name: &str) -> PromDuration {
        self.text(name).parse().unwrap_or_default()
    }

    /// A size; zero when not given.
    pub(super) fn size(&self, name: &str) -> ByteSize {
        self.text(name).parse().unwrap_or_default()
    }

    /// A number; zero when not given.
    pub(super) fn number(&self, name: &str) -> usize {
        let n = number(&self.text(name)).unwrap_or_default();
        usize::try_from(n).unwrap_or(usize::MAX)
    }

    /// All values of a repeatable flag, as given.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let v = self.matches.get_many::<String>(name);
        v.map_or(Vec::new(), |v| v.cloned().collect())
    }

    /// The same, split at commas.
    pub(super) fn words(&self, name: &str) -> Vec<String> {
        let all = self.list(name);
        let words = all.iter().flat_map(|v| v.split(','));
        words
            .map(str::trim)
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Whether the flag was given (on the command line or in the environment).
    pub(super) fn given(&self, name: &str) -> bool {
        use clap::parser::ValueSource as S;
        matches!(
            self.matches.value_source(name),
            Some(S::CommandLine | S::EnvVariable)
        )
    }

    /// Flags that were given and have no effect.
    pub(super) fn without_effect(&self) -> Vec<&'static str> {
        let given = self.table.iter().filter(|f| !f.works && self.given(f.name));
        given.map(|f| f.name).collect()
    }

    /// Every flag with its value as text, for `/status/flags`.
    pub(super) fn shown(&self) -> BTreeMap<String, String> {
        let value = |f: &Flag| match f.kind {
            Kind::Bool => self.on(f.name).to_string(),
            Kind::List => self.list(f.name).join(","),
            Kind::Number => self.number(f.name).to_string(),
            Kind::Duration => self.duration(f.name).to_string(),
            Kind::Size => self.size(f.name).to_string(),
            Kind::Text => self.text(f.name),
        };
        self.table
            .iter()
            .map(|f| (f.name.to_owned(), value(f)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negated_switches_and_numbers_are_understood() {
        let args = ["x", "--no-a.b", "--no-c=1", "--d"]
            .map(OsString::from)
            .to_vec();
        let want = ["x", "--a.b=false", "--no-c=1", "--d"].map(OsString::from);
        assert_eq!(normalise(args), want);
        assert_eq!(number("5e7"), Ok(50_000_000));
        assert!(number("1.5").is_err());
        assert!(number("-1").is_err());
    }
}
