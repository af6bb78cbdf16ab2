//! `sextant check rules`: rule files, with promtool's flags, words and exit codes.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{complain, print};
use crate::config::limits;
use crate::config::prometheus::{RuleFile, load_rules};
use crate::config::yaml;

/// Exit code when a file cannot be used.
const FAILED: u8 = 1;
/// Exit code when there are only doubts, and they count.
const DOUBTFUL: u8 = 3;

/// What is looked for beyond mistakes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lint {
    duplicates: bool,
    fatal: bool,
}

/// Flags of [`Lint`].
pub(super) fn lint_flags(c: Command) -> Command {
    c.arg(
        Arg::new("lint")
            .long("lint")
            .default_value("duplicate-rules")
            .value_parser(["all", "duplicate-rules", "too-long-scrape-interval", "none"])
            .help("What to look for beyond mistakes"),
    )
    .arg(
        Arg::new("lint-fatal")
            .long("lint-fatal")
            .action(ArgAction::SetTrue)
            .help("End with 3 when something was found"),
    )
    .arg(
        Arg::new("ignore-unknown-fields")
            .long("ignore-unknown-fields")
            .action(ArgAction::SetTrue)
            .help("Accepted; unknown fields are still mistakes"),
    )
}

impl Lint {
    /// What the flags say.
    pub(super) fn of(m: &ArgMatches) -> Self {
        let what = m.get_one::<String>("lint").map_or("", String::as_str);
        Self {
            duplicates: matches!(what, "all" | "duplicate-rules"),
            fatal: m.get_flag("lint-fatal"),
        }
    }

    /// What is doubtful in a rule file.
    pub(super) fn doubts(self, file: &RuleFile) -> Option<String> {
        if !self.duplicates {
            return None;
        }
        let mut seen: BTreeMap<(&str, Vec<(&str, &str)>), usize> = BTreeMap::new();
        for g in &file.groups {
            for r in &g.rules {
                let mut labels: BTreeMap<&str, &str> = g.labels.iter().collect();
                labels.extend(r.labels.iter());
                let key = (r.name(), labels.into_iter().collect());
                *seen.entry(key).or_default() += 1;
            }
        }
        seen.retain(|_, n| *n > 1);
        if seen.is_empty() {
            return None;
        }
        let mut out = format!("{} duplicate rule(s) found.\n", seen.len());
        for (name, labels) in seen.into_keys() {
            out.push_str(&format!("Metric: {name}\nLabel(s):\n"));
            for (n, v) in labels {
                out.push_str(&format!("\t{n}: {v}\n"));
            }
        }
        out.push_str("Might cause inconsistency while recording expressions");
        Some(out)
    }

    /// The exit code when something was doubtful.
    pub(super) fn code(self) -> u8 {
        if self.fatal { DOUBTFUL } else { 0 }
    }
}

/// The verb.
pub(super) fn command() -> Command {
    let c = Command::new("rules")
        .about("Checks rule files, or standard input")
        .arg(Arg::new("files").num_args(0..).help("Files"));
    lint_flags(c)
}

/// Checks what `m` names; gives the exit code.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let lint = Lint::of(m);
    let files = m.get_many::<String>("files");
    let files: Vec<String> = files.map_or(Vec::new(), |f| f.cloned().collect());
    if files.is_empty() {
        print("Checking standard input\n");
        return one(standard_input(), lint);
    }
    let mut worst = 0;
    for f in files {
        print(&format!("Checking {f}\n"));
        let code = one(load_rules(Path::new(&f)).map_err(|e| e.to_string()), lint);
        worst = match (worst, code) {
            (FAILED, _) | (_, FAILED) => FAILED,
            (a, b) => a.max(b),
        };
    }
    worst
}

fn standard_input() -> Result<RuleFile, String> {
    let mut text = String::new();
    let most = limits::CONFIG_FILE_BYTES_MAX + 1;
    let input = std::io::stdin().lock();
    let read = input.take(most).read_to_string(&mut text);
    read.map_err(|e| format!("standard input: {e}"))?;
    if text.len() as u64 == most {
        return Err(format!(
            "standard input: more than the limit of {} bytes",
            limits::CONFIG_FILE_BYTES_MAX
        ));
    }
    yaml::parse(Path::new("standard input"), &text).map_err(|e| e.to_string())
}

fn one(read: Result<RuleFile, String>, lint: Lint) -> u8 {
    match read {
        Ok(file) => {
            if let Some(doubts) = lint.doubts(&file) {
                complain(&format!("  FAILED:\n{doubts}\n\n"));
                return lint.code();
            }
            let n: usize = file.groups.iter().map(|g| g.rules.len()).sum();
            print(&format!("  SUCCESS: {n} rules found\n\n"));
            0
        }
        Err(e) => {
            complain(&format!("  FAILED:\n{e}\n\n"));
            FAILED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_with_equal_names_and_labels_are_doubtful() {
        let lint = Lint {
            duplicates: true,
            fatal: false,
        };
        let read = |text: &str| -> RuleFile {
            yaml::parse(Path::new("r.yml"), text).expect("a rule file")
        };
        let twice = read(
            "groups:\n\
             - {name: a, labels: {x: '1'}, rules: [{record: r, expr: m}]}\n\
             - {name: b, rules: [{record: r, expr: n, labels: {x: '1'}}]}\n",
        );
        let text = lint.doubts(&twice).expect("a doubt");
        assert!(
            text.contains("1 duplicate rule(s)") && text.contains("\tx: 1"),
            "{text}"
        );
        let fine = read(
            "groups: [{name: a, rules: [{record: r, expr: m}, {record: r, expr: n, labels: {x: y}}]}]",
        );
        assert!(lint.doubts(&fine).is_none());
    }
}
