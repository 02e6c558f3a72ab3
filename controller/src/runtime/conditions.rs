//! Conditions: set one, and keep since when it has been so.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Whether what a condition's type says is the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is.
    True,
    /// It is not.
    False,
}

impl Truth {
    /// Of a question.
    pub fn of(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }

    /// Kubernetes' word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
        }
    }
}

/// Sets a condition. `lastTransitionTime` moves only if its status does.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    truth: Truth,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
    now: Timestamp,
) {
    let mut next = Condition {
        type_: kind.to_owned(),
        status: truth.word().to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        // To the second, as it is stored: else what was read would never equal what is written.
        last_transition_time: Time(whole_second(now)),
        observed_generation: generation,
    };
    match conditions
        .iter_mut()
        .find(|condition| condition.type_ == kind)
    {
        Some(known) => {
            if known.status == next.status {
                next.last_transition_time = known.last_transition_time.clone();
            }
            *known = next;
        }
        None => conditions.push(next),
    }
}

/// The condition of a type.
pub fn get<'c>(conditions: &'c [Condition], kind: &str) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether a condition of this type is True.
pub fn holds(conditions: &[Condition], kind: &str) -> bool {
    get(conditions, kind).is_some_and(|condition| condition.status == Truth::True.word())
}

/// A time as the API server stores it.
pub fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stays_until_the_status_changes() {
        let mut conditions = Vec::new();
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut set = |truth, reason: &str, second| {
            super::set(
                &mut conditions,
                "Ready",
                truth,
                reason,
                "m",
                Some(1),
                at(second),
            );
            conditions[0].clone()
        };
        assert_eq!(set(Truth::False, "A", 10).last_transition_time.0, at(10));
        let later = set(Truth::False, "B", 20);
        assert_eq!(
            (later.last_transition_time.0, later.reason.as_str()),
            (at(10), "B")
        );
        assert_eq!(set(Truth::True, "C", 30).last_transition_time.0, at(30));
    }
}
