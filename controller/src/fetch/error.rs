//! Why a file was not fetched.

use std::path::PathBuf;

use crate::http::HttpError;

/// A file was not fetched. The text names the URI, without what is secret in it, and what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The URI cannot be followed.
    #[error("{uri}: {reason}")]
    Uri {
        /// The URI, without secrets.
        uri: String,
        /// What is wrong with it and how it is written.
        reason: String,
    },
    /// Two URIs give one file name.
    #[error(
        "{first} and {second} would both be stored as {name}; rename one of the files at its source"
    )]
    SameName {
        /// The file name.
        name: String,
        /// The one that came first.
        first: String,
        /// The other one.
        second: String,
    },
    /// Trying again does not help.
    #[error("{uri}: {reason}")]
    Refused {
        /// The URI, without secrets.
        uri: String,
        /// What the server said and what to do.
        reason: String,
    },
    /// Every attempt failed in a way that may pass.
    #[error("{uri}: {reason}; given up after {attempts} attempts")]
    Failed {
        /// The URI, without secrets.
        uri: String,
        /// Why the last one failed.
        reason: String,
        /// How many there were.
        attempts: u32,
    },
    /// It takes too long.
    #[error("{uri}: not done within {seconds} s; bring it nearer, or make it smaller")]
    Slow {
        /// The URI, without secrets.
        uri: String,
        /// How long was waited.
        seconds: f32,
    },
    /// The file is larger than allowed.
    #[error("{uri}: is larger than {limit} bytes; raise the limit (--max-bytes) if that is meant")]
    TooLarge {
        /// The URI, without secrets.
        uri: String,
        /// Most bytes.
        limit: u64,
    },
    /// The file cannot be written.
    #[error("{}: {reason}; is the folder there, writable and large enough?", path.display())]
    Write {
        /// Where it should go.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// No HTTP client can be made.
    #[error("{0}")]
    Http(String),
}

impl From<HttpError> for FetchError {
    fn from(error: HttpError) -> Self {
        Self::Http(error.to_string())
    }
}

impl FetchError {
    /// Whether the same may succeed later without anybody's change.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}
