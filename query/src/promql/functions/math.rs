//! Functions of one float.

/// Whether `name` maps floats one by one; `params` are its scalar arguments at a step.
pub(crate) fn find(name: &str) -> Option<fn(f64, &[f64]) -> f64> {
    Some(match name {
        "abs" => |v, _| v.abs(),
        "ceil" => |v, _| v.ceil(),
        "floor" => |v, _| v.floor(),
        "sqrt" => |v, _| v.sqrt(),
        "exp" => |v, _| v.exp(),
        "ln" => |v, _| v.ln(),
        "log2" => |v, _| v.log2(),
        "log10" => |v, _| v.log10(),
        "sin" => |v, _| v.sin(),
        "cos" => |v, _| v.cos(),
        "tan" => |v, _| v.tan(),
        "asin" => |v, _| v.asin(),
        "acos" => |v, _| v.acos(),
        "atan" => |v, _| v.atan(),
        "sinh" => |v, _| v.sinh(),
        "cosh" => |v, _| v.cosh(),
        "tanh" => |v, _| v.tanh(),
        "asinh" => |v, _| asinh(v),
        "acosh" => |v, _| v.acosh(),
        "atanh" => |v, _| v.atanh(),
        "rad" => |v, _| v * std::f64::consts::PI / 180.0,
        "deg" => |v, _| v * 180.0 / std::f64::consts::PI,
        "sgn" => |v, _| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        },
        "round" => |v, p| {
            let inverse = 1.0 / p.first().copied().unwrap_or(1.0);
            (v * inverse + 0.5).floor() / inverse
        },
        "clamp" => |v, p| max(param(p, 0), min(param(p, 1), v)),
        "clamp_min" => |v, p| max(param(p, 0), v),
        "clamp_max" => |v, p| min(param(p, 0), v),
        _ => return None,
    })
}

fn param(p: &[f64], i: usize) -> f64 {
    p.get(i).copied().unwrap_or(f64::NAN)
}

/// The larger one; NaN when either is, unless the other is +Inf.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// The smaller one; NaN when either is, unless the other is -Inf.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

/// The library's formula loses small and huge arguments.
fn asinh(v: f64) -> f64 {
    let x = v.abs();
    let y = if x > 1e8 {
        x.ln() + std::f64::consts::LN_2
    } else {
        (x + x * x / ((x * x + 1.0).sqrt() + 1.0)).ln_1p()
    };
    y.copysign(v)
}

/// The floating remainder with the sign of the dividend.
pub(crate) fn modulo(a: f64, b: f64) -> f64 {
    a % b
}
