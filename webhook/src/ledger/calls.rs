//! How a quota's calls of the API server go, for requests that run out of time meanwhile: whether others came first, or nothing
//! could be read or written.

use super::store::StoreError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// What is said of a call that has not been answered.
pub(super) const NO_ANSWER: &str = "no answer in time";

/// The calls of one quota's actor.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since when a call is waited for.
    open: Option<Instant>,
    /// The last failure that no write has made good since.
    failed: Option<(Instant, String)>,
}

impl Calls {
    /// A call was made.
    pub(super) fn begun(&self) {
        self.state().open = Some(Instant::now());
    }

    /// A read was answered. That it went well says nothing of writes: an account may be let read and not write.
    pub(super) fn read<T>(&self, answer: &Result<T, StoreError>) {
        let mut state = self.state();
        state.open = None;
        if let Err(StoreError::Refused(why) | StoreError::Failed(why)) = answer {
            state.failed = Some((Instant::now(), why.clone()));
        }
    }

    /// A write was answered. One that lost against another writer has been understood all the same.
    pub(super) fn wrote<T>(&self, answer: &Result<T, StoreError>) {
        let mut state = self.state();
        state.open = None;
        state.failed = match answer {
            Err(StoreError::Refused(why) | StoreError::Failed(why)) => {
                Some((Instant::now(), why.clone()))
            }
            _ => None,
        };
    }

    /// What kept a request from being decided that came in then and has no time left: a failure, or a call that it has waited for
    /// during half of its time and more. `None`: nothing but other requests.
    pub(super) fn trouble_since(&self, since: Instant) -> Option<String> {
        let state = self.state();
        let failed = state.failed.as_ref().filter(|(at, _)| *at >= since);
        if let Some((_, why)) = failed {
            return Some(why.clone());
        }
        let open = state.open?;
        let waited = since.elapsed();
        let for_the_call = open.max(since).elapsed();
        (for_the_call >= waited / 2).then(|| NO_ANSWER.to_owned())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const FAILED: Result<(), StoreError> = Err(StoreError::Failed(String::new()));

    async fn pass(millis: u64) {
        tokio::time::advance(Duration::from_millis(millis)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_counts_for_those_who_waited_then_until_a_write_is_understood() {
        let calls = Calls::default();
        let before = Instant::now();
        pass(10).await;
        calls.read(&FAILED);
        pass(10).await;
        let after = Instant::now();
        pass(10).await;
        assert!(calls.trouble_since(before).is_some());
        assert_eq!(calls.trouble_since(after), None);
        calls.read(&Ok(()));
        assert!(calls.trouble_since(before).is_some(), "reads prove little");
        calls.wrote::<()>(&Err(StoreError::Conflict));
        assert_eq!(calls.trouble_since(before), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_counts_once_it_took_half_of_the_time() {
        let calls = Calls::default();
        let since = Instant::now();
        pass(100).await;
        calls.begun();
        pass(90).await;
        assert_eq!(calls.trouble_since(since), None);
        pass(20).await;
        assert_eq!(calls.trouble_since(since).as_deref(), Some(NO_ANSWER));
        calls.wrote(&Ok(()));
        assert_eq!(calls.trouble_since(since), None);
    }
}
