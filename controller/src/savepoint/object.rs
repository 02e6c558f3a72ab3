//! The status of a Savepoint that can be restored from, and what a Savepoint asks for.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::conditions::{reasons, types};
use sluice_api::{Savepoint, SavepointOrigin, SavepointState, SavepointStatus};

use crate::runtime::conditions::{self, Truth};

/// What a Savepoint object asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// One to be taken of the job that runs.
    Take,
    /// One that exists, at the location that the object names.
    BringIn,
    /// Nothing: Sluice made it for a savepoint of its own, and writes its status itself.
    Nothing,
}

/// What it asks for. Sluice's own name an origin that no user may write, and the job.
pub fn request(savepoint: &Savepoint) -> Request {
    let spec = &savepoint.spec;
    if spec.savepoint_location.is_some() {
        return Request::BringIn;
    }
    match spec.origin {
        None | Some(SavepointOrigin::UserRequest) => Request::Take,
        Some(_) => Request::Nothing,
    }
}

/// The status of one that can be restored from: `at` is when its data was complete.
pub fn completed(
    before: SavepointStatus,
    location: &str,
    at: Timestamp,
    generation: Option<i64>,
    now: Timestamp,
) -> SavepointStatus {
    let mut status = SavepointStatus {
        state: Some(SavepointState::Completed),
        observed_generation: generation,
        location: Some(location.to_owned()),
        completion_time: Some(Time(conditions::whole_second(at))),
        failure: None,
        ..before
    };
    conditions::set(
        &mut status.conditions,
        types::READY,
        Truth::True,
        reasons::AS_EXPECTED,
        "It can be restored from.",
        generation,
        now,
    );
    status
}
