//! The outermost layer: errors that the framework makes before the engine is entered (undecodable, too large, unknown
//! method) get our details, so that a caller knows that nothing was done.

use std::task::{Context, Poll};

use http::{HeaderName, Request, Response};
use tonic::Code;
use tower::{Layer, Service};

use super::answering::{Answering, AtItsEnd};
use super::status::{Refusal, refused_by_framework};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The header by which tonic tells a client that compresses what is supported; it sets it for no other reason.
const ACCEPTED_ENCODINGS: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The layer.
#[derive(Clone, Copy, Debug)]
pub struct FrameworkErrors {
    /// The limit that is told to a caller whose request is too large.
    pub request_bytes_max: usize,
}

impl<S> Layer<S> for FrameworkErrors {
    type Service = WithDetails<S>;

    fn layer(&self, inner: S) -> WithDetails<S> {
        WithDetails { inner, errors: *self }
    }
}

/// A service whose framework errors carry our details.
#[derive(Clone, Debug)]
pub struct WithDetails<S> {
    inner: S,
    errors: FrameworkErrors,
}

impl<S, Incoming, Outgoing> Service<Request<Incoming>> for WithDetails<S>
where
    S: Service<Request<Incoming>, Response = Response<Outgoing>>,
{
    type Response = Response<Outgoing>;
    type Error = S::Error;
    type Future = Answering<S::Future, FrameworkErrors>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        Answering::new(self.inner.call(request), self.errors)
    }
}

impl<B> AtItsEnd<Response<B>> for FrameworkErrors {
    type Answer = Response<B>;

    fn answer(self, mut response: Response<B>) -> Response<B> {
        let headers = response.headers_mut();
        // Ours have details; a stream that has begun has its status in the trailers.
        if let (Some(code), None) = (headers.get(GRPC_STATUS), headers.get(GRPC_STATUS_DETAILS))
            && let Some(refusal) = refusal(Code::from_bytes(code.as_bytes()), headers.contains_key(ACCEPTED_ENCODINGS))
        {
            let status = refused_by_framework(refusal, self.request_bytes_max);
            headers.remove(GRPC_STATUS);
            // What can't be put into headers stays as the framework made it.
            let _ = status.add_header(headers);
        }
        response
    }
}

/// What an error without our details means; `None`: it was not made because of the request.
fn refusal(code: Code, is_about_compression: bool) -> Option<Refusal> {
    match code {
        Code::Internal => Some(Refusal::Undecodable),
        Code::Unimplemented if is_about_compression => Some(Refusal::Undecodable),
        Code::Unimplemented => Some(Refusal::UnknownMethod),
        Code::OutOfRange | Code::ResourceExhausted => Some(Refusal::TooLarge),
        _ => None,
    }
}
