//! Options of the operator's autoscaler, judged only while it is on.

use super::conf::{BadValue, Conf, Opt, path};
use super::rules::{AUTOSCALER, CONFIGURATION, EXCLUDED_PERIODS, METRICS_WINDOW};
use super::{java, periods};
use crate::finding::{CauseReason, Findings};
use crate::json::quoted;

macro_rules! autoscaler_option {
    ($key:literal) => {
        Opt::new(
            concat!("job.autoscaler.", $key),
            &[concat!("kubernetes.operator.job.autoscaler.", $key)],
        )
    };
}

const ENABLED: Opt = autoscaler_option!("enabled");
const TARGET: Opt = Opt::new(
    "job.autoscaler.utilization.target",
    &[
        "job.autoscaler.target.utilization",
        "kubernetes.operator.job.autoscaler.utilization.target",
        "kubernetes.operator.job.autoscaler.target.utilization",
    ],
);
const WINDOW: Opt = autoscaler_option!("metrics.window");
const RECONCILE_INTERVAL: Opt = Opt::new(
    "kubernetes.operator.reconcile.interval",
    &["kubernetes.operator.reconciler.reschedule.interval"],
);
const PERIODS: Opt = autoscaler_option!("excluded.periods");
const QUOTA_CPU: Opt = autoscaler_option!("quota.cpu");

/// Whether the autoscaler is on. An unreadable switch counts as off here and is refused by [`judge`].
pub(crate) fn is_enabled(conf: &Conf<'_>) -> bool {
    conf.flag(ENABLED, false).unwrap_or(false)
}

/// The text of `job.autoscaler.quota.cpu`: CPU of all TaskManagers together that the autoscaler keeps to.
pub(crate) fn quota_cpu<'c>(conf: &'c Conf<'_>) -> Option<(&'static str, &'c str)> {
    conf.raw(QUOTA_CPU)
}

struct Bound {
    option: Opt,
    min: f64,
    max: f64,
    /// The switch of the feature that it belongs to.
    only_if: Option<Opt>,
}

const fn bound(option: Opt, min: f64, max: f64) -> Bound {
    Bound {
        option,
        min,
        max,
        only_if: None,
    }
}

const fn bound_if(only_if: Opt, option: Opt, min: f64, max: f64) -> Bound {
    Bound {
        option,
        min,
        max,
        only_if: Some(only_if),
    }
}

/// Judges the autoscaler's options.
pub(crate) fn judge(conf: &Conf<'_>, findings: &mut Findings) {
    match conf.flag(ENABLED, false) {
        Ok(true) => {}
        Ok(false) => return,
        Err(bad) => return unreadable(findings, &bad),
    }
    let target = match conf.read(TARGET, "a number such as 0.7", java::double) {
        Ok(target) => target.unwrap_or(0.7),
        Err(bad) => {
            unreadable(findings, &bad);
            0.7
        }
    };
    let bounds = [
        bound(
            autoscaler_option!("scale-down.max-factor"),
            0.0,
            f64::INFINITY,
        ),
        bound(
            autoscaler_option!("scale-up.max-factor"),
            0.0,
            f64::INFINITY,
        ),
        bound(TARGET, 0.0, 1.0),
        bound(
            autoscaler_option!("target.utilization.boundary"),
            0.0,
            f64::INFINITY,
        ),
        bound(autoscaler_option!("utilization.max"), target, 1.0),
        bound(autoscaler_option!("utilization.min"), 0.0, target),
        bound(autoscaler_option!("memory.gc-pressure.threshold"), 0.0, 1.0),
        bound(autoscaler_option!("memory.heap-usage.threshold"), 0.0, 1.0),
        bound_if(
            autoscaler_option!("observed-scalability.enabled"),
            autoscaler_option!("observed-scalability.coefficient-min"),
            0.01,
            1.0,
        ),
        bound_if(
            autoscaler_option!("scaling.effectiveness.detection.enabled"),
            autoscaler_option!("scaling.effectiveness.threshold"),
            0.0,
            1.0,
        ),
        bound_if(
            autoscaler_option!("memory.tuning.enabled"),
            autoscaler_option!("memory.tuning.overhead"),
            0.0,
            1.0,
        ),
    ];
    for bound in &bounds {
        within(bound, conf, findings);
    }
    excluded_periods(conf, findings);
    metrics_window(conf, findings);
}

fn within(bound: &Bound, conf: &Conf<'_>, findings: &mut Findings) {
    if let Some(switch) = bound.only_if {
        match conf.flag(switch, false) {
            Ok(true) => {}
            Ok(false) => return,
            Err(bad) => return unreadable(findings, &bad),
        }
    }
    let range = if bound.max.is_finite() {
        format!("a number from {} to {}", bound.min, bound.max)
    } else {
        format!("a number, at least {}", bound.min)
    };
    let Some((key, text)) = conf.raw(bound.option) else {
        return;
    };
    match java::double(text) {
        Some(value) if value < bound.min || value > bound.max => {}
        None if !findings.causes.iter().any(|cause| cause.field == path(key)) => {}
        _ => return,
    }
    findings.refuse(
        &AUTOSCALER,
        path(key),
        CauseReason::Invalid,
        format!(
            "{} must be {range}, or switch the autoscaler off",
            quoted(text)
        ),
    );
}

fn excluded_periods(conf: &Conf<'_>, findings: &mut Findings) {
    const EXAMPLE: &str = "write daily ranges such as 9:30-11:00 or cron expressions such as * * * ? * 2-6, \
                           separated by semicolons";
    let Some((key, text)) = conf.raw(PERIODS) else {
        return;
    };
    let mut refuse = |problem: String| {
        findings.refuse(
            &EXCLUDED_PERIODS,
            path(key),
            CauseReason::Invalid,
            format!("{problem}; {EXAMPLE}"),
        );
    };
    match java::list(text) {
        None => refuse(format!(
            "the quoting of {} is broken, or it has more than {} parts",
            quoted(text),
            java::MOST_PARTS
        )),
        Some(list) => {
            for expression in list {
                if let Err(why) = periods::judge(&expression) {
                    refuse(format!("{} {why}", quoted(&expression)));
                }
            }
        }
    }
}

fn metrics_window(conf: &Conf<'_>, findings: &mut Findings) {
    const SECOND: u128 = 1_000_000_000;
    const EXPECTED: &str = "a length of time such as 5 min";
    let window = conf.read(WINDOW, EXPECTED, java::duration_nanos);
    let interval = conf.read(RECONCILE_INTERVAL, EXPECTED, java::duration_nanos);
    match (window, interval) {
        (Ok(window), Ok(interval)) => {
            if window.unwrap_or(900 * SECOND) < interval.unwrap_or(60 * SECOND) {
                let (window, interval) = (conf.raw(WINDOW), conf.raw(RECONCILE_INTERVAL));
                let key = window.map_or(WINDOW.key, |(key, _)| key);
                findings.refuse(
                    &METRICS_WINDOW,
                    path(key),
                    CauseReason::Invalid,
                    format!(
                        "the window of {} is shorter than the reconcile interval of {}; make it at least twice as long",
                        window.map_or("15 min", |(_, text)| text),
                        interval.map_or("60 s", |(_, text)| text)
                    ),
                );
            }
        }
        (window, interval) => {
            for bad in [window.err(), interval.err()].into_iter().flatten() {
                unreadable(findings, &bad);
            }
        }
    }
}

/// Refuses a value that cannot be read.
pub(crate) fn unreadable(findings: &mut Findings, bad: &BadValue) {
    findings.refuse(
        &CONFIGURATION,
        bad.field(),
        CauseReason::Invalid,
        bad.message(),
    );
}
