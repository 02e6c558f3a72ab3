//! `/scale`: the review holds a number, not the object, so its parent is read once, live (decision 7).

use super::stored::Turn;
use super::{Decision, Endpoint, Gate, Judged, let_go, metadata};
use crate::review::Request;
use crate::review::rules::{self, MALFORMED, SLOW, STALE_PARENT};
use serde_json::Value;
use sluice_policy::dialect::ScaleDown;
use sluice_policy::{Dialect, KindInfo, Operation, Part, Review};
use std::time::Duration;
use tokio::time::Instant;

/// How long a warning may be waited for.
const FOR_A_WARNING: Duration = Duration::from_millis(500);

/// What became of the read.
enum Read {
    Parent(Value),
    Moved(Decision),
    Refused(Decision),
}

/// Where a scale goes, as far as the review itself tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// To more.
    Up,
    /// To fewer, or as many, of what has some: the charge falls.
    Down,
    /// To fewer, or as many, of what may have none now: a job that has come to its end costs nothing and starts again with its next spec.
    MayStart,
}

impl Direction {
    fn of(request: &Request<'_>, dialect: &dyn Dialect, wanted: i64) -> Self {
        let old = &request.old_object;
        let runs = sluice_policy::json::present(old, &["status", "replicas"])
            .and_then(Value::as_i64)
            .is_some_and(|count| count > 0);
        if replicas(old).is_none_or(|had| wanted > had) {
            return Direction::Up;
        }
        match dialect.scale_down() {
            ScaleDown::Unseen => Direction::Down,
            ScaleDown::UnseenWhileItRuns if runs => Direction::Down,
            ScaleDown::UnseenWhileItRuns | ScaleDown::Judged => Direction::MayStart,
        }
    }
}

/// Which object a scale is for, and at which revision.
struct Stored {
    uid: Option<String>,
    revision: Option<String>,
}

impl Stored {
    fn of(request: &Request<'_>) -> Self {
        let text = |key| metadata(&request.old_object, key).map(str::to_owned);
        Self {
            uid: text("uid"),
            revision: text("resourceVersion"),
        }
    }

    fn is(&self, parent: &Value) -> bool {
        metadata(parent, "resourceVersion") == self.revision.as_deref()
            && metadata(parent, "uid") == self.uid.as_deref()
    }
}

impl Gate {
    pub(super) async fn scale(
        &self,
        endpoint: Endpoint,
        request: &mut Request<'_>,
        dialect: &'static dyn Dialect,
        due: Instant,
    ) -> Judged {
        let Some(wanted) = replicas(&request.object) else {
            let refusal = rules::refusal(
                &MALFORMED,
                "spec.replicas",
                "must be a whole number, 0 or more",
            );
            return Decision::refused(refusal).into();
        };
        let direction = Direction::of(request, dialect, wanted);
        let stored = Stored::of(request);
        let_go(request);
        let request = &*request;
        match (endpoint, direction) {
            // Nothing to judge, and nothing may stand in the way.
            (Endpoint::Validate, Direction::Down) => Decision::default().into(),
            (Endpoint::Validate, _) => {
                let turn = self.reads.turn(due).await;
                match parent(turn, request, &stored, dialect.kind(), due).await {
                    // At this revision nothing can be written any more, so whoever scales down need not hear of it from us.
                    Read::Moved(_) if direction == Direction::MayStart => {
                        Decision::default().into()
                    }
                    Read::Moved(decision) | Read::Refused(decision) => decision.into(),
                    Read::Parent(parent) => {
                        self.scaled(endpoint, request, dialect, &parent, wanted)
                    }
                }
            }
            // Only warnings come of it, so a parent that cannot be read in time is no reason for anything, and keeps nobody waiting whose
            // verdict depends on a read.
            (Endpoint::Mutate, _) => {
                let soon = due.min(Instant::now() + FOR_A_WARNING);
                let turn = self.reads.turn_if_free();
                match parent(turn, request, &stored, dialect.kind(), soon).await {
                    Read::Moved(_) | Read::Refused(_) => Decision::default().into(),
                    Read::Parent(parent) => {
                        self.scaled(endpoint, request, dialect, &parent, wanted)
                    }
                }
            }
        }
    }

    fn scaled(
        &self,
        endpoint: Endpoint,
        request: &Request<'_>,
        dialect: &'static dyn Dialect,
        parent: &Value,
        replicas: i64,
    ) -> Judged {
        let Some(object) = sluice_policy::review::scaled(dialect, parent, replicas) else {
            return Decision::default().into(); // a kind without a scale; the API server would not have asked
        };
        let review = Review {
            dialect,
            operation: Operation::Update { old: parent },
            part: Part::Scale,
            namespace: &request.namespace,
            name: &request.name,
            object: &object,
        };
        self.judge(endpoint, &review)
    }
}

/// The parent, at exactly the revision that the request was made for. Without a turn it is as late as one that does not come.
async fn parent(
    turn: Option<Turn<'_>>,
    request: &Request<'_>,
    stored: &Stored,
    kind: &'static KindInfo,
    due: Instant,
) -> Read {
    let name = request.name.as_ref();
    let subject = format!("{} \"{name}\"", kind.singular);
    let read = async {
        let turn = turn?;
        let read = turn.get(kind, &request.namespace, name);
        tokio::time::timeout_at(due, read).await.ok()
    };
    let found = match read.await {
        Some(Ok(found)) => found,
        Some(Err(why)) => {
            return Read::Refused(Decision::refused(rules::refusal(
                &SLOW,
                "",
                format!(
                    "{subject}: cannot be read to judge its scale ({why}); send the request again"
                ),
            )));
        }
        None => {
            return Read::Refused(Decision::refused(rules::refusal(
                &SLOW,
                "",
                format!(
                    "{subject}: could not be read in time to judge its scale; send the request again"
                ),
            )));
        }
    };
    match found {
        Some(parent) if stored.is(&parent) => Read::Parent(parent),
        _ => Read::Moved(Decision::refused(rules::refusal(
            &STALE_PARENT,
            "",
            format!("{subject}: changed while its scale was being judged; scale it again"),
        ))),
    }
}

fn replicas(scale: &Value) -> Option<i64> {
    match sluice_policy::json::present(scale, &["spec", "replicas"]) {
        None => Some(0), // left out by Go where it is 0
        Some(value) => value.as_i64().filter(|count| *count >= 0),
    }
}
