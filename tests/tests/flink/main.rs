//! A real Flink, as pods on a real node and as processes on loopback. One binary, so that its tests run side by side: each has a control
//! plane of its own, and mostly waits.

#![allow(missing_docs, reason = "tests")]

mod deployment;
mod deployment_in_session;
mod image;
mod session_cluster;
mod session_jobs;
