//! Which Flink an image is built of.

use std::fmt;
use std::str::FromStr;

use crate::ClusterError;

/// The release that stands for each minor version: with these the images were tried. A table, not the index's newest, so
/// that the same Sluice builds the same image on every day and needs no network for what it has.
const RELEASES: &[(u16, u16, u16)] = &[
    (1, 18, 1),
    (1, 19, 3),
    (1, 20, 5),
    (2, 0, 2),
    (2, 1, 3),
    (2, 2, 1),
    (2, 3, 0),
];

/// A Flink release. Written `1.20.5`; read also from `1.20`, which stands for the newest of its releases that this
/// version of Sluice knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlinkVersion {
    major: u16,
    minor: u16,
    patch: u16,
}

impl FlinkVersion {
    /// What is built if nobody names another: the long-term release of Flink 1.
    pub const DEFAULT: Self = Self {
        major: 1,
        minor: 20,
        patch: 5,
    };

    /// All three numbers, such as `1.20.5`.
    pub fn full(self) -> String {
        self.to_string()
    }

    /// The tags that its image gets: the release, and the minor version if it is the release that stands for it.
    pub fn tags(self) -> Vec<String> {
        let mut tags = vec![self.to_string()];
        if RELEASES.contains(&(self.major, self.minor, self.patch)) {
            tags.push(format!("{}.{}", self.major, self.minor));
        }
        tags
    }

    /// What its settings file is called: `config.yaml`, which Flink knows from 1.19 on, else `flink-conf.yaml`.
    pub fn config_file(self) -> &'static str {
        if (self.major, self.minor) >= (1, 19) {
            "config.yaml"
        } else {
            "flink-conf.yaml"
        }
    }
}

impl fmt::Display for FlinkVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for FlinkVersion {
    type Err = ClusterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |problem| ClusterError::FlinkVersion {
            given: text.to_owned(),
            problem,
        };
        let numbers: Option<Vec<u16>> = text
            .split('.')
            .map(|part| {
                let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| part.parse().ok()).flatten()
            })
            .collect();
        let (major, minor, patch) = match numbers.as_deref() {
            Some([major, minor]) => (*major, *minor, None),
            Some([major, minor, patch]) => (*major, *minor, Some(*patch)),
            _ => return Err(refused("it is not two or three numbers with dots between")),
        };
        if (major, minor) < (1, 18) {
            return Err(refused(
                "images are built of 1.18 and later, which run on Java 17",
            ));
        }
        let known = RELEASES
            .iter()
            .find(|release| (release.0, release.1) == (major, minor))
            .map(|release| release.2);
        match patch.or(known) {
            Some(patch) => Ok(Self {
                major,
                minor,
                patch,
            }),
            None => Err(refused(
                "this version of Sluice does not know its releases; give all three numbers",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        text.parse::<FlinkVersion>()
            .map(FlinkVersion::full)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_minor_version_stands_for_its_release() {
        assert_eq!(parse("1.20").unwrap(), "1.20.5");
        assert_eq!(parse("1.20.1").unwrap(), "1.20.1");
        assert_eq!(parse("2.0").unwrap(), "2.0.2");
        assert_eq!(parse("3.7.12").unwrap(), "3.7.12");
        assert_eq!(FlinkVersion::DEFAULT.full(), parse("1.20").unwrap());
    }

    #[test]
    fn only_the_release_that_stands_for_it_gets_the_minor_versions_tag() {
        let tags = |text: &str| text.parse::<FlinkVersion>().unwrap().tags();
        assert_eq!(tags("1.20"), ["1.20.5", "1.20"]);
        assert_eq!(tags("1.20.1"), ["1.20.1"]);
    }

    #[test]
    fn the_settings_file_changed_its_name_with_1_19() {
        let file = |text: &str| text.parse::<FlinkVersion>().unwrap().config_file();
        assert_eq!(file("1.18"), "flink-conf.yaml");
        assert_eq!(file("1.19"), "config.yaml");
        assert_eq!(file("2.0"), "config.yaml");
    }

    #[test]
    fn what_is_no_version_is_refused_with_the_way_out() {
        assert_eq!(
            parse("1.17").unwrap_err(),
            "Flink version \"1.17\": images are built of 1.18 and later, which run on Java 17. Name one such as 1.20 or \
             1.20.5"
        );
        for text in [
            "",
            "2",
            "1.20.",
            "1.20.1.0",
            "v1.20",
            "1.-20",
            "+1.20",
            "1.99999999",
            "1.20-SNAPSHOT",
            "١.٢٠",
        ] {
            assert!(
                parse(text)
                    .unwrap_err()
                    .contains("not two or three numbers with dots between"),
                "{text}"
            );
        }
        assert!(
            parse("1.99")
                .unwrap_err()
                .contains("give all three numbers")
        );
    }
}
