//! The decision: what is observed of a savepoint that a user asks for goes in, the next step and its status come out.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::{Failure, SavepointState, SavepointStatus};

use super::object::{Request, completed, request};
use super::place::{folder, trigger_id};
use super::sight::{Answer, Ask, Life, Observed, Place, Plan, Sight, Told};
use crate::flink::{JobId, Snapshot, TriggerId};
use crate::runtime::conditions::{self, Truth, whole_second};
use crate::runtime::events::Note;

/// For how long Flink is certain to remember a request: a minute less than it does after it has answered (its
/// `rest.async.store-duration` is 5 minutes).
const REMEMBERED: Duration = Duration::from_mins(4);
/// Between looks at a savepoint that is being written, at first and later.
const LOOK: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// For how long a savepoint is looked at often.
const FRESH: Duration = Duration::from_secs(30);
/// Between looks at a job that does not run yet, or is not there, at first and at most: a tenth of the time that it was waited for.
const WAIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));
/// Between looks at a Flink that does not answer.
const SILENT: Duration = Duration::from_secs(5);
/// Without an id of our own, how long an answer may be under way.
const UNDER_WAY: Duration = Duration::from_secs(20);

/// Decides.
pub fn decide(observed: &Observed<'_>) -> Plan {
    let draft = Draft::new(observed);
    let before = draft.status.state;
    if matches!(
        before,
        Some(SavepointState::Completed | SavepointState::Failed)
    ) {
        return draft.done();
    }
    match request(observed.savepoint) {
        Request::Nothing => return draft.done(),
        Request::BringIn => {
            let location = observed.savepoint.spec.savepoint_location.clone();
            // The newest from now on, whenever it was taken.
            return draft.complete(&location.unwrap_or_default(), observed.now);
        }
        Request::Take => {}
    }
    let Some(sight) = &observed.sight else {
        return draft.fail(
            reasons::INVALID_SPEC,
            "spec names no job: write spec.sessionJobName or spec.deploymentName, or spec.savepointLocation to bring a savepoint in.",
        );
    };
    if before.is_none() {
        return draft.begin(sight);
    }
    if let Some(answer) = &observed.answer {
        return draft.answered(answer);
    }
    draft.follow(sight)
}

/// How long something is ago; not at all where a clock was set back.
fn since(time: Option<&Time>, now: Timestamp) -> Option<Duration> {
    let age = now.duration_since(time?.0);
    Some(age.try_into().unwrap_or(Duration::ZERO))
}

/// A status in the making, and what goes with it.
struct Draft<'a> {
    observed: &'a Observed<'a>,
    status: SavepointStatus,
    notes: Vec<Note>,
}

impl<'a> Draft<'a> {
    fn new(observed: &'a Observed<'a>) -> Self {
        Self {
            observed,
            status: observed.savepoint.status.clone().unwrap_or_default(),
            notes: Vec::new(),
        }
    }

    fn generation(&self) -> Option<i64> {
        self.observed.savepoint.metadata.generation
    }

    fn plan(self, ask: Option<Ask>, again: Option<Duration>) -> Plan {
        Plan {
            status: self.status,
            notes: self.notes,
            ask,
            again,
        }
    }

    /// Nothing is left to do.
    fn done(self) -> Plan {
        self.plan(None, None)
    }

    fn not_ready(&mut self, reason: &str, message: &str) {
        let generation = self.generation();
        self.status.observed_generation = generation;
        conditions::set(
            &mut self.status.conditions,
            types::READY,
            Truth::False,
            reason,
            message,
            generation,
            self.observed.now,
        );
    }

    /// It is not taken, for good.
    fn fail(mut self, reason: &str, message: &str) -> Plan {
        self.status.state = Some(SavepointState::Failed);
        self.status.failure = Some(Failure {
            reason: reason.to_owned(),
            message: message.to_owned(),
            failed_at: Some(Time(whole_second(self.observed.now))),
        });
        self.not_ready(reason, message);
        self.notes
            .push(Note::new(EventReason::SavepointFailed, message));
        self.done()
    }

    fn complete(mut self, location: &str, at: Timestamp) -> Plan {
        let (now, generation) = (self.observed.now, self.generation());
        let before = std::mem::take(&mut self.status);
        self.status = completed(before, location, at, generation, now);
        self.notes.push(Note::new(
            EventReason::SavepointCompleted,
            format!("The savepoint is at {location}."),
        ));
        self.done()
    }

    /// Not asked for yet: as soon as its job runs.
    fn begin(mut self, sight: &Sight) -> Plan {
        let place = match (&sight.life, &sight.place) {
            (Life::Resting(why), _) => {
                let message = format!(
                    "{why} Create another Savepoint when it runs; this one is not tried again."
                );
                return self.fail(reasons::JOB_NOT_RUNNING, &message);
            }
            (Life::Missing(why), _) => return self.wait(reasons::NOT_FOUND, why),
            (Life::Moving(why), _) => return self.wait(reasons::JOB_NOT_RUNNING, why),
            (Life::Runs, None) => {
                return self.wait(
                    reasons::UNREACHABLE,
                    "Where its Flink is, is not known yet.",
                );
            }
            (Life::Runs, Some(place)) => place,
        };
        let asked = self.observed.savepoint.spec.job_id.as_deref();
        if asked.is_some_and(|asked| JobId::parse(asked).as_ref() != Some(&place.job)) {
            let message = format!(
                "spec.jobId {} is not the run of now, which is {}; leave spec.jobId out to have a savepoint of whatever runs.",
                asked.unwrap_or_default(),
                place.job
            );
            return self.fail(reasons::JOB_NOT_RUNNING, &message);
        }
        self.status.state = Some(SavepointState::Started);
        self.status.job_id = Some(place.job.to_string());
        self.status.start_time = Some(Time(whole_second(self.observed.now)));
        self.status.trigger_id = TriggerId::may_be_chosen(place.version).then(|| self.trigger().0);
        self.not_ready(reasons::STARTING, "Flink is writing it.");
        self.notes.push(Note::new(
            EventReason::SavepointStarted,
            format!("Flink is asked for a savepoint of job {}.", place.job),
        ));
        let ask = self.ask(place);
        self.plan(Some(ask), Some(LOOK.0))
    }

    fn wait(mut self, reason: &str, why: &str) -> Plan {
        self.not_ready(reason, why);
        let created = self.observed.savepoint.metadata.creation_timestamp.as_ref();
        let waited = since(created, self.observed.now).unwrap_or_default() / 10;
        self.plan(None, Some(waited.clamp(WAIT.0, WAIT.1)))
    }

    fn trigger(&self) -> TriggerId {
        let uid = self.observed.savepoint.metadata.uid.as_deref();
        trigger_id(uid.unwrap_or_default())
    }

    fn ask(&self, place: &Place) -> Ask {
        let savepoint = self.observed.savepoint;
        let namespace = savepoint.metadata.namespace.as_deref().unwrap_or_default();
        let spec = &savepoint.spec;
        let name = spec
            .session_job_name
            .as_ref()
            .or(spec.deployment_name.as_ref());
        let trigger = self.trigger();
        let directory = place.folder.as_deref().map(|base| {
            folder(
                base,
                namespace,
                name.map(String::as_str).unwrap_or_default(),
                &trigger,
            )
        });
        Ask {
            job: place.job.clone(),
            directory,
            trigger: TriggerId::may_be_chosen(place.version).then_some(trigger),
        }
    }

    /// What follows from Flink's answer to the request.
    fn answered(mut self, answer: &Answer) -> Plan {
        match answer {
            Answer::Accepted(id) => {
                self.status.trigger_id = Some(id.0.clone());
                self.plan(None, Some(LOOK.0))
            }
            Answer::Refused(why) => self.refused(why),
            // It is asked how it stands.
            Answer::Unclear(_) => self.plan(None, Some(SILENT)),
        }
    }

    fn refused(self, why: &str) -> Plan {
        self.fail(
            reasons::SAVEPOINT_CREATION_FAILED,
            &format!("Flink has not taken the savepoint: {why}"),
        )
    }

    fn age(&self) -> Duration {
        let started = self.status.start_time.as_ref();
        since(started, self.observed.now).unwrap_or(Duration::MAX)
    }

    /// Asked for: how it stands.
    fn follow(mut self, sight: &Sight) -> Plan {
        let same = sight
            .place
            .as_ref()
            .filter(|place| Some(place.job.as_str()) == self.status.job_id.as_deref());
        let gone = match (&sight.life, same) {
            (Life::Missing(why) | Life::Resting(why), _) => Some(why.clone()),
            (_, None) if sight.place.is_some() => Some("Another run has begun.".to_owned()),
            _ => None,
        };
        let observed = self.observed;
        match &observed.told {
            Some(Told::Found(location, at)) => self.complete(location, *at),
            Some(Told::Stands(Snapshot::Completed(location))) => {
                // Sluice may have been away since. Were it told too late, it would be restored from before a checkpoint that is newer.
                let asked = self.status.start_time.as_ref().map(|time| time.0);
                self.complete(location, asked.unwrap_or(observed.now))
            }
            Some(Told::Stands(Snapshot::Failed(why))) => {
                let why = why.clone();
                self.refused(&why)
            }
            Some(Told::Stands(Snapshot::InProgress)) => {
                self.not_ready(reasons::STARTING, "Flink is writing it.");
                let look = if self.age() < FRESH { LOOK.0 } else { LOOK.1 };
                self.plan(None, Some(look))
            }
            Some(Told::Stands(Snapshot::Unknown)) | None if gone.is_some() => {
                let message = format!(
                    "The job has ended before a savepoint of it was known to be complete. {}",
                    gone.unwrap_or_default()
                );
                self.fail(reasons::JOB_NOT_RUNNING, &message)
            }
            Some(Told::Stands(Snapshot::Unknown)) => match (same, &sight.life) {
                // Never sent, then: Flink would remember it.
                (Some(place), Life::Runs) if TriggerId::may_be_chosen(place.version) && self.age() < REMEMBERED => {
                    let ask = self.ask(place);
                    self.plan(Some(ask), Some(LOOK.0))
                }
                (Some(place), _) if !TriggerId::may_be_chosen(place.version) && self.age() < UNDER_WAY => {
                    self.plan(None, Some(LOOK.0))
                }
                (_, Life::Moving(_)) if self.age() < REMEMBERED => self.plan(None, Some(SILENT)),
                _ => self.fail(
                    reasons::SAVEPOINT_CREATION_FAILED,
                    "Whether Flink has taken it is not known: Sluice was away when it was asked for, and Flink does not remember. Create \
                     another Savepoint.",
                ),
            },
            Some(Told::Silent(why)) => {
                let message = match &gone {
                    Some(gone) if self.age() > REMEMBERED => {
                        let message = format!(
                            "The job has ended before a savepoint of it was known to be complete. {gone}"
                        );
                        return self.fail(reasons::JOB_NOT_RUNNING, &message);
                    }
                    _ => format!("How it stands is not known: {why}"),
                };
                self.not_ready(reasons::UNREACHABLE, &message);
                self.plan(None, Some(SILENT))
            }
            None => {
                self.not_ready(
                    reasons::UNREACHABLE,
                    "How it stands is not known: its Flink cannot be asked.",
                );
                self.plan(None, Some(SILENT))
            }
        }
    }
}
