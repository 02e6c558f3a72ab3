//! Where the pods of a cluster run: its own namespace, or the one that its DeploymentTarget names, if that one accepts them.

use std::collections::BTreeMap;

use sluice_api::names::labels::ACCEPT_FROM;

/// The target that means the object's own namespace where nobody has defined it.
const DEFAULT_TARGET: &str = "default";

/// Where pods are to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// In this namespace.
    At(String),
    /// No such target.
    Missing(String),
    /// The namespace does not accept them.
    NotAccepted(String),
}

/// Where a name leads to. `defined`: the namespace that a target of this name points to, if there is one.
pub fn resolve(own: &str, name: Option<&str>, defined: Option<&str>) -> Target {
    match (name, defined) {
        (_, Some(namespace)) => Target::At(namespace.to_owned()),
        (None | Some(DEFAULT_TARGET), None) => Target::At(own.to_owned()),
        (Some(name), None) => Target::Missing(format!(
            "there is no DeploymentTarget {name} in namespace {own}; create it, and the cluster starts"
        )),
    }
}

/// Whether a namespace with these labels (`None`: there is no such namespace) takes pods from another.
pub fn accepted(namespace: &str, own: &str, labels: Option<&BTreeMap<String, String>>) -> Target {
    if namespace == own {
        return Target::At(namespace.to_owned());
    }
    let Some(labels) = labels else {
        return Target::Missing(format!(
            "there is no namespace {namespace}, which the DeploymentTarget names"
        ));
    };
    let accepts = labels.get(ACCEPT_FROM).map(String::as_str);
    if accepts.is_some_and(|accepts| accepts.split('.').any(|name| name == own)) {
        return Target::At(namespace.to_owned());
    }
    Target::NotAccepted(format!(
        "namespace {namespace} does not accept pods from {own}; add {own} to its label {ACCEPT_FROM} (several names are separated by a dot)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_target_and_an_undefined_default_mean_the_own_namespace() {
        let own = Target::At("team-a".into());
        assert_eq!(resolve("team-a", None, None), own);
        assert_eq!(resolve("team-a", Some("default"), None), own);
        assert_eq!(
            resolve("team-a", Some("default"), Some("x")),
            Target::At("x".into())
        );
        assert!(
            matches!(resolve("team-a", Some("eu"), None), Target::Missing(message) if message.contains("DeploymentTarget eu"))
        );
    }

    #[test]
    fn another_namespace_must_name_the_source() {
        let labels = |text: &str| BTreeMap::from([(ACCEPT_FROM.to_owned(), text.to_owned())]);
        let there = Target::At("x".into());
        assert_eq!(
            accepted("x", "team-a", Some(&labels("team-b.team-a"))),
            there
        );
        assert_eq!(
            accepted("team-a", "team-a", None),
            Target::At("team-a".into())
        );
        for refused in [labels("team-ab"), labels(""), BTreeMap::new()] {
            let target = accepted("x", "team-a", Some(&refused));
            assert!(
                matches!(target, Target::NotAccepted(message) if message.contains("add team-a to its label sluice.dev/accept-from"))
            );
        }
        assert!(matches!(accepted("x", "team-a", None), Target::Missing(_)));
    }
}
