//! Why a call of Flink's REST API failed.

use std::time::Duration;

use crate::http::HttpError;

/// A call failed. The text names the address, the call and Flink's own reason.
#[derive(Debug, thiserror::Error)]
pub enum FlinkError {
    /// No HTTP client can be made.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The address is none.
    #[error("{address} is no address of Flink's REST API: {reason}")]
    Address {
        /// What was given.
        address: String,
        /// Why it is none.
        reason: String,
    },
    /// Nobody answers, or the connection broke.
    #[error("{call} at {address}: {reason}")]
    Unreachable {
        /// The base address.
        address: String,
        /// Method and path.
        call: String,
        /// The system's words.
        reason: String,
    },
    /// No answer within the time.
    #[error("{call} at {address}: no answer within {} s", after.as_secs_f32())]
    TimedOut {
        /// The base address.
        address: String,
        /// Method and path.
        call: String,
        /// The time-out.
        after: Duration,
    },
    /// What is asked for (a job, a jar, a trigger) is not there.
    #[error("{call}: Flink does not know it: {reason}")]
    NotFound {
        /// Method and path.
        call: String,
        /// Flink's root cause.
        reason: String,
    },
    /// Flink answered with an error.
    #[error("{call}: {reason}")]
    Refused {
        /// Method and path.
        call: String,
        /// The HTTP status code.
        code: u16,
        /// Flink's root cause.
        reason: String,
        /// What it means, where that is known.
        meaning: Meaning,
    },
    /// The answer is larger than Sluice reads.
    #[error("{call} at {address}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// The base address.
        address: String,
        /// Method and path.
        call: String,
        /// Most bytes that are read.
        limit: usize,
    },
    /// The answer is not Flink's.
    #[error("{call} at {address}: the answer is not what Flink says: {reason}")]
    Unreadable {
        /// The base address.
        address: String,
        /// Method and path.
        call: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A jar that shall be uploaded cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
}

/// What an error of Flink means to one who may have asked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A job of this id has been submitted before: the submission has succeeded already.
    DuplicateJob,
    /// The cluster is still starting, or its leader changes.
    NotReady,
    /// Anything else.
    Other,
}

impl FlinkError {
    /// Whether the same call may succeed later without anybody's change: the network, a time-out, a cluster that starts.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::Refused { code, meaning, .. } => {
                *meaning == Meaning::NotReady || matches!(code, 429 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    /// Whether Flink said that the thing is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether a job of the same id was submitted before.
    pub fn is_duplicate_job(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                meaning: Meaning::DuplicateJob,
                ..
            }
        )
    }

    /// Flink's own reason, without address and call, where there is one.
    pub fn reason(&self) -> String {
        match self {
            Self::NotFound { reason, .. } | Self::Refused { reason, .. } => reason.clone(),
            other => other.to_string(),
        }
    }
}
