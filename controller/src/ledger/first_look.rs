//! Whether what is known of a quota's scope may be counted for the first time.
//!
//! Later counts are held against the one before: they never look at an older view. A first count, or the first in a wider scope, has none
//! before it. What started there had no hold in this quota, so a view from before that start would not have it either, and its CPU would
//! be given away again. So each object that exists in the scope, once the quota has been read, must be known as it is or newer.
//!
//! That is listed once. What is not known at that moment is waited for, however much else changes meanwhile. A kind that is not served
//! cannot be listed: it has to be gone ([`super::absence`]).

use std::collections::BTreeMap;

use kube::Client;
use kube::core::params::ListParams;
use kube::core::{ObjectList, PartialObjectMeta, Request};
use sluice_policy::ledger::{Account, Inventory, Revision, Scope, Watched};

use super::Resource;
use super::resources::{WatchError, unbuilt};

/// Up to so many namespaces are listed one by one. One list of all objects costs the API server less than many lists of a few.
const NAMESPACES_ONE_BY_ONE: usize = 10;

/// What existed when a quota was looked at, as far as it has not been known since.
#[derive(Debug, Default)]
pub struct FirstLook {
    /// By resource.
    unknown: BTreeMap<String, Vec<Existing>>,
}

#[derive(Debug)]
struct Existing {
    uid: String,
    at: Revision,
}

/// Whether a quota may count namespaces now that it did not count before. `counted`: the generation and scope that it was last counted in,
/// as far as that is known. With other generations in between, one of them may have counted less, and what started then has no hold.
pub fn may_be_wider(account: &Account, scope: &Scope, counted: Option<&(i64, Scope)>) -> bool {
    let observed = account.book.observed_generation;
    if observed == account.generation {
        return false;
    }
    let is_the_one_before = |(generation, before): &(i64, Scope)| {
        *generation == observed
            && generation.checked_add(1) == Some(account.generation)
            && before == scope
    };
    !counted.is_some_and(is_the_one_before)
}

/// The resources, of those that are listed, whose view is to be compared.
pub fn open_resources(
    resources: &[Resource],
    inventory: &Inventory,
    account: &Account,
    wider: bool,
) -> Vec<Resource> {
    let is_open = |resource: &&Resource| {
        let key = resource.key();
        matches!(inventory.get(&key), Some(Watched::At(_)))
            && (wider || !account.book.snapshot.contains_key(&key))
    };
    resources.iter().filter(is_open).cloned().collect()
}

impl FirstLook {
    /// Lists what exists in the scope now, one list after the other. Metadata only, read from a quorum.
    pub async fn take(
        client: &Client,
        resources: &[Resource],
        scope: &Scope,
        page: u32,
    ) -> Result<Self, WatchError> {
        let mut look = Self::default();
        for resource in resources {
            let all = look.unknown.entry(resource.key()).or_default();
            for path in paths(resource, scope) {
                list(client, &path, scope, page, all).await?;
            }
        }
        Ok(look)
    }

    /// Whether all of it is known by now.
    pub fn is_known(&mut self, inventory: &Inventory) -> bool {
        for (resource, objects) in &mut self.unknown {
            if let Some(Watched::At(listing)) = inventory.get(resource) {
                objects.retain(|object| match listing.get(&object.uid) {
                    Some(seen) => seen.revision < object.at,
                    None => !listing.saw_deleted(&object.uid),
                });
            }
        }
        self.unknown.values().all(Vec::is_empty)
    }
}

/// What is to be listed so that a resource's objects in a scope are among it.
fn paths(resource: &Resource, scope: &Scope) -> Vec<String> {
    match scope {
        Scope::Namespaces(names) if names.len() <= NAMESPACES_ONE_BY_ONE => {
            names.iter().map(|name| resource.path_in(name)).collect()
        }
        Scope::Namespaces(_) | Scope::Everywhere => vec![resource.path()],
    }
}

async fn list(
    client: &Client,
    path: &str,
    scope: &Scope,
    page: u32,
    all: &mut Vec<Existing>,
) -> Result<(), WatchError> {
    let mut params = ListParams::default().limit(page);
    loop {
        let request = Request::new(path).list_metadata(&params).map_err(unbuilt)?;
        let page: ObjectList<PartialObjectMeta> = client.request(request).await?;
        for item in page.items {
            let metadata = item.metadata;
            if !scope.contains(metadata.namespace.as_deref().unwrap_or_default()) {
                continue;
            }
            let at = metadata.resource_version.as_deref();
            all.push(Existing {
                uid: metadata.uid.ok_or(WatchError::Unreadable("metadata.uid"))?,
                at: at
                    .and_then(Revision::parse)
                    .ok_or(WatchError::Unreadable("metadata.resourceVersion"))?,
            });
        }
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_api::quota::OnGrowth;
    use sluice_policy::MilliCpu;
    use sluice_policy::ledger::{Book, QuotaKey};

    use super::*;

    fn scope(names: &[&str]) -> Scope {
        Scope::Namespaces(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn few_namespaces_are_listed_one_by_one_and_many_are_one_list() {
        let resource = Resource {
            group: "sluice.dev".into(),
            version: "v1alpha1".into(),
            plural: "sessionclusters".into(),
        };
        let names: Vec<String> = (0..60).map(|index| format!("n{index}")).collect();
        let of = |count: usize| Scope::Namespaces(names.iter().take(count).cloned().collect());
        assert_eq!(
            paths(&resource, &of(2)),
            [resource.path_in("n0"), resource.path_in("n1")]
        );
        assert_eq!(paths(&resource, &of(10)).len(), 10);
        for wide in [of(11), of(60), Scope::Everywhere] {
            assert_eq!(paths(&resource, &wide), [resource.path()]);
        }
    }

    #[test]
    fn only_the_generation_right_after_the_counted_one_may_have_its_scope_unseen() {
        let account = |observed: i64, generation: i64| Account {
            key: QuotaKey::Cluster { name: "q".into() },
            generation,
            hard: MilliCpu(1000),
            on_growth: OnGrowth::default(),
            book: Book {
                observed_generation: observed,
                ..Book::default()
            },
        };
        let (one, both) = (scope(&["a"]), scope(&["a", "b"]));
        for (observed, generation, counted, wider) in [
            (1, 1, None, false),
            (0, 1, None, true),
            (1, 2, None, true),
            (1, 2, Some((1, both.clone())), false),
            (1, 2, Some((1, one)), true),
            // In between it may have counted only one of them, and what then started in the other has no hold.
            (1, 3, Some((1, both.clone())), true),
            (2, 3, Some((1, both.clone())), true),
        ] {
            assert_eq!(
                may_be_wider(&account(observed, generation), &both, counted.as_ref()),
                wider,
                "{observed} {generation} {counted:?}"
            );
        }
    }
}
