//! Finding series by labels.
//!
//! Owns: the head's label table with postings, and the evaluation of matchers over any label
//! table. Knows nothing of: samples, files, time.

mod matching;
mod table;

pub(crate) use matching::series_of;
pub use matching::{LabelIndex, Union, matching_series};
pub use table::{LabelTable, PairId};
