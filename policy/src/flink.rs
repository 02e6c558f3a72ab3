//! What Flink itself makes of its configuration, as far as admission depends on it: slots, scheduler, memory model.
//!
//! Takes flat configuration (dotted keys, values as text). What Sluice's kinds do with the answers is in their dialects.

pub mod memory;
mod names;
mod options;
mod version;

pub use names::other_names;
pub use options::{OptionFault, Options};
pub use version::FlinkVersion;

/// How Flink's JobManager places tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// Waits for as many slots as the job's parallelism asks for.
    Default,
    /// Runs the tasks of a batch job in turns, with the slots that there are: its exchanges are blocking.
    Batch,
    /// Runs with the slots that there are.
    Adaptive,
    /// Adaptive, and uses every slot that there is.
    Reactive,
}

/// No option's name has a beginning as long as this, in bytes. Of nested maps it stands in front of every key below it, so a longer one would
/// make a configuration of some megabytes into gigabytes.
pub(crate) const LONGEST_BEGINNING: usize = 256;

/// Key of the number of slots of a TaskManager.
pub const SLOTS: &str = "taskmanager.numberOfTaskSlots";
const SCHEDULER: &str = "jobmanager.scheduler";
const SCHEDULER_MODE: &str = "scheduler-mode";
const RUNTIME_MODE: &str = "execution.runtime-mode";

/// What only the processes of the cluster read, by prefix of the key.
const CLUSTER_ONLY: [&str; 21] = [
    "taskmanager.",
    "jobmanager.",
    "kubernetes.",
    "high-availability",
    "rest.",
    "blob.",
    "security.",
    "metrics.",
    "akka.",
    "pekko.",
    "env.",
    "cluster.",
    "web.",
    "historyserver.",
    "resourcemanager.",
    "slotmanager.",
    "heartbeat.",
    "plugin.",
    "io.tmp.dirs",
    "jobstore.",
    "fs.",
];

/// The option that puts Flink's REST API behind TLS, if one does: its own, or else the one of all connections. Sluice asks that API as long as
/// a cluster runs, and whatever answers it behind TLS is no answer. `option`: what stands under a key, without blanks around it.
pub fn rest_tls<'t>(option: impl Fn(&str) -> Option<&'t str>) -> Option<OptionFault> {
    let keys = ["security.ssl.rest.enabled", "security.ssl.enabled"];
    let (key, value) = keys.into_iter().find_map(|key| Some((key, option(key)?)))?;
    let message = || format!("Sluice asks Flink's REST API without TLS; leave {key} out");
    value
        .eq_ignore_ascii_case("true")
        .then(|| OptionFault::new(key, message()))
}

/// Whether only the processes of a cluster read this option: one job of several on a session cluster cannot have its own.
pub fn is_read_by_clusters_only(key: &str) -> bool {
    CLUSTER_ONLY.iter().any(|prefix| key.starts_with(prefix))
}

impl Options<'_> {
    /// Slots of a TaskManager; 1 unless configured.
    pub fn slots(&self) -> Result<u64, OptionFault> {
        let Some(text) = self.text(SLOTS) else {
            return Ok(1);
        };
        match text.parse::<u64>() {
            Ok(slots) if (1..=100_000).contains(&slots) => Ok(slots),
            _ => Err(OptionFault::new(
                SLOTS,
                format!(
                    "\"{}\" is no number of slots; write a whole number from 1",
                    short(text)
                ),
            )),
        }
    }

    /// The scheduler that Flink would use.
    pub fn scheduler(&self) -> Result<Scheduler, OptionFault> {
        let reactive = self
            .text(SCHEDULER_MODE)
            .is_some_and(|mode| mode.eq_ignore_ascii_case("reactive"));
        if reactive {
            return Ok(Scheduler::Reactive);
        }
        let says_streaming = self
            .text(RUNTIME_MODE)
            .is_some_and(|mode| mode.eq_ignore_ascii_case("streaming"));
        let unnamed = match self.text(RUNTIME_MODE) {
            // Flink finds out by itself: batch where all that is read has an end.
            Some(mode) if ["batch", "automatic"].contains(&mode.to_ascii_lowercase().as_str()) => {
                Scheduler::Batch
            }
            _ => Scheduler::Default,
        };
        let Some(name) = self.text(SCHEDULER) else {
            return Ok(unnamed);
        };
        match name.to_ascii_lowercase().as_str() {
            "adaptive" => Ok(Scheduler::Adaptive),
            // What streams it leaves to the default one.
            "adaptivebatch" if says_streaming => Ok(Scheduler::Default),
            "adaptivebatch" => Ok(Scheduler::Batch),
            "default" | "ng" => Ok(unnamed),
            _ => Err(OptionFault::new(
                SCHEDULER,
                format!(
                    "\"{}\" is no scheduler of Flink; write Default, Adaptive or AdaptiveBatch",
                    short(name)
                ),
            )),
        }
    }
}

/// A text as a message shows it.
fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case("1", Ok(1))]
    #[case(" 16 ", Ok(16))]
    #[case("0", Err("\"0\" is no number of slots; write a whole number from 1"))]
    #[case("-1", Err("\"-1\" is no number of slots; write a whole number from 1"))]
    #[case(
        "1.5",
        Err("\"1.5\" is no number of slots; write a whole number from 1")
    )]
    #[case(
        "99999999999999999999",
        Err("\"99999999999999999999\" is no number of slots; write a whole number from 1")
    )]
    fn slots(#[case] text: &str, #[case] expected: Result<u64, &str>) {
        let configuration = json!({ SLOTS: text });
        let options = Options::of(Some(&configuration), None);
        assert_eq!(
            options.slots().map_err(|fault| fault.message),
            expected.map_err(str::to_owned)
        );
    }

    #[rstest]
    #[case(json!({}), Scheduler::Default)]
    #[case(json!({"jobmanager.scheduler": "Adaptive"}), Scheduler::Adaptive)]
    #[case(json!({"jobmanager.scheduler": "default"}), Scheduler::Default)]
    #[case(json!({"scheduler-mode": "REACTIVE"}), Scheduler::Reactive)]
    #[case(json!({"jobmanager.scheduler": "AdaptiveBatch"}), Scheduler::Batch)]
    #[case(json!({"execution.runtime-mode": "BATCH"}), Scheduler::Batch)]
    #[case(json!({"execution.runtime-mode": "AUTOMATIC"}), Scheduler::Batch)]
    #[case(json!({"execution.runtime-mode": "bacth"}), Scheduler::Default)]
    #[case(json!({"execution.runtime-mode": "STREAMING", "jobmanager.scheduler": "AdaptiveBatch"}), Scheduler::Default)]
    #[case(json!({"execution.runtime-mode": "STREAMING"}), Scheduler::Default)]
    fn schedulers(#[case] configuration: serde_json::Value, #[case] expected: Scheduler) {
        assert_eq!(
            Options::of(Some(&configuration), None).scheduler(),
            Ok(expected)
        );
    }

    #[test]
    fn a_scheduler_that_flink_does_not_have_is_named() {
        let configuration = json!({"jobmanager.scheduler": "fair"});
        let fault = Options::of(Some(&configuration), None)
            .scheduler()
            .unwrap_err();
        assert_eq!(fault.key, "jobmanager.scheduler");
        assert_eq!(
            fault.message,
            "\"fair\" is no scheduler of Flink; write Default, Adaptive or AdaptiveBatch"
        );
    }
}
