//! Finding series by labels.
//!
//! Owns: the head's label table with postings, and the evaluation of matchers over any label
//! table. Knows nothing of: samples, files, time.

mod matching;
mod table;

pub use matching::{LabelIndex, matching_series};
pub use table::{LabelTable, PairId};
