//! The certificate authority: made at start, written as PEM, read back, signs leaves.
//!
//! What is not here: where it is kept ([`crate::store`]).

use crate::error::Error;
use crate::leaf::Leaf;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// How long a CA is valid: five years.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);

/// A CA is replaced when less than this is left: 60 days, many times a leaf's life.
pub const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(60 * 24);

/// A CA is valid from one hour before it is made, for clocks that lag behind; and so are its leaves, whenever they are made.
pub const BACKDATE: SignedDuration = SignedDuration::from_hours(1);

/// A CA with its key.
pub struct Authority {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl std::fmt::Debug for Authority {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a CA with a random serial and a subject of its own (two CAs with one subject confuse verifiers that
    /// look the issuer up by name while both are in a bundle).
    pub fn generate(now: Timestamp) -> Result<Self, Error> {
        let failed = |source| Error::Make {
            what: "the CA".to_owned(),
            source,
        };
        let key = KeyPair::generate().map_err(failed)?;
        let not_before = later(now, -BACKDATE)?;
        let not_after = later(now, LIFETIME)?;
        let mut params = CertificateParams::default();
        params.serial_number = Some(random_serial());
        params.distinguished_name = subject("sluice-ca");
        params.not_before = moment(not_before)?;
        params.not_after = moment(not_after)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            not_before,
            not_after,
        })
    }

    /// Reads a CA back. `what` names the place in errors, for example `Secret sluice-system/sluice-ca`.
    pub fn from_pem(what: &str, certificate: &str, key: &str) -> Result<Self, Error> {
        let key = KeyPair::from_pem(key).map_err(|error| Error::Unreadable {
            what: format!("the CA's key in {what}"),
            why: error.to_string(),
        })?;
        let unreadable = |why: String| Error::Unreadable {
            what: format!("the CA's certificate in {what}"),
            why,
        };
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|error| unreadable(format!("{error:?}")))?;
        let (not_before, not_after) = validity(&der).map_err(unreadable)?;
        if public_key(&der).map_err(unreadable)? != key.public_key_raw() {
            return Err(unreadable(
                "it was not made with the key beside it".to_owned(),
            ));
        }
        let issuer =
            Issuer::from_ca_cert_der(&der, key).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self {
            certificate: der,
            certificate_pem: certificate.to_owned(),
            issuer,
            not_before,
            not_after,
        })
    }

    /// The certificate as PEM, for a `caBundle`.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The certificate as DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The key as PEM. It goes into the Secret and nowhere else.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// When it ends.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether a successor is needed: it nears its end, or it was made by a clock that has been set back since.
    pub fn is_ending(&self, now: Timestamp) -> bool {
        !self.is_valid(now) || self.not_after.duration_since(now) < RENEW_BEFORE
    }

    /// Whether leaves of it are taken at this time.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// Makes and signs a leaf for these host names and addresses.
    pub fn sign(&self, names: &[String], now: Timestamp) -> Result<Leaf, Error> {
        let lives = (self.not_before, self.not_after);
        Leaf::mint(&self.issuer, lives, names, now)
    }
}

/// A subject with a random part, unique per generation.
pub(crate) fn subject(role: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(
        DnType::CommonName,
        format!("{role}-{:016x}", rand::random::<u64>()),
    );
    name.push(DnType::OrganizationName, "sluice.dev");
    name
}

/// A positive random serial of 128 bits.
pub(crate) fn random_serial() -> SerialNumber {
    let number = (rand::random::<u128>() >> 1) | 1;
    SerialNumber::from_slice(&number.to_be_bytes())
}

pub(crate) fn later(now: Timestamp, by: SignedDuration) -> Result<Timestamp, Error> {
    now.checked_add(by)
        .map_err(|_| Error::Clock(now.to_string()))
}

pub(crate) fn moment(at: Timestamp) -> Result<time::OffsetDateTime, Error> {
    time::OffsetDateTime::from_unix_timestamp(at.as_second())
        .map_err(|_| Error::Clock(at.to_string()))
}

/// Whether a certificate (PEM) can be read and has not ended.
pub(crate) fn has_time_left(pem: &str, now: Timestamp) -> bool {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .ok()
        .and_then(|der| validity(&der).ok())
        .is_some_and(|(_, not_after)| now < not_after)
}

/// From when until when a certificate is valid.
pub(crate) fn validity(der: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), String> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(der).map_err(|error| error.to_string())?;
    let validity = certificate.validity();
    let moment = |seconds| Timestamp::from_second(seconds).map_err(|error| error.to_string());
    Ok((
        moment(validity.not_before.timestamp())?,
        moment(validity.not_after.timestamp())?,
    ))
}

fn public_key(der: &CertificateDer<'_>) -> Result<Vec<u8>, String> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(der).map_err(|error| error.to_string())?;
    Ok(certificate.public_key().subject_public_key.data.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_read_back_is_the_one_that_was_written() {
        let now = Timestamp::now();
        let made = Authority::generate(now).unwrap();
        let read = Authority::from_pem("a test", made.certificate_pem(), &made.key_pem()).unwrap();
        assert_eq!(read.certificate(), made.certificate());
        assert_eq!(read.not_after().as_second(), made.not_after().as_second());
        let leaf = read.sign(&["sluice.test.svc".to_owned()], now).unwrap();
        leaf.verify(made.certificate_pem(), "sluice.test.svc", now)
            .unwrap();
    }

    #[test]
    fn a_key_of_another_ca_is_refused() {
        let now = Timestamp::now();
        let (one, other) = (
            Authority::generate(now).unwrap(),
            Authority::generate(now).unwrap(),
        );
        let error =
            Authority::from_pem("Secret a/b", one.certificate_pem(), &other.key_pem()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the CA's certificate in Secret a/b cannot be read: it was not made with the key beside it"
        );
        assert_ne!(one.certificate(), other.certificate());
    }

    #[test]
    fn a_ca_asks_for_a_successor_long_before_it_ends() {
        let now = Timestamp::now();
        let ca = Authority::generate(now).unwrap();
        assert!(!ca.is_ending(now));
        assert!(
            ca.is_ending(now - BACKDATE - SignedDuration::from_secs(2)),
            "the clock was set back, and it is not valid yet"
        );
        assert!(ca.is_ending(now + LIFETIME - RENEW_BEFORE + SignedDuration::from_secs(1)));
    }
}
