//! The door of the collectors: families go in as they are found and come out as text.
//!
//! Owns: what a family and a sample are, the text format 0.0.4.
//! Knows nothing of: where values come from, who asks for them.
//!
//! A collector meets its families in the order of devices, a reader wants them in the order of
//! names. So every sample is written once, as the text that will be sent, and only its place is
//! sorted.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/>. The exporters we stand
//! in for answer it whatever a client would rather have.

use std::borrow::Cow;

use engine::model::float;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// The `Content-Type` of [`Sink::write_text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets.
    Histogram,
    /// Quantiles, sum and count.
    Summary,
    /// Nobody knows.
    Untyped,
}

impl Kind {
    /// The word of the text format.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }
}

/// What follows the family's name in a sample's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suffix {
    /// Nothing.
    None,
    /// `_bucket`.
    Bucket,
    /// `_sum`.
    Sum,
    /// `_count`.
    Count,
}

impl Suffix {
    /// Its letters.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bucket => "_bucket",
            Self::Sum => "_sum",
            Self::Count => "_count",
        }
    }
}

/// A family of a [`Sink`], valid for that sink only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyId(usize);

#[derive(Debug)]
struct Head {
    name: Cow<'static, str>,
    help: Cow<'static, str>,
    kind: Kind,
    samples: usize,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    family: usize,
    start: usize,
    end: usize,
}

/// Takes families and samples in any order.
#[derive(Debug, Default)]
pub struct Sink {
    heads: Vec<Head>,
    index: HashTable<usize>,
    pieces: Vec<Piece>,
    text: String,
}

impl Sink {
    /// An empty sink.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The family `name`. The first call decides help and kind; later ones find the same family,
    /// at the cost of one look into a hash table.
    pub fn family(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        kind: Kind,
    ) -> FamilyId {
        let name = name.into();
        let heads = &mut self.heads;
        let same = |i: &usize| heads.get(*i).is_some_and(|h| h.name == name);
        let hash = hash(&name);
        if let Some(id) = self.index.find(hash, same) {
            return FamilyId(*id);
        }
        let id = heads.len();
        heads.push(Head {
            name,
            help: help.into(),
            kind,
            samples: 0,
        });
        let again = |i: &usize| heads.get(*i).map_or(0, |h| self::hash(&h.name));
        self.index.insert_unique(hash, id, again);
        FamilyId(id)
    }

    /// A sample of `family`. Labels are written in the order given.
    pub fn add(&mut self, family: FamilyId, labels: &[(&str, &str)], value: f64) {
        self.add_suffixed(family, Suffix::None, labels, value);
    }

    /// A sample whose name has a suffix.
    pub fn add_suffixed(
        &mut self,
        family: FamilyId,
        suffix: Suffix,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        self.put(family, suffix, labels.iter().copied(), value);
    }

    /// A gauge's sample.
    pub fn gauge(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let f = self.family(name, help, Kind::Gauge);
        self.add(f, labels, value);
    }

    /// A counter's sample.
    pub fn counter(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let f = self.family(name, help, Kind::Counter);
        self.add(f, labels, value);
    }

    /// A sample whose labels come from an iterator.
    pub fn put<'l>(
        &mut self,
        family: FamilyId,
        suffix: Suffix,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        value: f64,
    ) {
        let Some(head) = self.heads.get_mut(family.0) else {
            return;
        };
        head.samples += 1;
        let start = self.text.len();
        self.text.push_str(suffix.text());
        let mut open = false;
        for (name, value) in labels {
            self.text.push(if open { ',' } else { '{' });
            open = true;
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(value, true, &mut self.text);
            self.text.push('"');
        }
        if open {
            self.text.push('}');
        }
        self.text.push(' ');
        float::write_general(&mut self.text, value);
        self.text.push('\n');
        self.pieces.push(Piece {
            family: family.0,
            start,
            end: self.text.len(),
        });
    }

    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.pieces.len()
    }

    /// A mark to which [`Sink::rewind`] goes back.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.pieces.len()
    }

    /// Takes back every sample since `mark`.
    pub fn rewind(&mut self, mark: usize) {
        for p in self.pieces.drain(mark.min(self.pieces.len())..) {
            if let Some(h) = self.heads.get_mut(p.family) {
                h.samples -= 1;
            }
        }
    }

    /// Appends everything, families in the order of their names, samples in the order in which
    /// they came. A family without samples is left out.
    pub fn write_text(&self, out: &mut String) {
        let mut order: Vec<usize> = (0..self.heads.len()).collect();
        let name = |i: &usize| self.heads.get(*i).map_or("", |h| &*h.name);
        order.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        let mut pieces = self.pieces.clone();
        let mut place = vec![0; self.heads.len()];
        for (n, i) in order.iter().enumerate() {
            if let Some(p) = place.get_mut(*i) {
                *p = n;
            }
        }
        pieces.sort_by_key(|p| place.get(p.family).copied().unwrap_or(0));
        out.reserve(self.text.len() * 2);
        let mut last = usize::MAX;
        for p in pieces {
            let Some(head) = self.heads.get(p.family) else {
                continue;
            };
            if p.family != last {
                last = p.family;
                head.write(out);
            }
            out.push_str(&head.name);
            out.push_str(self.text.get(p.start..p.end).unwrap_or_default());
        }
    }

    /// [`Sink::write_text`] as a text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write_text(&mut out);
        out
    }
}

impl Head {
    fn write(&self, out: &mut String) {
        if !self.help.is_empty() {
            out.push_str("# HELP ");
            out.push_str(&self.name);
            out.push(' ');
            escape(&self.help, false, out);
            out.push('\n');
        }
        out.push_str("# TYPE ");
        out.push_str(&self.name);
        out.push(' ');
        out.push_str(self.kind.word());
        out.push('\n');
    }
}

/// Names are our own or those of metrics that were accepted: nobody can choose them to collide.
fn hash(name: &str) -> u64 {
    use std::hash::BuildHasher as _;
    FixedState::default().hash_one(name)
}

fn escape(text: &str, quotes: bool, out: &mut String) {
    let special = |b: u8| b == b'\\' || b == b'\n' || (b == b'"' && quotes);
    if !text.bytes().any(special) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_complete() {
        let mut s = Sink::new();
        let labels = [("l", "a\"b\\c\nd")];
        s.counter("a_total", "one\\two\nthree \"x\"", &labels, 1e6);
        assert_eq!(
            s.text(),
            "# HELP a_total one\\\\two\\nthree \"x\"\n# TYPE a_total counter\n\
             a_total{l=\"a\\\"b\\\\c\\nd\"} 1e+06\n"
        );
    }

    #[test]
    fn families_are_sorted_and_their_samples_stay_in_order() {
        let mut s = Sink::new();
        for (device, v) in [("b", 1.0), ("a", 2.0)] {
            s.gauge("y", "Y.", &[("d", device)], v);
            s.gauge("x", "X.", &[("d", device)], v);
        }
        s.family("never", "Nothing.", Kind::Gauge);
        let mark = s.mark();
        s.gauge("z", "Z.", &[], 1.0);
        s.rewind(mark);
        let h = s.family("h", "", Kind::Histogram);
        s.add_suffixed(h, Suffix::Bucket, &[("le", "+Inf")], 3.0);
        s.add_suffixed(h, Suffix::Sum, &[], 0.5);
        assert_eq!(
            s.text(),
            "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 0.5\n\
             # HELP x X.\n# TYPE x gauge\nx{d=\"b\"} 1\nx{d=\"a\"} 2\n\
             # HELP y Y.\n# TYPE y gauge\ny{d=\"b\"} 1\ny{d=\"a\"} 2\n"
        );
    }
}
