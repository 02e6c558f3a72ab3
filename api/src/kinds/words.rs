//! The words that enums of Sluice's kinds know, as they are stored. Admission takes them in any case, and CANCELED for
//! CANCELLED, and writes them like this.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An enum whose variants are stored as fixed words: defines it, `as_str`, `ALL` and `Display`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every word, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word as it is stored.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What a session cluster should be: RUNNING or STOPPED.
    DesiredClusterState {
        /// Provisioned and kept running.
        Running = "RUNNING",
        /// Torn down, with every job that runs on it.
        Stopped = "STOPPED",
    }
}

words! {
    /// What a Deployment or a session job should be: RUNNING, CANCELLED or SUSPENDED.
    DesiredState {
        /// A job runs as the spec says.
        Running = "RUNNING",
        /// No job runs; what ran is cancelled without a savepoint.
        Cancelled = "CANCELLED",
        /// No job runs; what ran is stopped with a savepoint first.
        Suspended = "SUSPENDED",
    }
}

words! {
    /// What a session cluster is.
    SessionClusterState {
        /// Nothing of it is left.
        Stopped = "STOPPED",
        /// Its pods are being made.
        Starting = "STARTING",
        /// The JobManager answers and every TaskManager is registered.
        Running = "RUNNING",
        /// TaskManagers are being added or removed.
        Updating = "UPDATING",
        /// Its pods are being removed.
        Stopping = "STOPPING",
        /// It could not be brought to the desired state; pods may be left.
        Failed = "FAILED",
    }
}

words! {
    /// What a Deployment or a session job is.
    DeploymentState {
        /// The job was started as the spec says and has not ended.
        Running = "RUNNING",
        /// The job was cancelled, or none has run.
        Cancelled = "CANCELLED",
        /// The job was stopped with a savepoint.
        Suspended = "SUSPENDED",
        /// The job came to its end by itself.
        Finished = "FINISHED",
        /// On its way to the desired state.
        Transitioning = "TRANSITIONING",
        /// The way to the desired state failed; a job may still be running.
        Failed = "FAILED",
    }
}

words! {
    /// Where one run of a Deployment stands.
    JobState {
        /// Its cluster is being made.
        Starting = "STARTING",
        /// Flink runs it.
        Started = "STARTED",
        /// It is being cancelled or stopped.
        Terminating = "TERMINATING",
        /// It was cancelled.
        Terminated = "TERMINATED",
        /// It ended by itself or was stopped with a savepoint.
        Finished = "FINISHED",
        /// It failed, or could not be started.
        Failed = "FAILED",
    }
}

words! {
    /// Where a savepoint stands.
    SavepointState {
        /// Flink is writing it.
        Started = "STARTED",
        /// It can be restored from.
        Completed = "COMPLETED",
        /// It was not written.
        Failed = "FAILED",
    }
}

words! {
    /// Why a savepoint exists.
    SavepointOrigin {
        /// Someone created the Savepoint object.
        UserRequest = "USER_REQUEST",
        /// Taken when the job was suspended, or stopped for an upgrade.
        Suspend = "SUSPEND",
        /// Brought in from elsewhere by its location.
        Copied = "COPIED",
        /// A checkpoint that Flink left behind when the job ended.
        RetainedCheckpoint = "RETAINED_CHECKPOINT",
    }
}

words! {
    /// What to do with a running job whose template has changed.
    UpgradeKind {
        /// Stop it with a savepoint, start the new one from that.
        Stateful = "STATEFUL",
        /// Cancel it, start the new one as restoreStrategy says.
        Stateless = "STATELESS",
        /// Leave it alone until someone stops it.
        None = "NONE",
    }
}

words! {
    /// What state a starting job begins with.
    RestoreKind {
        /// The newest completed snapshot of any origin.
        LatestState = "LATEST_STATE",
        /// The newest completed savepoint; retained checkpoints do not count.
        LatestSavepoint = "LATEST_SAVEPOINT",
        /// None: the job starts empty.
        None = "NONE",
    }
}

words! {
    /// What an artifact is.
    ArtifactKind {
        /// A jar with a main class.
        Jar = "JAR",
    }
}
