//! What is told of a Savepoint object that the API server refuses: where the state is meanwhile, who says no, and the ways out.

use crate::flink::cause;

/// That the Savepoint of this name, for the state at this location, is refused in these words. A webhook says what it likes, and a
/// status has an end, so of long words only the beginning is told.
pub fn told(name: &str, location: &str, why: &str) -> String {
    let why = cause::shorten(why, cause::LONGEST);
    let why = why.trim_end_matches('.');
    format!(
        "The job has ended and left its state in {location}, and the API server refuses Savepoint {name}, which is to say so: {why}. Raise the \
         ResourceQuota of the namespace (count/savepoints.sluice.dev), delete Savepoints that nobody needs (their data stays), or have the webhook \
         or policy that refuses it take it. Sluice tries again by itself and goes on then."
    )
}
