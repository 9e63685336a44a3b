//! Verdicts about waits and rates on processors that do not always run: relative to the time that they got.

use std::time::Duration;

use super::theft::{STOP, Time};

/// No wait may be longer than so many times the longest that a processor stood still, in time in which processors run.
const WAITS: u32 = 5;
/// A host that gives less of the time is judged as if it gave this.
const LEAST_SHARE: f64 = 0.05;
/// At least this part of what the running time allows must be left of a rate.
const KEPT: f64 = 0.5;

/// Whether the longest wait in the last window is short enough, and both figures.
pub fn longest(ms: u64, windows: &[Time]) -> (bool, String) {
    let (stood, share) = windows
        .last()
        .map_or((Duration::ZERO, 1.0), |time| (time.longest, time.share));
    let most = (WAITS * stood.max(STOP)).div_f64(share.clamp(LEAST_SHARE, 1.0));
    let text = format!(
        "{ms} ms; processors stood still for up to {} ms, and got {share:.2} of the time they wanted: at most {} ms",
        stood.as_millis(),
        most.as_millis()
    );
    (Duration::from_millis(ms) <= most, text)
}

/// Whether enough is left of rates, given in pairs of before and after, and the figures: the geometric mean of what is left, and
/// what is left of the time. One of three that collapses to an eighth is a failure.
pub fn kept(rates: &[f64], windows: &[Time]) -> (bool, String) {
    let (pairs, []) = rates.as_chunks::<2>() else {
        return (false, "rates come in pairs".to_owned());
    };
    let [.., before, after] = windows else {
        return (false, "there were no two windows".to_owned());
    };
    let logs = pairs
        .iter()
        .map(|[before, after]| (after.max(1.0) / before.max(1.0)).ln());
    let left = (logs.sum::<f64>() / pairs.len().max(1) as f64).exp();
    let time = (after.share / before.share.max(1e-9)).min(1.0);
    let well = !pairs.is_empty() && left >= KEPT * time;
    (well, format!("{left:.2} of the rates in {time:.2} of the time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(ms: u64, share: f64) -> Time {
        Time {
            longest: Duration::from_millis(ms),
            share,
        }
    }

    #[test]
    fn waits_are_measured_by_the_stops() {
        for (ms, stood, share, well) in [
            (250, 0, 1.0, true),
            (251, 0, 1.0, false),
            (1000, 200, 1.0, true),
            (1001, 200, 1.0, false),
            (500, 0, 0.5, true),
            (501, 0, 0.5, false),
            (6000, 0, 0.0, false),
        ] {
            let windows = [time(9999, 0.1), time(stood, share)];
            assert_eq!(longest(ms, &windows).0, well, "{ms} {stood} {share}");
        }
        assert!(!longest(251, &[]).0);
    }

    #[test]
    fn rates_are_measured_by_the_time() {
        let windows = [time(0, 0.8), time(50, 0.4)];
        assert!(kept(&[100.0, 26.0, 50.0, 26.0, 10.0, 2.0], &windows).0);
        assert!(
            !kept(&[100.0, 100.0, 50.0, 50.0, 175.0, 0.2], &windows).0,
            "one has collapsed"
        );
        assert!(!kept(&[100.0, 20.0], &windows).0);
        assert!(!kept(&[100.0], &windows).0 && !kept(&[], &windows).0 && !kept(&[1.0, 1.0], &windows[1..]).0);
    }
}
