//! Services that a merchant has to activate before he may use them, once.

use serde::{Deserialize, Serialize};

use super::answer::{Refusal, Success};
use super::desk::Desk;
use super::input::{Body, Query};
use super::payment::in_utc;
use crate::sandbox::simulated::Reply;

/// Static codes on the Razorpay rail.
pub const RAZORPAY_RAIL: &str = "59";
/// Static codes on the AU rail.
pub const AU_RAIL: &str = "85";
/// Those that can be activated. 45 pays vendors, which nobody simulates.
const KNOWN: [&str; 3] = ["45", RAZORPAY_RAIL, AU_RAIL];

// The types of these answers are placeholders: none is documented.
const ACTIVATED: Success = Success { response_status_id: 0, response_type_id: 1259, message: "Service activated" };
const DEACTIVATED: Success = Success { response_status_id: 0, response_type_id: 1259, message: "Service deactivated" };
const LISTED: Success = Success { response_status_id: -1, response_type_id: 1260, message: "Success" };

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    active: bool,
    created_ms: i64,
    updated_ms: i64,
}

/// What was asked for, said again.
#[derive(Serialize)]
struct Echo<'a> {
    service_code: &'a str,
    initiator_id: &'a str,
    user_code: &'a str,
    latlong: &'a str,
}

#[derive(Serialize)]
struct List<'a> {
    service_status_list: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    status: u8,
    status_desc: &'static str,
    service_code: &'a str,
    verification_status: u8,
    comments: &'static str,
    #[serde(rename = "createdAt")]
    created_at: Option<String>,
    #[serde(rename = "updatedAt")]
    updated_at: Option<String>,
}

impl Desk<'_> {
    pub fn activate_by_form(&mut self, body: &Body) -> Result<Reply, Refusal> {
        let user_code = body.text("user_code")?.ok_or_else(Refusal::no_key)?;
        let service_code = body.text("service_code")?.ok_or_else(Refusal::no_key)?;
        self.set_service(user_code, service_code, true, body)
    }

    /// Doing it again changes nothing, and succeeds.
    pub fn set_service(&mut self, user_code: &str, service_code: &str, active: bool, body: &Body) -> Result<Reply, Refusal> {
        self.check_initiator(body)?;
        self.check_user(user_code)?;
        if !KNOWN.contains(&service_code) {
            return Err(Refusal::no_key());
        }
        let now_ms = self.now_ms;
        let fresh = || Service { active: false, created_ms: now_ms, updated_ms: now_ms };
        let service = self.books.services.entry(service_code.to_owned()).or_insert_with(fresh);
        (service.active, service.updated_ms) = (active, now_ms);
        let initiator_id = &self.merchant.initiator_id;
        let latlong = body.text("latlong")?.unwrap_or_default();
        let done = if active { ACTIVATED } else { DEACTIVATED };
        Ok(done.with(Echo { service_code, initiator_id, user_code, latlong }))
    }

    pub fn list_services(&mut self, user_code: Option<&str>, query: &Query) -> Result<Reply, Refusal> {
        self.check_asker(query, user_code.is_none())?;
        user_code.map_or(Ok(()), |user_code| self.check_user(user_code))?;
        let line = |service_code: &'static str| {
            let service = self.books.services.get(service_code);
            let (status, status_desc) = if self.is_active(service_code) { (1, "Activated") } else { (0, "Deactivated") };
            Line {
                status,
                status_desc,
                service_code,
                verification_status: 0,
                comments: "",
                created_at: service.map(|service| in_utc(service.created_ms)),
                updated_at: service.map(|service| in_utc(service.updated_ms)),
            }
        };
        Ok(LISTED.with(List { service_status_list: KNOWN.into_iter().map(line).collect() }))
    }

    pub fn is_active(&self, service_code: &str) -> bool {
        self.switches.eko.service_always_active || self.books.services.get(service_code).is_some_and(|service| service.active)
    }
}
