//! When groups are evaluated: on a grid that each group has for itself, so that not all of them
//! run at once, and that stays the same after a restart.

/// Times of evaluations: `phase`, `phase + interval`, ... in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    interval_ms: i64,
    phase_ms: i64,
}

impl Grid {
    /// The grid of the group called `key`.
    pub(crate) fn new(key: &str, interval_ms: i64) -> Self {
        let interval_ms = interval_ms.max(1);
        let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
        let phase = hash % interval_ms.cast_unsigned();
        Self {
            interval_ms,
            phase_ms: phase.cast_signed(),
        }
    }

    /// The first time after `now`.
    pub(crate) fn after(&self, now: i64) -> i64 {
        let behind = (now - self.phase_ms).rem_euclid(self.interval_ms);
        now + self.interval_ms - behind
    }

    /// What comes after the evaluation at `last` when it is `now`: the time of the next one, which
    /// may be a little late, and how many are left out.
    pub(crate) fn next(&self, last: i64, now: i64) -> (i64, u64) {
        let next = last + self.interval_ms;
        let late = (now - next).div_euclid(self.interval_ms).max(0);
        (
            next + late * self.interval_ms,
            u64::try_from(late).unwrap_or(0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lie_on_a_grid_that_the_name_decides() {
        let g = Grid::new("rules.yml;a", 15_000);
        let first = g.after(1_000_000);
        assert!(first > 1_000_000 && first <= 1_015_000);
        assert_eq!(g.after(first), first + 15_000);
        assert_eq!(g.after(first - 1), first);
        assert_eq!(Grid::new("rules.yml;a", 15_000), g);
        assert_ne!(Grid::new("rules.yml;b", 15_000), g);
        assert_eq!(g.next(first, first + 10), (first + 15_000, 0));
        assert_eq!(g.next(first, first + 29_999), (first + 15_000, 0));
        assert_eq!(g.next(first, first + 30_000), (first + 30_000, 1));
        assert_eq!(g.next(first, first + 50_000), (first + 45_000, 2));
    }
}
