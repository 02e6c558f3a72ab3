//! A call of the API server that failed, and what it was for.

/// A call of the API server failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct CallError {
    /// What was tried.
    what: &'static str,
    /// What went wrong.
    source: Box<kube::Error>,
}

/// Says what a call was for: `.map_err(call("reading the namespace"))`.
pub fn call(what: &'static str) -> impl FnOnce(kube::Error) -> CallError {
    move |source| CallError {
        what,
        source: Box::new(source),
    }
}
