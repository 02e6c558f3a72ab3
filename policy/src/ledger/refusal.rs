//! Why an increase does not get its hold, with exact figures, and the text for it.

use super::account::QuotaKey;
use super::expire::LOOKED_AT_WITHIN;
use super::reserve::{ATTEMPTS_AT_ONE, ATTEMPTS_OF_ONE, Ask};
use crate::finding::Code;
use crate::quantity::MilliCpu;
use crate::rule::{Family, Rule};

/// The rule that every refusal of the ledger ends in.
pub static QUOTA_CPU: Rule = Rule {
    id: "quota/cpu",
    family: Family::Quota,
    code: Code::Forbidden,
    summary: "A workload starts (or, with onGrowth: Enforce, grows) only while the CPU quotas of its namespace have room.",
    explain: "When a workload is asked to run, the CPU of its JobManagers and TaskManagers must fit into every CpuQuota of its \
              namespace and every ClusterCpuQuota that names the namespace. What runs already counts, and so does what \
              was admitted a moment ago and is not seen yet. Code 403: existing workloads leave too little; stop one or \
              ask for a larger quota. Code 429: only requests in flight stand in the way, or the quota cannot be \
              counted right now; the same request may pass a moment later. Stopping, scaling down, deleting and creating what does \
              not run are never refused for quota, and nothing that runs is ever stopped for it.",
    source: "semantics.md, When quota is checked; quota-ledger.md, Admit",
};

/// Why an increase does not get its hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Confirmed usage alone leaves too little room.
    OverLimit,
    /// It would fit but for holds of requests in flight.
    HoldsInTheWay,
    /// The list of holds is full.
    TooManyPending,
    /// As many earlier attempts at this very object are undecided as there may be.
    AttemptsAtOne,
    /// As many attempts of this namespace are undecided as one namespace may have in a quota that it shares with others.
    AttemptsOfOne {
        /// Which.
        namespace: String,
    },
    /// The controller has not counted this quota yet.
    NotInitialised,
    /// Another version of Sluice counted it.
    OtherChargeFunction {
        /// The version that the quota was counted with.
        found: u32,
    },
    /// The quota was changed and not counted since.
    SpecNotObserved,
    /// The quota or its ledger cannot be read; what is wrong with it.
    Unreadable(String),
    /// Other requests for this quota came first until the deadline.
    Contended,
    /// The API server did not answer in time, or refused us; what it said.
    Unreachable(String),
}

/// What the quota looked like, and what was asked of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Figures {
    /// The limit.
    pub hard: MilliCpu,
    /// Confirmed usage.
    pub used: MilliCpu,
    /// Set aside for requests in flight.
    pub reserved: MilliCpu,
    /// By how much the charge of the workload would rise.
    pub asked: MilliCpu,
}

impl Figures {
    /// What is left.
    pub fn free(&self) -> MilliCpu {
        self.hard.minus(self.used.plus(self.reserved))
    }

    /// How much larger the limit would have to be.
    pub fn missing(&self) -> MilliCpu {
        self.used
            .plus(self.reserved)
            .plus(self.asked)
            .minus(self.hard)
    }
}

/// An increase that does not get its hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// By which quota.
    pub quota: QuotaKey,
    /// Whether the workload was to start or to grow.
    pub ask: Ask,
    /// Why.
    pub reason: Reason,
    /// The figures; all zero but `asked` where the quota could not be read.
    pub figures: Figures,
}

impl Refusal {
    /// 403 where only the user or an admin can help, else 429: the same request may pass a moment later.
    pub fn code(&self) -> Code {
        match self.reason {
            Reason::OverLimit => Code::Forbidden,
            _ => Code::TooManyRequests,
        }
    }

    /// Seconds for `details.retryAfterSeconds`, with code 429: clients resend by themselves where it is given, up to ten times. Not where
    /// that would go on for as long as earlier attempts are kept, and whoever repeats them has to see why they fail.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self.reason {
            Reason::AttemptsAtOne | Reason::AttemptsOfOne { .. } => None,
            _ => (self.code() == Code::TooManyRequests).then_some(1),
        }
    }

    /// Text for the user, ending in the rule's id. `singular` is the word for the kind (`sessioncluster`).
    pub fn message(&self, singular: &str, name: &str) -> String {
        format!("{} [{}]", self.sentence(singular, name), QUOTA_CPU.id)
    }

    /// One line for an admission warning: the increase was let through all the same.
    pub fn warning(&self, singular: &str, name: &str) -> String {
        let Figures {
            hard,
            used,
            reserved,
            asked,
        } = self.figures;
        let over = match self.reason {
            Reason::OverLimit | Reason::HoldsInTheWay => {
                let total = used.plus(reserved).plus(asked);
                format!(
                    "{total} of {hard} CPU are in use or reserved now, {} over the limit",
                    self.figures.missing()
                )
            }
            _ => self.obstacle(),
        };
        format!(
            "{}: {singular} \"{name}\" was admitted past the quota: {over} [{}]",
            self.quota, QUOTA_CPU.id
        )
    }

    fn sentence(&self, singular: &str, name: &str) -> String {
        let Figures {
            hard,
            used,
            reserved,
            asked,
        } = self.figures;
        let doing = match self.ask {
            Ask::Start => "starting",
            Ask::Growth => "growing",
        };
        let more = match self.ask {
            Ask::Start => "",
            Ask::Growth => " more",
        };
        let head = format!(
            "{}: {doing} {singular} \"{name}\" needs {asked}{more} CPU",
            self.quota
        );
        let (free, missing) = (self.figures.free(), self.figures.missing());
        match self.reason {
            Reason::OverLimit => format!(
                "{head}; {free} of {hard} are free ({used} in use, {reserved} reserved). Stop a workload or ask for {missing} more CPU."
            ),
            Reason::HoldsInTheWay => format!(
                "{head}; {free} of {hard} are free ({used} in use, {reserved} reserved for requests in flight). \
                 Try again in a moment."
            ),
            // Coming again in a moment is what has led here.
            Reason::AttemptsAtOne | Reason::AttemptsOfOne { .. } => format!(
                "{head}, but {}. Nothing was changed. {}",
                self.obstacle(),
                self.way_out()
            ),
            _ => format!(
                "{head}, but {}. Nothing was changed; try again in a moment. {}",
                self.obstacle(),
                self.way_out()
            ),
        }
    }

    fn obstacle(&self) -> String {
        match &self.reason {
            Reason::OverLimit | Reason::HoldsInTheWay => "the limit is reached".to_owned(),
            Reason::TooManyPending => "too many requests to this quota are in flight".to_owned(),
            Reason::AttemptsAtOne => format!(
                "{ATTEMPTS_AT_ONE} earlier attempts at it were admitted here and are not stored, or not seen yet"
            ),
            Reason::AttemptsOfOne { namespace } => format!(
                "{ATTEMPTS_OF_ONE} requests of namespace \"{namespace}\", a quarter of all that this quota keeps, were admitted here and are \
                 not stored, or not seen yet"
            ),
            Reason::NotInitialised => "the quota has not been counted yet".to_owned(),
            Reason::OtherChargeFunction { found } => {
                format!(
                    "the quota was counted by another version of Sluice (charge function {found}, here {})",
                    super::CHARGE_FN
                )
            }
            Reason::SpecNotObserved => {
                "the quota was changed and has not been counted since".to_owned()
            }
            Reason::Unreadable(what) => format!("the quota cannot be read: {what}"),
            Reason::Contended => "other requests to this quota came first".to_owned(),
            Reason::Unreachable(what) => {
                format!("the quota could not be read or written: {what}")
            }
        }
    }

    fn way_out(&self) -> String {
        let way = match self.reason {
            Reason::Unreadable(_) => "If this lasts, correct the quota.",
            Reason::Contended => "If this lasts, look at the load of the API server.",
            Reason::Unreachable(_) => {
                "If this lasts, look at the load of the API server, and whether Sluice's webhook may get quotas and update their status."
            }
            Reason::TooManyPending => {
                "If this lasts, the quota's status.pending names who asks: something refuses those requests after Sluice (a ResourceQuota, \
                 another webhook), or Sluice's controller does not run."
            }
            Reason::AttemptsAtOne | Reason::AttemptsOfOne { .. } => {
                return format!(
                    "Sluice's controller looks at each within {} seconds. See what refuses them after Sluice (a ResourceQuota, another webhook), \
                     then send it again; if nothing does, see whether that controller runs.",
                    LOOKED_AT_WITHIN.as_secs()
                );
            }
            Reason::OverLimit
            | Reason::HoldsInTheWay
            | Reason::NotInitialised
            | Reason::OtherChargeFunction { .. }
            | Reason::SpecNotObserved => "If this lasts, see whether Sluice's controller runs.",
        };
        way.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(reason: Reason, reserved: u64) -> Refusal {
        Refusal {
            quota: QuotaKey::Namespaced {
                namespace: "team-a".into(),
                name: "default".into(),
            },
            ask: Ask::Start,
            reason,
            figures: Figures {
                hard: MilliCpu(100_000),
                used: MilliCpu(40_000),
                reserved: MilliCpu(reserved),
                asked: MilliCpu(82_000),
            },
        }
    }

    #[test]
    fn over_the_limit_reads_as_the_architecture_says() {
        let refusal = refusal(Reason::OverLimit, 0);
        assert_eq!(
            refusal.message("sessioncluster", "analytics"),
            "CpuQuota \"team-a/default\": starting sessioncluster \"analytics\" needs 82 CPU; 60 of 100 are free \
             (40 in use, 0 reserved). Stop a workload or ask for 22 more CPU. [quota/cpu]"
        );
        assert_eq!(
            (refusal.code().number(), refusal.retry_after_seconds()),
            (403, None)
        );
    }

    #[test]
    fn holds_in_the_way_ask_to_come_again() {
        let mut refusal = refusal(Reason::HoldsInTheWay, 59_500);
        refusal.figures.asked = MilliCpu(1_000);
        refusal.ask = Ask::Growth;
        assert_eq!(
            refusal.message("deployment", "etl"),
            "CpuQuota \"team-a/default\": growing deployment \"etl\" needs 1 more CPU; 0.5 of 100 are free \
             (40 in use, 59.5 reserved for requests in flight). Try again in a moment. [quota/cpu]"
        );
        assert_eq!(
            (refusal.code().number(), refusal.retry_after_seconds()),
            (429, Some(1))
        );
    }

    #[test]
    fn every_other_reason_says_what_stands_in_the_way_and_whom_to_ask() {
        for (reason, obstacle, remedy) in [
            (
                Reason::NotInitialised,
                "has not been counted yet",
                "controller runs",
            ),
            (
                Reason::SpecNotObserved,
                "was changed and has not been counted since",
                "controller runs",
            ),
            (
                Reason::OtherChargeFunction { found: 9 },
                "(charge function 9, here 3)",
                "controller runs",
            ),
            (
                Reason::TooManyPending,
                "too many requests",
                "status.pending names who asks: something refuses those requests after Sluice",
            ),
            (
                Reason::AttemptsAtOne,
                "starting sessioncluster \"analytics\" needs 82 CPU, but 8 earlier attempts at it were admitted here",
                "looks at each within 110 seconds. See what refuses them after Sluice",
            ),
            (
                Reason::AttemptsOfOne {
                    namespace: "team-b".into(),
                },
                "256 requests of namespace \"team-b\", a quarter of",
                "See what refuses them after Sluice (a ResourceQuota,",
            ),
            (
                Reason::Unreadable("spec.hard.cpu is x".into()),
                "cannot be read: spec.hard.cpu is x",
                "correct the quota",
            ),
            (Reason::Contended, "came first", "load of the API server"),
            (
                Reason::Unreachable("timed out".into()),
                "could not be read or written: timed out",
                "load of the API server",
            ),
        ] {
            let refusal = refusal(reason, 0);
            let message = refusal.message("sessioncluster", "analytics");
            assert!(
                message.contains(obstacle) && message.contains(remedy),
                "{message}"
            );
            assert!(message.ends_with(" [quota/cpu]"), "{message}");
            // Clients would send ten times more what cannot pass for a minute.
            let is_repeated = message.contains("See what refuses them");
            assert_eq!(
                (refusal.code().number(), refusal.retry_after_seconds()),
                (429, (!is_repeated).then_some(1))
            );
        }
    }

    #[test]
    fn a_warning_is_one_short_line_with_the_figures() {
        assert_eq!(
            refusal(Reason::OverLimit, 0).warning("sessioncluster", "analytics"),
            "CpuQuota \"team-a/default\": sessioncluster \"analytics\" was admitted past the quota: \
             122 of 100 CPU are in use or reserved now, 22 over the limit [quota/cpu]"
        );
    }
}
