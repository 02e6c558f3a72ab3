//! A hold as one line of a quota's status, for people and for the next reader:
//! `0->3000 sessionclusters.sluice.dev/team-a/analytics uid=6f1c base=0 id=r1-1 by=ann`.
//!
//! Lines, because the API server handles each field of each entry some ten times a write; users last, because only their
//! names may hold blanks.

use std::fmt;
use std::str::FromStr;

use super::book::{Hold, ObjectKey, Revision};
use crate::dialect::own::name::is_dns_label;
use crate::quantity::MilliCpu;

/// A line that is no hold of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no hold that this version of Sluice can read")]
pub struct UnreadableHold;

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectKey {
            resource,
            namespace,
            name,
        } = &self.object;
        write!(
            f,
            "{}->{} {resource}/{namespace}/{name} uid={} base={} id={} by={}",
            self.from.0, self.to.0, self.uid, self.base, self.id, self.by
        )
    }
}

impl FromStr for Hold {
    type Err = UnreadableHold;

    fn from_str(line: &str) -> Result<Self, UnreadableHold> {
        read(line).ok_or(UnreadableHold)
    }
}

fn read(line: &str) -> Option<Hold> {
    let mut words = line.splitn(6, ' ');
    let (from, to) = words.next()?.split_once("->")?;
    let mut object = words.next()?.splitn(3, '/');
    let object = ObjectKey {
        resource: object.next()?.to_owned(),
        namespace: object.next()?.to_owned(),
        name: object.next()?.to_owned(),
    };
    Some(Hold {
        object,
        uid: words.next()?.strip_prefix("uid=")?.to_owned(),
        base: Revision::parse(words.next()?.strip_prefix("base=")?)?,
        id: words.next()?.strip_prefix("id=")?.to_owned(),
        by: words.next()?.strip_prefix("by=")?.to_owned(),
        from: MilliCpu(from.parse().ok()?),
        to: MilliCpu(to.parse().ok()?),
    })
}

/// What of a hold no API server can have given, if anything: whoever reaches the webhook past it may send any text. A blank would
/// leave a line that nobody reads again, and an object of an impossible name is never looked for.
pub fn impossible(object: &ObjectKey, uid: &str) -> Option<&'static str> {
    let is_name = object.name.len() <= 253 && object.name.split('.').all(is_part_of_name);
    if !is_uid(uid) {
        Some("metadata.uid")
    } else if !is_dns_label(&object.namespace) {
        Some("the namespace")
    } else if !is_name {
        Some("the name")
    } else {
        None
    }
}

fn is_uid(uid: &str) -> bool {
    (1..=64).contains(&uid.len()) && uid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Like a DNS label, of any length, as the API server has it.
fn is_part_of_name(part: &str) -> bool {
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.bytes().all(|c| fits(c) || c == b'-')
        && part.bytes().next().is_some_and(fits)
        && part.bytes().next_back().is_some_and(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "500->8000 flinkdeployments.flink.apache.org/team-a/etl uid=6f1c-2 base=77 id=r1-1 by=";

    #[test]
    fn a_line_goes_out_as_it_came_in_whoever_asked() {
        for by in [
            "ann",
            "",
            "system:serviceaccount:a:b",
            "CN=Ann Lee, by=x id=2\n",
        ] {
            let line = format!("{LINE}{by}");
            let hold: Hold = line.parse().unwrap();
            assert_eq!((hold.from, hold.to), (MilliCpu(500), MilliCpu(8000)));
            assert_eq!(hold.object.resource, "flinkdeployments.flink.apache.org");
            assert_eq!(hold.object.namespace, "team-a");
            assert_eq!(hold.object.name, "etl");
            assert_eq!((hold.uid.as_str(), hold.base), ("6f1c-2", Revision(77)));
            assert_eq!((hold.id.as_str(), hold.by.as_str()), ("r1-1", by));
            assert_eq!(hold.to_string(), line);
        }
    }

    #[test]
    fn half_a_line_is_no_hold() {
        for length in 0..LINE.len() {
            assert_eq!(
                LINE[..length].parse::<Hold>(),
                Err(UnreadableHold),
                "{length}"
            );
        }
        for (find, put) in [
            ("500", "-1"),
            ("->", "-"),
            ("base=77", "base=x"),
            ("uid=", "uuid="),
        ] {
            let line = LINE.replace(find, put);
            assert_eq!(line.parse::<Hold>(), Err(UnreadableHold), "{line}");
        }
    }

    fn hold(namespace: &str, name: &str, uid: &str) -> Hold {
        Hold {
            object: ObjectKey {
                resource: "flinkdeployments.flink.apache.org".into(),
                namespace: namespace.into(),
                name: name.into(),
            },
            uid: uid.into(),
            base: Revision(u64::MAX),
            id: "r1-1".into(),
            by: "ann lee\n".into(),
            from: MilliCpu(0),
            to: MilliCpu(u64::MAX),
        }
    }

    #[test]
    fn whatever_an_api_server_gives_is_possible_and_can_be_read_again() {
        let (long, label) = ("a".repeat(253), "b".repeat(63));
        for (namespace, name, uid) in [
            ("team-a", "etl", "6f1c1f0e-0000-4000-8000-00000000000A"),
            ("0", "0-a.b-1.c", "x"),
            (&label, &long, &"f".repeat(64)),
        ] {
            let hold = hold(namespace, name, uid);
            assert_eq!(impossible(&hold.object, &hold.uid), None, "{hold}");
            assert_eq!(hold.to_string().parse(), Ok(hold));
        }
    }

    #[test]
    fn what_would_break_the_line_or_is_no_name_of_an_object_is_impossible() {
        let long = "a".repeat(254);
        for (namespace, name, uid, what) in [
            ("team-a", "etl", "", "metadata.uid"),
            ("team-a", "etl", "a b", "metadata.uid"),
            ("team-a", "etl", "a\u{a0}b", "metadata.uid"),
            ("team-a", "etl", &long[..65], "metadata.uid"),
            ("", "etl", "x", "the namespace"),
            ("team a", "etl", "x", "the namespace"),
            ("team/a", "etl", "x", "the namespace"),
            ("team-a", "", "x", "the name"),
            ("team-a", "e tl", "x", "the name"),
            ("team-a", "e/tl", "x", "the name"),
            ("team-a", "etl?x=y", "x", "the name"),
            ("team-a", "..", "x", "the name"),
            ("team-a", "a%20b", "x", "the name"),
            ("team-a", &long, "x", "the name"),
        ] {
            let hold = hold(namespace, name, uid);
            assert_eq!(impossible(&hold.object, uid), Some(what), "{hold}");
        }
    }
}
