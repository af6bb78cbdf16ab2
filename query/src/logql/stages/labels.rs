//! The labels of a line on its way through a pipeline.
//!
//! Invariants
//! - LST1  Of equal names the parsed one is seen, then structured metadata, then the stream's.
//! - LST2  Nothing is allocated for a line whose labels fit what an earlier line needed.

use engine::model::Labels;

/// Name of the label that says what went wrong.
pub(crate) const ERROR: &str = "__error__";
/// Name of the label with the reason.
pub(crate) const ERROR_DETAILS: &str = "__error_details__";
/// Appended to a parsed name that exists already.
pub(crate) const DUPLICATE: &str = "_extracted";

/// Where a label comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// The stream.
    Stream,
    /// Structured metadata.
    Metadata,
    /// A parser or a formatter.
    Parsed,
}

/// What a metric query needs of the labels; log queries need all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hints {
    /// Only these are extracted; empty: all.
    pub(crate) required: Vec<String>,
    /// Nothing is extracted.
    pub(crate) nothing: bool,
    /// Errors were asked for: they do not fail the query.
    pub(crate) preserve_errors: bool,
}

impl Hints {
    /// What is needed when `required` are named by stages and `groups` by the aggregation around
    /// them. `unlabelled`: the answer has no labels at all.
    pub(crate) fn new(
        mut required: Vec<String>,
        groups: &[String],
        without: bool,
        unlabelled: bool,
    ) -> Self {
        required.extend(groups.iter().cloned());
        required.sort_unstable();
        required.dedup();
        let originals: Vec<String> = required
            .iter()
            .filter_map(|r| r.strip_suffix(DUPLICATE).map(str::to_owned))
            .collect();
        required.extend(originals);
        let preserve_errors = required.iter().any(|r| r == ERROR);
        if unlabelled {
            return Self {
                nothing: required.is_empty(),
                required,
                preserve_errors,
            };
        }
        if without || groups.is_empty() {
            required.clear();
        }
        Self {
            required,
            nothing: false,
            preserve_errors,
        }
    }
}

type Span = (u32, u32);

#[derive(Debug, Clone, Copy)]
struct Added {
    name: Span,
    value: Span,
    category: Category,
}

/// See the module header.
#[derive(Debug)]
pub(crate) struct LabelSet {
    base: Labels,
    added: Vec<Added>,
    deleted: Vec<Span>,
    /// Names that parsers and formatters have set.
    extracted: Vec<Span>,
    arena: String,
    error: &'static str,
    details: String,
    hints: Hints,
}

impl LabelSet {
    pub(crate) fn new(hints: Hints) -> Self {
        Self {
            base: Labels::empty(),
            added: Vec::new(),
            deleted: Vec::new(),
            extracted: Vec::new(),
            arena: String::new(),
            error: "",
            details: String::new(),
            hints,
        }
    }

    /// Starts over with a stream's labels and a line's metadata.
    pub(crate) fn reset(&mut self, stream: &Labels, metadata: Option<&Labels>) {
        if self.base.as_bytes().as_ptr() != stream.as_bytes().as_ptr() {
            self.base = stream.clone();
        }
        self.added.clear();
        self.deleted.clear();
        self.extracted.clear();
        self.arena.clear();
        self.error = "";
        self.details.clear();
        let Some(metadata) = metadata else { return };
        for (name, value) in metadata.iter() {
            if self.base.get(name).is_some() {
                let name = format!("{name}{DUPLICATE}");
                self.set(Category::Metadata, &name, value);
            } else {
                self.set(Category::Metadata, name, value);
            }
        }
    }

    fn text(&self, s: Span) -> &str {
        self.arena.get(s.0 as usize..s.1 as usize).unwrap_or("")
    }

    fn push(&mut self, text: &str) -> Span {
        let from = u32::try_from(self.arena.len()).unwrap_or(u32::MAX);
        self.arena.push_str(text);
        (from, u32::try_from(self.arena.len()).unwrap_or(u32::MAX))
    }

    /// The value of a label, LST1. A parsed label may be empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.get_with_category(name).map(|(v, _)| v)
    }

    pub(crate) fn get_with_category(&self, name: &str) -> Option<(&str, Category)> {
        let added = self.added.iter().filter(|a| self.text(a.name) == name);
        if let Some(a) = added.max_by_key(|a| a.category) {
            return Some((self.text(a.value), a.category));
        }
        if self.deleted.iter().any(|d| self.text(*d) == name) {
            return None;
        }
        self.base.get(name).map(|v| (v, Category::Stream))
    }

    /// Whether a parsed label of this name would hide a stream label or metadata.
    pub(crate) fn conflicts(&self, name: &str) -> bool {
        self.base.get(name).is_some()
            || self
                .added
                .iter()
                .any(|a| a.category == Category::Metadata && self.text(a.name) == name)
    }

    /// `name`, with the suffix when it conflicts.
    pub(crate) fn free_name<'n>(&self, name: &'n str) -> std::borrow::Cow<'n, str> {
        if self.conflicts(name) {
            format!("{name}{DUPLICATE}").into()
        } else {
            name.into()
        }
    }

    /// Sets a label. A parsed one replaces metadata and stream labels of its name.
    pub(crate) fn set(&mut self, category: Category, name: &str, value: &str) {
        let found = self
            .added
            .iter()
            .position(|a| a.category == category && self.text(a.name) == name);
        if let Some(i) = found {
            self.added[i].value = self.push(value);
            return;
        }
        if category == Category::Parsed {
            let same = |a: &Added| self.text(a.name) == name;
            if self.added.iter().any(same) {
                let arena = std::mem::take(&mut self.arena);
                self.added
                    .retain(|a| arena.get(a.name.0 as usize..a.name.1 as usize) != Some(name));
                self.arena = arena;
            }
        }
        let (name, value) = (self.push(name), self.push(value));
        self.added.push(Added {
            name,
            value,
            category,
        });
        if category == Category::Parsed {
            self.extracted.push(name);
        }
    }

    /// Removes a label of any origin.
    pub(crate) fn delete(&mut self, name: &str) {
        let arena = std::mem::take(&mut self.arena);
        self.added
            .retain(|a| arena.get(a.name.0 as usize..a.name.1 as usize) != Some(name));
        self.arena = arena;
        if self.base.get(name).is_some() {
            let span = self.push(name);
            self.deleted.push(span);
        }
    }

    /// Nothing (more) has to be extracted.
    pub(crate) fn needs_nothing(&self) -> bool {
        self.hints.nothing || self.all_extracted()
    }

    /// Every required label has been extracted.
    pub(crate) fn all_extracted(&self) -> bool {
        let required = &self.hints.required;
        !required.is_empty() && required.iter().all(|r| self.is_extracted(r))
    }

    fn is_extracted(&self, name: &str) -> bool {
        self.extracted.iter().any(|e| self.text(*e) == name)
    }

    /// Whether a parser has to set `name`.
    pub(crate) fn should_extract(&self, name: &str) -> bool {
        let required = &self.hints.required;
        (required.is_empty() || required.iter().any(|r| r == name)) && !self.is_extracted(name)
    }

    /// Whether some name that starts like this has to be set.
    pub(crate) fn should_extract_prefix(&self, prefix: &str) -> bool {
        let required = &self.hints.required;
        required.is_empty() || required.iter().any(|r| r.starts_with(prefix))
    }

    /// Sets the error.
    pub(crate) fn fail(&mut self, error: &'static str, details: &str) {
        self.error = error;
        self.details.clear();
        self.details.push_str(details);
    }

    pub(crate) fn error(&self) -> &str {
        self.error
    }

    pub(crate) fn details(&self) -> &str {
        &self.details
    }

    pub(crate) fn clear_error(&mut self) {
        self.error = "";
    }

    pub(crate) fn clear_details(&mut self) {
        self.details.clear();
    }

    pub(crate) fn has_error(&self) -> bool {
        !self.error.is_empty()
    }

    pub(crate) fn preserves_errors(&self) -> bool {
        self.hints.preserve_errors
    }

    /// True when the labels are those of the stream.
    pub(crate) fn is_plain(&self) -> bool {
        self.added.is_empty()
            && self.deleted.is_empty()
            && self.error.is_empty()
            && self.details.is_empty()
    }

    /// The value that text filters see.
    pub(crate) fn filter_value(&self, name: &str) -> &str {
        if name == ERROR {
            return self.error;
        }
        self.get(name).unwrap_or("")
    }

    /// Every label once, in no order, the error labels included.
    pub(crate) fn visit(&self, f: &mut dyn FnMut(&str, &str, Category)) {
        for (name, value) in self.base.iter() {
            let hidden = self.deleted.iter().any(|d| self.text(*d) == name)
                || self.added.iter().any(|a| self.text(a.name) == name);
            if !hidden {
                f(name, value, Category::Stream);
            }
        }
        for a in &self.added {
            let name = self.text(a.name);
            let hidden = a.category == Category::Metadata
                && self
                    .added
                    .iter()
                    .any(|b| b.category == Category::Parsed && self.text(b.name) == name);
            if !hidden {
                f(name, self.text(a.value), a.category);
            }
        }
        if !self.error.is_empty() {
            f(ERROR, self.error, Category::Parsed);
        }
        if !self.details.is_empty() {
            f(ERROR_DETAILS, &self.details, Category::Parsed);
        }
    }

    /// All labels as a set, the error labels included.
    pub(crate) fn all(&self) -> Labels {
        let mut pairs: Vec<(String, String)> = Vec::new();
        self.visit(&mut |n, v, _| pairs.push((n.to_owned(), v.to_owned())));
        pairs.sort_unstable();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        Labels::from_sorted(&pairs)
    }

    /// Names of all labels but the error labels.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.visit(&mut |n, _, _| {
            if n != ERROR && n != ERROR_DETAILS {
                out.push(n.to_owned());
            }
        });
        out
    }
}

/// A name as a label name: blanks around it go, a leading digit gets an underscore, every other
/// character that may not stand there becomes one.
pub(crate) fn sanitize_into(out: &mut String, key: &str, leading: bool) {
    let key = key.trim();
    if leading && key.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    out.extend(key.chars().map(|c| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '_'
        }
    }));
}

/// See [`sanitize_into`].
#[must_use]
pub fn sanitize(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 1);
    sanitize_into(&mut out, key, true);
    out
}

/// What was not UTF-8 becomes a blank in label values.
pub(crate) fn clean(value: &str) -> std::borrow::Cow<'_, str> {
    if value.contains('\u{fffd}') {
        value.replace('\u{fffd}', " ").into()
    } else {
        value.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed_hides_metadata_hides_stream() {
        let mut l = LabelSet::new(Hints::default());
        let stream = Labels::from_pairs([("app", "a"), ("env", "e")]);
        let metadata = Labels::from_pairs([("env", "m"), ("id", "1")]);
        l.reset(&stream, Some(&metadata));
        assert_eq!(l.get("env"), Some("e"));
        assert_eq!(l.get("env_extracted"), Some("m"));
        assert!(l.conflicts("id") && l.conflicts("app") && !l.conflicts("x"));
        l.set(Category::Parsed, "id", "2");
        assert_eq!(l.get("id"), Some("2"));
        l.delete("app");
        assert_eq!(l.get("app"), None);
        l.set(Category::Parsed, "app", "");
        assert_eq!(l.get("app"), Some(""));
        l.reset(&stream, None);
        assert!(l.is_plain());
    }

    #[test]
    fn names_are_sanitised_by_character() {
        for (key, want) in [("a.b", "a_b"), (" 1st ", "_1st"), ("üx", "_x"), ("", "")] {
            assert_eq!(sanitize(key), want);
        }
    }
}
