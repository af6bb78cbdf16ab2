//! Patterns with capture groups and Go's replacement templates.

use super::{COMPILED_BYTES_MAX, PATTERN_BYTES_MAX, RegexError, translate};

/// A compiled pattern that gives capture groups.
#[derive(Debug, Clone)]
pub struct GoRegex {
    re: regex::Regex,
    pattern: String,
}

/// The groups of one match: byte ranges in the subject, group 0 first.
#[derive(Debug, Clone)]
pub struct Captures<'s> {
    subject: &'s str,
    groups: Vec<Option<(usize, usize)>>,
}

impl<'s> Captures<'s> {
    /// Text of group `i`; `None` when the group does not exist or took no part in the match.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&'s str> {
        let (a, b) = (*self.groups.get(i)?)?;
        self.subject.get(a..b)
    }

    /// Byte range of the whole match.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<usize> {
        let (a, b) = self.groups.first().copied().flatten().unwrap_or((0, 0));
        a..b
    }
}

impl Captures<'_> {
    /// Byte range of each group, the whole match first.
    pub fn ranges(&self) -> impl Iterator<Item = Option<std::ops::Range<usize>>> {
        self.groups.iter().map(|g| g.map(|(a, b)| a..b))
    }
}

impl GoRegex {
    /// A pattern that may match anywhere.
    ///
    /// # Errors
    /// See [`RegexError`].
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        Self::build(pattern, &translate(pattern)?)
    }

    /// A pattern that must match the whole subject; `.` matches line feeds too
    /// (label_replace, relabelling).
    ///
    /// # Errors
    /// See [`RegexError`].
    pub fn anchored(pattern: &str) -> Result<Self, RegexError> {
        Self::build(pattern, &format!("^(?s:{})$", translate(pattern)?))
    }

    fn build(pattern: &str, translated: &str) -> Result<Self, RegexError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(RegexError::TooLarge(pattern.chars().take(64).collect()));
        }
        let re = regex::RegexBuilder::new(translated)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|e| match e {
                regex::Error::CompiledTooBig(_) => RegexError::TooLarge(pattern.to_owned()),
                _ => RegexError::syntax("invalid or unsupported Perl syntax", pattern),
            })?;
        Ok(Self {
            re,
            pattern: pattern.to_owned(),
        })
    }

    /// The pattern as given.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// True when the pattern matches somewhere (everywhere for [`GoRegex::anchored`]).
    #[must_use]
    pub fn is_match(&self, subject: &str) -> bool {
        self.re.is_match(subject)
    }

    /// Number and name of each named group.
    pub fn group_names(&self) -> impl Iterator<Item = (usize, &str)> {
        let names = self.re.capture_names().enumerate();
        names.filter_map(|(i, n)| Some((i, n?)))
    }

    /// Number of matches that do not overlap.
    #[must_use]
    pub fn count(&self, subject: &str) -> usize {
        self.re.find_iter(subject).count()
    }

    /// Groups of every match that does not overlap one before.
    pub fn find_all<'s>(&self, subject: &'s str) -> impl Iterator<Item = Captures<'s>> {
        let all = self.re.captures_iter(subject);
        all.map(move |caps| {
            let groups = caps.iter().map(|g| g.map(|m| (m.start(), m.end())));
            Captures {
                subject,
                groups: groups.collect(),
            }
        })
    }

    /// Groups of the first match.
    #[must_use]
    pub fn find_submatch<'s>(&self, subject: &'s str) -> Option<Captures<'s>> {
        let caps = self.re.captures(subject)?;
        let groups = caps
            .iter()
            .map(|g| g.map(|m| (m.start(), m.end())))
            .collect();
        Some(Captures { subject, groups })
    }

    /// Appends `template` with `$1`, `${1}`, `$name`, `${name}` and `$$` replaced. A name is the
    /// longest run of letters, digits and underscores; unknown groups are empty; a dollar that
    /// starts nothing stays.
    pub fn expand(&self, template: &str, captures: &Captures<'_>, out: &mut String) {
        let mut rest = template;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let tail = &rest[at + 1..];
            if let Some(after) = tail.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = template_name(tail) {
                if let Some(text) = self.group(name, captures) {
                    out.push_str(text);
                }
                rest = after;
            } else {
                out.push('$');
                rest = tail;
            }
        }
        out.push_str(rest);
    }

    fn group<'s>(&self, name: &str, captures: &Captures<'s>) -> Option<&'s str> {
        if name.bytes().all(|b| b.is_ascii_digit()) {
            return captures.get(name.parse().ok()?);
        }
        let i = self.re.capture_names().position(|n| {
            n.is_some_and(|n| {
                n == name
                    || (n.starts_with('_')
                        && &n[1..] == name
                        && name.starts_with(|c: char| c.is_ascii_digit()))
            })
        })?;
        captures.get(i)
    }

    /// `subject` with every match replaced by the expanded template.
    #[must_use]
    pub fn replace_all(&self, subject: &str, template: &str) -> String {
        let mut out = String::with_capacity(subject.len());
        let mut done = 0;
        for caps in self.find_all(subject) {
            let range = caps.range();
            out.push_str(subject.get(done..range.start).unwrap_or(""));
            self.expand(template, &caps, &mut out);
            done = range.end;
        }
        out.push_str(subject.get(done..).unwrap_or(""));
        out
    }
}

/// The name after a dollar and what follows it.
fn template_name(s: &str) -> Option<(&str, &str)> {
    let braced = s.strip_prefix('{');
    let body = braced.unwrap_or(s);
    let len = body
        .char_indices()
        .find(|(_, c)| !(c.is_alphanumeric() || *c == '_'))
        .map_or(body.len(), |(i, _)| i);
    let (name, after) = body.split_at(len);
    if name.is_empty() {
        return None;
    }
    match braced {
        Some(_) => Some((name, after.strip_prefix('}')?)),
        None => Some((name, after)),
    }
}
