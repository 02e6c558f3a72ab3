//! Requests of S3 and of stores that speak like it, signed with AWS's version 4. Sending them is [`super::download`]'s work.

use std::time::Duration;

use reqwest::Url;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

/// How long a signature holds; a request begins at once.
const SIGNED_FOR: Duration = Duration::from_mins(10);

/// How the store is reached: the standard environment variables of AWS's tools.
#[derive(Clone, Default)]
pub struct S3Settings {
    /// `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`: another store than AWS's, such as `http://minio:9000`.
    pub endpoint: Option<String>,
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`, else us-east-1.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`; without it requests are not signed, which public buckets allow.
    pub access_key: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_key: Option<String>,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Settings")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("signs", &self.access_key.is_some())
            .finish_non_exhaustive()
    }
}

impl S3Settings {
    /// What the environment says.
    pub fn from_env() -> Self {
        let first = |names: &[&str]| {
            names
                .iter()
                .filter_map(|name| std::env::var(name).ok())
                .find(|value| !value.trim().is_empty())
        };
        Self {
            endpoint: first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
            region: first(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
            access_key: first(&["AWS_ACCESS_KEY_ID"]),
            secret_key: first(&["AWS_SECRET_ACCESS_KEY"]),
            session_token: first(&["AWS_SESSION_TOKEN"]),
        }
    }

    /// The URL of an object, signed for now.
    ///
    /// # Errors
    /// A text that names the variable which is wrong.
    pub(super) fn url(&self, bucket: &str, key: &str) -> Result<Url, String> {
        let region = self
            .region
            .clone()
            .unwrap_or_else(|| "us-east-1".to_owned());
        let (endpoint, style) = match &self.endpoint {
            Some(endpoint) => (endpoint.clone(), UrlStyle::Path),
            None => (
                format!("https://s3.{region}.amazonaws.com"),
                // A dot in the bucket's name does not fit AWS's certificate.
                if bucket.contains('.') {
                    UrlStyle::Path
                } else {
                    UrlStyle::VirtualHost
                },
            ),
        };
        let endpoint = Url::parse(&endpoint)
            .map_err(|error| format!("AWS_ENDPOINT_URL {endpoint}: {error}"))?;
        let bucket = Bucket::new(endpoint, style, bucket.to_owned(), region)
            .map_err(|error| format!("no bucket can have this name: {error}"))?;
        let credentials = match (&self.access_key, &self.secret_key) {
            (Some(key), Some(secret)) => Some(match &self.session_token {
                Some(token) => Credentials::new_with_token(key, secret, token),
                None => Credentials::new(key, secret),
            }),
            (None, None) => None,
            _ => {
                return Err(
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set both, or none"
                        .to_owned(),
                );
            }
        };
        Ok(bucket
            .get_object(credentials.as_ref(), key)
            .sign(SIGNED_FOR))
    }
}
