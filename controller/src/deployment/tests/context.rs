//! What the reconciler works with, against an API server that a test plays.

use std::sync::Arc;

use kube::runtime::reflector::store;

use crate::deployment::place::Place;
use crate::deployment::reconcile::Context;
use crate::flink::{FlinkHttp, Timeouts};
use crate::objects::BuildSettings;
use crate::played::ApiServer;
use crate::runtime::events::Events;
use crate::runtime::hand::Hand;
use crate::runtime::index::Index;

/// Nothing is watched: what has been made is what the test says.
pub fn context(server: &ApiServer) -> Context {
    let client = || server.client.clone();
    Context {
        client: client(),
        hand: Hand::new(client()),
        index: Index::new(Arc::new(|_| {})),
        place: Place::new(client(), store().0, store().0, None),
        flink: FlinkHttp::new(Timeouts::default()).unwrap(),
        address: Arc::new(str::to_owned),
        events: Events::new(client(), "test"),
        build: BuildSettings {
            sluice_image: "sluice:1".to_owned(),
        },
        probe: None,
    }
}
