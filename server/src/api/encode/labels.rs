//! Label sets as JSON objects.

use engine::model::Labels;
use serde::{Serialize, Serializer};

use super::json::write_string;

/// Appends `labels` as an object in name order.
pub(crate) fn write_labels(labels: &Labels, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write_string(value, out);
    }
    out.push(b'}');
}

/// A label set for serde.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonLabels<'a>(pub(crate) &'a Labels);

impl Serialize for JsonLabels<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter())
    }
}
