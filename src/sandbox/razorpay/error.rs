//! Errors in Razorpay's shape: a code, a text for people, and the triple of source, step and reason.

use serde::Serialize;

use crate::sandbox::simulated::Reply;

pub const NO_SUCH_URL: &str = "The requested URL was not found on the server.";
pub const TROUBLE: &str = "We are facing some trouble completing your request at the moment. Please try again shortly.";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: u16,
    retry_after: Option<u64>,
    code: &'static str,
    description: String,
    /// None prints the old body, without triple and metadata.
    triple: Option<&'static Triple>,
    field: Option<String>,
}

pub type Triple = [Option<&'static str>; 3];
const VALIDATION: Triple = [Some("business"), Some("payment_initiation"), Some("input_validation_failed")];
const EXTRA_FIELD: Triple = [Some("business"), Some("payment_initiation"), Some("extra_field_sent")];
const GATEWAY: Triple = [Some("gateway"), Some("NA"), Some("gateway_technical_error")];
const COOL_DOWN: Triple = [Some("business"), Some("NA"), Some("NA")];
pub const CONTACT: Triple = [Some("business"), Some("NA"), Some("invalid_contact_number")];
const NOT_APPLICABLE: Triple = [Some("NA"); 3];
/// Printed as null.
const UNEXPLAINED: Triple = [None; 3];

impl ApiError {
    /// A field's value, an unknown id, a rule of the business.
    pub fn invalid(description: impl Into<String>) -> Self {
        Self::new(400, "BAD_REQUEST_ERROR", description.into(), Some(&VALIDATION))
    }

    pub fn on(field: &str, description: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::invalid(description) }
    }

    pub fn not_a_valid_id(id: &str) -> Self {
        Self::invalid(format!("{id} is not a valid id"))
    }

    pub fn no_such_id() -> Self {
        Self::invalid("The id provided does not exist")
    }

    pub fn not_required(names: &[String]) -> Self {
        let names = names.join(", ");
        let description = format!("{names} is/are not required and should not be sent");
        Self::new(400, "BAD_REQUEST_ERROR", description, Some(&EXTRA_FIELD))
    }

    pub fn no_such_url(status: u16) -> Self {
        Self::not_applicable(status, NO_SUCH_URL)
    }

    /// Errors that no field is to blame for.
    pub fn not_applicable(status: u16, description: &str) -> Self {
        Self::new(status, "BAD_REQUEST_ERROR", description.to_owned(), Some(&NOT_APPLICABLE))
    }

    pub fn old_style(status: u16, description: &str) -> Self {
        Self::new(status, "BAD_REQUEST_ERROR", description.to_owned(), None)
    }

    pub fn with_triple(field: &str, description: &str, triple: &'static Triple) -> Self {
        Self { triple: Some(triple), ..Self::on(field, description) }
    }

    /// The refusals that print null where others say who and why.
    pub fn unexplained(description: &str) -> Self {
        Self::new(400, "BAD_REQUEST_ERROR", description.to_owned(), Some(&UNEXPLAINED))
    }

    /// Two requests under one idempotency key.
    pub fn conflict(description: &str) -> Self {
        Self { status: 409, ..Self::invalid(description) }
    }

    pub fn trouble() -> Self {
        Self::new(500, "SERVER_ERROR", TROUBLE.to_owned(), Some(&NOT_APPLICABLE))
    }

    pub fn throttled(retry_after: Option<u64>) -> Self {
        match retry_after {
            Some(_) => Self { retry_after, ..Self::not_applicable(429, "Too many requests") },
            None => {
                let triple = Some(&COOL_DOWN);
                let description = "Request failed. Please try after sometime.".to_owned();
                Self::new(429, "BAD_REQUEST_ERROR", description, triple)
            }
        }
    }

    /// What a status that a test asked for is answered with. `gateway` is the status of gateway errors.
    pub fn of_status(status: u16, gateway: u16) -> Self {
        match status {
            _ if status == gateway => Self::new(status, "GATEWAY_ERROR", TROUBLE.to_owned(), Some(&GATEWAY)),
            429 => Self::throttled(None),
            401 => Self::not_applicable(status, "Authentication failed"),
            404 => Self::no_such_url(status),
            // No other conflict is documented.
            409 => Self::conflict("Another request with the same idempotency key is still in progress."),
            500.. => Self { status, ..Self::trouble() },
            _ => Self { status, ..Self::invalid("Request failed because another payment operation is in progress.") },
        }
    }

    fn body(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Inner<'a>,
        }
        #[derive(Serialize)]
        struct Inner<'a> {
            code: &'a str,
            description: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            source: Option<Option<&'a str>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            step: Option<Option<&'a str>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<Option<&'a str>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            metadata: Option<Empty>,
            #[serde(skip_serializing_if = "Option::is_none")]
            field: Option<&'a str>,
        }
        #[derive(Serialize)]
        struct Empty {}

        let [source, step, reason] = self.triple.map_or([None; 3], |triple| triple.map(Some));
        let (code, description, field) = (self.code, self.description.as_str(), self.field.as_deref());
        let metadata = self.triple.map(|_| Empty {});
        super::to_json(&Body { error: Inner { code, description, source, step, reason, metadata, field } })
    }

    fn new(status: u16, code: &'static str, description: String, triple: Option<&'static Triple>) -> Self {
        Self { status, retry_after: None, code, description, triple, field: None }
    }
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        Self { status: error.status, retry_after: error.retry_after, body: error.body() }
    }
}
