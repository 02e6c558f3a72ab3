//! How far the tasks of a job are, as `/jobs/:id` counts them: by vertex of its plan, each of which has one state for all its subtasks.

use serde::{Deserialize, Deserializer};

use super::answer::sums_of;

/// The vertices of a job, by state.
#[derive(Deserialize)]
pub(super) struct Tasks {
    /// `None`: Flink does not count them.
    #[serde(rename = "status-counts", default)]
    counts: Option<Counts>,
}

struct Counts {
    /// They run, or have ended well.
    begun: u64,
    /// They are about to run, or fail.
    waiting: u64,
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [begun, waiting] = sums_of(deserializer, |state| match state {
            "RUNNING" | "FINISHED" => Some(0),
            // Nobody has asked for slots for it yet. Streaming jobs have all of theirs asked for at once; the later stages of a batch job
            // stay so until those before have ended.
            "CREATED" => None,
            _ => Some(1),
        })?;
        Ok(Self { begun, waiting })
    }
}

impl Tasks {
    /// Whether the job has begun to run: some of it runs or has ended well, and nothing that is asked for is still awaited.
    pub(super) fn run(&self) -> bool {
        let counts = self.counts.as_ref();
        counts.is_none_or(|counts| counts.begun > 0 && counts.waiting == 0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_batch_job_runs_before_its_last_stage_and_a_streaming_job_when_all_of_it_does() {
        let run = |counts: Value| {
            let tasks: Tasks = serde_json::from_value(json!({"status-counts": counts})).unwrap();
            tasks.run()
        };
        for (counts, expected) in [
            // Waits for its first slots.
            (json!({"CREATED": 3}), false),
            (json!({"SCHEDULED": 3}), false),
            (json!({"INITIALIZING": 0, "CREATED": 0}), false),
            // Streaming: all or nothing.
            (json!({"RUNNING": 2, "SCHEDULED": 1}), false),
            (json!({"RUNNING": 2, "DEPLOYING": 1}), false),
            (json!({"RUNNING": 2, "INITIALIZING": 1}), false),
            (json!({"RUNNING": 3}), true),
            (json!({"RUNNING": 2, "FINISHED": 1}), true),
            // Batch: by stages.
            (json!({"RUNNING": 1, "CREATED": 2}), true),
            (json!({"FINISHED": 1, "RUNNING": 1, "CREATED": 1}), true),
            (json!({"FINISHED": 1, "SCHEDULED": 1, "CREATED": 1}), false),
            (json!({"FINISHED": 3}), true),
            // About to start again.
            (json!({"RUNNING": 1, "FAILED": 1}), false),
            (json!({"RUNNING": 1, "CANCELING": 1}), false),
        ] {
            assert_eq!(run(counts.clone()), expected, "{counts}");
        }
    }

    #[test]
    fn a_flink_that_counts_none_is_believed() {
        let tasks: Tasks = serde_json::from_value(json!({})).unwrap();
        assert!(tasks.run());
    }
}
