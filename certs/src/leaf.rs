//! The leaf: the certificate that a process serves. Its key is made in the process and never leaves it.

use crate::acceptance::Acceptance;
use crate::authority::{self, later, moment};
use crate::error::Error;
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use std::time::Duration;

/// How long a leaf is valid: seven days.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A certificate with its key, ready to be served.
#[derive(Clone, Debug)]
pub struct Leaf {
    certified: Arc<CertifiedKey>,
    not_after: Timestamp,
}

impl Leaf {
    pub(crate) fn mint(
        issuer: &Issuer<'_, KeyPair>,
        (issuer_begins, issuer_ends): (Timestamp, Timestamp),
        names: &[String],
        now: Timestamp,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Make {
            what: format!("the leaf for {}", names.join(", ")),
            source,
        };
        let key = KeyPair::generate().map_err(failed)?;
        // A leaf that outlives its CA would look fine until the day it does not verify.
        let not_after = later(now, LIFETIME)?.min(issuer_ends);
        let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
        params.serial_number = Some(authority::random_serial());
        params.distinguished_name = authority::subject("sluice-webhook");
        // Not from our own clock: where that is ahead, the leaf would not be valid yet for any API server.
        params.not_before = moment(issuer_begins)?;
        params.not_after = moment(not_after)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, issuer).map_err(failed)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let certified = CertifiedKey::from_der(
            vec![certificate.der().clone()],
            private,
            &ring::default_provider(),
        )?;
        Ok(Self {
            certified: Arc::new(certified),
            not_after,
        })
    }

    /// Reads what somebody else has made: the leaf first, then what leads from it to its CA; and its key. `what` names both in errors.
    ///
    /// # Errors
    /// One of them is no PEM, or they do not belong together.
    pub fn from_pem(what: &str, certificates: &[u8], key: &[u8]) -> Result<Self, Error> {
        let unreadable = |why: String| Error::Unreadable {
            what: what.to_owned(),
            why,
        };
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unreadable(format!("{error:?}")))?;
        let first = chain
            .first()
            .ok_or_else(|| unreadable("there is no certificate in it".to_owned()))?;
        let (_, not_after) = authority::validity(first).map_err(unreadable)?;
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|error| unreadable(format!("{error:?}")))?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| unreadable(error.to_string()))?;
        Ok(Self {
            certified: Arc::new(certified),
            not_after,
        })
    }

    /// What rustls serves.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// When it ends.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether less than a third of its life is left, or more than all of it, since the clock was set back.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let left = self.not_after.duration_since(now);
        left < LIFETIME / 3 || left > LIFETIME
    }

    /// Whether a client that trusts this bundle (PEM) and asks for this name accepts the leaf now.
    pub fn verify(&self, bundle: &str, name: &str, now: Timestamp) -> Result<(), Error> {
        let acceptance = Acceptance::by(bundle.as_bytes())?;
        let name = ServerName::try_from(name.to_owned()).map_err(|error| Error::Unreadable {
            what: format!("the name {name}"),
            why: error.to_string(),
        })?;
        let seconds = u64::try_from(now.as_second()).map_err(|_| Error::Clock(now.to_string()))?;
        acceptance.verify_server_cert(
            self.certified.end_entity_cert()?,
            self.certified.cert.get(1..).unwrap_or_default(),
            &name,
            &[],
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;

    fn names() -> Vec<String> {
        vec![
            "sluice.sluice-system.svc".to_owned(),
            "127.0.0.1".to_owned(),
        ]
    }

    #[test]
    fn a_leaf_verifies_by_each_name_against_its_own_ca_only() {
        let now = Timestamp::now();
        let ca = Authority::generate(now).unwrap();
        let stranger = Authority::generate(now).unwrap();
        let leaf = ca.sign(&names(), now).unwrap();
        for name in names() {
            leaf.verify(ca.certificate_pem(), &name, now).unwrap();
        }
        let both = format!("{}{}", stranger.certificate_pem(), ca.certificate_pem());
        leaf.verify(&both, "127.0.0.1", now).unwrap();
        let error = leaf
            .verify(stranger.certificate_pem(), "127.0.0.1", now)
            .unwrap_err();
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
        let error = leaf
            .verify(ca.certificate_pem(), "other.svc", now)
            .unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{error}");
        assert!(
            leaf.verify("", "127.0.0.1", now).is_err(),
            "an empty bundle trusts nobody"
        );
    }

    #[test]
    fn a_leaf_is_valid_as_long_ago_as_its_ca_and_renewed_at_a_third_left() {
        let now = Timestamp::now();
        let ca = Authority::generate(now).unwrap();
        let leaf = ca.sign(&names(), now).unwrap();
        let ago = |minutes| now - SignedDuration::from_mins(minutes);
        leaf.verify(ca.certificate_pem(), "127.0.0.1", ago(59))
            .unwrap();
        assert!(
            leaf.verify(ca.certificate_pem(), "127.0.0.1", ago(62))
                .is_err()
        );
        assert!(!leaf.is_due(now + LIFETIME * 2 / 3 - SignedDuration::from_mins(1)));
        assert!(leaf.is_due(now + LIFETIME * 2 / 3 + SignedDuration::from_mins(1)));
        assert!(leaf.is_due(ago(62)));
        assert!(
            leaf.verify(
                ca.certificate_pem(),
                "127.0.0.1",
                now + LIFETIME + SignedDuration::from_mins(1)
            )
            .is_err()
        );
    }

    #[test]
    fn a_leaf_of_a_machine_whose_clock_is_ahead_is_valid_now() {
        let now = Timestamp::now();
        let ca = Authority::generate(now).unwrap();
        let leaf = ca
            .sign(&names(), now + SignedDuration::from_hours(8))
            .unwrap();
        leaf.verify(ca.certificate_pem(), "127.0.0.1", now).unwrap();
    }

    #[test]
    fn a_leaf_never_outlives_its_ca() {
        let now = Timestamp::now();
        let ca = Authority::generate(now).unwrap();
        let late = ca.not_after() - SignedDuration::from_hours(3);
        assert_eq!(ca.sign(&names(), late).unwrap().not_after(), ca.not_after());
    }

    #[test]
    fn two_leaves_share_nothing() {
        let now = Timestamp::now();
        let ca = Authority::generate(now).unwrap();
        let (one, two) = (
            ca.sign(&names(), now).unwrap(),
            ca.sign(&names(), now).unwrap(),
        );
        let read = |leaf: &Leaf| {
            let der = leaf
                .certified()
                .end_entity_cert()
                .unwrap()
                .clone()
                .into_owned();
            let (_, x) = x509_parser::parse_x509_certificate(&der).unwrap();
            (
                x.raw_serial().to_vec(),
                x.subject().to_string(),
                x.public_key().raw.to_vec(),
            )
        };
        let (a, b) = (read(&one), read(&two));
        assert_ne!(a.0, b.0);
        assert_ne!(a.1, b.1);
        assert_ne!(a.2, b.2);
    }
}
