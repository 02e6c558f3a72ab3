//! What clients were answered, and what of it breaks a promise.

use crate::check::{Promise, Violation};
use crate::sibling;
use std::collections::BTreeMap;
use std::fmt;

/// What an operation does to the charge, as computed from the very object that it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It lowers it.
    Lower,
    /// It leaves it.
    Same,
    /// It raises it.
    Rise,
}

impl Effect {
    /// From one charge to another.
    pub fn of(from: u64, to: u64) -> Self {
        match to.cmp(&from) {
            std::cmp::Ordering::Less => Effect::Lower,
            std::cmp::Ordering::Equal => Effect::Same,
            std::cmp::Ordering::Greater => Effect::Rise,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Lower => "would have lowered a charge",
            Effect::Same => "would have left it",
            Effect::Rise => "would have raised it",
        })
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// As asked.
    Done,
    /// There was nothing to do.
    Nothing,
    /// Refused by Sluice.
    Refused {
        /// HTTP status.
        code: u16,
        /// The rule at the end of the message.
        rule: String,
    },
    /// Refused by the sibling webhook, or not answered by it in time.
    Sibling,
    /// Somebody else was first, or the object came or went.
    Conflict,
    /// The API server reached no webhook of Sluice's in time.
    NoWebhook,
    /// The API server could not do it: no etcd, its own time-out, too busy.
    ApiServer(u16),
    /// No answer of the API server in time, or a broken connection.
    Silence,
    /// Anything else.
    Other(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Done => f.write_str("done"),
            Answer::Nothing => f.write_str("nothing to do"),
            Answer::Refused { code, rule } => write!(f, "refused: {rule} ({code})"),
            Answer::Sibling => f.write_str("refused by the sibling"),
            Answer::Conflict => f.write_str("conflict, exists or gone"),
            Answer::NoWebhook => f.write_str("no webhook answered the API server"),
            Answer::ApiServer(code) => write!(f, "API server in trouble ({code})"),
            Answer::Silence => f.write_str("no answer of the API server"),
            Answer::Other(what) => write!(f, "other: {what}"),
        }
    }
}

impl Answer {
    /// Reads an error of the API server.
    pub fn of(error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return Answer::Silence;
        };
        let message = &status.message;
        let is_unheard = message.contains("failed calling webhook");
        if message.contains(sibling::REFUSAL) || is_unheard && message.contains(sibling::NAME) {
            return Answer::Sibling;
        }
        if is_unheard {
            return Answer::NoWebhook;
        }
        if message.contains("sluice.dev\" denied the request") {
            let rule = message
                .rsplit_once('[')
                .and_then(|(_, rest)| rest.split_once(']'));
            return Answer::Refused {
                code: status.code,
                rule: rule.map_or_else(
                    || message.chars().take(120).collect(),
                    |(rule, _)| format!("{rule}{}", why(message)),
                ),
            };
        }
        match status.code {
            404 | 409 => Answer::Conflict,
            429 | 500..600 => Answer::ApiServer(status.code),
            code => Answer::Other(format!(
                "{code} {}",
                message.chars().take(160).collect::<String>()
            )),
        }
    }

    /// Whether a component was away.
    pub fn is_trouble(&self) -> bool {
        matches!(
            self,
            Answer::NoWebhook | Answer::ApiServer(_) | Answer::Silence
        )
    }

    /// Whether Sluice asks to come again, as kubectl then does by itself.
    pub fn asks_again(&self) -> bool {
        matches!(
            self,
            Answer::Refused {
                code: 429 | 503,
                ..
            }
        )
    }
}

/// What the ledger's 429s are about, by the words of its messages.
fn why(message: &str) -> &'static str {
    let reasons = [
        ("in flight). Try again", ", holds in the way"),
        ("has not been counted", ", not counted yet"),
        ("came first", ", contended"),
        ("could not be read or written", ", not written"),
    ];
    let found = reasons.iter().find(|(words, _)| message.contains(words));
    found.map_or("", |(_, why)| why)
}

/// The rule by which Sluice asks to come again because a review has not arrived.
const SLOW: &str = "request/slow";
/// The rule by which a webhook that is only starting asks to come again.
const TOO_EARLY: &str = "request/too-early";

/// What an operation changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing but levers that work with every webhook dead, if they lower: of a session cluster, and a deletion.
    Unasked,
    /// Nothing but the kind's levers.
    Levers,
    /// A figure that the charge goes by and that is no lever of the kind, as the parallelism of a FlinkDeployment: it is judged as a whole,
    /// which a webhook that is only starting puts off.
    Figure,
    /// Other fields.
    More,
}

/// The broken promise, if an answer is one: a decrease is never refused, and some wait for no webhook. Where another component is away (a
/// 5xx of the API server's own, no answer, a review that did not arrive) it is none, that is counted by cause; neither is a frozen field,
/// or a decrease that another field rides on.
pub fn judge(
    operation: u64,
    what: &str,
    effect: Effect,
    reach: Reach,
    answer: &Answer,
) -> Option<Violation> {
    let (code, rule) = match answer {
        Answer::Refused { code, rule } => (code, rule),
        Answer::NoWebhook if effect == Effect::Lower && reach == Reach::Unasked => {
            return Some(broken(operation, what, answer));
        }
        // Nobody knows who refused it and why, so it is looked into.
        Answer::Other(_) if effect != Effect::Rise && reach != Reach::More => {
            return Some(broken(operation, what, answer));
        }
        _ => return None,
    };
    let is_decrease = effect != Effect::Rise;
    let is_refusal = matches!(code, 400..600) && rule != SLOW;
    // A scale carries no revision. This refusal is given only to what was a rise at the one that the API server asked about, when
    // somebody else has changed the object since we looked.
    let raced = rule == "request/stale-parent";
    let put_off = rule == TOO_EARLY && reach == Reach::Figure;
    let counts = (reach != Reach::More || rule.starts_with("quota/")) && !raced && !put_off;
    (is_decrease && is_refusal && counts).then(|| broken(operation, what, answer))
}

fn broken(operation: u64, what: &str, answer: &Answer) -> Violation {
    Violation {
        promise: Promise::DecreasesPass,
        revision: None,
        operation: Some(operation),
        seen: format!("{what}: {answer}"),
    }
}

/// Answers by verb.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many times which verb had which answer.
    pub counts: BTreeMap<(&'static str, Answer), u64>,
    /// What those would have done that no webhook answered.
    pub unheard: BTreeMap<Effect, u64>,
    /// Broken promises among them.
    pub violations: Vec<Violation>,
}

impl Tally {
    /// One more.
    pub fn count(&mut self, verb: &'static str, effect: Effect, answer: Answer) {
        if answer == Answer::NoWebhook {
            *self.unheard.entry(effect).or_default() += 1;
        }
        *self.counts.entry((verb, answer)).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, rule: &str) -> Answer {
        Answer::Refused {
            code,
            rule: rule.into(),
        }
    }

    #[test]
    fn only_refused_decreases_break_the_promise() {
        let broken = |effect, lever, answer| {
            let reach = if lever { Reach::Levers } else { Reach::More };
            judge(3, "stop", effect, reach, &answer).is_some()
        };
        assert!(broken(Effect::Lower, true, refused(403, "quota/cpu")));
        assert!(broken(Effect::Same, false, refused(429, "quota/cpu")));
        assert!(!broken(
            Effect::Lower,
            true,
            refused(409, "request/stale-parent")
        ));
        assert!(broken(
            Effect::Lower,
            true,
            refused(422, "session-cluster/field")
        ));
        assert!(!broken(Effect::Rise, true, refused(403, "quota/cpu")));
        assert!(!broken(
            Effect::Lower,
            false,
            refused(403, "immutable/session-cluster")
        ));
        assert!(!broken(Effect::Lower, true, refused(503, SLOW)));
        assert!(broken(Effect::Lower, true, refused(503, TOO_EARLY)));
        let figure = |answer| judge(3, "scale", Effect::Lower, Reach::Figure, &answer).is_some();
        assert!(!figure(refused(503, TOO_EARLY)));
        assert!(figure(refused(403, "quota/cpu")));
        assert!(!broken(Effect::Lower, true, Answer::NoWebhook));
        let unheard = |effect| judge(3, "stop", effect, Reach::Unasked, &Answer::NoWebhook);
        assert!(unheard(Effect::Lower).is_some() && unheard(Effect::Rise).is_none());
        assert!(!broken(Effect::Lower, true, Answer::Sibling));
        assert!(broken(
            Effect::Lower,
            true,
            Answer::Other("400 what".into())
        ));
        let seen = judge(
            3,
            "stop of x",
            Effect::Lower,
            Reach::Levers,
            &refused(403, "quota/cpu"),
        );
        assert_eq!(seen.unwrap().seen, "stop of x: refused: quota/cpu (403)");
    }

    #[test]
    fn answers_are_told_apart_by_who_gave_them() {
        let of = |code, message: &str| {
            let status = kube::core::Status {
                code,
                message: message.into(),
                ..kube::core::Status::default()
            };
            Answer::of(&kube::Error::Api(Box::new(status)))
        };
        let ours = "admission webhook \"validate.sluice.dev\" denied the request: CpuQuota \"a/b\": [1] too much. [quota/cpu]";
        assert_eq!(of(403, ours), refused(403, "quota/cpu"));
        let waits = "admission webhook \"validate.sluice.dev\" denied the request: 4 of 9 are free (5 in use, 4 reserved for requests in \
            flight). Try again in a moment. [quota/cpu]";
        assert_eq!(of(429, waits), refused(429, "quota/cpu, holds in the way"));
        let theirs = format!(
            "admission webhook \"{}\" denied the request: {}",
            sibling::NAME,
            sibling::REFUSAL
        );
        assert_eq!(of(403, &theirs), Answer::Sibling);
        assert_eq!(
            of(
                500,
                "Internal error occurred: failed calling webhook \"validate.sluice.dev\": EOF"
            ),
            Answer::NoWebhook
        );
        let silent = format!("failed calling webhook \"{}\": EOF", sibling::NAME);
        assert_eq!(of(500, &silent), Answer::Sibling);
        assert_eq!(of(409, "the object has been modified"), Answer::Conflict);
        assert_eq!(
            of(500, "etcdserver: leader changed"),
            Answer::ApiServer(500)
        );
    }
}
