//! The layer that lets calls in: who calls is found out, what the call needs is compared with what the caller may, and his
//! limits are counted, before anything else looks at the request. What is not allowed by name is refused.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{HeaderMap, Request, Response, header};
use tonic::Status;
use tower::{Layer, Service};
use tracing::info;

use super::answering::{Answering, AtItsEnd};
use super::callers::{Caller, Callers, Shown, UnderWay, Unknown};
use super::peer::PeerIdentity;
use super::permissions::{Rule, rule_of};
use super::status::{Refusal, permission_denied, refused_by_framework, status, unauthenticated};

/// The layer.
#[derive(Clone)]
pub struct Authentication {
    pub callers: Arc<Callers>,
    /// Told to a caller whose request the framework refuses.
    pub request_bytes_max: usize,
}

impl<S> Layer<S> for Authentication {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { inner, authentication: self.clone() }
    }
}

/// A service that only lets in who may.
#[derive(Clone)]
pub struct Authenticated<S> {
    inner: S,
    authentication: Authentication,
}

impl<S, Incoming, Outgoing> Service<Request<Incoming>> for Authenticated<S>
where
    S: Service<Request<Incoming>, Response = Response<Outgoing>>,
    Outgoing: Default,
{
    type Response = Response<Outgoing>;
    type Error = S::Error;
    type Future = Either<Answering<S::Future, Option<UnderWay>>, Ready<Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        match self.authentication.let_in(&request) {
            Ok(Entry { caller, under_way }) => {
                // It speaks for the caller, and nobody else needs it.
                request.headers_mut().remove(header::AUTHORIZATION);
                request.extensions_mut().insert(caller);
                Either::Left(Answering::new(self.inner.call(request), under_way))
            }
            Err(refused) => Either::Right(ready(Ok(refused.into_http()))),
        }
    }
}

impl<R> AtItsEnd<R> for Option<UnderWay> {
    type Answer = R;

    /// The call is not under way any more.
    fn answer(self, response: R) -> R {
        response
    }
}

struct Entry {
    caller: Arc<Caller>,
    under_way: Option<UnderWay>,
}

impl Authentication {
    fn let_in<B>(&self, request: &Request<B>) -> Result<Entry, Status> {
        let Some((call, rule)) = rule_of(request.uri().path()) else {
            // Whether there is such a call is no secret: the protos are published.
            return Err(refused_by_framework(Refusal::UnknownMethod, self.request_bytes_max));
        };
        if rule == Rule::Public {
            return Ok(Entry { caller: Caller::nobody(), under_way: None });
        }
        let identities = request.extensions().get::<PeerIdentity>().map_or(&[][..], |peer| &peer.0);
        let shown = Shown { api_key: bearer(request.headers()), identities };
        let caller = self.callers.identify(shown).map_err(|unknown| {
            info!(call, "a call of nobody who is known was refused: {}", reason(unknown));
            unauthenticated(reason(unknown))
        })?;
        if let Rule::OneOf(permissions) = rule
            && !permissions.iter().any(|permission| caller.may(*permission))
        {
            info!(call, caller = caller.name, "a call was refused for want of a permission");
            return Err(permission_denied(permissions));
        }
        let under_way = self.callers.admit(&caller).map_err(|error| status(&error))?;
        Ok(Entry { caller, under_way: Some(under_way) })
    }
}

fn reason(unknown: Unknown) -> &'static str {
    match unknown {
        Unknown::NoCredential => "no credential was shown: send `authorization: Bearer <key>`, or a client certificate",
        Unknown::Key => "the API key is not known, or no longer",
        Unknown::Identity => "the names in the client certificate are no caller's",
        Unknown::Both => "the API key and the client certificate are not one caller's",
    }
}

/// The key of `authorization: Bearer KEY`. Anything else there is a key that nobody has.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return Some("");
    }
    let text = value.to_str().unwrap_or_default();
    let (scheme, key) = text.split_once(' ').unwrap_or_default();
    Some(if scheme.eq_ignore_ascii_case("bearer") { key.trim() } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(values: &[&str], key: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        assert_eq!(bearer(&headers), key, "{values:?}");
    }

    #[test]
    fn a_key_is_read_from_one_header_and_what_is_no_key_is_nobodys() {
        reads(&[], None);
        reads(&["Bearer upk_1"], Some("upk_1"));
        reads(&["bearer  upk_1 "], Some("upk_1"));
        reads(&["Basic upk_1"], Some(""));
        reads(&["upk_1"], Some(""));
        reads(&[""], Some(""));
        reads(&["Bearer"], Some(""));
        reads(&["Bearer upk_1", "Bearer upk_2"], Some(""));
    }
}
