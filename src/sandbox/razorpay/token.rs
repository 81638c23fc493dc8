//! Tokens, which is what mandates are called here: how they are printed, fetched, listed, cancelled and forgotten, and how
//! their states follow each other. How one comes to be is in `authorization.rs`.

use serde::{Deserialize, Serialize};

use super::debit;
use super::desk::{Desk, Due};
use super::error::ApiError;
use super::input::{Page, check_id};
use super::payment::Status as PaymentStatus;
use super::terms::Terms;
use super::{Call, Collection, event, to_json};
use crate::sandbox::clock::SECOND_MS;
use crate::sandbox::shelf::Labelled;

/// From a cancellation that was taken to its end.
const STEP_MS: i64 = 30 * SECOND_MS;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Token {
    pub id: String,
    pub created_ms: i64,
    pub customer_id: String,
    /// The mandate's order, and the time that it was made.
    pub order_id: String,
    pub start_ms: i64,
    /// The field `token`, of which nothing is known but that it is there.
    pub secret: String,
    pub vpa: String,
    pub terms: Terms,
    pub status: Status,
    /// Deleted by the merchant: the provider knows it no more, the payer and his bank do.
    pub forgotten: bool,
    /// When the newest debit that was collected had been asked for.
    pub collected_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Confirmed,
    Rejected,
    Paused,
    CancellationInitiated,
    Cancelled,
}

impl Labelled for Token {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Token {
    /// No status says so: it can't be found any more.
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.terms.expire_at <= now_ms / 1_000
    }
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Paused => "paused",
            Self::CancellationInitiated => "cancellation_initiated",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Serialize)]
pub struct TokenView<'a> {
    id: &'a str,
    entity: &'static str,
    token: &'a str,
    bank: Option<&'a str>,
    wallet: Option<&'a str>,
    method: &'static str,
    vpa: VpaView<'a>,
    recurring: bool,
    recurring_details: Details,
    auth_type: Option<&'static str>,
    mrn: Option<&'a str>,
    used_at: i64,
    created_at: i64,
    start_time: i64,
    dcc_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_amount: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expired_at: Option<i64>,
}

#[derive(Serialize)]
struct VpaView<'a> {
    username: &'a str,
    handle: &'a str,
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Details {
    status: &'static str,
    failure_reason: Option<&'static str>,
}

/// Lists, `token.confirmed` and `token.rejected` are silent about amount and end.
pub fn view(token: &Token, with_limits: bool) -> TokenView<'_> {
    let (username, handle) = token.vpa.split_once('@').unwrap_or((&token.vpa, ""));
    let rejected = token.status == Status::Rejected;
    TokenView {
        id: &token.id,
        entity: "token",
        token: &token.secret,
        bank: None,
        wallet: None,
        method: "upi",
        vpa: VpaView { username, handle, name: None },
        recurring: true,
        recurring_details: Details { status: token.status.name(), failure_reason: rejected.then_some("Rejected by bank") },
        auth_type: rejected.then_some("upi"),
        mrn: None,
        used_at: token.created_ms / 1_000,
        created_at: token.created_ms / 1_000,
        start_time: token.start_ms / 1_000,
        dcc_enabled: false,
        max_amount: with_limits.then_some(token.terms.max_amount),
        expired_at: with_limits.then_some(token.terms.expire_at),
    }
}

/// As `token.resumed` prints it: with a status that it has nowhere else.
pub fn view_resumed(token: &Token) -> TokenView<'_> {
    TokenView { recurring_details: Details { status: "resumed", failure_reason: None }, ..view(token, true) }
}

impl Desk<'_> {
    pub fn list_tokens(&self, customer_id: &str, call: &Call) -> Result<String, ApiError> {
        let page = Page::of(&call.query, &[], self.switches.clamp_count)?;
        call.expect_no_body()?;
        self.check_customer(customer_id)?;
        let listed = |token: &&Token| self.is_known(token, customer_id) && self.is_listed(token.created_ms);
        let found = page.collect(self.books.tokens.newest_first().filter(listed), |token| token.created_ms / 1_000);
        Ok(to_json(&Collection::of(found.into_iter().map(|token| view(token, false)).collect())))
    }

    pub fn fetch_token(&self, customer_id: &str, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_bare(&[])?;
        Ok(to_json(&view(self.token_of(customer_id, id)?, true)))
    }

    pub fn cancel_token(&mut self, customer_id: &str, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_bare(&[])?;
        if !matches!(self.token_of(customer_id, id)?.status, Status::Confirmed | Status::Paused) {
            return Err(ApiError::invalid("The token cannot be cancelled in its current status."));
        }
        self.set_token(id, Status::CancellationInitiated, "token.cancellation_initiated");
        if !self.switches.mandates.cancelling_stays {
            self.appoint(self.now_ms + STEP_MS, Due::TokenCancelled(id.to_owned()));
        }
        Ok(r#"{"status":"cancellation_initiated"}"#.to_owned())
    }

    /// The mandate lives on: only nobody hears of it here any more.
    pub fn delete_token(&mut self, customer_id: &str, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_bare(&[])?;
        self.token_of(customer_id, id)?;
        if let Some(token) = self.books.tokens.get_mut(id) {
            token.forgotten = true;
        }
        Ok(r#"{"deleted":true}"#.to_owned())
    }

    fn token_of(&self, customer_id: &str, id: &str) -> Result<&Token, ApiError> {
        self.check_customer(customer_id)?;
        check_id("token", id)?;
        self.books.tokens.get(id).filter(|token| self.is_known(token, customer_id)).ok_or_else(ApiError::no_such_id)
    }

    fn is_known(&self, token: &Token, customer_id: &str) -> bool {
        token.customer_id == customer_id && !token.forgotten && !token.is_expired(self.now_ms)
    }

    pub fn check_customer(&self, id: &str) -> Result<(), ApiError> {
        check_id("cust", id)?;
        self.books.customers.get(id).map(|_| ()).ok_or_else(ApiError::no_such_id)
    }

    /// A cancellation that was taken comes to its end, unless the payer was faster.
    pub fn token_cancelled(&mut self, id: &str) {
        if self.books.tokens.get(id).is_some_and(|token| token.status == Status::CancellationInitiated) {
            self.end_token(id);
        }
    }

    /// The mandate is no more, and a debit that was under way fails with it.
    pub fn end_token(&mut self, id: &str) {
        self.set_token(id, Status::Cancelled, "token.cancelled");
        let under_way = self.books.payments.newest_first().filter(|payment| payment.status == PaymentStatus::Created);
        let under_way: Vec<_> =
            under_way.filter(|payment| payment.token_id.as_deref() == Some(id)).map(|payment| payment.id.clone()).collect();
        let mut news = Vec::new();
        for payment in under_way {
            self.fail(&payment, debit::failure("mandate_cancelled"), &mut news);
        }
        self.tell(news);
    }

    pub fn set_token(&mut self, id: &str, status: Status, event: &'static str) {
        if let Some(token) = self.books.tokens.get_mut(id) {
            token.status = status;
        }
        let news = event::token(event, self, id);
        self.tell(news.into_iter().collect());
    }
}
