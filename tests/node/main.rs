//! `sluice up --node`: a real node on which pods run, one for all tests that leave it running.

#![allow(missing_docs, clippy::indexing_slicing)] // in tests, as elsewhere

mod context;
mod life;
mod pods;
mod submission;

use anyhow::{Result, anyhow};
use libtest_mimic::{Arguments, Failed, Trial};
use sluice_tests::Gate;
use std::sync::{Arc, OnceLock};

/// A promise and the test that holds it.
type Promise = (&'static str, fn(&Gate) -> Result<()>);

/// The same, with nodes of its own beside the shared one, since it takes them down.
type AlonePromise = (&'static str, fn() -> Result<()>);

/// The node that is shared, started by the first test that needs it. None where this machine cannot carry one.
#[derive(Default)]
struct Shared(OnceLock<Result<Option<Gate>, String>>);

impl Shared {
    fn node(&self) -> Result<Option<&Gate>> {
        self.0
            .get_or_init(|| sluice_tests::node(&[]).map_err(|error| format!("{error:#}")))
            .as_ref()
            .map(Option::as_ref)
            .map_err(|error| anyhow!("{error}"))
    }
}

fn main() {
    let mut arguments = Arguments::from_args();
    // Two cores: more at once only makes each slower.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let shared = Arc::new(Shared::default());
    let failed = |error: anyhow::Error| Failed::from(format!("{error:?}"));
    let mut trials: Vec<Trial> = [pods::PROMISES]
        .concat()
        .into_iter()
        .map(|(name, test): Promise| {
            let shared = Arc::clone(&shared);
            Trial::test(name, move || match shared.node() {
                Ok(Some(node)) => test(node).map_err(failed),
                // The reason has been printed.
                Ok(None) => Ok(()),
                Err(error) => Err(failed(error)),
            })
        })
        .collect();
    trials.extend(
        [life::PROMISES, context::PROMISES]
            .concat()
            .into_iter()
            .map(|(name, test): AlonePromise| Trial::test(name, move || test().map_err(failed))),
    );
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(shared);
    conclusion.exit()
}
