//! Metric families in memory and as text format 0.0.4.

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets.
    Histogram,
    /// Quantiles, here only sum and count.
    Summary,
}

impl Kind {
    /// The word of the text format.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// What follows the family's name in a sample's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suffix {
    /// Nothing.
    None,
    /// `_bucket`.
    Bucket,
    /// `_sum`.
    Sum,
    /// `_count`.
    Count,
}

/// One sample of a family.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Which of the family's series.
    pub(crate) suffix: Suffix,
    /// Labels in the order in which they are written.
    pub(crate) labels: Vec<(&'static str, String)>,
    /// The value.
    pub(crate) value: f64,
}

/// A metric family.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    /// Name.
    pub(crate) name: String,
    /// What it means.
    pub(crate) help: &'static str,
    /// What it is.
    pub(crate) kind: Kind,
    /// Its samples.
    pub(crate) samples: Vec<Sample>,
}

impl Family {
    /// A family of one sample without labels.
    pub(crate) fn single(name: &str, help: &'static str, kind: Kind, value: f64) -> Self {
        Self {
            name: name.to_owned(),
            help,
            kind,
            samples: vec![Sample {
                suffix: Suffix::None,
                labels: Vec::new(),
                value,
            }],
        }
    }
}

/// Appends `families`, in the order given.
pub(crate) fn write_text(families: &[Family], out: &mut String) {
    for f in families {
        out.push_str("# HELP ");
        out.push_str(&f.name);
        out.push(' ');
        escape(f.help, false, out);
        out.push_str("\n# TYPE ");
        out.push_str(&f.name);
        out.push(' ');
        out.push_str(f.kind.word());
        out.push('\n');
        for s in &f.samples {
            out.push_str(&f.name);
            out.push_str(match s.suffix {
                Suffix::None => "",
                Suffix::Bucket => "_bucket",
                Suffix::Sum => "_sum",
                Suffix::Count => "_count",
            });
            for (i, (name, value)) in s.labels.iter().enumerate() {
                out.push(if i == 0 { '{' } else { ',' });
                out.push_str(name);
                out.push_str("=\"");
                escape(value, true, out);
                out.push('"');
            }
            if !s.labels.is_empty() {
                out.push('}');
            }
            out.push(' ');
            query::text::float::write_general(out, s.value);
            out.push('\n');
        }
    }
}

fn escape(text: &str, quotes: bool, out: &mut String) {
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
        let mut f = Family::single("a_total", "one\\two\nthree \"x\"", Kind::Counter, 1e6);
        f.samples[0].labels.push(("l", "a\"b\\c\nd".into()));
        let mut out = String::new();
        write_text(&[f], &mut out);
        assert_eq!(
            out,
            "# HELP a_total one\\\\two\\nthree \"x\"\n# TYPE a_total counter\n\
             a_total{l=\"a\\\"b\\\\c\\nd\"} 1e+06\n"
        );
    }
}
