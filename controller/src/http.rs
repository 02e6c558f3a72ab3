//! How Sluice makes HTTP clients: TLS by ring, the machine's own certificates, no surprises. What is asked of whom is in
//! [`crate::flink`] and [`crate::fetch`].

use std::sync::Arc;

use rustls_platform_verifier::BuilderVerifierExt;

/// No client can be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The machine's certificates cannot be read, or ring cannot do what TLS needs.
    #[error("TLS cannot be set up: {0}; is there a file of CA certificates (SSL_CERT_FILE)?")]
    Tls(#[from] rustls::Error),
    /// The client refuses its settings.
    #[error("an HTTP client cannot be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// A builder with Sluice's TLS; the caller sets time-outs and redirects.
pub(crate) fn builder() -> Result<reqwest::ClientBuilder, HttpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION"))))
}

/// An error of reqwest with its causes, without the URL, which callers name themselves (it may hold a signature).
pub(crate) fn why(error: reqwest::Error) -> String {
    use std::error::Error as _;
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
