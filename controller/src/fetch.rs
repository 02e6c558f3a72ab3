//! Fetching jars: for `sluice fetch`, the work of a pod's init container, and for the jar of a session job.
//!
//! * [`source`]: what a URI means and which file name it gives;
//! * [`reach`]: which addresses the controller goes to for users;
//! * [`s3`]: requests of S3, signed;
//! * [`download`]: one file, with bounds, time-outs and retries, written aside and renamed.
//!
//! Where the files go and how often progress is told is the caller's business.

pub mod download;
pub mod error;
pub mod reach;
pub mod s3;
pub mod source;

pub use download::{Fetcher, Limits, Progress};
pub use error::FetchError;
pub use reach::Reach;
pub use s3::S3Settings;
pub use source::{LocalFiles, Source, plan};

#[cfg(test)]
mod tests;
