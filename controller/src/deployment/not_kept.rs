//! A snapshot that cannot be kept: the API server refuses its Savepoint object. The run's end is not stored before that stands, so nothing
//! follows from it meanwhile; what stands in the way is told, with where the snapshot is, and it is tried again.

use std::time::Duration;

use sluice_api::conditions::reasons;
use sluice_api::events::EventReason;

use super::draft::Draft;
use super::sight::{Again, Decision};
use crate::savepoint::refused;

/// Before the next try: as long as it has been refused already, but within these.
const SOONEST: Duration = Duration::from_secs(2);
const LATEST: Duration = Duration::from_mins(1);

/// Tells that the Savepoint of this name, for what is at this location, is refused in these words.
pub(super) fn not_kept(mut draft: Draft<'_>, name: &str, location: &str, why: &str) -> Decision {
    let message = refused::told(name, location, why);
    let before = draft.before.failure.clone();
    let before = before.filter(|failure| failure.reason == reasons::OBJECT_REFUSED);
    let since = before
        .as_ref()
        .map(|failure| draft.since(failure.failed_at.as_ref()));
    let wait = since.unwrap_or_default().clamp(SOONEST, LATEST);
    // Words that are others at each try must not have the status written at each.
    let is_told = before.is_some_and(|failure| failure.message == message);
    if is_told || since.is_some_and(|since| since < LATEST) {
        return draft.act(None, Again::After(wait));
    }
    if since.is_none() {
        draft.note(EventReason::SavepointFailed, message.clone());
    }
    draft.moving(reasons::OBJECT_REFUSED, &message);
    draft.trouble(reasons::OBJECT_REFUSED, &message);
    draft.act(None, Again::After(wait))
}

/// What was told of it is over.
pub(super) fn kept(draft: &mut Draft<'_>) {
    let failure = draft.next.failure.take();
    draft.next.failure = failure.filter(|failure| failure.reason != reasons::OBJECT_REFUSED);
}
