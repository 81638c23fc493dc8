//! Certificates of a test's own: an authority, and what it signs for services and callers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Whom `Authority::client` names, where a test doesn't say.
pub const CALLER: &str = "spiffe://example/billing";

pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("keys can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("it names no host");
        params.distinguished_name.push(DnType::CommonName, "an authority of tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("it signs itself").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A service's on this machine. No two are the same.
    pub fn server(&self) -> Pair {
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("names of loopback");
        self.signed(params)
    }

    /// A caller's, with what `change` makes of it.
    pub fn client(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = client_params();
        change(&mut params);
        self.signed(params)
    }

    fn signed(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("keys can be made");
        Pair { cert: params.signed_by(&key, &self.issuer).expect("the authority signs").pem(), key: key.serialize_pem() }
    }

    /// How a caller who trusts this authority speaks TLS, with a certificate of his own or without.
    pub fn caller(&self, own: Option<&Pair>) -> ClientTlsConfig {
        let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.pem)).domain_name("localhost");
        match own {
            Some(Pair { cert, key }) => config.identity(Identity::from_pem(cert, key)),
            None => config,
        }
    }

    /// The same for those who look at the handshake itself.
    pub fn handshake(&self, own: Option<&Pair>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.pem)).expect("it is an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("they are known");
        let builder = builder.with_root_certificates(roots);
        let mut config = match own {
            Some(Pair { cert, key }) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("it is a key");
                builder.with_client_auth_cert(vec![der(cert)], key).expect("they belong together")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

impl Pair {
    /// A caller's that nobody else signed.
    pub fn self_signed() -> Self {
        let key = KeyPair::generate().expect("keys can be made");
        Self { cert: client_params().self_signed(&key).expect("it signs itself").pem(), key: key.serialize_pem() }
    }

    /// Where a service finds it in `folder`, written there in place of one before.
    pub fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let (cert, key) = (folder.join("service.pem"), folder.join("service.key"));
        std::fs::write(&cert, &self.cert).expect("the folder is ours");
        std::fs::write(&key, &self.key).expect("the folder is ours");
        (cert, key)
    }

    pub fn der(&self) -> CertificateDer<'static> {
        der(&self.cert)
    }
}

fn client_params() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["billing.internal".to_owned()]).expect("a name");
    params.subject_alt_names.push(SanType::URI(CALLER.try_into().expect("plain letters")));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("it is a certificate")
}
