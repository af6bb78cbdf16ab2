//! What the kernel thinks of its clock, from `adjtimex(2)`.

use super::Entry;
use super::read::{Outcome, Problem, Roots};
use crate::emit::{Kind, Sink};

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("timex", collect);

/// Microseconds as seconds.
const MICRO: f64 = 1e-6;
/// Frequencies are parts per million with 16 binary digits behind the point.
const PPM_16: f64 = 65536.0;

/// Asks the kernel without changing anything.
#[expect(
    unsafe_code,
    reason = "no library wraps the call that only asks, and no file tells the same"
)]
fn ask() -> Result<(i32, libc::timex), std::io::Error> {
    // SAFETY: all bytes zero is a valid `timex`: it holds nothing but whole numbers. Its `modes`
    // are then empty, so the kernel only fills it in, and never beyond its own definition of it.
    let (state, t) = unsafe {
        let mut t: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut t), t)
    };
    if state < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok((state, t))
}

fn collect(_: &Roots, out: &mut Sink) -> Outcome {
    let (state, t) = match ask() {
        // Some sandboxes forbid even asking.
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(Problem::Absent(format!("adjtimex: {e}")));
        }
        Err(e) => return Err(Problem::Failed(format!("adjtimex: {e}"))),
        Ok(found) => found,
    };
    let synchronized = f64::from(u8::from(state != libc::TIME_ERROR));
    let divisor = if t.status & libc::STA_NANO != 0 {
        1e9
    } else {
        1e6
    };
    let rows: [(&str, &str, Kind, f64); 17] = [
        (
            "node_timex_estimated_error_seconds",
            "Estimated error in seconds.",
            Kind::Gauge,
            t.esterror as f64 * MICRO,
        ),
        (
            "node_timex_frequency_adjustment_ratio",
            "Local clock frequency adjustment.",
            Kind::Gauge,
            1.0 + t.freq as f64 / PPM_16 / 1e6,
        ),
        (
            "node_timex_loop_time_constant",
            "Phase-locked loop time constant.",
            Kind::Gauge,
            t.constant as f64,
        ),
        (
            "node_timex_maxerror_seconds",
            "Maximum error in seconds.",
            Kind::Gauge,
            t.maxerror as f64 * MICRO,
        ),
        (
            "node_timex_offset_seconds",
            "Time offset in between local system and reference clock.",
            Kind::Gauge,
            t.offset as f64 / divisor,
        ),
        (
            "node_timex_pps_calibration_total",
            "Pulse per second count of calibration intervals.",
            Kind::Counter,
            t.calcnt as f64,
        ),
        (
            "node_timex_pps_error_total",
            "Pulse per second count of calibration errors.",
            Kind::Counter,
            t.errcnt as f64,
        ),
        (
            "node_timex_pps_frequency_hertz",
            "Pulse per second frequency.",
            Kind::Gauge,
            t.ppsfreq as f64 / PPM_16,
        ),
        (
            "node_timex_pps_jitter_seconds",
            "Pulse per second jitter.",
            Kind::Gauge,
            t.jitter as f64 / divisor,
        ),
        (
            "node_timex_pps_jitter_total",
            "Pulse per second count of jitter limit exceeded events.",
            Kind::Counter,
            t.jitcnt as f64,
        ),
        (
            "node_timex_pps_shift_seconds",
            "Pulse per second interval duration.",
            Kind::Gauge,
            f64::from(t.shift),
        ),
        (
            "node_timex_pps_stability_exceeded_total",
            "Pulse per second count of stability limit exceeded events.",
            Kind::Counter,
            t.stbcnt as f64,
        ),
        (
            "node_timex_pps_stability_hertz",
            "Pulse per second stability, average of recent frequency changes.",
            Kind::Gauge,
            t.stabil as f64 / PPM_16,
        ),
        (
            "node_timex_status",
            "Value of the status array bits.",
            Kind::Gauge,
            f64::from(t.status),
        ),
        (
            "node_timex_sync_status",
            "Is clock synchronized to a reliable server (1 = yes, 0 = no).",
            Kind::Gauge,
            synchronized,
        ),
        (
            "node_timex_tai_offset_seconds",
            "International Atomic Time (TAI) offset.",
            Kind::Gauge,
            f64::from(t.tai),
        ),
        (
            "node_timex_tick_seconds",
            "Seconds between clock ticks.",
            Kind::Gauge,
            t.tick as f64 * MICRO,
        ),
    ];
    for (name, help, kind, v) in rows {
        let family = out.family(name.to_owned(), help.to_owned(), kind);
        out.add(family, &[], v);
    }
    Ok(())
}
