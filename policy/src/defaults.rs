//! Defaults: what is filled in, from where, and the record that keeps an admin's edit from restarting anybody's job.
//!
//! Order, the first that has a value wins: Environment > the object > DeploymentDefaults > ClusterDeploymentDefaults >
//! built in > derived. Maps merge key by key; lists and scalars do not merge. What was filled in is kept in the
//! annotation `sluice.dev/defaults` ([`record`]); what the user said himself is told by [`owned`].

mod fill;
mod form;
mod imposed;
mod leaves;
pub mod owned;
pub mod record;
mod settings;
mod spelling;

pub use fill::{Filled, Layers, fill};
pub use form::OTHER_FORM;
pub(crate) use form::judge as judge_form;
pub(crate) use imposed::Imposed;
pub(crate) use leaves::each_leaf;

use crate::dialect::Dialect;
use crate::mode::Mode;
use crate::review::Review;
use crate::world::{Layer, World};
use serde_json::Value;

/// Where values come from, for people.
pub const BUILT_IN: &str = "built in";
/// A value that follows from others.
pub const DERIVED: &str = "derived";

/// The layers that apply to a kind in a namespace.
pub fn layers(dialect: &dyn Dialect, world: &dyn World, namespace: &str, object: &Value) -> Layers {
    let environments = environments(dialect, world, namespace, object);
    let defaults = if takes_settings(dialect, object) {
        world.defaults(namespace)
    } else {
        Vec::new()
    };
    Layers {
        environments,
        defaults,
        built_in: dialect.built_in(object),
        only_levers: false,
        unwelcome: Vec::new(),
    }
}

/// The Environments that apply to an object of a kind in a namespace, the first wins.
fn environments(
    dialect: &dyn Dialect,
    world: &dyn World,
    namespace: &str,
    object: &Value,
) -> Vec<Layer> {
    if takes_settings(dialect, object) {
        world.environments(namespace)
    } else {
        Vec::new()
    }
}

/// Those of them that set anything: a namespace's mode may leave defaults to its users.
pub(crate) fn imposing(review: &Review<'_>, world: &dyn World) -> Vec<Layer> {
    if world.modes(review.namespace).defaults == Mode::Enforce {
        environments(review.dialect, world, review.namespace, review.object)
    } else {
        Vec::new()
    }
}

fn takes_settings(dialect: &dyn Dialect, object: &Value) -> bool {
    dialect.section().is_some() && dialect.takes_defaults(object)
}
