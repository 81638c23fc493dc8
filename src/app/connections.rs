//! The gRPC listener's connections: so many at once, a pause where none can be accepted, and TLS where it is configured. A
//! handshake holds up nobody else's.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::tls::{self, Tls};
use crate::grpc::PeerIdentity;

/// The pause after a connection could not be accepted (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client may take for its handshake. Meanwhile it has one of the places.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client is heard out whose connection was ended here.
pub(super) const HEARD_OUT_FOR: Duration = Duration::from_secs(1);

/// A connection, and its place among those that are open.
pub(super) struct Connection {
    /// `None`: it is being closed.
    open: Option<(Wire, OwnedSemaphorePermit)>,
    identity: PeerIdentity,
    closing: TaskTracker,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (Some((wire, place)), Ok(runtime)) = (self.open.take(), Handle::try_current()) else { return };
        let stream = match wire {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => stream.into_inner().0,
        };
        runtime.spawn(self.closing.track_future(hear_out(stream, place)));
    }
}

/// Reads what the client still sends until he hangs up, for a moment. Were the connection closed with that unread, he would be told
/// that it broke, and not what he was told before: that it ends, and which of his calls were not taken.
async fn hear_out(mut stream: TcpStream, _place: OwnedSemaphorePermit) {
    // It may be broken: then there is nobody to hear out.
    let _ = stream.shutdown().await;
    let mut unread = [0; 4_096];
    let to_its_end = async { while matches!(stream.read(&mut unread).await, Ok(1..)) {} };
    let _ = tokio::time::timeout(HEARD_OUT_FOR, to_its_end).await;
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What accepting goes on with.
struct Door {
    listener: TcpListener,
    tls: Option<Tls>,
    places: Arc<Semaphore>,
    connections_max: usize,
    closing: TaskTracker,
    patience: Duration,
    handshakes: JoinSet<Option<Connection>>,
    /// That there is no place was said.
    full: bool,
}

/// The connections that `listener` accepts, `connections_max` at once, handshakes included; further ones wait to be accepted.
/// Never ends. With `tls` only those come out whose handshake succeeded.
/// `closing` knows of those that are being closed.
pub(super) fn of(
    listener: TcpListener,
    connections_max: usize,
    tls: Option<Tls>,
    closing: TaskTracker,
) -> impl Stream<Item = io::Result<Connection>> {
    with_patience(listener, connections_max, tls, closing, HANDSHAKE_TIMEOUT)
}

/// `patience`: for a client's handshake, and again for its first word.
fn with_patience(
    listener: TcpListener,
    connections_max: usize,
    tls: Option<Tls>,
    closing: TaskTracker,
    patience: Duration,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(connections_max));
    let door = Door { listener, tls, places, connections_max, closing, patience, handshakes: JoinSet::new(), full: false };
    stream::unfold(door, |mut door| async move { door.next().await.map(|connection| (Ok(connection), door)) })
}

impl Door {
    async fn next(&mut self) -> Option<Connection> {
        loop {
            let free = self.places.available_permits() > 0;
            if !free && !self.full {
                warn!("{} gRPC connections are open: further ones wait until one of them ends", self.connections_max);
            }
            self.full = !free;
            let places = Arc::clone(&self.places);
            let accepted = tokio::select! {
                // One that failed left its place, and has said why.
                Some(shaken) = self.handshakes.join_next() => match shaken {
                    Ok(Some(connection)) => return Some(connection),
                    Ok(None) | Err(_) => continue,
                },
                accepted = async {
                    let place = places.acquire_owned().await.ok()?;
                    Some((place, self.listener.accept().await))
                } => accepted,
            };
            let (place, accepted) = accepted?;
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(cause) => {
                    drop(place);
                    warn!("a gRPC connection could not be accepted: {cause}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Most answers are small. Where it can't be set they are only slower.
            let _ = stream.set_nodelay(true);
            let (closing, patience) = (self.closing.clone(), self.patience);
            match &self.tls {
                None => drop(self.handshakes.spawn(hear(stream, place, closing, patience))),
                Some(tls) => {
                    let acceptor = TlsAcceptor::from(tls.server());
                    self.handshakes.spawn(shake_hands(acceptor, stream, place, closing, patience));
                }
            }
        }
    }
}

/// The connection once its client has begun to speak; `None`: it said nothing, and keeps nobody's place.
async fn hear(stream: TcpStream, place: OwnedSemaphorePermit, closing: TaskTracker, patience: Duration) -> Option<Connection> {
    let heard = tokio::time::timeout(patience, stream.peek(&mut [0])).await;
    (heard.ok()?.ok()? > 0).then_some(())?;
    Some(Connection { open: Some((Wire::Plain(stream), place)), identity: PeerIdentity::default(), closing })
}

/// The connection after its handshake, once its client has begun to speak; `None`: it came to none.
async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    closing: TaskTracker,
    patience: Duration,
) -> Option<Connection> {
    let client = stream.peer_addr().map(|address| address.ip().to_string()).unwrap_or_default();
    let mut stream = match tokio::time::timeout(patience, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(cause)) if is_about_certificate(&cause) => {
            warn!(client, "a client's certificate is refused: {cause}");
            return None;
        }
        // Port scans, probes that only connect, clients that speak no TLS: anybody can make these.
        Ok(Err(cause)) => {
            debug!(client, "a TLS handshake failed: {cause}");
            return None;
        }
        Err(_) => {
            debug!(client, "a TLS handshake took longer than {} s", patience.as_secs());
            return None;
        }
    };
    let heard = tokio::time::timeout(patience, stream.fill_buf()).await;
    heard.ok()?.ok()?;
    let certificates = stream.get_ref().1.peer_certificates();
    let identity = certificates.and_then(|chain| chain.first()).map(tls::identity).unwrap_or_default();
    Some(Connection { open: Some((Wire::Tls(Box::new(stream)), place)), identity, closing })
}

fn is_about_certificate(cause: &io::Error) -> bool {
    let inner = cause.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented))
}

impl Connected for Connection {
    /// tonic puts it into the extensions of every request.
    type ConnectInfo = PeerIdentity;

    fn connect_info(&self) -> PeerIdentity {
        self.identity.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.open {
            Some((Wire::Plain(stream), _)) => Pin::new(stream).poll_read(context, buffer),
            Some((Wire::Tls(stream), _)) => Pin::new(stream).poll_read(context, buffer),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.open {
            Some((Wire::Plain(stream), _)) => Pin::new(stream).poll_write(context, bytes),
            Some((Wire::Tls(stream), _)) => Pin::new(stream).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.open {
            Some((Wire::Plain(stream), _)) => Pin::new(stream).poll_flush(context),
            Some((Wire::Tls(stream), _)) => Pin::new(stream).poll_flush(context),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.open {
            Some((Wire::Plain(stream), _)) => Pin::new(stream).poll_shutdown(context),
            Some((Wire::Tls(stream), _)) => Pin::new(stream).poll_shutdown(context),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.open {
            Some((Wire::Plain(stream), _)) => Pin::new(stream).poll_write_vectored(context, parts),
            Some((Wire::Tls(stream), _)) => Pin::new(stream).poll_write_vectored(context, parts),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.open {
            Some((Wire::Plain(stream), _)) => stream.is_write_vectored(),
            Some((Wire::Tls(stream), _)) => stream.is_write_vectored(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn plain(connection: &Connection) -> &TcpStream {
        let Some((Wire::Plain(stream), _)) = &connection.open else { panic!("there is no TLS here") };
        stream
    }

    /// TLS of files in `folder`, with callers' certificates optional; and what a caller needs to speak it, without a
    /// certificate and with one.
    fn tls(folder: &std::path::Path) -> (Tls, [Arc<rustls::ClientConfig>; 2]) {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
        let key = || KeyPair::generate().unwrap();
        let authority_key = key();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_certificate = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let (service_key, caller_key) = (key(), key());
        let service = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&service_key, &issuer).unwrap();
        let mut caller = CertificateParams::new(vec!["Billing.Internal".to_owned()]).unwrap();
        caller.subject_alt_names.push(SanType::URI("spiffe://example/billing".try_into().unwrap()));
        let caller = caller.signed_by(&caller_key, &issuer).unwrap();
        let write = |name: &str, pem: String| {
            let file = folder.join(name);
            std::fs::write(&file, pem).unwrap();
            Some(file)
        };
        let config = crate::config::TlsConfig {
            cert_file: write("service.pem", service.pem()),
            key_file: write("service.key", service_key.serialize_pem()),
            client_ca_file: write("callers.pem", authority_certificate.pem()),
            client_certificate: crate::config::ClientCertificate::Optional,
        };
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority_certificate.der().clone()).unwrap();
        let client = || {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
            builder.with_root_certificates(roots.clone())
        };
        let with_certificate = client().with_client_auth_cert(vec![caller.der().clone()], caller_key.into()).unwrap();
        (Tls::open(&config).unwrap().unwrap(), [Arc::new(client().with_no_client_auth()), Arc::new(with_certificate)])
    }

    async fn connect(address: std::net::SocketAddr, client: Arc<rustls::ClientConfig>) -> tokio_rustls::client::TlsStream<TcpStream> {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(client).connect("localhost".try_into().unwrap(), stream).await.unwrap();
        stream.write_all(b"P").await.unwrap();
        stream.flush().await.unwrap();
        stream
    }

    /// A client that has begun to speak.
    async fn speaking(address: std::net::SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"P").await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_connection_knows_the_names_that_its_clients_certificate_proves() {
        let folder = tempfile::tempdir().unwrap();
        let (tls, [without, with]) = tls(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = of(listener, 2, Some(tls), TaskTracker::new());
        tokio::pin!(connections);
        for (client, names) in [(without, &[][..]), (with, &["spiffe://example/billing", "billing.internal"])] {
            let client = tokio::spawn(connect(address, client));
            let connection = connections.next().await.unwrap().unwrap();
            assert_eq!(connection.connect_info().0, names);
            client.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_handshake_has_one_of_the_places_and_leaves_it_when_it_fails() {
        let folder = tempfile::tempdir().unwrap();
        let (tls, [client, _]) = tls(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = of(listener, 1, Some(tls), TaskTracker::new());
        tokio::pin!(connections);
        let silent = TcpStream::connect(address).await.unwrap();
        let client = tokio::spawn(connect(address, client));
        let waited = tokio::time::timeout(Duration::from_millis(200), connections.next()).await;
        assert!(waited.is_err() && !client.is_finished(), "the one place is taken");
        drop(silent);
        connections.next().await.unwrap().unwrap();
        client.await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_beyond_the_limit_waits_for_another_to_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = of(listener, 2, None, TaskTracker::new());
        tokio::pin!(connections);
        let _clients = [speaking(address).await, speaking(address).await];
        let third = speaking(address).await;
        let first = connections.next().await.unwrap().unwrap();
        let _second = connections.next().await.unwrap().unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(100), connections.next()).await;
        assert!(waited.is_err(), "both places are taken");
        drop(first);
        let accepted = connections.next().await.unwrap().unwrap();
        assert_eq!(plain(&accepted).peer_addr().ok(), third.local_addr().ok());
    }

    #[tokio::test]
    async fn a_client_whose_connection_ends_here_is_heard_out_and_reads_what_he_was_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let closing = TaskTracker::new();
        let connections = of(listener, 2, None, closing.clone());
        tokio::pin!(connections);
        let mut client = speaking(address).await;
        let mut connection = connections.next().await.unwrap().unwrap();
        connection.write_all(b"it ends").await.unwrap();
        drop(connection);
        // He has not read it yet, and goes on.
        client.write_all(&[1; 100_000]).await.unwrap();
        let mut told = String::new();
        client.read_to_string(&mut told).await.unwrap();
        assert_eq!(told, "it ends");
        assert_eq!(closing.len(), 1);
        drop(client);
        closing.close();
        closing.wait().await;
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_keeps_nobodys_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let patience = Duration::from_millis(300);
        let connections = with_patience(listener, 1, None, TaskTracker::new(), patience);
        tokio::pin!(connections);
        let silent = TcpStream::connect(address).await.unwrap();
        let speaks = speaking(address).await;
        let begun = tokio::time::Instant::now();
        let accepted = connections.next().await.unwrap().unwrap();
        assert_eq!(plain(&accepted).peer_addr().ok(), speaks.local_addr().ok());
        assert!(begun.elapsed() >= patience, "it was waited for");
        drop(silent);
    }
}
