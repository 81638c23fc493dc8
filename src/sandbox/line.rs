//! A listener whose connections can be cut from within a handler: how an answer gets lost for good.
//! Answering an error instead would tell the client more than a broken network does.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

pub struct LineListener(pub TcpListener);

/// One connection. Once cut, the next write fails, hence the server drops it with nothing written.
pub struct Line {
    stream: TcpStream,
    cut: Arc<AtomicBool>,
}

/// A handler's hold on the connection that its request came by.
#[derive(Clone)]
pub struct Peer {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Peer {
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.address)
    }
}

impl Listener for LineListener {
    type Io = Line;
    type Addr = Peer;

    async fn accept(&mut self) -> (Line, Peer) {
        // Axum's own listener knows how to go on after an error.
        let (stream, address) = Listener::accept(&mut self.0).await;
        let cut = Arc::new(AtomicBool::new(false));
        (Line { stream, cut: cut.clone() }, Peer { address, cut })
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { address: self.0.local_addr()?, cut: Arc::default() })
    }
}

impl Connected<IncomingStream<'_, LineListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, LineListener>) -> Self {
        stream.remote_addr().clone()
    }
}

impl Line {
    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
