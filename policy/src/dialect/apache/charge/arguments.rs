//! What a native Flink runs with beside its configuration: `-Dkey=value` in `kubernetes.jobmanager.entrypoint.args` goes over the
//! JobManager's, which makes the TaskManagers (`KubernetesClusterEntrypoint` of Flink); in `kubernetes.taskmanager.entrypoint.args` it goes
//! over what the JobManager thinks that a TaskManager offers (`CmdTaskManagerDecorator`); and before Flink 2 the file that holds the
//! configuration may say more than it ([`lines`]).
//!
//! What a shell and Flink's parser make of such a text is only roughly told here: every `-D` in it is taken for one that Flink reads. So
//! arguments raise a charge and never lower it.

use super::count::{Asked, DEFAULT_PARALLELISM, SLOTS, slots};
use super::cpu::{self, CORES, TASK_MANAGER};
use crate::defaults::Imposed;
use crate::dialect::apache::conf::{self, Conf, Opt};
use crate::dialect::apache::rules::CPU;
use crate::dialect::apache::{Mode, java, lines, mode};
use crate::finding::{Cause, Findings};
use crate::json;
use crate::review::Review;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;

const ARGUMENTS: Opt = Opt::new("kubernetes.jobmanager.entrypoint.args", &[]);
const OF_TASK_MANAGER: Opt = Opt::new("kubernetes.taskmanager.entrypoint.args", &[]);

/// What the options by which anything is charged begin with: the others need not be kept.
const CHARGED: [&str; 6] = [
    "taskmanager.",
    "kubernetes.taskmanager.",
    "slotmanager.",
    DEFAULT_PARALLELISM.key,
    super::external::BEGINNING,
    super::state::OVERRIDES_KEY,
];

/// What a shell makes something else of: what it says nobody can tell. Quotes only group, and go.
const EXPANDED: [char; 4] = ['$', '`', '\\', '{'];

/// What the JobManager runs with.
#[derive(Clone)]
pub(super) struct RunsWith<'c, 'v> {
    /// Its configuration.
    pub(super) conf: Cow<'c, Conf<'v>>,
    /// The spec, without the CPU of TaskManagers where the arguments go over it.
    pub(super) spec: Cow<'v, Value>,
    /// How wide an application is asked for.
    pub(super) asked: Asked,
}

impl RunsWith<'_, '_> {
    /// With all this over it.
    fn over(mut self, said: &[(String, String)]) -> Self {
        self.asked.parallelism = self.asked.parallelism.max(parallelism(said));
        let goes_over_spec = |key: &str| TASK_MANAGER.key == key || TASK_MANAGER.older == [key];
        if said.iter().any(|(key, _)| goes_over_spec(key)) {
            let its = self.spec.to_mut().get_mut("taskManager");
            if let Some(its) = its.and_then(Value::as_object_mut) {
                its.remove("resource");
                its.remove("resources");
            }
        }
        for (key, text) in said {
            self.conf.to_mut().set(key.clone(), text.clone());
        }
        self
    }

    /// With TaskManagers that offer fewer slots than the JobManager asks CPU for, if their own arguments say so.
    fn with_fewer_slots(&self) -> Result<Option<Self>, Cause> {
        let said = said(&self.conf, OF_TASK_MANAGER, |key| key == SLOTS.key);
        let offered = said
            .iter()
            .filter_map(|(_, text)| u64::try_from(java::int(text)?).ok()?.into());
        let Some(fewest) = offered.min().map(|slots: u64| slots.max(1)) else {
            return Ok(None);
        };
        if fewest >= slots(&self.conf)? {
            return Ok(None);
        }
        let cpu = cpu::task_manager(&self.spec, Mode::Native, &self.conf)?;
        let cores = format!("{}.{:03}", cpu.0 / 1000, cpu.0 % 1000);
        let mut fewer = self.clone();
        let conf = fewer.conf.to_mut();
        conf.set(CORES.key.to_owned(), cores);
        conf.set(SLOTS.key.to_owned(), fewest.to_string());
        Ok(Some(fewer))
    }
}

/// Without all this, and with it where there is any: the file's lines, then the arguments. The dearest one counts.
pub(super) fn both<'c, 'v>(
    spec: &'v Value,
    mode: Mode,
    conf: &'c Conf<'v>,
) -> Result<Vec<RunsWith<'c, 'v>>, Cause> {
    let mut all = vec![RunsWith {
        conf: Cow::Borrowed(conf),
        spec: Cow::Borrowed(spec),
        asked: Asked {
            slots: slots(conf)?,
            parallelism: 0,
        },
    }];
    if mode == Mode::Standalone {
        return Ok(all);
    }
    for over in [
        lines::hidden(spec, conf, is_charged),
        said(conf, ARGUMENTS, is_charged),
    ] {
        if !over.is_empty() {
            let with: Vec<_> = all.iter().map(|with| with.clone().over(&over)).collect();
            all.extend(with);
        }
    }
    let mut fewer = Vec::new();
    for with in &all {
        fewer.extend(with.with_fewer_slots()?);
    }
    all.extend(fewer);
    Ok(all)
}

/// The parallelism of an application, which goes over that of the spec; 0 if none is said, or it cannot be read.
fn parallelism(said: &[(String, String)]) -> u64 {
    said.iter()
        .rfind(|(key, _)| key == DEFAULT_PARALLELISM.key)
        .and_then(|(_, text)| u64::try_from(java::int(text)?).ok())
        .unwrap_or(0)
}

/// Refuses arguments of which only a shell, or Flink's parser, can tell what they say: all that they can say can stand in the configuration. An
/// admin's, in the operator's configuration or `imposed`, are nothing that a user could mend, and what runs with its own can still be changed.
/// `effective`: all that the JobManager's configuration says.
pub(crate) fn judge(
    review: &Review<'_>,
    effective: &Conf<'_>,
    imposed: &Imposed<'_>,
    findings: &mut Findings,
) {
    for option in [ARGUMENTS, OF_TASK_MANAGER] {
        if effective.raw(option).is_none_or(|(_, text)| is_plain(text)) {
            continue;
        }
        let own = |object: &'_ Value| -> Option<(&'static str, String)> {
            let mut conf = Conf::default();
            conf.add(json::present(object, &["spec", "flinkConfiguration"])?);
            conf.raw(option).map(|(key, text)| (key, text.to_owned()))
        };
        let Some((key, text)) = own(review.object) else {
            continue;
        };
        let stood_there = |old: &Value| {
            mode(old) == Mode::Native && own(old).is_some_and(|(_, before)| before == text)
        };
        if !review.old().is_some_and(stood_there) {
            imposed.refuse(
                &CPU,
                conf::path(key),
                "a -D in it may change what the TaskManagers cost, so it may hold nothing but -Dkey=value, each key once, without quotes and \
                 what a shell changes; write everything else into spec.flinkConfiguration",
                findings,
            );
        }
    }
}

/// Whether everybody reads the same in it: `-Dkey=value` and nothing else, each key once.
fn is_plain(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " -_.=:/,@%+".contains(c);
    let mut keys = BTreeSet::new();
    text.chars().all(is_plain)
        && text.split_ascii_whitespace().all(|word| {
            let pair = word
                .strip_prefix("-D")
                .and_then(|pair| pair.split_once('='));
            pair.is_some_and(|(key, _)| !key.is_empty() && keys.insert(key))
        })
}

fn is_charged(key: &str) -> bool {
    CHARGED.iter().any(|beginning| key.starts_with(beginning))
}

/// What an option of arguments says of the options that `matter`, as far as it can be told.
fn said(conf: &Conf<'_>, option: Opt, matters: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let Some((_, text)) = conf.raw(option) else {
        return Vec::new();
    };
    let plain = text.replace(['"', '\''], "");
    let mut said = Vec::new();
    let mut words = plain.split_whitespace();
    while let Some(word) = words.next() {
        let property = match word.strip_prefix("-D") {
            Some("") => words.next(),
            property => property,
        };
        let Some(property) = property else { continue };
        // Flink's option takes two values, parted by a `=` or by a blank.
        let pair = property
            .split_once('=')
            .or_else(|| Some((property, words.clone().next()?)));
        if let Some((key, text)) = pair
            && matters(key)
            && !key.contains(EXPANDED)
            && !text.contains(EXPANDED)
        {
            said.push((key.to_owned(), text.to_owned()));
        }
    }
    said
}
