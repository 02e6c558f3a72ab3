//! A hold as one line of a quota's status, for people and for the next reader:
//! `0->3000 sessionclusters.sluice.dev/team-a/analytics uid=6f1c base=0 id=r1-1 by=ann`.
//!
//! Lines, because the API server handles each field of each entry some ten times a write; users last, because only their
//! names may hold blanks.

use std::fmt;
use std::str::FromStr;

use super::book::{Hold, ObjectKey, Revision};
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
}
