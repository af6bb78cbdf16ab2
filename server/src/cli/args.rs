//! Arguments of the command lines that write long flags with one dash: Loki's and Promtail's.
//!
//! Every value is a text there, switches too: `-dry-run` and `-dry-run=true` are the same.

use clap::{Arg, ArgAction, ArgMatches};

/// A flag with a value.
pub(super) fn text(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help)
}

/// A flag that is off, on without a value, or what its value says.
pub(super) fn switch(name: &'static str, help: &'static str) -> Arg {
    text(name, help)
        .num_args(0..=1)
        .require_equals(true)
        .default_value("false")
        .default_missing_value("true")
}

/// Whatever else stands there.
pub(super) fn rest() -> Arg {
    Arg::new("rest")
        .num_args(0..)
        .trailing_var_arg(true)
        .allow_hyphen_values(true)
        .action(ArgAction::Append)
        .hide(true)
}

/// Whether a switch is on.
pub(super) fn on(m: &ArgMatches, name: &str) -> bool {
    m.get_one::<String>(name).is_some_and(|v| v == "true")
}

/// The value of a flag, unless it is empty.
pub(super) fn given<'m>(m: &'m ArgMatches, name: &str) -> Option<&'m String> {
    m.get_one::<String>(name).filter(|v| !v.is_empty())
}

/// Tells which flags have no effect here.
pub(super) fn tell_rest(m: &ArgMatches) {
    for flag in m.get_many::<String>("rest").into_iter().flatten() {
        tracing::warn!(%flag, "flag is accepted without effect");
    }
}
