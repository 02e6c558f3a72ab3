//! Changes of the Secret and of the webhook configurations, so that they are set right at once and not at the next tick. Where
//! nothing may be watched the tick is all there is.

use crate::bundle::Target;
use crate::store::CaStore;
use futures::stream::{BoxStream, SelectAll};
use futures::{Stream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};

/// Tells that something has changed, not what.
pub struct News(SelectAll<BoxStream<'static, ()>>);

/// Watches everything that a keeper keeps.
pub fn of(client: &kube::Client, store: &CaStore, targets: &[Target]) -> News {
    let mut all = SelectAll::new();
    let (secrets, name) = store.api();
    all.push(heard(watch_object(secrets, name)));
    for target in targets {
        all.push(heard(watch_object(target.api(client), &target.name)));
    }
    News(all)
}

/// Without the failures: the watch resumes by itself.
fn heard<T: Send + 'static>(
    changes: impl Stream<Item = Result<T, watcher::Error>> + Send + 'static,
) -> BoxStream<'static, ()> {
    changes
        .default_backoff()
        .filter_map(async |change| change.ok().map(drop))
        .boxed()
}

impl News {
    /// The next change. Never ready where nothing is told.
    pub async fn next(&mut self) {
        if self.0.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
