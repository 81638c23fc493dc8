//! Eko, as its documentation describes it. Written from the specification alone: it shares no type with the
//! adapter, since a field misread in both would cancel out.
//!
//! Where the sources are silent this simulator decides (beside what `switches.rs` leaves open):
//! - Who calls is looked at before the path. Refusals by HTTP status have bodies that are not JSON, though they are
//!   labelled so: nothing is known of them, and a client has to live with anything.
//! - v1 takes forms alone, v3 takes JSON alone, v2 takes either; a body of another kind is 415, one that can't be read
//!   500. What is missing or malformed in it is a 97 in a 200. Fields that nobody knows are ignored.
//! - One code per `sender_id`, whichever rail it was made on: asked on the other rail, the first one is answered.
//! - `user_code` is needed in queries of v3 and looked at wherever it is given.
//! - A payment has its RRN from the beginning, and a fee once the payer's bank said yes.
//! - A payment that is held may still fail; one that failed stays so.
//! - Payers' addresses and the pictures of the AU rail lie at reserved names: a made-up one could be somebody's.

mod answer;
mod auth;
mod callback;
mod control;
mod desk;
mod input;
mod life;
mod link;
mod payment;
mod qr;
mod service;
mod switches;

use http::Method;

use answer::Refusal;
pub use answer::invent;
pub use auth::authenticate;
pub use desk::{Books, Desk};
use input::{Body, Form, Query};
pub use switches::{EkoSwitches, QrFailure};

use super::simulated::{Asked, Reply};

/// What is asked for, by the path and method alone.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operation {
    QrCreate(Form),
    /// Who and what for stands in the body.
    ServiceActivateByForm,
    ServiceActivate {
        user_code: String,
        service_code: String,
    },
    ServiceDeactivate {
        user_code: String,
        service_code: String,
    },
    /// v1 says whose in the path, v3 in the query.
    ServiceList(Option<String>),
    TransactionFetch {
        which: Which,
        needs_user_code: bool,
    },
}

/// The transaction that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    Tid(String),
    /// The newest one of a code.
    Reference(String),
    /// v3 takes either in the same place.
    Either(String),
}

impl Operation {
    fn of(method: &Method, path: &str) -> Option<Self> {
        let segments: Vec<_> = path.strip_prefix('/')?.split('/').collect();
        let text = |text: &str| text.to_owned();
        Some(match (method.as_str(), segments.as_slice()) {
            ("POST", ["v2", "customer", "createcustomer"]) => Self::QrCreate(Form::Either),
            ("POST", ["v3", "user", "collection", "upi-razorpay", "generate-static-qr"]) => Self::QrCreate(Form::Json),
            ("PUT", ["v1", "user", "service", "activate"]) => Self::ServiceActivateByForm,
            ("PUT", ["v3", "admin", "network", "agent", user, "service", code, "activate"]) => {
                Self::ServiceActivate { user_code: text(user), service_code: text(code) }
            }
            ("PUT", ["v3", "admin", "network", "agent", user, "service", code, "deactivate"]) => {
                Self::ServiceDeactivate { user_code: text(user), service_code: text(code) }
            }
            ("GET", ["v1", "user", "services", user]) => Self::ServiceList(Some(text(labelled("user_code", user)?))),
            ("GET", ["v3", "user", "account", "services"]) => Self::ServiceList(None),
            ("GET", ["v1" | "v2", "transactions", which]) => {
                let which = match labelled("client_ref_id", which) {
                    Some(reference) => Which::Reference(text(reference)),
                    None => Which::Tid(text(which)),
                };
                Self::TransactionFetch { which, needs_user_code: false }
            }
            ("GET", ["v3", "tools", "reference", "transaction", which]) => {
                Self::TransactionFetch { which: Which::Either(text(which)), needs_user_code: true }
            }
            _ => return None,
        })
    }

    /// The name that faults and the request log know it by.
    fn name(&self) -> &'static str {
        match self {
            Self::QrCreate(_) => "qr.create",
            Self::ServiceActivateByForm | Self::ServiceActivate { .. } => "service.activate",
            Self::ServiceDeactivate { .. } => "service.deactivate",
            Self::ServiceList(_) => "service.list",
            Self::TransactionFetch { .. } => "transaction.fetch",
        }
    }
}

/// What stands after the label and its colon, which some clients escape.
fn labelled<'a>(label: &str, segment: &'a str) -> Option<&'a str> {
    let rest = segment.strip_prefix(label)?;
    [":", "%3A", "%3a"].into_iter().find_map(|colon| rest.strip_prefix(colon))
}

/// The name of what a path asks for.
pub fn operation(method: &Method, path: &str) -> Option<&'static str> {
    Operation::of(method, path).map(|operation| operation.name())
}

/// Does what is asked for.
fn act(desk: &mut Desk<'_>, asked: &Asked) -> Result<Reply, Refusal> {
    let served = |method: &Method| Operation::of(method, &asked.path).is_some();
    let operation = Operation::of(&asked.method, &asked.path).ok_or_else(|| {
        let other = [Method::GET, Method::POST, Method::PUT].iter().any(served);
        Refusal::Gateway(if other { 405 } else { 404 })
    })?;
    match &operation {
        Operation::QrCreate(form) => desk.create_qr(&Body::read(asked, *form)?),
        Operation::ServiceActivateByForm => desk.activate_by_form(&Body::read(asked, Form::UrlEncoded)?),
        Operation::ServiceActivate { user_code, service_code } => {
            desk.set_service(user_code, service_code, true, &Body::read(asked, Form::Json)?)
        }
        Operation::ServiceDeactivate { user_code, service_code } => {
            desk.set_service(user_code, service_code, false, &Body::read(asked, Form::Json)?)
        }
        Operation::ServiceList(user_code) => desk.list_services(user_code.as_deref(), &Query::read(asked)?),
        Operation::TransactionFetch { which, needs_user_code } => desk.fetch_transaction(which, *needs_user_code, &Query::read(asked)?),
    }
}
