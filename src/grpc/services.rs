//! Our services, found by their names. tonic's routes are axum's: each call goes through a tree of paths, has the parts of its path
//! kept for a handler that asks for none, and gets its service and its answer in further boxes. Beside a call that reads one key
//! that was felt; so only what is called seldom (health, reflection, what there is none of) goes that way.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response};
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tower::{Layer, Service};

use super::pb::account_service_server::{self, AccountServiceServer};
use super::pb::admin_service_server::{self, AdminServiceServer};
use super::pb::framed::event_service_server::{self, EventServiceServer};
use super::pb::mandate_service_server::{self, MandateServiceServer};
use super::pb::payment_service_server::{self, PaymentServiceServer};
use super::pb::qr_service_server::{self, QrServiceServer};
use super::pb::refund_service_server::{self, RefundServiceServer};
use super::pb::settlement_service_server::{self, SettlementServiceServer};
use super::{Api, parts_of};

/// The services of this release: what is not built yet is not registered.
pub const SERVICES: [&str; 8] = [
    qr_service_server::SERVICE_NAME,
    payment_service_server::SERVICE_NAME,
    refund_service_server::SERVICE_NAME,
    mandate_service_server::SERVICE_NAME,
    settlement_service_server::SERVICE_NAME,
    event_service_server::SERVICE_NAME,
    account_service_server::SERVICE_NAME,
    admin_service_server::SERVICE_NAME,
];

/// The layer that answers calls of our services; others go on inwards.
#[derive(Clone)]
pub struct Services(Arc<Servers>);

struct Servers {
    qr: QrServiceServer<Api>,
    payment: PaymentServiceServer<Api>,
    refund: RefundServiceServer<Api>,
    mandate: MandateServiceServer<Api>,
    settlement: SettlementServiceServer<Api>,
    event: EventServiceServer<Api>,
    account: AccountServiceServer<Api>,
    admin: AdminServiceServer<Api>,
}

impl Services {
    /// `limit`: the most bytes of a request.
    pub(super) fn new(api: Api, limit: usize) -> Self {
        let api = Arc::new(api);
        let api = || Arc::clone(&api);
        Self(Arc::new(Servers {
            qr: QrServiceServer::from_arc(api()).max_decoding_message_size(limit),
            payment: PaymentServiceServer::from_arc(api()).max_decoding_message_size(limit),
            refund: RefundServiceServer::from_arc(api()).max_decoding_message_size(limit),
            mandate: MandateServiceServer::from_arc(api()).max_decoding_message_size(limit),
            settlement: SettlementServiceServer::from_arc(api()).max_decoding_message_size(limit),
            event: EventServiceServer::from_arc(api()).max_decoding_message_size(limit),
            account: AccountServiceServer::from_arc(api()).max_decoding_message_size(limit),
            admin: AdminServiceServer::from_arc(api()).max_decoding_message_size(limit),
        }))
    }
}

impl<S> Layer<S> for Services {
    type Service = Served<S>;

    fn layer(&self, inner: S) -> Served<S> {
        Served { inner, services: self.clone() }
    }
}

/// Our services, and the one for whatever else is called.
#[derive(Clone)]
pub struct Served<S> {
    inner: S,
    services: Services,
}

impl<S> Service<Request<Body>> for Served<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<BoxFuture<Response<Body>, Infallible>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Services(servers) = &self.services;
        let Some((service, _)) = parts_of(request.uri().path()) else { return Either::Right(self.inner.call(request)) };
        // A clone is of what they share.
        Either::Left(match service {
            qr_service_server::SERVICE_NAME => servers.qr.clone().call(request),
            payment_service_server::SERVICE_NAME => servers.payment.clone().call(request),
            refund_service_server::SERVICE_NAME => servers.refund.clone().call(request),
            mandate_service_server::SERVICE_NAME => servers.mandate.clone().call(request),
            settlement_service_server::SERVICE_NAME => servers.settlement.clone().call(request),
            event_service_server::SERVICE_NAME => servers.event.clone().call(request),
            account_service_server::SERVICE_NAME => servers.account.clone().call(request),
            admin_service_server::SERVICE_NAME => servers.admin.clone().call(request),
            _ => return Either::Right(self.inner.call(request)),
        })
    }
}
