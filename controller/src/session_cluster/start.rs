//! The start that a cluster is in, where that has to be told from others: its high availability keeps its records under an id of it
//! ([`start_id`]). The time of it is stored as a condition's, with the CPU that is set aside, before anything is made.

use jiff::Timestamp;
use sluice_api::SessionCluster;
use sluice_api::conditions::types;
use sluice_policy::MilliCpu;

use super::decide::allocated;
use crate::objects::start_id;
use crate::runtime::conditions::{self, Truth, whole_second};

/// The id of the start that a cluster is in, or begins now; `None`: it needs none, or runs without, since an earlier release of Sluice has
/// started it.
pub fn id(cluster: &SessionCluster, now: Timestamp) -> Option<String> {
    let status = cluster.status.as_ref();
    let told = status.and_then(|status| conditions::get(&status.conditions, types::OWN_RECORDS));
    let started = match told.filter(|told| told.status == Truth::True.word()) {
        Some(told) => told.last_transition_time.0,
        None if allocated(cluster) == MilliCpu::ZERO => whole_second(now),
        None => return None,
    };
    start_id::of_session_cluster(cluster, started)
}
