//! Compensated summation (Kahan, with Neumaier's improvement).

/// Adds `v` to `sum` with compensation `c`: the new sum and compensation. The value is `sum + c`.
#[inline(always)]
pub(crate) fn inc(v: f64, sum: f64, c: f64) -> (f64, f64) {
    let t = sum + v;
    let c = if t.is_infinite() {
        0.0
    } else if sum.abs() >= v.abs() {
        c + ((sum - t) + v)
    } else {
        c + ((v - t) + sum)
    };
    (t, c)
}
