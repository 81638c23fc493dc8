//! gRPC over TLS: who gets through the handshake and who doesn't, and certificates that change while the service runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{DnType, ExtendedKeyUsagePurpose, SanType, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, ProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, ClientTlsConfig};
use upistream::app::{self, Options, Running};
use upistream::config::{CallerConfig, ClientCertificate, Config};
use upistream::domain::caller::Permission;
use upistream::grpc::pb;
use upistream::grpc::pb::account_service_client::AccountServiceClient;

use crate::support::app::{PATIENCE, config, install_crypto, provider, until};
use crate::support::authority::{Authority, Pair};
use crate::support::rounds;

/// How often the certificate changes in an ordinary run.
const ROTATIONS: u32 = 4;
/// Callers on connections that last, and callers who connect for each call.
const CALLERS_STAYING: usize = 48;
const CALLERS_COMING: usize = 8;
/// Calls that are made with each certificate.
const CALLS_A_ROTATION: u64 = 300;
/// Clients that connect and say nothing.
const SILENT: usize = 50;
/// What a client of HTTP/2 says first, with settings that change nothing.
const HTTP2_BEGINS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A service whose certificate an authority of the test's own signed.
struct Service {
    running: Running,
    authority: Authority,
    folder: TempDir,
    /// How often its configuration was read again.
    read: Arc<AtomicU64>,
}

impl Service {
    async fn start(client_certificate: Option<ClientCertificate>) -> Self {
        install_crypto();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::new();
        let (cert_file, key_file) = authority.server().write(folder.path());
        let mut config = config(folder.path(), &provider().await.razorpay_url());
        config.grpc.tls.cert_file = Some(cert_file);
        config.grpc.tls.key_file = Some(key_file);
        if let Some(client_certificate) = client_certificate {
            let file = folder.path().join("callers.pem");
            std::fs::write(&file, &authority.pem).expect("the folder is ours");
            config.grpc.tls.client_ca_file = Some(file);
            config.grpc.tls.client_certificate = client_certificate;
        }
        // Only when a test says so.
        config.reload.every_s = 3_600;
        let (again, read) = (config.clone(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&read);
        let source = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(again.clone())
        };
        let options = Options { drain: false, reload: Some(Box::new(source)), ..Options::default() };
        let running = app::start(config, options).await.expect("the service starts");
        Self { running, authority, folder, read }
    }

    /// Has it look at its files. Returns when it has.
    async fn reload(&self) {
        // When it begins anew, what it began before is done.
        for _ in 0..2 {
            let before = self.read.load(Ordering::Relaxed);
            self.running.reload();
            until("a look at the files", async || (self.read.load(Ordering::Relaxed) > before).then_some(())).await;
        }
    }

    fn address(&self) -> SocketAddr {
        self.running.grpc
    }

    /// A connection as callers make one.
    async fn channel(&self, own: Option<&Pair>) -> Channel {
        connect(self.address(), self.authority.caller(own)).await.expect("the service is reached")
    }

    /// What becomes of a handshake: the service's certificate, or why it breaks off. At TLS 1.3 a client is through before it
    /// hears that its certificate is refused, so it reads as well.
    async fn handshake(&self, client: Arc<ClientConfig>) -> Result<Handshake, AlertDescription> {
        let stream = TcpStream::connect(self.address()).await.expect("it listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream = TlsConnector::from(client).connect(name, stream).await.map_err(|cause| alert(&cause))?;
        // What is refused has no use for it.
        let _ = stream.write_all(HTTP2_BEGINS).await;
        let read = tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("it says something");
        read.map_err(|cause| alert(&cause))?;
        let connection = stream.get_ref().1;
        Ok(Handshake {
            certificate: connection.peer_certificates().expect("it showed one")[0].clone().into_owned(),
            version: connection.protocol_version().expect("it was agreed"),
            protocol: connection.alpn_protocol().map(<[u8]>::to_vec),
        })
    }

    /// The certificate that a new connection sees.
    async fn certificate(&self) -> CertificateDer<'static> {
        self.handshake(self.authority.handshake(None, &[&TLS13])).await.expect("it gets through").certificate
    }
}

struct Handshake {
    certificate: CertificateDer<'static>,
    version: ProtocolVersion,
    protocol: Option<Vec<u8>>,
}

/// The alert that a handshake was broken off with.
fn alert(cause: &std::io::Error) -> AlertDescription {
    match cause.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert: {cause}"),
    }
}

async fn connect(address: SocketAddr, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Channel::from_shared(format!("https://{address}")).expect("an address");
    endpoint.tls_config(tls).expect("it is whole").connect_timeout(PATIENCE).connect().await
}

async fn call(channel: Channel) -> Result<Vec<pb::Account>, tonic::Status> {
    let answer = AccountServiceClient::new(channel).list_accounts(pb::ListAccountsRequest {}).await?;
    Ok(answer.into_inner().accounts)
}

#[tokio::test]
async fn a_caller_is_answered_over_tls_and_not_without() {
    let service = Service::start(None).await;
    assert_eq!(call(service.channel(None).await).await.expect("it is answered").len(), 1);
    for (offered, agreed) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let Ok(handshake) = service.handshake(service.authority.handshake(None, &[offered])).await else { panic!("{agreed:?}") };
        assert_eq!((handshake.version, handshake.protocol.as_deref()), (agreed, Some(&b"h2"[..])));
    }
    let without = Channel::from_shared(format!("http://{}", service.address())).expect("an address");
    let answered = match without.connect().await {
        Ok(channel) => call(channel).await.is_ok(),
        Err(_) => false,
    };
    assert!(!answered, "it speaks TLS alone");
    assert!(service.running.stop().await);
}

#[tokio::test]
async fn of_callers_certificates_only_good_ones_get_through() {
    let service = Service::start(Some(ClientCertificate::Required)).await;
    let authority = &service.authority;
    let good = authority.client(|_| ());
    assert!(call(service.channel(Some(&good)).await).await.is_ok());

    let expired = authority.client(|params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let early = authority.client(|params| params.not_before = date_time_ymd(2090, 1, 1));
    let foreign = Authority::new().client(|_| ());
    let self_signed = Pair::self_signed();
    let of_a_server = authority.client(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let cases = [
        ("expired", &expired, &[AlertDescription::CertificateExpired][..]),
        ("not valid yet", &early, &[AlertDescription::CertificateExpired, AlertDescription::BadCertificate]),
        ("of another authority", &foreign, &[AlertDescription::UnknownCA, AlertDescription::DecryptError]),
        ("of nobody but itself", &self_signed, &[AlertDescription::UnknownCA, AlertDescription::BadCertificate]),
        ("not for clients", &of_a_server, &[AlertDescription::BadCertificate, AlertDescription::UnsupportedCertificate]),
    ];
    for (what, pair, alerts) in cases {
        for version in [&TLS12, &TLS13] {
            let refused = service.handshake(authority.handshake(Some(pair), &[version])).await.err();
            assert!(refused.is_some_and(|alert| alerts.contains(&alert)), "{what}, {version:?}: {refused:?}");
        }
        let answered = match connect(service.address(), authority.caller(Some(pair))).await {
            Ok(channel) => call(channel).await.is_ok(),
            Err(_) => false,
        };
        assert!(!answered, "{what}");
    }
    for version in [&TLS12, &TLS13] {
        let without = service.handshake(authority.handshake(None, &[version])).await.err();
        let alerts = [AlertDescription::CertificateRequired, AlertDescription::HandshakeFailure, AlertDescription::BadCertificate];
        assert!(without.is_some_and(|alert| alerts.contains(&alert)), "{without:?}");
    }
    assert!(service.running.stop().await);
}

#[tokio::test]
async fn where_a_certificate_is_optional_a_bad_one_is_refused_all_the_same() {
    let service = Service::start(Some(ClientCertificate::Optional)).await;
    assert!(call(service.channel(None).await).await.is_ok());
    assert!(call(service.channel(Some(&service.authority.client(|_| ()))).await).await.is_ok());
    let foreign = service.authority.handshake(Some(&Authority::new().client(|_| ())), &[&TLS13]);
    assert!(service.handshake(foreign).await.is_err());
    assert!(service.running.stop().await);
}

#[tokio::test]
async fn the_command_line_shows_its_certificate() {
    let service = Service::start(Some(ClientCertificate::Required)).await;
    let file = |name: &str, text: &str| {
        let file = service.folder.path().join(name);
        std::fs::write(&file, text).expect("the folder is ours");
        file
    };
    let Pair { cert, key } = service.authority.client(|_| ());
    let (ca, cert, key) = (file("ca.pem", &service.authority.pem), file("me.pem", &cert), file("me.key", &key));
    let lists = async |shown: &[(&str, &PathBuf)]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_upistream"));
        command.args(["account", "list", "--json", "--address"]).arg(format!("https://localhost:{}", service.address().port()));
        command.args(shown.iter().flat_map(|(option, file)| [(*option).into(), file.as_os_str().to_owned()]));
        command.output().await.expect("it runs")
    };
    let listed = lists(&[("--ca", &ca), ("--cert", &cert), ("--cert-key", &key)]).await;
    assert!(listed.status.success() && String::from_utf8_lossy(&listed.stdout).contains("\"shop\""), "{listed:?}");
    assert!(!lists(&[("--ca", &ca)]).await.status.success(), "it needs a certificate");
    let other = file("other.pem", &Authority::new().pem);
    let refused = lists(&[("--ca", &other), ("--cert", &cert), ("--cert-key", &key)]).await;
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("certificate"), "{refused:?}");
    assert!(service.running.stop().await);
}

#[tokio::test]
async fn clients_that_connect_and_say_nothing_hold_up_nobody() {
    let service = Service::start(None).await;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(service.address()).await.expect("it listens"));
    }
    // Well before they are given up.
    let answered = tokio::time::timeout(Duration::from_secs(5), async { call(service.channel(None).await).await }).await;
    assert!(matches!(answered, Ok(Ok(_))), "{answered:?}");
    assert!(service.running.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_under_load_and_no_call_fails() {
    let rotations = rounds::of(ROTATIONS);
    let service = Arc::new(Service::start(None).await);
    let (over, made) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS_STAYING + CALLERS_COMING {
        let (service, over, made) = (Arc::clone(&service), over.clone(), Arc::clone(&made));
        callers.spawn(async move {
            let mut channel = service.channel(None).await;
            while !over.is_cancelled() {
                if caller >= CALLERS_STAYING {
                    channel = service.channel(None).await;
                }
                call(channel.clone()).await.expect("no call fails");
                made.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let more_calls = async || {
        let before = made.load(Ordering::Relaxed);
        until("more calls", async || (made.load(Ordering::Relaxed) >= before + CALLS_A_ROTATION).then_some(())).await;
    };
    for _ in 0..rotations {
        more_calls().await;
        let next = service.authority.server();
        next.write(service.folder.path());
        service.reload().await;
        assert_eq!(service.certificate().await, next.der());
        more_calls().await;
    }
    over.cancel();
    while let Some(caller) = callers.join_next().await {
        caller.expect("no call fails");
    }
    println!("{} calls over {rotations} rotations", made.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_broken_pair_changes_nothing() {
    let service = Service::start(None).await;
    let before = service.certificate().await;
    let file = |name: &str| -> PathBuf { service.folder.path().join(name) };
    let next = service.authority.server();
    let broken = [("service.key", "no key".to_owned()), ("service.pem", "no certificate".to_owned()), ("service.pem", next.cert.clone())];
    for (name, text) in broken {
        std::fs::write(file(name), text).expect("the folder is ours");
        service.reload().await;
        assert_eq!(service.certificate().await, before, "{name}");
    }
    assert!(call(service.channel(None).await).await.is_ok());
    std::fs::write(file("service.key"), &next.key).expect("the folder is ours");
    service.reload().await;
    assert_eq!(service.certificate().await, next.der());
    assert!(service.running.stop().await);
}

/// The names in a certificate tell its caller, each compared whole; a certificate of the right authority alone tells nobody.
#[tokio::test]
async fn the_names_in_a_certificate_tell_its_caller() {
    const SPIFFE: &str = "spiffe://example.org/ns/shop/sa/orders";
    let service = Service::start(Some(ClientCertificate::Optional)).await;
    let caller = |identities: &[&str], permissions: &[Permission]| CallerConfig {
        identities: identities.iter().map(|name| (*name).to_owned()).collect(),
        ..CallerConfig::new(&["*"], permissions.iter().copied())
    };
    let callers =
        [("orders", caller(&[SPIFFE], &[Permission::QrRead])), ("billing", caller(&["billing.prod.svc"], &[Permission::RefundRead]))];
    let callers = callers.into_iter().map(|(name, caller)| (name.parse().expect("a name"), caller)).collect();
    assert!(service.running.replace_callers(&Config { callers, ..Config::default() }));
    let names = |san: SanType| service.authority.client(|params| params.subject_alt_names = vec![san]);
    let uri = |text: &str| names(SanType::URI(text.try_into().expect("a URI")));
    let dns = |text: &str| names(SanType::DnsName(text.try_into().expect("a name")));
    let permissions = async |own: Option<&Pair>| {
        let accounts = call(service.channel(own).await).await?;
        Ok::<_, tonic::Status>(accounts.into_iter().flat_map(|account| account.permissions).collect::<Vec<_>>())
    };
    assert_eq!(permissions(Some(&uri(SPIFFE))).await.expect("it is known"), ["qr:read"]);
    assert_eq!(permissions(Some(&dns("billing.prod.svc"))).await.expect("it is known"), ["refund:read"]);
    let strangers = [
        Some(uri("spiffe://example.org/ns/shop/sa/orders2")),
        Some(uri("spiffe://example.org/ns/shop/sa")),
        Some(dns("prod.svc")),
        // The name of a URI is no name of a host, and a common name is none at all.
        Some(service.authority.client(|params| params.distinguished_name.push(DnType::CommonName, "billing.prod.svc"))),
        None,
    ];
    for own in &strangers {
        let refused = permissions(own.as_ref()).await.expect_err("nobody knows it");
        assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused:?}");
    }
    assert!(service.running.stop().await);
}
