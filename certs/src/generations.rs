//! The CAs that one Secret holds, and the bundle of all of them.
//!
//! Layout of the Secret's data: `ca.crt` and `ca.key` (the CA that signs), `previous.crt` (trusted still, while
//! leaves that it signed are served), `next.crt` and `next.key` (trusted already, signs later). Today only the first
//! three are written; what a newer version wrote into the others is trusted and kept.

use crate::authority::Authority;
use crate::error::Error;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use std::collections::BTreeMap;

/// Key of the Secret's data: the certificate of the CA that signs.
pub const CURRENT_CERTIFICATE: &str = "ca.crt";
/// Key of the Secret's data: the key of the CA that signs.
pub const CURRENT_KEY: &str = "ca.key";
/// Key of the Secret's data: the certificate of the CA that signed before.
pub const PREVIOUS_CERTIFICATE: &str = "previous.crt";
/// Key of the Secret's data: the certificate of the CA that will sign.
pub const NEXT_CERTIFICATE: &str = "next.crt";

/// The CAs as the Secret holds them.
#[derive(Debug)]
pub struct Generations {
    /// Signs leaves.
    pub current: Authority,
    /// Further certificates (PEM) that belong into every bundle: next and previous.
    pub also_trusted: Vec<String>,
}

impl Generations {
    /// Reads a Secret's data. `what` names the Secret in errors.
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
        let current = Authority::from_pem(what, need(CURRENT_CERTIFICATE)?, need(CURRENT_KEY)?)?;
        let also_trusted = [NEXT_CERTIFICATE, PREVIOUS_CERTIFICATE]
            .into_iter()
            .filter_map(text)
            .map(str::to_owned)
            .collect();
        Ok(Self {
            current,
            also_trusted,
        })
    }

    /// The first generation.
    pub fn first(now: Timestamp) -> Result<Self, Error> {
        Ok(Self {
            current: Authority::generate(now)?,
            also_trusted: Vec::new(),
        })
    }

    /// The next generation: a new CA signs, the old one stays trusted for the leaves that are still served.
    pub fn successor(&self, now: Timestamp) -> Result<Self, Error> {
        Ok(Self {
            current: Authority::generate(now)?,
            also_trusted: vec![self.current.certificate_pem().to_owned()],
        })
    }

    /// What goes into the Secret.
    pub fn data(&self) -> BTreeMap<String, ByteString> {
        let mut data = BTreeMap::from([
            (
                CURRENT_CERTIFICATE.to_owned(),
                ByteString(self.current.certificate_pem().as_bytes().to_vec()),
            ),
            (
                CURRENT_KEY.to_owned(),
                ByteString(self.current.key_pem().into_bytes()),
            ),
        ]);
        if let Some(previous) = self.also_trusted.last() {
            data.insert(
                PREVIOUS_CERTIFICATE.to_owned(),
                ByteString(previous.as_bytes().to_vec()),
            );
        }
        data
    }

    /// Every trusted certificate, PEM, the signing one first.
    pub fn bundle(&self) -> String {
        let mut bundle = String::new();
        let current = self.current.certificate_pem();
        for pem in std::iter::once(current).chain(self.also_trusted.iter().map(String::as_str)) {
            bundle.push_str(pem.trim());
            bundle.push('\n');
        }
        bundle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_is_trusted_beside_its_predecessor() {
        let now = Timestamp::now();
        let first = Generations::first(now).unwrap();
        let second = first.successor(now).unwrap();
        let names = ["127.0.0.1".to_owned()];
        let (old, new) = (
            first.current.sign(&names, now).unwrap(),
            second.current.sign(&names, now).unwrap(),
        );
        old.verify(&second.bundle(), "127.0.0.1", now).unwrap();
        new.verify(&second.bundle(), "127.0.0.1", now).unwrap();
        assert!(new.verify(&first.bundle(), "127.0.0.1", now).is_err());
        let read = Generations::read("a test", &second.data()).unwrap();
        assert_eq!(read.bundle(), second.bundle());
    }

    #[test]
    fn a_secret_without_a_key_says_what_is_missing() {
        let mut data = Generations::first(Timestamp::now()).unwrap().data();
        data.remove(CURRENT_KEY);
        let error = Generations::read("Secret sluice-system/sluice-ca", &data).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Secret sluice-system/sluice-ca cannot be read: it has no ca.key"
        );
    }
}
