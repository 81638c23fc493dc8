//! Creating a mandate: what the request must say, and what comes of a reference that was used before.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{AmountRule, Mandate, MandatePeriod, MandateRule, MandateStatus, Payer, Recurrence};
use crate::sandbox::ApprovalCourse;
use crate::sandbox::clock::SECOND_MS;
use crate::sandbox::enkash::Paths;
use crate::sandbox::enkash::desk::{Desk, Due, room_on};
use crate::sandbox::enkash::failure::Failure;
use crate::sandbox::enkash::input;
use crate::sandbox::enkash::switches::RepeatedMandate;

/// How long a payer takes who approves by himself.
const APPROVAL_MS: i64 = 30 * SECOND_MS;
const VPA_LOCAL_LENGTHS: std::ops::RangeInclusive<usize> = 2..=256;
const VPA_HANDLE_LENGTHS: std::ops::RangeInclusive<usize> = 2..=64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MandateCreateRequest<'a> {
    #[serde(alias = "reference_id")]
    reference_id: String,
    #[serde(borrow)]
    amount: &'a RawValue,
    #[serde(alias = "amount_rule")]
    amount_rule: AmountRule,
    currency: String,
    payer: Payer,
    #[serde(alias = "mandate_name")]
    mandate_name: String,
    expiry: Timestamp,
    #[serde(alias = "block_fund")]
    block_fund: bool,
    recurrence: RecurrenceRequest,
    validity: ValidityRequest,
    #[serde(rename = "upiReferenceUrl", alias = "upi_reference_url")]
    _upi_reference_url: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecurrenceRequest {
    period: String,
    rule: String,
    value: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ValidityRequest {
    #[serde(alias = "start_at")]
    start_at: Timestamp,
    #[serde(alias = "end_at")]
    end_at: Timestamp,
}

impl Desk<'_> {
    pub fn create_mandate(&mut self, body: &[u8], paths: Paths) -> Result<String, Failure> {
        room_on(&self.books.mandates)?;
        let mandate = self.read_mandate(body)?;
        match (self.our_switches().repeated_mandate, self.mandate_of(&mandate.reference_id)) {
            (_, None) => (),
            (RepeatedMandate::Refused, Some(_)) => return Err(Failure::other("Reference id already exists.")),
            (RepeatedMandate::FirstAnswered, Some(first)) => return Ok(self.success(self.view_standing(first, self.naming(paths)))),
        }
        let answer = self.success(self.view_standing(&mandate, self.naming(paths)));
        let id = || mandate.id.clone();
        self.appoint(mandate.expires_ms, Due::ApprovalTimesOut(id()));
        self.appoint(mandate.ends_ms, Due::MandateEnds(id()));
        if self.switches.mandates.approvals == ApprovalCourse::ByThemselves {
            self.appoint(self.now_ms + APPROVAL_MS, Due::PayerApproves(id()));
        }
        self.books.mandates.put(mandate);
        Ok(answer)
    }

    fn read_mandate(&mut self, body: &[u8]) -> Result<Mandate, Failure> {
        let MandateCreateRequest {
            reference_id,
            amount,
            amount_rule,
            currency,
            payer,
            mandate_name,
            expiry,
            block_fund,
            recurrence,
            validity: ValidityRequest { start_at, end_at },
            _upi_reference_url,
            _description,
        } = input::read(body)?;
        for (name, text) in [("referenceId", &reference_id), ("payer.name", &payer.name), ("mandateName", &mandate_name)] {
            if text.trim().is_empty() {
                return Err(Failure::other(format!("{name} must not be empty.")));
            }
        }
        let amount = input::whole_amount("amount", amount, self.our_switches().mandate_amounts_in_rupees)?;
        if currency != "INR" {
            return Err(Failure::other("currency must be INR."));
        }
        if !is_vpa(&payer.vpa) {
            return Err(Failure::other("payer.vpa is not valid."));
        }
        if payer.account_validation && payer.account.trim().is_empty() {
            return Err(Failure::other("payer.account is needed where it is validated."));
        }
        let recurrence = self.read_recurrence(&recurrence)?;
        if block_fund && recurrence.period != MandatePeriod::OneTime {
            return Err(Failure::other("blockFund is for one-time mandates."));
        }
        let (expires_ms, starts_ms, ends_ms) = (expiry.as_millisecond(), start_at.as_millisecond(), end_at.as_millisecond());
        if expires_ms <= self.now_ms {
            return Err(Failure::other("expiry must be in the future."));
        }
        if ends_ms <= starts_ms || ends_ms <= self.now_ms {
            return Err(Failure::other("validity.endAt must be in the future and later than validity.startAt."));
        }
        Ok(Mandate {
            id: self.new_id("MD"),
            reference_id,
            status: MandateStatus::Initiated,
            cancelling: false,
            umn: None,
            amount,
            amount_rule,
            payer,
            name: mandate_name,
            expires_ms,
            block_fund,
            recurrence,
            starts_ms,
            ends_ms,
            paused_ms: None,
            debits: Vec::new(),
        })
    }

    fn read_recurrence(&self, recurrence: &RecurrenceRequest) -> Result<Recurrence, Failure> {
        let RecurrenceRequest { period, rule, value } = recurrence;
        let period = self.words().period_of(period).ok_or_else(|| Failure::other("recurrence.period is not valid."))?;
        let rule = self.words().rule_of(rule).ok_or_else(|| Failure::other("recurrence.rule is not valid."))?;
        let fits = match period.last_day() {
            Some(last) => rule != MandateRule::None && (1..=last).contains(value),
            None => rule == MandateRule::None && *value == 0,
        };
        let fit = || Failure::other("recurrence.rule and recurrence.value don't fit the period.");
        if fits { Ok(Recurrence { period, rule, value: *value }) } else { Err(fit()) }
    }
}

fn is_vpa(vpa: &str) -> bool {
    let is_local = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    vpa.split_once('@').is_some_and(|(local, handle)| {
        VPA_LOCAL_LENGTHS.contains(&local.len())
            && local.bytes().all(is_local)
            && VPA_HANDLE_LENGTHS.contains(&handle.len())
            && handle.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && handle.starts_with(|first: char| first.is_ascii_alphabetic())
    })
}
