//! Whose certificate a client has to show, where that is asked for: only API servers then get an answer.
//!
//! The CAs stand in a file, which is read again and again by its content: a mounted file is replaced without an event that could be
//! relied on.

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the file is read.
const LOOK: Duration = Duration::from_secs(10);

/// What clients have to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required {
    /// PEM file with the CAs of clients.
    pub file: PathBuf,
    /// Common names of which the client's certificate must carry one; empty: any of those CAs' clients.
    pub names: Vec<String>,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the clients' CAs in {} (--client-ca): {why}", file.display())]
pub struct Unusable {
    file: PathBuf,
    why: String,
}

/// Verifies clients' certificates by CAs that may change.
#[derive(Debug)]
pub struct Clients {
    required: Required,
    trusted: ArcSwap<Trusted>,
    /// How often they were replaced.
    replaced: watch::Sender<u64>,
}

#[derive(Debug)]
struct Trusted {
    pem: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// It cannot be read, or holds no certificate.
    pub fn load(required: Required) -> Result<Arc<Self>, Unusable> {
        let trusted = read(&required.file)
            .and_then(trust)
            .map_err(|why| Unusable {
                file: required.file.clone(),
                why,
            })?;
        Ok(Arc::new(Self {
            required,
            trusted: ArcSwap::from_pointee(trusted),
            replaced: watch::Sender::new(0),
        }))
    }

    /// Follows the file until told to stop. One that cannot be used is told, and what was read before counts on.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(LOOK))
            .await
            .is_some()
        {
            self.look();
        }
    }

    /// Reads the file again.
    pub fn look(&self) {
        let file = &self.required.file;
        let replaced = read(file).and_then(|pem| {
            if pem == self.trusted.load().pem {
                return Ok(false);
            }
            self.trusted.store(Arc::new(trust(pem)?));
            self.replaced.send_modify(|times| *times += 1);
            Ok(true)
        });
        match replaced {
            Ok(false) => {}
            Ok(true) => tracing::info!(file = %file.display(), "clients' CAs replaced"),
            Err(why) => {
                tracing::warn!(file = %file.display(), %why, "clients' CAs cannot be read; those read before count on");
            }
        }
    }

    /// Changes with the CAs: who is connected by then was let in by others.
    pub fn replaced(&self) -> watch::Receiver<u64> {
        self.replaced.subscribe()
    }

    fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.trusted.load().verifier)
    }

    fn is_expected(&self, certificate: &CertificateDer<'_>) -> bool {
        self.required.names.is_empty()
            || x509_parser::parse_x509_certificate(certificate).is_ok_and(|(_, certificate)| {
                let mut names = certificate.subject().iter_common_name();
                names.any(|name| {
                    name.as_str()
                        .is_ok_and(|name| self.required.names.iter().any(|known| known == name))
                })
            })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| error.to_string())
}

fn trust(pem: Vec<u8>) -> Result<Trusted, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("{error:?}"))?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| error.to_string())?;
    Ok(Trusted { pem, verifier })
}

impl ClientCertVerifier for Clients {
    /// None: they may change, and clients that have one certificate show it without a hint.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .verifier()
            .verify_client_cert(end_entity, intermediates, now)?;
        if self.is_expected(end_entity) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier()
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier()
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier().supported_verify_schemes()
    }
}
