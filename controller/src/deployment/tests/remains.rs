//! What a run that failed leaves: its newest checkpoint, unless Flink says that it has deleted it.

use super::*;
use crate::flink::types::Checkpoint;

fn failed(completed: Option<Checkpoint>) -> Option<String> {
    let mut flink = says(JobState::Failed);
    if let Flink::Job(told) = &mut flink {
        told.report.latest.completed = completed;
    }
    let plan = Scene {
        flink,
        ..Scene::running()
            .run_is(&json!({"lastCheckpoint": "s3://b/ck/chk-7", "lastCheckpointTime": ago(9)}))
    }
    .decide();
    plan.savepoint.map(|left| left.location)
}

/// Its JobManager has taken the job over from another one, whose checkpoints it does not tell of.
#[test]
fn a_checkpoint_that_flink_says_nothing_of_is_kept() {
    assert_eq!(failed(None).as_deref(), Some("s3://b/ck/chk-7"));
}

#[test]
fn a_checkpoint_that_went_with_its_run_is_forgotten() {
    let deleted = Checkpoint {
        id: 7,
        external_path: Some("s3://b/ck/chk-7".into()),
        discarded: true,
        ..Checkpoint::default()
    };
    assert_eq!(failed(Some(deleted)), None);
}
