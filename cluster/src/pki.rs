//! Keys, certificates, token and kubeconfig of one control plane, kept in its data folder and reused from there.
//! Certificates of Sluice's webhook do not live here: they are `sluice-certs`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::ClusterError;

/// Names and addresses under which the API server is reached: from this machine and, where there are pods, from them
/// (10.96.0.1 is the first address of the service range).
pub(crate) const SERVER_NAMES: [&str; 6] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "127.0.0.1",
    "10.96.0.1",
];

/// Paths of everything secret that a control plane is started with.
#[derive(Debug, Clone)]
pub(crate) struct Pki {
    pub ca_cert: PathBuf,
    pub ca_key: PathBuf,
    pub server_cert: PathBuf,
    pub server_key: PathBuf,
    pub service_account_key: PathBuf,
    pub service_account_public: PathBuf,
    pub tokens: PathBuf,
}

/// What an issued certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// Answering under some names.
    Server,
    /// Asking with all rights.
    Administrator,
}

/// Paths of a certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Pki {
    /// Uses what lies in `dir`, or makes all of it if anything is missing (one part without the others is of no use).
    pub(crate) fn load_or_make(dir: &Path) -> Result<Self, ClusterError> {
        let pki = Self {
            ca_cert: dir.join("ca.crt"),
            ca_key: dir.join("ca.key"),
            server_cert: dir.join("apiserver.crt"),
            server_key: dir.join("apiserver.key"),
            service_account_key: dir.join("service-accounts.key"),
            service_account_public: dir.join("service-accounts.pub"),
            tokens: dir.join("tokens.csv"),
        };
        if !pki.all().iter().all(|path| path.is_file()) {
            pki.make(dir)?;
        }
        Ok(pki)
    }

    fn all(&self) -> [&Path; 7] {
        [
            &self.ca_cert,
            &self.ca_key,
            &self.server_cert,
            &self.server_key,
            &self.service_account_key,
            &self.service_account_public,
            &self.tokens,
        ]
    }

    fn make(&self, dir: &Path) -> Result<(), ClusterError> {
        make_private_dir(dir)?;

        let mut ca = CertificateParams::new(Vec::<String>::new())?;
        ca.distinguished_name
            .push(DnType::CommonName, "sluice local control plane");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let ca_key = KeyPair::generate()?;
        let ca_cert = ca.self_signed(&ca_key)?;
        write_private(&self.ca_cert, &ca_cert.pem())?;
        write_private(&self.ca_key, &ca_key.serialize_pem())?;
        let issuer = Issuer::new(ca, ca_key);

        let mut server = CertificateParams::new(SERVER_NAMES.map(String::from).to_vec())?;
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let server_key = KeyPair::generate()?;
        let server_cert = server.signed_by(&server_key, &issuer)?;
        write_private(&self.server_cert, &server_cert.pem())?;
        write_private(&self.server_key, &server_key.serialize_pem())?;

        let service_accounts = KeyPair::generate()?;
        write_private(&self.service_account_key, &service_accounts.serialize_pem())?;
        write_private(
            &self.service_account_public,
            &service_accounts.public_key_pem(),
        )?;

        let token = format!("{:032x}", rand::random::<u128>());
        write_private(
            &self.tokens,
            &format!("{token},admin,admin,\"system:masters\"\n"),
        )
    }

    /// Issues a certificate that the API server's authority signs, anew at each start: its names may have changed.
    /// `name` is that of its files and its common name.
    pub(crate) fn issue(
        &self,
        name: &str,
        usage: Usage,
        names: &[String],
    ) -> Result<Issued, ClusterError> {
        let read =
            |path: &Path| fs::read_to_string(path).map_err(ClusterError::io("reading", path));
        let key = KeyPair::from_pem(&read(&self.ca_key)?)?;
        let authority = Issuer::from_ca_cert_pem(&read(&self.ca_cert)?, key)?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![match usage {
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Usage::Administrator => {
                params
                    .distinguished_name
                    .push(DnType::OrganizationName, "system:masters");
                ExtendedKeyUsagePurpose::ClientAuth
            }
        }];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &authority)?;
        let issued = Issued {
            cert: self.ca_cert.with_file_name(format!("{name}.crt")),
            key: self.ca_cert.with_file_name(format!("{name}.key")),
        };
        write_private(&issued.cert, &cert.pem())?;
        write_private(&issued.key, &key.serialize_pem())?;
        Ok(issued)
    }

    /// The administrator's bearer token.
    pub(crate) fn token(&self) -> Result<String, ClusterError> {
        let lines =
            fs::read_to_string(&self.tokens).map_err(ClusterError::io("reading", &self.tokens))?;
        Ok(lines.split(',').next().unwrap_or_default().to_owned())
    }

    /// A kubeconfig which needs no other file, so that it may be copied.
    pub(crate) fn write_kubeconfig(&self, path: &Path, server: &str) -> Result<(), ClusterError> {
        let ca = fs::read(&self.ca_cert).map_err(ClusterError::io("reading", &self.ca_cert))?;
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: sluice\n  cluster:\n    server: {server}\n    \
             certificate-authority-data: {ca}\nusers:\n- name: admin\n  user:\n    token: {token}\ncontexts:\n- name: \
             sluice\n  context: {{cluster: sluice, user: admin, namespace: default}}\ncurrent-context: sluice\n",
            ca = STANDARD.encode(ca),
            token = self.token()?,
        );
        write_private(path, &text)
    }
}

/// Makes a folder that only this user may read. One that is there already stays as it is: it may be somebody's home.
pub(crate) fn make_private_dir(dir: &Path) -> Result<(), ClusterError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(ClusterError::io("creating", dir))
}

fn write_private(path: &Path, text: &str) -> Result<(), ClusterError> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(ClusterError::io("writing", path))
}
