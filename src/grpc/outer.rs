//! The outermost layer: errors that the framework makes before the engine is entered (undecodable, too large, unknown
//! method) get our details, so that a caller knows that nothing was done.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderName, Request, Response};
use tonic::Code;
use tower::{Layer, Service};

use super::status::refused_by_framework;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The layer.
#[derive(Clone, Copy, Debug)]
pub struct FrameworkErrors {
    /// The largest request that is read.
    pub request_bytes_max: usize,
}

impl<S> Layer<S> for FrameworkErrors {
    type Service = WithDetails<S>;

    fn layer(&self, inner: S) -> WithDetails<S> {
        WithDetails { inner, request_bytes_max: self.request_bytes_max }
    }
}

/// A service whose framework errors carry our details.
#[derive(Clone, Debug)]
pub struct WithDetails<S> {
    inner: S,
    request_bytes_max: usize,
}

impl<S, Incoming, Outgoing> Service<Request<Incoming>> for WithDetails<S>
where
    S: Service<Request<Incoming>, Response = Response<Outgoing>>,
    S::Future: Send + 'static,
{
    type Response = Response<Outgoing>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let answering = self.inner.call(request);
        let bytes_max = self.request_bytes_max;
        Box::pin(async move {
            let mut response = answering.await?;
            let headers = response.headers_mut();
            // Ours have details; a stream that has begun has its status in the trailers.
            if let (Some(code), None) = (headers.get(GRPC_STATUS), headers.get(GRPC_STATUS_DETAILS))
                && let Some(status) = refused_by_framework(Code::from_bytes(code.as_bytes()), bytes_max)
            {
                headers.remove(GRPC_STATUS);
                // What can't be put into headers stays as the framework made it.
                let _ = status.add_header(headers);
            }
            Ok(response)
        })
    }
}
