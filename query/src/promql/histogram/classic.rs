//! Quantiles and fractions of classic histograms: cumulative counts by upper bound.

/// A bucket of a classic histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassicBucket {
    /// Upper bound.
    pub upper: f64,
    /// Observations up to the bound.
    pub count: f64,
}

/// Where cumulative counts went down and had to be lifted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForcedMonotonicity {
    /// Lowest bound concerned.
    pub min_bucket: f64,
    /// Highest bound concerned.
    pub max_bucket: f64,
    /// Largest step down.
    pub max_diff: f64,
}

/// Relative difference below which counts of neighbours are taken as equal: what float addition in
/// different orders produces.
const SMALL_DELTA: f64 = 1e-12;

/// Equal up to a relative error.
#[must_use]
pub(crate) fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if engine::model::is_stale(a) || engine::model::is_stale(b) {
        return engine::model::is_stale(a) && engine::model::is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < epsilon * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < epsilon
}

/// Sorts, merges equal bounds. `None` without a `+Inf` bucket.
fn prepare(buckets: &mut Vec<ClassicBucket>) -> Option<()> {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last()?.upper != f64::INFINITY {
        return None;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    Some(())
}

fn make_monotonic(buckets: &mut [ClassicBucket]) -> Option<ForcedMonotonicity> {
    let mut forced: Option<ForcedMonotonicity> = None;
    let (first, rest) = buckets.split_first_mut()?;
    let mut previous = first.count;
    for b in rest {
        let current = b.count;
        if current == previous {
            continue;
        }
        if almost_equal(previous, current, SMALL_DELTA) {
            b.count = previous;
        } else if current < previous {
            b.count = previous;
            let f = forced.get_or_insert(ForcedMonotonicity {
                min_bucket: f64::INFINITY,
                max_bucket: f64::NEG_INFINITY,
                max_diff: 0.0,
            });
            f.min_bucket = f.min_bucket.min(b.upper);
            f.max_bucket = f.max_bucket.max(b.upper);
            f.max_diff = f.max_diff.max(previous - current);
        } else {
            previous = current;
        }
    }
    forced
}

/// Quantile `q`. The buckets are put in order; linear interpolation from 0 (or from the bound
/// below) to the bucket's bound. NaN without `+Inf` bucket, with one bucket, or empty.
pub fn classic_quantile(
    q: f64,
    buckets: &mut Vec<ClassicBucket>,
) -> (f64, Option<ForcedMonotonicity>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if prepare(buckets).is_none() {
        return (f64::NAN, None);
    }
    let forced = make_monotonic(buckets);
    let n = buckets.len();
    if n < 2 {
        return (f64::NAN, forced);
    }
    let observations = buckets[n - 1].count;
    if observations == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = q * observations;
    // NaN counts compare false everywhere: they land in the last bucket.
    let b = first_reaching(&buckets[..n - 1], rank);
    if b == n - 1 {
        return (buckets[n - 2].upper, forced);
    }
    if b == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, forced);
    }
    let (mut start, end, mut count) = (0.0, buckets[b].upper, buckets[b].count);
    if b > 0 {
        start = buckets[b - 1].upper;
        count -= buckets[b - 1].count;
        rank -= buckets[b - 1].count;
    }
    (start + (end - start) * (rank / count), forced)
}

fn first_reaching(buckets: &[ClassicBucket], rank: f64) -> usize {
    buckets.partition_point(|b| b.count < rank || b.count.is_nan())
}

/// Share of the observations between `lower` and `upper`.
pub fn classic_fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if prepare(buckets).is_none() {
        return f64::NAN;
    }
    let count = buckets.last().map_or(0.0, |b| b.count);
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut rank = 0.0;
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut bound = if buckets[0].upper <= 0.0 {
        f64::NEG_INFINITY
    } else {
        0.0
    };
    for b in buckets.iter() {
        let rank_at = |v: f64| {
            if bound == f64::NEG_INFINITY {
                b.count
            } else {
                rank + (b.count - rank) * (v - bound) / (b.upper - bound)
            }
        };
        for (slot, v) in [(&mut lower_rank, lower), (&mut upper_rank, upper)] {
            if slot.is_none() && bound >= v {
                *slot = Some(rank);
            } else if slot.is_none() && bound < v && b.upper > v {
                *slot = Some(rank_at(v));
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank = b.count;
        bound = b.upper;
    }
    let cap = |r: Option<f64>| r.filter(|r| *r <= count).unwrap_or(count);
    (cap(upper_rank) - cap(lower_rank)) / count
}
