//! Metric families in memory, on their way to text or JSON.

use exporters::emit::{Kind, Sink, Suffix};

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

/// Gives `families` to the door through which all text leaves.
pub(crate) fn emit(families: &[Family], out: &mut Sink) {
    for f in families {
        let family = out.family(f.name.clone(), f.help, f.kind);
        for s in &f.samples {
            let labels = s.labels.iter().map(|(n, v)| (*n, v.as_str()));
            out.put(family, s.suffix, labels, s.value);
        }
    }
}
