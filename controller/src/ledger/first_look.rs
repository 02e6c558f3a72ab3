//! Whether what is known of a quota's scope may be counted for the first time.
//!
//! Later counts are held against the one before: they never look at an older view. A first count, or the first in a wider scope, has none
//! before it. What started there had no hold in this quota, so a view from before that start would not have it either, and its CPU would
//! be given away again. So each object that exists in the scope, once the quota has been read, must be known as it is or newer.

use futures::future::try_join_all;
use kube::Client;
use kube::core::params::ListParams;
use kube::core::{ObjectList, PartialObjectMeta, Request};
use sluice_policy::ledger::{Account, Inventory, Listing, Revision, Scope, Watched};

use super::Resource;
use super::resources::{WatchError, unbuilt};

/// The resources, of those that are listed, whose view is to be compared. `counted`: the scope that the quota was last counted in, as far as
/// that is known.
pub fn open_resources<'r>(
    resources: &'r [Resource],
    account: &Account,
    scope: &Scope,
    counted: Option<&Scope>,
) -> Vec<&'r Resource> {
    let book = &account.book;
    let may_be_wider = book.observed_generation != account.generation && counted != Some(scope);
    resources
        .iter()
        .filter(|resource| may_be_wider || !book.snapshot.contains_key(&resource.key()))
        .collect()
}

/// Whether everything that exists in the scope now is known. Metadata only, read from a quorum.
pub async fn is_known(
    client: &Client,
    inventory: &Inventory,
    resources: &[&Resource],
    scope: &Scope,
    page: u32,
) -> Result<bool, WatchError> {
    let mut places = Vec::new();
    for resource in resources {
        let Some(Watched::At(listing)) = inventory.get(&resource.key()) else {
            continue;
        };
        match scope {
            Scope::Everywhere => places.push((listing, resource.path())),
            Scope::Namespaces(names) => {
                places.extend(names.iter().map(|name| (listing, resource.path_in(name))));
            }
        }
    }
    let known = places
        .into_iter()
        .map(|(listing, path)| is_place_known(client, listing, path, page));
    Ok(try_join_all(known).await?.into_iter().all(|known| known))
}

async fn is_place_known(
    client: &Client,
    listing: &Listing,
    path: String,
    page: u32,
) -> Result<bool, WatchError> {
    let mut params = ListParams::default().limit(page);
    loop {
        let request = Request::new(path.clone())
            .list_metadata(&params)
            .map_err(unbuilt)?;
        let page: ObjectList<PartialObjectMeta> = client.request(request).await?;
        for item in &page.items {
            let metadata = &item.metadata;
            let uid = metadata.uid.as_deref();
            let uid = uid.ok_or(WatchError::Unreadable("metadata.uid"))?;
            let at = metadata.resource_version.as_deref();
            let at = at.and_then(Revision::parse);
            let at = at.ok_or(WatchError::Unreadable("metadata.resourceVersion"))?;
            let is_known = match listing.get(uid) {
                Some(seen) => seen.revision >= at,
                None => listing.saw_deleted(uid),
            };
            if !is_known {
                return Ok(false);
            }
        }
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(true),
        }
    }
}
