//! How long the API server is waited for.

use crate::error::Error;
use std::time::Duration;

/// An API server that hangs is given up after this long, so that whoever waits goes on with what is in memory.
const ANSWER: Duration = Duration::from_secs(30);

/// What the API server does in time, or that it did not.
pub async fn in_time<T>(
    what: &'static str,
    asking: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let unanswered = Error::Unanswered {
        what,
        within: ANSWER,
    };
    tokio::time::timeout(ANSWER, asking)
        .await
        .unwrap_or(Err(unanswered))
}
