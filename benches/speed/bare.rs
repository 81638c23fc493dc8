//! The floor: a bare gRPC server that carries bytes as they are. What it does for a call is given; it decodes nothing, checks
//! nothing and encodes nothing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use futures_util::Stream;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::Failed;

/// What a call is answered, from the bytes of its request.
type Answers = dyn Fn(Bytes) -> BoxFuture<Bytes, Status> + Send + Sync;
/// The messages of a stream.
type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
type Streams = dyn Fn() -> Messages + Send + Sync;

/// A running floor. It ends when dropped.
pub struct Floor {
    pub address: SocketAddr,
    server: AbortHandle,
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Floor {
    /// Answers every call of QrService by `answer`.
    pub async fn of_calls<F>(answer: impl Fn(Bytes) -> F + Send + Sync + 'static) -> Result<Self, Failed>
    where
        F: Future<Output = Result<Bytes, Failed>> + Send + 'static,
    {
        let answer = move |request: Bytes| -> BoxFuture<Bytes, Status> {
            let answered = answer(request);
            Box::pin(async move { answered.await.map_err(|cause| Status::internal(cause.to_string())) })
        };
        Self::serve(Calls(Arc::new(answer))).await
    }

    /// Answers every call of EventService by the messages that `stream` gives.
    pub async fn of_streams(stream: impl Fn() -> Messages + Send + Sync + 'static) -> Result<Self, Failed> {
        Self::serve(Subscriptions(Arc::new(stream))).await
    }

    async fn serve<S>(service: S) -> Result<Self, Failed>
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        Ok(Self { address, server: server.abort_handle() })
    }
}

#[derive(Clone)]
struct Calls(Arc<Answers>);

impl NamedService for Calls {
    const NAME: &'static str = "upistream.v1.QrService";
}

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let call = Call(Arc::clone(&self.0));
        Box::pin(async move { Ok(Grpc::new(AsItIs).unary(call, request).await) })
    }
}

struct Call(Arc<Answers>);

impl UnaryService<Bytes> for Call {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let answer = (self.0)(request.into_inner());
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

#[derive(Clone)]
struct Subscriptions(Arc<Streams>);

impl NamedService for Subscriptions {
    const NAME: &'static str = "upistream.v1.EventService";
}

impl Service<http::Request<Body>> for Subscriptions {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let subscription = Subscription(Arc::clone(&self.0));
        Box::pin(async move { Ok(Grpc::new(AsItIs).server_streaming(subscription, request).await) })
    }
}

struct Subscription(Arc<Streams>);

impl ServerStreamingService<Bytes> for Subscription {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = BoxFuture<Response<Messages>, Status>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let stream = (self.0)();
        Box::pin(async move { Ok(Response::new(stream)) })
    }
}

/// Bytes for messages, in both directions.
#[derive(Clone, Copy)]
pub struct AsItIs;

impl Codec for AsItIs {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// The first field of a request, where that is a text of less than 128 bytes: its tag and its length take a byte each.
pub fn first_text(request: &Bytes) -> Option<Bytes> {
    let length = usize::from(*request.get(1)?);
    (request.len() >= 2 + length).then(|| request.slice(2..2 + length))
}
