//! Waits until the gate really stands.

use kube::Client;

use super::install::eventually;
use crate::exit::Failure;
use crate::live::canary::{Answer, ask};

/// Waits until admission answers as it should in a namespace that is there.
pub(super) async fn wait(client: &Client, namespace: &str) -> Result<(), Failure> {
    eventually("admission answers", async || {
        match ask(client, namespace).await {
            Answer::Gate => Ok(()),
            Answer::Open => Err("objects are stored as they come; nobody is asked".to_owned()),
            Answer::Trouble(said) => Err(said),
        }
    })
    .await
}
