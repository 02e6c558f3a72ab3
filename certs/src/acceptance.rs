//! Whether the API server accepts what is served, by the certificates of a `caBundle`.
//!
//! It is written in Go, whose `crypto/x509` takes a leaf that is itself among the trusted for a whole chain: only its name, its time
//! and its purpose count then. webpki refuses it where it says of itself that it is a CA, as `openssl req -x509` makes them. All else
//! is webpki's to judge.

use crate::error::Error;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;

/// What a `caBundle` accepts.
#[derive(Debug)]
pub struct Acceptance {
    trusted: Vec<CertificateDer<'static>>,
    webpki: Arc<WebPkiServerVerifier>,
}

impl Acceptance {
    /// By this bundle (PEM).
    ///
    /// # Errors
    /// There is no certificate in it, or one that cannot be read.
    pub fn by(bundle: &[u8]) -> Result<Self, Error> {
        let unreadable = |why: String| Error::Unreadable {
            what: "the caBundle".to_owned(),
            why,
        };
        let trusted = CertificateDer::pem_slice_iter(bundle)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unreadable(format!("{error:?}")))?;
        let mut roots = RootCertStore::empty();
        for certificate in &trusted {
            roots
                .add(certificate.clone())
                .map_err(|error| unreadable(error.to_string()))?;
        }
        let webpki = WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::new(ring::default_provider()),
        )
        .build()
        .map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { trusted, webpki })
    }
}

impl ServerCertVerifier for Acceptance {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.trusted.iter().any(|trusted| trusted == leaf) {
            return self
                .webpki
                .verify_server_cert(leaf, between, name, ocsp, now);
        }
        time_and_purpose(leaf, now)?;
        verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn time_and_purpose(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let (_, leaf) =
        x509_parser::parse_x509_certificate(leaf).map_err(|_| CertificateError::BadEncoding)?;
    // Before 1970 counts as 1970.
    let moment = |seconds: i64| {
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    };
    let not_before = moment(leaf.validity().not_before.timestamp());
    let not_after = moment(leaf.validity().not_after.timestamp());
    if now < not_before {
        return Err(CertificateError::NotValidYetContext {
            time: now,
            not_before,
        });
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext {
            time: now,
            not_after,
        });
    }
    let purposes = leaf
        .extended_key_usage()
        .map_err(|_| CertificateError::BadEncoding)?;
    if purposes.is_some_and(|given| !given.value.any && !given.value.server_auth) {
        return Err(CertificateError::InvalidPurpose);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};
    use std::fmt::Write;

    const NAME: &str = "sluice.sluice-system.svc";

    /// As `openssl req -x509` makes it, for two days around now; and what is wrong with it for a client of this name at this time.
    fn judged(
        change: impl FnOnce(&mut CertificateParams),
        name: &'static str,
        days: i64,
    ) -> Result<(), String> {
        let now = time::OffsetDateTime::now_utc();
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = now - time::Duration::days(1);
        params.not_after = now + time::Duration::days(1);
        change(&mut params);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let at = (now + time::Duration::days(days)).unix_timestamp();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at.unsigned_abs()));
        let name = ServerName::try_from(name).unwrap();
        let acceptance = Acceptance::by(certificate.pem().as_bytes()).unwrap();
        acceptance
            .verify_server_cert(certificate.der(), &[], &name, &[], at)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_leaf_that_the_bundle_holds_itself_counts_by_name_time_and_purpose() {
        judged(|_| {}, NAME, 0).unwrap();
        judged(|params| params.is_ca = IsCa::NoCa, NAME, 0).unwrap();
        let for_servers = |params: &mut CertificateParams| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        };
        judged(for_servers, NAME, 0).unwrap();
        let for_clients = |params: &mut CertificateParams| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        };
        let mut refused = String::new();
        for why in [
            judged(|_| {}, "other.svc", 0),
            judged(|_| {}, NAME, 2),
            judged(|_| {}, NAME, -2),
            judged(for_clients, NAME, 0),
        ] {
            writeln!(refused, "{}", why.unwrap_err()).unwrap();
        }
        let why: Vec<&str> = refused.lines().collect();
        assert!(why[0].contains("not valid for name"), "{refused}");
        assert!(why[1].contains("expired"), "{refused}");
        assert!(why[2].contains("not valid yet"), "{refused}");
        assert!(why[3].contains("InvalidPurpose"), "{refused}");
    }
}
