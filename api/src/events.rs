//! Reasons of events: the words, and when they are written.

use std::fmt;

/// Whether an event tells of trouble: Kubernetes' `type` of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Things go their way.
    Normal,
    /// Someone should look.
    Warning,
}

impl EventType {
    /// Kubernetes' word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Defines the reasons, their words and types.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident: $type:ident,)*) => {
        /// `reason` of an event: one word, for programs; the message says it in a sentence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventReason {
            $($(#[$doc])* $name,)*
        }

        impl EventReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Whether it tells of trouble.
            pub const fn event_type(self) -> EventType {
                match self { $(Self::$name => EventType::$type,)* }
            }
        }
    };
}

reasons! {
    /// Pods are being made.
    Starting: Normal,
    /// The JobManager answers and every TaskManager is registered, or the job runs.
    Started: Normal,
    /// TaskManagers are being added or removed.
    Scaling: Normal,
    /// As many TaskManagers are registered as asked for.
    Scaled: Normal,
    /// A session cluster is being torn down.
    Stopping: Normal,
    /// The last pod of a session cluster is gone.
    Stopped: Normal,
    /// A job is being replaced by one of the new template.
    Upgrading: Normal,
    /// A job is being cancelled.
    Cancelling: Normal,
    /// A job was cancelled and its pods are gone.
    Cancelled: Normal,
    /// A job is being stopped with a savepoint.
    Suspending: Normal,
    /// A job was stopped with a savepoint and its pods are gone.
    Suspended: Normal,
    /// A job came to its end by itself.
    Finished: Normal,
    /// A savepoint was asked for.
    SavepointStarted: Normal,
    /// A savepoint can be restored from.
    SavepointCompleted: Normal,
    /// A savepoint was not written.
    SavepointFailed: Warning,
    /// A job ended without being asked to and is started again.
    Recovering: Warning,
    /// A job could not be started.
    JobCreationFailed: Warning,
    /// Cancelling failed or took too long; the pods are removed all the same.
    CancellationFailed: Warning,
    /// A transition has failed for good; someone has to look.
    TransitionFailed: Warning,
    /// A stateful start found no snapshot to start from.
    NoState: Warning,
    /// A job restarted often within 10 minutes.
    JobFailing: Warning,
    /// A job restarted often within 60 minutes.
    JobUnstable: Warning,
    /// The JobManager does not answer.
    ClusterUnreachable: Warning,
    /// On a quota and on the workload: a start was refused for lack of CPU.
    QuotaExceeded: Warning,
    /// On a quota and on the workload: growth was refused, the workload runs on as it was.
    GrowthRefused: Warning,
    /// On a quota: something grew beyond it, as `onGrowth: Warn` allows.
    QuotaOvercommitted: Warning,
    /// It is to be deleted and stays, as something needs it.
    DeletionBlocked: Warning,
    /// What the object names does not exist or is not accepted.
    TargetNotFound: Warning,
}

impl fmt::Display for EventReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
