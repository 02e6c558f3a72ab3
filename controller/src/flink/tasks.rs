//! How far the tasks of a job are, as `/jobs/:id` counts them in each vertex of its plan. Its `status-counts` are of no use here: a vertex
//! counts there as running when one of its tasks does, and as created when all of them wait for slots.

use serde::{Deserialize, Deserializer};

use super::answer::sums_of;

/// The tasks of a job, by vertex.
#[derive(Deserialize)]
pub(super) struct Tasks {
    /// `None`: Flink does not count them.
    vertices: Option<Vec<Vertex>>,
}

#[derive(Deserialize)]
struct Vertex {
    tasks: Counts,
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
        let Some(vertices) = &self.vertices else {
            return true;
        };
        let counts = || vertices.iter().map(|vertex| &vertex.tasks);
        counts().any(|counts| counts.begun > 0) && counts().all(|counts| counts.waiting == 0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Flink gives every state for each vertex, most of them with 0.
    fn run(vertices: &[Value]) -> bool {
        let vertices: Vec<Value> = vertices
            .iter()
            .map(|tasks| json!({"parallelism": 4, "status": "CREATED", "tasks": tasks}))
            .collect();
        let answer = json!({"vertices": vertices, "status-counts": {"RUNNING": 1, "CREATED": 1}});
        let tasks: Tasks = serde_json::from_value(answer).unwrap();
        tasks.run()
    }

    #[test]
    fn a_streaming_job_runs_when_all_of_it_does() {
        for waiting in [
            "SCHEDULED",
            "DEPLOYING",
            "INITIALIZING",
            "FAILED",
            "CANCELING",
        ] {
            assert!(!run(&[json!({waiting: 3, "CREATED": 0})]), "{waiting}");
            assert!(
                !run(&[json!({"RUNNING": 2}), json!({waiting: 1, "RUNNING": 3})]),
                "{waiting}"
            );
        }
        assert!(!run(&[json!({"CREATED": 2}), json!({"CREATED": 4})]));
        assert!(run(&[
            json!({"RUNNING": 2, "SCHEDULED": 0}),
            json!({"RUNNING": 4})
        ]));
        assert!(run(&[json!({"FINISHED": 2}), json!({"RUNNING": 4})]));
    }

    #[test]
    fn a_batch_job_runs_before_its_last_stage() {
        assert!(run(&[json!({"RUNNING": 1}), json!({"CREATED": 2})]));
        assert!(run(&[
            json!({"FINISHED": 1}),
            json!({"RUNNING": 1}),
            json!({"CREATED": 2})
        ]));
        assert!(!run(&[
            json!({"FINISHED": 1}),
            json!({"SCHEDULED": 1}),
            json!({"CREATED": 2})
        ]));
        assert!(run(&[json!({"FINISHED": 1}), json!({"FINISHED": 3})]));
    }

    #[test]
    fn a_flink_that_counts_none_is_believed() {
        let tasks: Tasks = serde_json::from_value(json!({})).unwrap();
        assert!(tasks.run());
        assert!(!run(&[]));
    }
}
