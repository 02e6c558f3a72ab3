//! What `kubernetes.jobmanager.entrypoint.args` says: `-Dkey=value` on a native JobManager's command line goes over its configuration, and
//! the JobManager makes the TaskManagers (`KubernetesClusterEntrypoint` of Flink).

use super::count::DEFAULT_PARALLELISM;
use crate::dialect::apache::conf::{self, Conf, Opt};
use crate::dialect::apache::rules::CPU;
use crate::dialect::apache::{Mode, java};
use crate::finding::{CauseReason, Findings};
use std::borrow::Cow;

const ARGUMENTS: Opt = Opt::new("kubernetes.jobmanager.entrypoint.args", &[]);

/// What a shell makes something else of. Quotes only group, and go.
const EXPANDED: [char; 4] = ['$', '`', '\\', '{'];

/// The configuration that the JobManager runs with.
pub(super) fn over<'c, 'v>(conf: &'c Conf<'v>, mode: Mode) -> Cow<'c, Conf<'v>> {
    let said = said(conf, mode);
    if said.is_empty() {
        return Cow::Borrowed(conf);
    }
    let mut conf = conf.clone();
    for (key, text) in said {
        conf.set(key, text);
    }
    Cow::Owned(conf)
}

/// The parallelism of an application that is said there and goes over that of the spec; 0 if none is, or it cannot be read.
pub(super) fn parallelism(conf: &Conf<'_>, mode: Mode) -> u64 {
    said(conf, mode)
        .into_iter()
        .rfind(|(key, _)| key == DEFAULT_PARALLELISM.key)
        .and_then(|(_, text)| u64::try_from(java::int(&text)?).ok())
        .unwrap_or(0)
}

/// Refuses arguments of which only a shell can tell what they say.
pub(crate) fn judge(conf: &Conf<'_>, findings: &mut Findings) {
    if let Some((key, text)) = conf.raw(ARGUMENTS)
        && text.contains(EXPANDED)
    {
        findings.refuse(
            &CPU,
            conf::path(key),
            CauseReason::Invalid,
            "a -D in it may change what the TaskManagers cost, and what a shell makes of $, `, \\ and { cannot be told; write the \
             values themselves",
        );
    }
}

fn said(conf: &Conf<'_>, mode: Mode) -> Vec<(String, String)> {
    let Some((_, text)) = conf.raw(ARGUMENTS).filter(|_| mode == Mode::Native) else {
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
        if let Some((key, text)) = property.and_then(|property| property.split_once('=')) {
            said.push((key.to_owned(), text.to_owned()));
        }
    }
    said
}
