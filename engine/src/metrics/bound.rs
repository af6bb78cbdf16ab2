//! How much a read would touch at most, told without doing it.
//!
//! Owns: upper bounds from the sizes of posting lists.
//! Knows nothing of: what a reader does with them.
//!
//! A bound is there only when finding it out touches no file: callers decide by it whether a read
//! is short enough to be done at once.

use super::block::Block;
use super::db::Db;
use crate::model::{MatchOp, Matcher, TenantId};

impl Db {
    /// At most so many series match and may have points in `[min_t, max_t]`; `None` when blocks
    /// would have to be read, or when no matcher wants an exact value. Cost: a few lookups.
    #[must_use]
    pub fn series_bound(
        &self,
        tenant: TenantId,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
    ) -> Option<u64> {
        let exact = || {
            let named = matchers.iter().filter(|m| !m.value.is_empty());
            named.filter(|m| matches!(m.op, MatchOp::Equal))
        };
        exact().next()?;
        if !self.blocks_in(tenant, min_t, max_t).is_empty() {
            return None;
        }
        let Some(head) = self.head(tenant) else {
            return Some(0);
        };
        let index = head.index.read();
        let lens = exact().map(|m| index.table().pair_len(&m.name, &m.value));
        lens.min()
    }

    /// At most so many values does label `name` have in `[min_t, max_t]`; `None` when a block has
    /// not been looked at before. Cost: a few lookups.
    #[must_use]
    pub fn values_bound(
        &self,
        tenant: TenantId,
        name: &str,
        min_t: i64,
        max_t: i64,
    ) -> Option<u64> {
        let blocks = self.blocks_in(tenant, min_t, max_t);
        let in_blocks = blocks.iter().map(|b| Block::known_values(b, name));
        let in_blocks = in_blocks.sum::<Option<u64>>()?;
        let head = self.head(tenant);
        let in_head = head.map_or(0, |h| h.index.read().table().values_len(name));
        Some(in_blocks + in_head)
    }
}
