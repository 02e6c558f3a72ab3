//! What is told of a job that was to stop with a savepoint, where none could be taken for good. It runs on.

use sluice_api::DesiredState;

/// Why, and the ways out of it. They depend on what the job is asked to do: one that is to run was stopped for a change of its spec.
pub fn told(failures: i32, why: &str, wish: Option<DesiredState>) -> String {
    let ways = match wish {
        None | Some(DesiredState::Running) => {
            "The change is not made. Mend what is wrong and change spec.restartNonce to try again, take the change back to leave the job as it \
             is, or set spec.upgradeStrategy.kind to STATELESS to make the change without a savepoint."
        }
        Some(DesiredState::Suspended | DesiredState::Cancelled) => {
            "Set spec.state to CANCELLED to end it without one, or back to RUNNING to leave it."
        }
    };
    let why = why.trim_end_matches('.');
    format!(
        "No savepoint could be taken in {failures} attempts (spec.maxSavepointCreationAttempts); the job runs on. The last one failed: {why}. {ways}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advised_depends_on_what_the_job_is_asked_to_do() {
        let told = |wish| told(4, "the disk is full.", wish);
        let upgraded = told(Some(DesiredState::Running));
        assert_eq!(upgraded, told(None));
        // It says so already.
        assert!(!upgraded.contains("back to RUNNING"), "{upgraded}");
        assert!(upgraded.contains("change spec.restartNonce to try again"));
        let suspended = told(Some(DesiredState::Suspended));
        assert!(suspended.ends_with(
            "The last one failed: the disk is full. Set spec.state to CANCELLED to end it without one, or back to RUNNING to leave it."
        ));
    }
}
