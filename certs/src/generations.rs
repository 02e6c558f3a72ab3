//! The CAs that one Secret holds, and the bundle of all of them.
//!
//! Layout of the Secret's data: `ca.crt` and `ca.key` (the CA that signs), `next.crt` and `next.key` (trusted already, signs
//! later), `previous.crt` (one certificate or several, trusted still while leaves that they signed may be served) and `since`
//! (RFC 3339: when `next` or `previous` was last written). Which phase a rotation is in follows from what is there, so that no word
//! can contradict it; when it goes on is [`crate::rotation`]'s.

use crate::authority::Authority;
use crate::error::Error;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Key of the Secret's data: the certificate of the CA that signs.
pub const CURRENT_CERTIFICATE: &str = "ca.crt";
/// Key of the Secret's data: the key of the CA that signs.
pub const CURRENT_KEY: &str = "ca.key";
/// Key of the Secret's data: the certificate of the CA that will sign.
pub const NEXT_CERTIFICATE: &str = "next.crt";
/// Key of the Secret's data: the key of the CA that will sign.
pub const NEXT_KEY: &str = "next.key";
/// Key of the Secret's data: certificates of CAs that signed before.
pub const PREVIOUS_CERTIFICATES: &str = "previous.crt";
/// Key of the Secret's data: when the phase began.
pub const SINCE: &str = "since";

/// The CAs as the Secret holds them.
#[derive(Clone, Debug)]
pub struct Generations {
    /// Signs leaves.
    pub current: Arc<Authority>,
    /// Is trusted, and will sign.
    pub next: Option<Arc<Authority>>,
    /// Certificates (PEM) that signed before and are trusted still, the newest first.
    pub previous: Vec<String>,
    /// When `next` or `previous` was last written; `None`: nobody knows, or there is neither.
    pub since: Option<Timestamp>,
}

impl Generations {
    /// Reads a Secret's data. `what` names the Secret in errors.
    ///
    /// # Errors
    /// The CA that signs is missing or cannot be read. A `next` that cannot be read counts as none: nothing was signed by it.
    pub fn read(what: &str, data: &BTreeMap<String, ByteString>) -> Result<Self, Error> {
        let text = |key: &str| {
            data.get(key)
                .and_then(|bytes| std::str::from_utf8(&bytes.0).ok())
                .filter(|text| !text.trim().is_empty())
        };
        let need = |key: &'static str| {
            text(key).ok_or_else(|| Error::Unreadable {
                what: what.to_owned(),
                why: format!("it has no {key}"),
            })
        };
        let authority = |certificate, key| {
            Authority::from_pem(what, need(certificate)?, need(key)?).map(Arc::new)
        };
        let next = authority(NEXT_CERTIFICATE, NEXT_KEY).ok();
        if next.is_none() && text(NEXT_CERTIFICATE).is_some() {
            tracing::warn!(secret = what, "its next CA cannot be used; another is made");
        }
        let current = authority(CURRENT_CERTIFICATE, CURRENT_KEY);
        let (current, next) = match (current, next) {
            (Ok(current), next) => (current, next),
            // Trusted by then or in a moment, which a CA made now would not be.
            (Err(error), Some(next)) => {
                tracing::warn!(%error, "the CA that signs cannot be used; the next one takes its place");
                (next, None)
            }
            (Err(error), None) => return Err(error),
        };
        Ok(Self {
            current,
            next,
            previous: text(PREVIOUS_CERTIFICATES)
                .map(certificates)
                .unwrap_or_default(),
            since: text(SINCE).and_then(|since| since.trim().parse().ok()),
        })
    }

    /// The first generation. `trusted`: certificates (PEM) that stay trusted for whoever still serves a leaf of theirs.
    ///
    /// # Errors
    /// A CA cannot be made.
    pub fn first(now: Timestamp, trusted: Vec<String>) -> Result<Self, Error> {
        Ok(Self {
            current: Arc::new(Authority::generate(now)?),
            next: None,
            since: (!trusted.is_empty()).then_some(now),
            previous: trusted,
        })
    }

    /// What goes into the Secret.
    pub fn data(&self) -> BTreeMap<String, ByteString> {
        let mut data = BTreeMap::new();
        let mut put = |key: &str, text: String| {
            data.insert(key.to_owned(), ByteString(text.into_bytes()));
        };
        put(
            CURRENT_CERTIFICATE,
            self.current.certificate_pem().to_owned(),
        );
        put(CURRENT_KEY, self.current.key_pem());
        if let Some(next) = &self.next {
            put(NEXT_CERTIFICATE, next.certificate_pem().to_owned());
            put(NEXT_KEY, next.key_pem());
        }
        if !self.previous.is_empty() {
            put(PREVIOUS_CERTIFICATES, joined(&self.previous));
        }
        if let Some(since) = self.since {
            put(SINCE, since.to_string());
        }
        data
    }

    /// Every trusted certificate, PEM, the signing one first.
    pub fn bundle(&self) -> String {
        let signing = std::iter::once(&self.current).chain(&self.next);
        joined(
            signing
                .map(|ca| ca.certificate_pem())
                .chain(self.previous.iter().map(String::as_str)),
        )
    }
}

/// The certificates of a bundle, each as PEM; what is none is left out.
pub fn certificates(bundle: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    bundle
        .split_inclusive(END)
        .filter_map(|part| {
            let begin = part.find("-----BEGIN CERTIFICATE-----")?;
            let pem = part.get(begin..)?;
            pem.ends_with(END).then(|| format!("{pem}\n"))
        })
        .collect()
}

fn joined<'a>(certificates: impl IntoIterator<Item = impl AsRef<str> + 'a>) -> String {
    let mut bundle = String::new();
    for pem in certificates {
        bundle.push_str(pem.as_ref().trim());
        bundle.push('\n');
    }
    bundle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> Generations {
        Generations::first(Timestamp::now(), Vec::new()).unwrap()
    }

    #[test]
    fn what_was_written_is_read_back() {
        let now = Timestamp::now();
        let mut all = first();
        let before = [first(), first()];
        all.next = Some(first().current);
        all.previous = before
            .iter()
            .map(|it| it.current.certificate_pem().to_owned())
            .collect();
        all.since = Some(now);
        let read = Generations::read("a test", &all.data()).unwrap();
        assert_eq!(read.bundle(), all.bundle());
        assert_eq!(read.data(), all.data());
        assert_eq!(certificates(&read.bundle()).len(), 4);
        assert_eq!(read.previous.len(), 2);
        assert_eq!(read.since, Some(now));
    }

    #[test]
    fn a_secret_without_a_key_says_what_is_missing() {
        let mut data = first().data();
        data.remove(CURRENT_KEY);
        let error = Generations::read("Secret sluice-system/sluice-ca", &data).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Secret sluice-system/sluice-ca cannot be read: it has no ca.key"
        );
    }

    #[test]
    fn the_next_ca_takes_the_place_of_one_that_somebody_broke() {
        let mut held = first();
        let next = first().current;
        held.next = Some(Arc::clone(&next));
        let mut data = held.data();
        data.insert(CURRENT_KEY.to_owned(), ByteString(b"nope".to_vec()));
        let read = Generations::read("a test", &data).unwrap();
        assert_eq!(read.current.certificate_pem(), next.certificate_pem());
        assert!(read.next.is_none());
    }

    #[test]
    fn what_is_no_certificate_is_left_out_of_a_bundle() {
        let pem = first().current.certificate_pem().to_owned();
        let text = format!("# made by hand\n{pem}\nrest -----END CERTIFICATE-----{pem}");
        assert_eq!(certificates(&text).len(), 2);
        assert!(certificates("").is_empty());
    }
}
