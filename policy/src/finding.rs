//! What a judgement finds: causes of a refusal, warnings, and the refusal that is made of them.

use crate::path::FieldPath;
use crate::rule::{Family, Rule};
use std::fmt;

/// HTTP code of a refusal (`status.code` of the reply).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// 403: a rule forbids it.
    Forbidden,
    /// 409: the object changed meanwhile; read it again.
    Conflict,
    /// 409: the name of a new object is taken.
    AlreadyExists,
    /// 413: the review is larger than we read.
    TooLarge,
    /// 422: the object is malformed.
    Invalid,
    /// 429: would fit but for reservations in flight; try again.
    TooManyRequests,
    /// 503: cannot be judged now; try again.
    Unavailable,
}

impl Code {
    /// The number.
    pub fn number(self) -> u16 {
        match self {
            Code::Forbidden => 403,
            Code::Conflict | Code::AlreadyExists => 409,
            Code::TooLarge => 413,
            Code::Invalid => 422,
            Code::TooManyRequests => 429,
            Code::Unavailable => 503,
        }
    }

    /// The matching `status.reason` of Kubernetes.
    pub fn reason(self) -> &'static str {
        match self {
            Code::Forbidden => "Forbidden",
            Code::Conflict => "Conflict",
            Code::AlreadyExists => "AlreadyExists",
            Code::TooLarge => "RequestEntityTooLarge",
            Code::Invalid => "Invalid",
            Code::TooManyRequests => "TooManyRequests",
            Code::Unavailable => "ServiceUnavailable",
        }
    }
}

/// Why one field was refused: Kubernetes' own cause types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CauseReason {
    /// The value cannot be read or breaks a rule.
    Invalid,
    /// A required field is missing.
    Required,
    /// The value is not one of the allowed words.
    NotSupported,
    /// The field may not be set, or may not change.
    Forbidden,
    /// The value's JSON type is wrong.
    TypeInvalid,
    /// A reference leads nowhere.
    NotFound,
}

impl CauseReason {
    /// The word in `status.details.causes[].reason`.
    pub fn word(self) -> &'static str {
        match self {
            CauseReason::Invalid => "FieldValueInvalid",
            CauseReason::Required => "FieldValueRequired",
            CauseReason::NotSupported => "FieldValueNotSupported",
            CauseReason::Forbidden => "FieldValueForbidden",
            CauseReason::TypeInvalid => "FieldValueTypeInvalid",
            CauseReason::NotFound => "FieldValueNotFound",
        }
    }
}

/// One offending field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The rule that it breaks.
    pub rule: &'static Rule,
    /// Which field.
    pub field: FieldPath,
    /// Kubernetes' type of cause.
    pub reason: CauseReason,
    /// What is wrong and what to do, without the field and without the rule's id.
    pub message: String,
}

impl Cause {
    /// The message with the rule's id, as it stands in `details.causes[]`.
    pub fn full_message(&self) -> String {
        format!("{} [{}]", self.message, self.rule.id)
    }
}

/// Collects causes and warnings while an object is judged.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Everything that is wrong, in the order it was found.
    pub causes: Vec<Cause>,
    /// What the user should know although the request is admitted. One line each, under 256 characters.
    pub warnings: Vec<String>,
}

impl Findings {
    /// Adds an offending field.
    pub fn refuse(
        &mut self,
        rule: &'static Rule,
        field: FieldPath,
        reason: CauseReason,
        message: impl Into<String>,
    ) {
        self.causes.push(Cause {
            rule,
            field,
            reason,
            message: message.into(),
        });
    }

    /// Adds a warning; see [`one_line`] for how it is shaped. The same warning twice is kept once, and of very many only the first.
    pub fn warn(&mut self, message: impl AsRef<str>) {
        if self.warnings.len() > WARNINGS {
            return; // the last one says so
        }
        let line = one_line(message.as_ref());
        if self.warnings.contains(&line) {
            return;
        }
        self.warnings.push(if self.warnings.len() < WARNINGS {
            line
        } else {
            format!("there are more warnings; these are the first {WARNINGS}")
        });
    }

    /// Whether nothing is wrong (warnings do not count).
    pub fn is_clean(&self) -> bool {
        self.causes.is_empty()
    }
}

/// A warning as the API server passes it on: one line, under 256 characters (it drops others).
pub fn one_line(message: &str) -> String {
    const LIMIT: usize = 255;
    let mut line: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > LIMIT {
        let mut end = LIMIT - 3;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push_str("...");
    }
    line
}

/// How many causes a message lists; a manifest with thousands of bad entries must not make a reply of megabytes.
pub(crate) const LISTED: usize = 25;
/// How many causes a refusal carries; work on each of them need go no further.
pub(crate) const CAUSES: usize = 100;

/// How many warnings are kept: an API server passes on 4096 characters of them in all.
const WARNINGS: usize = 100;

/// A refusal: what the user sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that is named first; its id ends the message.
    pub rule: &'static Rule,
    /// HTTP code.
    pub code: Code,
    /// The whole message, ending in the rule's id in brackets.
    pub message: String,
    /// One entry per offending field; empty where no field is to blame.
    pub causes: Vec<Cause>,
    /// Seconds after which a client may resend by itself.
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// Makes one refusal of all causes, or none if there are none.
    ///
    /// A malformed field (422) outranks a broken rule (403), since the rule may only be broken because of it. The
    /// message lists every cause; `subject` is for example `sessioncluster "analytics"`.
    pub fn of(subject: &str, mut causes: Vec<Cause>) -> Option<Self> {
        let lead = causes
            .iter()
            .max_by_key(|cause| (cause.rule.code == Code::Invalid, std::cmp::Reverse(0)))?;
        let lead = causes
            .iter()
            .find(|cause| cause.rule.code == lead.rule.code)
            .unwrap_or(lead)
            .rule;
        let mut message = subject.to_owned();
        message.push_str(": ");
        for (position, cause) in causes.iter().take(LISTED).enumerate() {
            if position > 0 {
                message.push(' ');
            }
            if cause.field != FieldPath::default() {
                message.push_str(&cause.field.to_string());
                message.push_str(": ");
            }
            message.push_str(&cause.message);
            if !message.ends_with('.') {
                message.push('.');
            }
            if cause.rule.id != lead.id {
                message.extend([" [", cause.rule.id, "]"]);
            }
        }
        if causes.len() > LISTED {
            message.extend([" And ", &(causes.len() - LISTED).to_string(), " more."]);
        }
        causes.truncate(CAUSES);
        message.extend([" [", lead.id, "]"]);
        Some(Self {
            rule: lead,
            code: lead.code,
            message,
            causes,
            retry_after: None,
        })
    }

    /// Which mode governs it: the strictest family among its causes.
    pub fn family(&self) -> Family {
        self.rule.family
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static RULE: Rule = Rule {
        id: "a/b",
        family: Family::Validation,
        code: Code::Forbidden,
        summary: "",
        explain: "",
        source: "",
    };

    #[test]
    fn a_refusal_of_thousands_of_fields_stays_readable() {
        let mut findings = Findings::default();
        for index in 0..5000 {
            let field = FieldPath::of("spec.jars").index(index);
            findings.refuse(&RULE, field, CauseReason::Invalid, "is no URL");
        }
        let refusal = Refusal::of("toy \"t\"", findings.causes).unwrap();
        assert!(
            refusal
                .message
                .starts_with("toy \"t\": spec.jars[0]: is no URL. spec.jars[1]: is no URL.")
        );
        assert!(
            refusal
                .message
                .ends_with("spec.jars[24]: is no URL. And 4975 more. [a/b]")
        );
        assert_eq!(refusal.causes.len(), 100);
    }

    #[test]
    fn of_thousands_of_warnings_the_first_are_kept_and_the_last_says_so() {
        let mut findings = Findings::default();
        for number in 0..5000 {
            findings.warn(format!("warning {}", number / 2));
        }
        assert_eq!(findings.warnings.len(), 101);
        let last = findings.warnings.last().map(String::as_str);
        assert_eq!(
            last,
            Some("there are more warnings; these are the first 100")
        );
    }

    #[test]
    fn a_warning_is_one_line_that_the_api_server_passes_on() {
        let line = one_line(&"wörd \n ".repeat(100));
        assert!(
            line.len() <= 255 && !line.contains('\n') && line.ends_with("..."),
            "{line}"
        );
    }
}
