//! Mandates: asked of the payer in his UPI app, by his address. What creating and revoking answer is not published, so of a
//! success only ids are read, and how a mandate stands is asked for by our reference.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;

use super::mandate_wire::{self as wire, Spelt};
use super::words::{EnkashMandateSettings, MandatePaths, Naming};
use super::{AMOUNT_MIN_PAISE, Api, NowMs, Told, Wrapped, classify, is_plain};
use crate::domain::account::Operation;
use crate::domain::mandate::{MandateOrder, MandateSnapshot, MandateStatus};
use crate::domain::personal::{Sight, Vpa};
use crate::domain::upi::Pattern;
use crate::domain::working_days::day_in_india;
use crate::providers::mandate::{KnownMandate, MandateCreated, MandateCreation, MandateEnquiry, MandateRevoking};
use crate::providers::reading::{Unreadable, id, read, unreadable};
use crate::providers::{AskError, CallError, Cause, Sending, Violation};

#[cfg(test)]
mod tests;

/// How long a payer may take to approve where nobody says: the request needs an end.
const APPROVAL_TIME: SignedDuration = SignedDuration::from_hours(24);
/// The most characters of a mandate's number in the UPI network. They have about 70 [upi.md 5.3].
const UMN_CHARS_MAX: usize = 128;

/// Mandates of one account.
pub struct EnkashMandates {
    pub(super) api: Api,
    pub(super) settings: Arc<EnkashMandateSettings>,
    pub(super) now_ms: NowMs,
}

#[async_trait]
impl MandateCreation for EnkashMandates {
    fn violations(&self, order: &MandateOrder, _now: Timestamp) -> Vec<Violation> {
        violations(order, &self.settings)
    }

    async fn create(&self, order: &MandateOrder, our_ref: &str, sending: Sending, timeout: Duration) -> Result<MandateCreated, CallError> {
        let expires = order.approval_expire_time.map_or_else(|| self.end_of_approval(), Ok)?;
        let body = self.request_of(order, our_ref, expires)?;
        let path = self.settings.paths.create();
        let request = self.api.request(Operation::CreateMandate.as_str(), Method::POST, path, &[]);
        let answer = self.api.send(&request.json(&Spelt(self.settings.naming, &body)), timeout).await?;
        if !classify::is_success(answer.status, answer.envelope.as_ref()) {
            // A mandate that exists all the same is never debited. One that blocks the payer's money would do so at his
            // approval, so of that no failure is believed: it is looked for.
            let sending = if order.block_funds { Sending::Again } else { sending };
            return Err(classify::classify(sending, answer.status, answer.envelope.as_ref()));
        }
        Ok(MandateCreated::Ready(Box::new(MandateSnapshot {
            provider_ref: taken(answer, our_ref)?,
            our_ref: Some(our_ref.to_owned()),
            approval_expire_time: Some(expires),
            ..MandateSnapshot::of(MandateStatus::AwaitingApproval)
        })))
    }
}

#[async_trait]
impl MandateEnquiry for EnkashMandates {
    async fn fetch(&self, mandate: &KnownMandate) -> Result<MandateSnapshot, AskError> {
        match self.ask(&mandate.our_ref).await? {
            Told::Payload(payload) => Ok(shown(&payload, &self.settings, &mandate.our_ref, mandate.provider_ref.as_deref())?),
            Told::Failure(cause) => Err(AskError::Unanswered(cause)),
        }
    }

    async fn look_up(&self, _order: &MandateOrder, our_ref: &str, _asked: Timestamp) -> Result<Option<MandateCreated>, AskError> {
        // A failure in the documented form: it is not there. Should it be there all the same, nobody would debit it.
        let Told::Payload(payload) = self.ask(our_ref).await? else { return Ok(None) };
        Ok(Some(MandateCreated::Ready(Box::new(shown(&payload, &self.settings, our_ref, None)?))))
    }
}

#[async_trait]
impl MandateRevoking for EnkashMandates {
    /// `PATCH /api/v0/upi-mandate/revoke` [P30].
    async fn revoke(&self, mandate: &KnownMandate, timeout: Duration) -> Result<MandateSnapshot, CallError> {
        let naming = match self.settings.paths {
            MandatePaths::G3 => self.settings.naming,
            // The naming is that of G2's bodies. This path is G3's, and so is what is known of its body.
            MandatePaths::G2 => Naming::SnakeCase,
        };
        let path = ["api", "v0", "upi-mandate", "revoke"];
        let request = self.api.request(Operation::RevokeMandate.as_str(), Method::PATCH, &path, &[]);
        let body = wire::RevokeMandate { reference_id: &mandate.our_ref };
        let answer = self.api.send(&request.json(&Spelt(naming, &body)), timeout).await?;
        if !classify::is_success(answer.status, answer.envelope.as_ref()) {
            return Err(classify::classify_unlisted(Sending::First, answer.status, answer.envelope.as_ref()));
        }
        Ok(MandateSnapshot {
            provider_ref: taken(answer, &mandate.our_ref)?,
            our_ref: Some(mandate.our_ref.clone()),
            // Taken, and no more: whether the mandate is over is asked for.
            ..MandateSnapshot::of(MandateStatus::Revoking)
        })
    }
}

impl EnkashMandates {
    /// `POST /api/v0/upi-mandate` [P26].
    fn request_of<'a>(
        &'a self,
        order: &'a MandateOrder,
        our_ref: &'a str,
        expires: Timestamp,
    ) -> Result<wire::CreateMandate<'a>, CallError> {
        let settings = &self.settings;
        let not_sent = |text: &str| CallError::NotDelivered(Cause(text.to_owned()));
        let vpa = order.payer.vpa.as_ref().ok_or_else(|| not_sent("a mandate needs the payer's UPI address"))?;
        let name = order.payer.name.as_ref().ok_or_else(|| not_sent("a mandate needs the payer's name"))?;
        let period = settings.period(order.pattern).ok_or_else(|| not_sent("no word for the frequency is configured"))?;
        let (rule, value) = match order.day {
            Some(day) => (settings.rule(day.rule), day.number),
            None => (settings.no_rule.as_deref().filter(|_| order.pattern.days().is_none()), 0),
        };
        let recurrence =
            wire::Recurrence { period, rule: rule.ok_or_else(|| not_sent("no word for the rule of the day is configured"))?, value };
        Ok(wire::CreateMandate {
            reference_id: our_ref,
            amount: settings.amount_unit.write(order.max_amount).ok_or_else(|| not_sent("the amount is no whole number of rupees"))?,
            amount_rule: order.amount_rule.code(),
            currency: "INR",
            payer: wire::Payer {
                name: name.show(Sight::Clear),
                vpa: vpa.show(Sight::Clear),
                // That it may be empty where it isn't compared is inferred: a refusal moves nothing.
                account: "",
                account_validation: false,
            },
            mandate_name: &order.name,
            expiry: indian(expires),
            block_fund: order.block_funds,
            recurrence,
            // Both days hold as a whole.
            validity: wire::Validity {
                start_at: format!("{}T00:00:00+05:30", day_in_india(order.valid_from)),
                end_at: format!("{}T23:59:59+05:30", day_in_india(order.valid_until)),
            },
            description: &order.description,
        })
    }

    fn end_of_approval(&self) -> Result<Timestamp, CallError> {
        let now = i64::try_from((self.now_ms)()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let end = now.and_then(|now| now.checked_add(APPROVAL_TIME).ok());
        end.ok_or_else(|| CallError::NotDelivered(Cause("the time by which to approve can't be told".to_owned())))
    }

    /// `GET /api/v0/upi-mandate/{referenceId}` [P34].
    async fn ask(&self, our_ref: &str) -> Result<Told, AskError> {
        self.api.ask(self.api.request("FetchMandate", Method::GET, &["api", "v0", "upi-mandate", our_ref], &[])).await
    }
}

/// EnKash's id of a mandate that it took, where the answer tells it.
fn taken(answer: Wrapped, our_ref: &str) -> Result<Option<String>, Unreadable> {
    // Whether there is anything more than the success is not published.
    let Some(payload) = answer.envelope.and_then(|envelope| envelope.payload).filter(|payload| payload.get().starts_with('{')) else {
        return Ok(None);
    };
    let told: wire::Mandate = read("mandate", payload.get().as_bytes())?;
    if told.reference_id.is_some_and(|named| named != our_ref) {
        return Err(unreadable("the answer is about a mandate with another reference than was sent"));
    }
    told.mandate_id.map(|named| id("mandate", Some(named))).transpose()
}

/// A mandate as our picture of it. `known`: EnKash's id of it, which proves as well as our reference that it is the one that
/// was asked for.
pub(super) fn shown(
    json: &RawValue,
    settings: &EnkashMandateSettings,
    our_ref: &str,
    known: Option<&str>,
) -> Result<MandateSnapshot, Unreadable> {
    let wire::Mandate { reference_id, mandate_id, status, amount, currency, umn, payer } = read("mandate", json.get().as_bytes())?;
    let is_it = match &reference_id {
        Some(named) => named == our_ref,
        None => known.is_some() && mandate_id.as_deref() == known,
    };
    if !is_it {
        return Err(unreadable("the answer is not known to be about the mandate that was asked for"));
    }
    if currency.is_some_and(|currency| currency != "INR") {
        return Err(unreadable("the mandate is in another currency than INR"));
    }
    let payer: wire::ShownPayer = payer.and_then(|payer| read("payer", payer.get().as_bytes()).ok()).unwrap_or_default();
    let max_amount = amount.map(|amount| settings.amount_unit.read(&amount)).transpose()?.flatten();
    Ok(MandateSnapshot {
        provider_ref: mandate_id.map(|named| id("mandate", Some(named))).transpose()?,
        our_ref: Some(our_ref.to_owned()),
        max_amount,
        umn: umn.filter(|umn| is_umn(umn)),
        payer_vpa: payer.vpa.and_then(|text| Vpa::parse(&text).ok()),
        // Nothing is published of the times of an approval or an end.
        ..MandateSnapshot::of(settings.status(status.as_deref()))
    })
}

/// Whether a text can be a mandate's number: a plain word, and the handle of the payer's app [upi.md 5.3].
fn is_umn(text: &str) -> bool {
    let is_handle = |handle: &str| !handle.is_empty() && handle.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() <= UMN_CHARS_MAX && text.split_once('@').is_some_and(|(number, handle)| is_plain(number) && is_handle(handle))
}

fn violations(order: &MandateOrder, settings: &EnkashMandateSettings) -> Vec<Violation> {
    let MandateOrder {
        max_amount,
        amount_rule: _,
        pattern,
        day,
        valid_from: _,
        valid_until: _,
        block_funds,
        revocable,
        payer,
        purpose,
        name: _,
        description: _,
        approval_expire_time: _,
        notes,
    } = order;
    let mut violations = Vec::new();
    let mut add =
        |field: &str, description: &str| violations.push(Violation { field: field.to_owned(), description: description.to_owned() });
    if max_amount.paise() < AMOUNT_MIN_PAISE {
        add("max_amount", "must be at least one paisa");
    } else if settings.amount_unit.write(*max_amount).is_none() {
        add("max_amount", "must be whole rupees: EnKash takes no others");
    }
    if !settings.offers(*pattern) {
        add("frequency", "must be one of those that the configuration has EnKash's words for");
    } else {
        match (pattern.days(), day) {
            (Some(_), None) => add("debit_day", "is needed: EnKash has no mandate of this frequency without a day"),
            (Some(_), Some(day)) if settings.rule(day.rule).is_none() => {
                add("debit_day_rule", "must be one of those that the configuration has EnKash's words for");
            }
            (None, Some(_)) => add("debit_day", "must be absent: this frequency has no day"),
            (Some(_), Some(_)) | (None, None) => (),
        }
    }
    if *block_funds && *pattern != Pattern::OneTime {
        add("block_funds", "must be false: only a mandate for one debit can block its amount");
    }
    if !revocable {
        add("revocable", "must be true: EnKash publishes no way to take that right from the payer");
    }
    if payer.vpa.is_none() {
        add("payer_vpa", "is needed: EnKash asks the payer in his UPI app and has no link");
    }
    if payer.name.is_none() {
        add("payer_name", "is needed: EnKash makes no mandate without it");
    }
    if !purpose.is_empty() && purpose != usual_purpose(*pattern) {
        add("purpose", "must be absent: EnKash takes none");
    }
    if !notes.is_empty() {
        add("notes", "must be absent: EnKash takes none with a mandate");
    }
    violations
}

/// What a mandate is for where nothing else is said.
fn usual_purpose(pattern: Pattern) -> &'static str {
    if pattern == Pattern::OneTime { "01" } else { "14" }
}

/// A moment as clocks in India show it: `2026-02-01T10:00:00+05:30`.
fn indian(at: Timestamp) -> String {
    let india = Offset::from_seconds(5 * 3_600 + 1_800).expect("5 h 30 min is a possible offset");
    at.to_zoned(TimeZone::fixed(india)).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
