//! How Eko answers: one envelope for success and for what it refuses itself, and what its gateway says instead.

use serde::Serialize;

use crate::sandbox::simulated::Reply;

#[derive(Serialize)]
struct Envelope<'a, T> {
    response_status_id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    response_type_id: u32,
    message: &'a str,
    status: u32,
}

/// What an envelope says around the data of a success.
pub struct Success {
    /// -1 where no money is asked about, 0 elsewhere.
    pub response_status_id: i32,
    pub response_type_id: u32,
    pub message: &'static str,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An HTTP status, without an envelope.
    Gateway(u16),
    /// 200 with a `status` that is not 0.
    Failed { status: u32, message: &'static str },
}

impl Success {
    pub fn with(&self, data: impl Serialize) -> Reply {
        let Self { response_status_id, response_type_id, message } = *self;
        Reply::of(200, to_json(&Envelope { response_status_id, data: Some(data), response_type_id, message, status: 0 }))
    }
}

impl Refusal {
    /// A field is missing or malformed.
    pub fn no_key() -> Self {
        Self::Failed { status: 97, message: "No Key for Response" }
    }

    pub fn not_allowed() -> Self {
        Self::Failed { status: 1, message: "Agent not allowed" }
    }

    pub fn no_such_initiator() -> Self {
        Self::Failed { status: 319, message: "Invalid Sender/Initiator" }
    }

    pub fn no_such_user() -> Self {
        Self::Failed { status: 463, message: "User not found" }
    }

    pub fn no_such_tid() -> Self {
        Self::Failed { status: 168, message: "TID does not exist" }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Gateway(404) => Self::of(404, "No mapping rule matched".to_owned()),
            Refusal::Gateway(status) => Self::of(status, format!("<html><body><h1>{status}</h1></body></html>")),
            Refusal::Failed { status, message } => failed(200, status, message),
        }
    }
}

/// The error that goes with a status which a test asked for.
pub fn invent(status: u16) -> Reply {
    failed(status, 1, "Failed")
}

fn failed(http_status: u16, status: u32, message: &str) -> Reply {
    let envelope = Envelope::<()> { response_status_id: 1, data: None, response_type_id: status, message, status };
    Reply::of(http_status, to_json(&envelope))
}

pub fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own views have string keys and no failing parts")
}
