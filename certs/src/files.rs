//! The leaf from two files that somebody else keeps, such as cert-manager by a mounted Secret.
//!
//! The files are read again and again: a mounted Secret is replaced by swapping a link, and a watch on the file dies with its first
//! update. While the two do not fit together, in the moment between the one and the other, the leaf that was read before is served on.
//!
//! The `caBundle` is somebody else's too; it is only read back, for whether the API server would accept our leaf.

use crate::answer::in_time;
use crate::authority;
use crate::bundle::{Held, Target};
use crate::error::Error;
use crate::generations::certificates;
use crate::keeper::State;
use crate::leaf::Leaf;
use crate::resolver::LeafResolver;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the files are read.
const LOOK: Duration = Duration::from_secs(5);

/// How many looks pass between two looks at the bundles while all is well: a minute.
const BUNDLES_EACH: u32 = 12;

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// PEM file with the leaf first, then what leads from it to the CA.
    pub certificate: PathBuf,
    /// PEM file with the leaf's key.
    pub key: PathBuf,
}

impl Pair {
    fn read(&self) -> Result<Content, Error> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| Error::Unreadable {
                what: path.display().to_string(),
                why: error.to_string(),
            })
        };
        Ok(Content {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
        })
    }

    fn what(&self) -> String {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        format!("the leaf in {certificate} with the key in {key}")
    }
}

#[derive(PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Follows the files.
pub struct Files {
    client: kube::Client,
    pair: Pair,
    /// By which the API server comes.
    name: String,
    targets: Vec<Target>,
    resolver: Arc<LeafResolver>,
    state: watch::Sender<State>,
    served: Option<Content>,
    bundles: Vec<String>,
}

impl Files {
    /// Has read nothing yet; and where its state can be watched. `name` is the host by which the API server comes, `targets` are
    /// the configurations whose `caBundle` has to trust the leaf.
    pub fn new(
        client: kube::Client,
        pair: Pair,
        name: String,
        targets: Vec<Target>,
        resolver: Arc<LeafResolver>,
    ) -> (Self, watch::Receiver<State>) {
        let (state, watched) = watch::channel(State::NotReady("no certificate yet".to_owned()));
        let files = Self {
            client,
            pair,
            name,
            targets,
            resolver,
            state,
            served: None,
            bundles: Vec::new(),
        };
        (files, watched)
    }

    /// Follows until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut looks = 0;
        loop {
            let replaced = self.look();
            if let Err(error) = &replaced {
                tracing::warn!(%error, "the leaf's files cannot be used; what was read before is served on");
            }
            let well = matches!(*self.state.borrow(), State::Ready { .. });
            if !well || matches!(replaced, Ok(true)) || looks >= BUNDLES_EACH {
                looks = 0;
                self.bundles_read_back().await;
            }
            looks += 1;
            let state = match (self.verify(Timestamp::now()), replaced) {
                (Ok(state), _) => state,
                (Err(_), Err(error)) => State::NotReady(error.to_string()),
                (Err(why), Ok(_)) => State::NotReady(why),
            };
            self.state.send_if_modified(|held| {
                let changed = *held != state;
                *held = state;
                changed
            });
            if stop
                .run_until_cancelled(tokio::time::sleep(LOOK))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// Reads the files and serves what they hold if it is new. Whether it was.
    fn look(&mut self) -> Result<bool, Error> {
        let content = self.pair.read()?;
        if self.served.as_ref() == Some(&content) {
            return Ok(false);
        }
        let leaf = Leaf::from_pem(&self.pair.what(), &content.certificate, &content.key)?;
        tracing::info!(not_after = %leaf.not_after(), "leaf read");
        self.resolver.replace(leaf);
        self.served = Some(content);
        Ok(true)
    }

    /// While the API server does not answer, what it said last counts.
    async fn bundles_read_back(&mut self) {
        match in_time("the caBundles", self.read_bundles()).await {
            Ok(bundles) => self.bundles = bundles,
            Err(error) => tracing::warn!(%error, "the caBundle cannot be read back"),
        }
    }

    /// What the API server trusts.
    async fn read_bundles(&self) -> Result<Vec<String>, Error> {
        let mut bundles = Vec::new();
        for target in &self.targets {
            let held = target.read(&self.client).await?.unwrap_or_default();
            bundles.extend(Held::bundles(&held).map(str::to_owned));
        }
        Ok(bundles)
    }

    fn verify(&self, now: Timestamp) -> Result<State, String> {
        let leaf = self.resolver.current().ok_or("no leaf yet")?;
        if self.bundles.is_empty() {
            return Err("no webhook configuration was read back yet".to_owned());
        }
        let mut ends = None;
        for bundle in &self.bundles {
            if bundle.is_empty() {
                return Err(
                    "a webhook configuration has no caBundle yet; whoever makes the certificate has to fill it (cert-manager's \
                     cainjector, or tls.secret.caBundle of the chart)"
                        .to_owned(),
                );
            }
            leaf.verify(bundle, &self.name, now)
                .map_err(|error| format!("the API server would not accept our leaf: {error}"))?;
            ends = ends.max(last_end(bundle));
        }
        Ok(State::Ready {
            leaf_ends: leaf.not_after(),
            ca_ends: ends.unwrap_or_else(|| leaf.not_after()),
        })
    }
}

/// When the last of a bundle's CAs ends: until then one of them can sign.
fn last_end(bundle: &str) -> Option<Timestamp> {
    let all = certificates(bundle);
    let ends = all.into_iter().filter_map(|pem| {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        authority::validity(&der).ok().map(|(_, end)| end)
    });
    ends.max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;
    use crate::bundle::TargetKind;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use std::convert::Infallible;

    /// A CA of somebody else, and a leaf of it: both as PEM.
    fn pair(ca: &Issuer<'_, KeyPair>) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["sluice.sluice-system.svc".to_owned()]).unwrap();
        let leaf = params.signed_by(&key, ca).unwrap();
        (leaf.pem(), key.serialize_pem())
    }

    fn client() -> kube::Client {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        kube::Client::try_from(config).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_api_server_hangs_a_new_pair_is_served_all_the_same() {
        let unanswered = |_: hyper::Request<kube::client::Body>| {
            std::future::pending::<Result<hyper::Response<kube::client::Body>, Infallible>>()
        };
        let hanging = kube::Client::new(tower::service_fn(unanswered), "default");
        let now = Timestamp::now();
        let ca = Authority::generate(now).unwrap();
        let ca_der = ca.certificate().clone();
        let key = KeyPair::from_pem(&ca.key_pem()).unwrap();
        let issuer = Issuer::from_ca_cert_der(&ca_der, key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let files = Pair {
            certificate: dir.path().join("tls.crt"),
            key: dir.path().join("tls.key"),
        };
        let write = || {
            let (certificate, key) = pair(&issuer);
            std::fs::write(&files.certificate, certificate).unwrap();
            std::fs::write(&files.key, key).unwrap();
        };
        write();
        let resolver = Arc::new(LeafResolver::default());
        let targets = vec![Target {
            kind: TargetKind::Validating,
            name: "sluice".to_owned(),
        }];
        let name = "sluice.sluice-system.svc".to_owned();
        let (follower, _watched) =
            Files::new(hanging, files.clone(), name, targets, Arc::clone(&resolver));
        tokio::spawn(follower.run(CancellationToken::new()));
        tokio::time::sleep(LOOK).await;
        let first = resolver.current().unwrap();
        write();
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert!(!Arc::ptr_eq(&first, &resolver.current().unwrap()));
    }

    #[tokio::test]
    async fn a_pair_that_does_not_fit_together_changes_nothing() {
        let now = Timestamp::now();
        let ca = Authority::generate(now).unwrap();
        let key = KeyPair::from_pem(&ca.key_pem()).unwrap();
        let ca_der = ca.certificate().clone();
        let issuer = Issuer::from_ca_cert_der(&ca_der, key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let files = Pair {
            certificate: dir.path().join("tls.crt"),
            key: dir.path().join("tls.key"),
        };
        let resolver = Arc::new(LeafResolver::default());
        let name = "sluice.sluice-system.svc".to_owned();
        let (mut follower, _watched) = Files::new(
            client(),
            files.clone(),
            name,
            Vec::new(),
            Arc::clone(&resolver),
        );
        let why = follower.look().unwrap_err().to_string();
        assert!(
            why.contains("tls.crt cannot be read: No such file"),
            "{why}"
        );

        let ((first, first_key), (second, second_key)) = (pair(&issuer), pair(&issuer));
        std::fs::write(&files.certificate, &first).unwrap();
        std::fs::write(&files.key, &first_key).unwrap();
        assert!(follower.look().unwrap());
        assert!(!follower.look().unwrap(), "the same files are no news");
        let served = resolver.current().unwrap();

        std::fs::write(&files.certificate, &second).unwrap();
        let why = follower.look().unwrap_err().to_string();
        assert!(why.contains("with the key in"), "{why}");
        assert!(Arc::ptr_eq(&served, &resolver.current().unwrap()));
        std::fs::write(&files.key, &second_key).unwrap();
        assert!(follower.look().unwrap());
        assert!(!Arc::ptr_eq(&served, &resolver.current().unwrap()));

        let why = follower.verify(now).unwrap_err();
        assert!(
            why.contains("no webhook configuration was read back"),
            "{why}"
        );
        follower.bundles = vec![ca.certificate_pem().to_owned(), String::new()];
        let why = follower.verify(now).unwrap_err();
        assert!(why.contains("has no caBundle yet"), "{why}");
        follower.bundles = vec![ca.certificate_pem().to_owned()];
        let State::Ready { ca_ends, .. } = follower.verify(now).unwrap() else {
            panic!("not ready")
        };
        // A certificate knows whole seconds.
        assert_eq!(ca_ends.as_second(), ca.not_after().as_second());
        let stranger = Authority::generate(now).unwrap();
        follower.bundles = vec![stranger.certificate_pem().to_owned()];
        let why = follower.verify(now).unwrap_err();
        assert!(why.contains("UnknownIssuer"), "{why}");
    }

    /// As `openssl req -x509` makes it, unless it is told otherwise.
    #[tokio::test]
    async fn a_leaf_that_signed_itself_as_a_ca_is_good_where_the_bundle_is_that_leaf() {
        let now = Timestamp::now();
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(vec!["sluice.sluice-system.svc".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let leaf = Leaf::from_pem("a test", pem.as_bytes(), key.serialize_pem().as_bytes());
        let resolver = Arc::new(LeafResolver::default());
        resolver.replace(leaf.unwrap());
        let files = Pair {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
        };
        for (name, ready) in [("sluice.sluice-system.svc", true), ("other.svc", false)] {
            let (mut follower, _watched) = Files::new(
                client(),
                files.clone(),
                name.to_owned(),
                Vec::new(),
                Arc::clone(&resolver),
            );
            follower.bundles = vec![pem.clone()];
            let state = follower.verify(now);
            assert_eq!(state.is_ok(), ready, "{name}: {state:?}");
        }
    }
}
