//! A stop with a savepoint of which nobody knows whether it was completed. The savepoint may hold more than every snapshot that is known, so
//! nothing is started from an older one unasked.

/// The reason of a run that has ended so.
pub const STOP_UNCLEAR: &str = "StopUnclear";

/// What is told: where the savepoint lies if there is one, and the way out. `owner`: the field of a Savepoint's spec that names the job.
pub fn message(owner: &str, name: &str, folder: Option<&str>, why: &str) -> String {
    let place = folder.map_or_else(
        || "in the folder that Flink is configured to use".to_owned(),
        |folder| format!("in {folder}"),
    );
    format!(
        "The job was being stopped with a savepoint, and its JobManager ended before it said whether that is complete. {why} If it is, it lies {place} \
         (savepoint-..., with a file _metadata): create a Savepoint with spec.{owner} {name} and its path as spec.savepointLocation, and \
         it is the newest. Then, or if there is none, change spec.restartNonce with spec.state RUNNING, and the job starts from the newest snapshot that is known."
    )
}
