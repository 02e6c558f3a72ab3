//! Whether what is known of a quota's scope may be counted for the first time.
//!
//! Later counts are held against the one before: they never look at an older view. A first count, or the first in a wider scope, has none
//! before it. What started there had no hold in this quota, so a view from before that start would not have it either, and its CPU would
//! be given away again. So each object that exists in the scope, once the quota has been read, must be known as it is or newer.
//!
//! That is listed once. What is not known at that moment is waited for, however much else changes meanwhile.

use futures::future::try_join_all;
use kube::Client;
use kube::core::params::ListParams;
use kube::core::{ObjectList, PartialObjectMeta, Request};
use sluice_policy::ledger::{Account, Inventory, Revision, Scope, Watched};

use super::Resource;
use super::resources::{WatchError, unbuilt};

/// What existed when a quota was looked at, as far as it has not been known since.
#[derive(Debug)]
pub struct FirstLook {
    missing: Vec<Missing>,
}

#[derive(Debug)]
struct Missing {
    resource: String,
    uid: String,
    at: Revision,
}

/// The resources, of those that are listed, whose view is to be compared. `counted`: the scope that the quota was last counted in, as far as
/// that is known.
pub fn open_resources(
    resources: &[Resource],
    inventory: &Inventory,
    account: &Account,
    scope: &Scope,
    counted: Option<&Scope>,
) -> Vec<Resource> {
    let book = &account.book;
    let may_be_wider = book.observed_generation != account.generation && counted != Some(scope);
    let is_open = |resource: &&Resource| {
        let key = resource.key();
        matches!(inventory.get(&key), Some(Watched::At(_)))
            && (may_be_wider || !book.snapshot.contains_key(&key))
    };
    resources.iter().filter(is_open).cloned().collect()
}

impl FirstLook {
    /// Lists what exists in the scope now. Metadata only, read from a quorum.
    pub async fn take(
        client: &Client,
        inventory: &Inventory,
        resources: &[Resource],
        scope: &Scope,
        page: u32,
    ) -> Result<Self, WatchError> {
        let mut places = Vec::new();
        for resource in resources {
            match scope {
                Scope::Everywhere => places.push((resource.key(), resource.path())),
                Scope::Namespaces(names) => {
                    places.extend(
                        names
                            .iter()
                            .map(|name| (resource.key(), resource.path_in(name))),
                    );
                }
            }
        }
        let missing = places
            .into_iter()
            .map(|(resource, path)| missing(client, inventory, resource, path, page));
        let missing = try_join_all(missing).await?.into_iter().flatten().collect();
        Ok(Self { missing })
    }

    /// Whether all of it is known by now.
    pub fn is_known(&mut self, inventory: &Inventory) -> bool {
        self.missing.retain(|missing| !missing.is_known(inventory));
        self.missing.is_empty()
    }
}

impl Missing {
    fn is_known(&self, inventory: &Inventory) -> bool {
        let Some(Watched::At(listing)) = inventory.get(&self.resource) else {
            return false;
        };
        match listing.get(&self.uid) {
            Some(seen) => seen.revision >= self.at,
            None => listing.saw_deleted(&self.uid),
        }
    }
}

async fn missing(
    client: &Client,
    inventory: &Inventory,
    resource: String,
    path: String,
    page: u32,
) -> Result<Vec<Missing>, WatchError> {
    let mut params = ListParams::default().limit(page);
    let mut all = Vec::new();
    loop {
        let request = Request::new(path.clone())
            .list_metadata(&params)
            .map_err(unbuilt)?;
        let page: ObjectList<PartialObjectMeta> = client.request(request).await?;
        for item in page.items {
            let metadata = item.metadata;
            let at = metadata.resource_version.as_deref();
            let one = Missing {
                resource: resource.clone(),
                uid: metadata.uid.ok_or(WatchError::Unreadable("metadata.uid"))?,
                at: at
                    .and_then(Revision::parse)
                    .ok_or(WatchError::Unreadable("metadata.resourceVersion"))?,
            };
            if !one.is_known(inventory) {
                all.push(one);
            }
        }
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(all),
        }
    }
}
