//! What can go wrong with certificates.

use jiff::Timestamp;
use std::time::Duration;

/// An error of this crate. Each names the object and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate or key could not be made.
    #[error("cannot make {what}: {source}")]
    Make {
        /// `the CA`, `the leaf for sluice.sluice-system.svc`.
        what: String,
        /// Why.
        source: rcgen::Error,
    },
    /// rustls does not take what was made.
    #[error("cannot serve the leaf: {0}")]
    Serve(#[from] rustls::Error),
    /// A certificate or key that was read back cannot be used.
    #[error("{what} cannot be read: {why}")]
    Unreadable {
        /// `ca.crt of Secret sluice-system/sluice-ca`.
        what: String,
        /// Why.
        why: String,
    },
    /// The Kubernetes API refused or did not answer.
    #[error("{action} {object}: {source}")]
    Api {
        /// `reading`, `writing`, `applying the caBundle of`.
        action: &'static str,
        /// `Secret sluice-system/sluice-ca`.
        object: String,
        /// The client's error.
        source: Box<kube::Error>,
    },
    /// The Kubernetes API neither answered nor refused.
    #[error("the API server left {what} unanswered for {} s", .within.as_secs())]
    Unanswered {
        /// `the caBundles`.
        what: &'static str,
        /// For how long it was waited.
        within: Duration,
    },
    /// Other replicas kept winning the write of the CA.
    #[error("Secret {0}: the write conflicted {1} times in a row; trying again at the next tick")]
    Contended(String, u32),
    /// Our clock is not the API server's, and by ours the CA does not count.
    #[error(
        "by this machine's clock, which shows {ours:.0}, the CA is not valid; by the API server's, {theirs:.0}, nothing is to be done \
         about that: set this machine's clock"
    )]
    Astray {
        /// What our clock shows.
        ours: Timestamp,
        /// What the API server's shows.
        theirs: Timestamp,
    },
    /// A point in time that the certificate format cannot express.
    #[error("the system's clock shows {0}, which no certificate can carry; set the clock")]
    Clock(String),
}

impl Error {
    pub(crate) fn api(
        action: &'static str,
        object: impl Into<String>,
        source: kube::Error,
    ) -> Self {
        Self::Api {
            action,
            object: object.into(),
            source: Box::new(source),
        }
    }
}
