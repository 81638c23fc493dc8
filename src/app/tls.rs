//! TLS of the gRPC listener: what the configured files say, read again whenever it is asked for, and the names in the
//! certificates of clients. A connection keeps what was in force when it was made.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use crate::config::{ClientCertificate, TlsConfig};
use crate::grpc::PeerIdentity;
use crate::held::Held;

/// No certificate, key or list of authorities is larger; a path that points at something else is caught early.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The most names of a certificate that are looked at.
const NAMES_MAX: usize = 64;

/// Why what is configured gives no TLS: for operators. It quotes no content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("`{}` ({key}) can't be read: {cause}", file.display())]
    File { key: &'static str, file: PathBuf, cause: io::Error },
    #[error("`{}` ({key}) holds no {what} as PEM", file.display())]
    Empty { key: &'static str, file: PathBuf, what: &'static str },
    #[error("`{}` ({key}) can't be used: {cause}", file.display())]
    Unusable { key: &'static str, file: PathBuf, cause: String },
    #[error("there is no certificate (grpc.tls.cert_file) or no key (grpc.tls.key_file) any more; to end TLS needs a restart")]
    Off,
}

/// What the files held, so that nothing is made anew of the same bytes.
#[derive(PartialEq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
    client_certificate: ClientCertificate,
}

/// The listener's TLS.
#[derive(Clone)]
pub(super) struct Tls(Held<InForce>);

struct InForce {
    files: Files,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// `None`: the configuration wants none.
    pub fn open(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        if !config.is_on() {
            return Ok(None);
        }
        let files = Files::read(config)?;
        let server = Arc::new(server(&files, config)?);
        Ok(Some(Self(Held::new(InForce { files, server }))))
    }

    /// What a connection that begins now is made with.
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.get().server)
    }

    /// Looks at the files again; what they brought that is new, for the log. On failure what was in force stays so.
    pub fn take(&self, config: &TlsConfig) -> Result<Vec<String>, String> {
        let new = self.renew(config).map_err(|cause| cause.to_string())?;
        Ok(if new { vec!["the certificates of gRPC; connections that are open keep theirs".to_owned()] } else { Vec::new() })
    }

    fn renew(&self, config: &TlsConfig) -> Result<bool, TlsError> {
        let files = Files::read(config)?;
        if files == self.0.get().files {
            return Ok(false);
        }
        let server = Arc::new(server(&files, config)?);
        self.0.replace(InForce { files, server });
        Ok(true)
    }
}

impl Files {
    fn read(config: &TlsConfig) -> Result<Self, TlsError> {
        let TlsConfig { cert_file, key_file, client_ca_file, client_certificate } = config;
        let (Some(cert_file), Some(key_file)) = (cert_file, key_file) else { return Err(TlsError::Off) };
        Ok(Self {
            cert: read(CERT, cert_file)?,
            key: read(KEY, key_file)?,
            client_ca: client_ca_file.as_ref().map(|file| read(CLIENT_CA, file)).transpose()?,
            client_certificate: *client_certificate,
        })
    }
}

const CERT: &str = "grpc.tls.cert_file";
const KEY: &str = "grpc.tls.key_file";
const CLIENT_CA: &str = "grpc.tls.client_ca_file";

fn read(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    use std::io::Read as _;
    let cant = |cause| TlsError::File { key, file: file.to_owned(), cause };
    let mut bytes = Vec::new();
    std::fs::File::open(file).and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(cant)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(cant(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes"))));
    }
    Ok(bytes)
}

fn server(files: &Files, config: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let path = |file: &Option<PathBuf>| file.clone().unwrap_or_default();
    let unusable = |key, file: &Option<PathBuf>, cause: String| TlsError::Unusable { key, file: path(file), cause };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|cause| unusable(CERT, &config.cert_file, cause.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(CLIENT_CA, &config.client_ca_file, authorities)? {
                roots.add(authority).map_err(|cause| unusable(CLIENT_CA, &config.client_ca_file, cause.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match files.client_certificate {
                ClientCertificate::Required => verifier,
                ClientCertificate::Optional => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build().map_err(|cause| unusable(CLIENT_CA, &config.client_ca_file, cause.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates(CERT, &config.cert_file, &files.cert)?;
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| TlsError::Empty {
        key: KEY,
        file: path(&config.key_file),
        what: "private key",
    })?;
    // A certificate and a key that don't belong together are refused here: half of a rotation is none.
    let mut server = builder.with_single_cert(chain, key).map_err(|cause| unusable(CERT, &config.cert_file, cause.to_string()))?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    // A session that is taken up again would bring its client's certificate along unverified, expired or not. Connections of
    // gRPC last, so there is little to save.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(server)
}

fn certificates(key: &'static str, file: &Option<PathBuf>, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = || file.clone().unwrap_or_default();
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(TlsError::Empty { key, file: file(), what: "certificate" }),
        Err(cause) => Err(TlsError::Unusable { key, file: file(), cause: cause.to_string() }),
    }
}

/// The names in a client's certificate, which was verified before: URIs, then hosts. One that can't be read has none.
pub(super) fn identity(certificate: &CertificateDer<'_>) -> PeerIdentity {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return PeerIdentity::default() };
    let uris = certificate.valid_uri_names().map(str::to_owned);
    // What has other characters in it is no host, and could be taken for a URI.
    let is_host = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte));
    let hosts = certificate.valid_dns_names().filter(is_host).map(str::to_ascii_lowercase);
    PeerIdentity(uris.chain(hosts).take(NAMES_MAX).collect())
}
