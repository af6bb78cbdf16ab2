//! Functions of templates that the sprig library gives to Go programs, beyond those that
//! [`crate::logql`] has under the same names.
//!
//! Owns: those that depend on their arguments alone.
//! Knows nothing of: the clock, chance, hashes, which language offers which of them.
//! Facts: <https://masterminds.github.io/sprig/>, of letters and words
//! <https://github.com/huandu/xstrings> and <https://github.com/Masterminds/goutils>. Where sprig has
//! two functions of which one begins with `must`, that one fails and the other one gives something
//! empty; where both fail, as with lists that are none, both names do the same here.

mod cases;
mod kinds;
mod lists;
mod maps;
mod numbers;
mod paths;
mod patterns;
mod semver;
mod texts;
mod urls;

use super::Function;

/// Longest list or text that a function makes.
const MADE_MAX: usize = 10_000;

/// The functions, by what they work on.
pub const TABLES: [&[Function]; 10] = [
    texts::TABLE,
    cases::TABLE,
    numbers::TABLE,
    lists::TABLE,
    maps::TABLE,
    kinds::TABLE,
    patterns::TABLE,
    paths::TABLE,
    semver::TABLE,
    urls::TABLE,
];

/// Other names of functions.
pub const ALIASES: &[(&str, &str)] = &[
    ("biggest", "max"),
    ("mustAppend", "append"),
    ("mustChunk", "chunk"),
    ("mustCompact", "compact"),
    ("mustDeepCopy", "deepCopy"),
    ("mustFirst", "first"),
    ("mustHas", "has"),
    ("mustInitial", "initial"),
    ("mustLast", "last"),
    ("mustMerge", "merge"),
    ("mustMergeOverwrite", "mergeOverwrite"),
    ("mustPrepend", "prepend"),
    ("mustPush", "append"),
    ("mustRegexFindAll", "regexFindAll"),
    ("mustRegexReplaceAll", "regexReplaceAll"),
    ("mustRegexReplaceAllLiteral", "regexReplaceAllLiteral"),
    ("mustRegexSplit", "regexSplit"),
    ("mustRest", "rest"),
    ("mustReverse", "reverse"),
    ("mustSlice", "slice"),
    ("mustToJson", "toJson"),
    ("mustToPrettyJson", "toPrettyJson"),
    ("mustToRawJson", "toRawJson"),
    ("mustUniq", "uniq"),
    ("mustWithout", "without"),
    ("osBase", "base"),
    ("osClean", "clean"),
    ("osDir", "dir"),
    ("osExt", "ext"),
    ("osIsAbs", "isAbs"),
    ("push", "append"),
    ("trimall", "trimAll"),
    ("tuple", "list"),
];

#[cfg(test)]
mod tests;
