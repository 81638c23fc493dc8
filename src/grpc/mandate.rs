//! MandateService: mandates. Take apart, do, put together. Debits are in `debit`.

use tonic::{Request, Response, Status};

use super::call::Call;
use super::list::Filters;
use super::mandate_resource::{debit, mandate};
use super::pb::mandate_service_server::MandateService;
use super::status::status;
use super::violations::Violations;
use super::{Api, pb};
use crate::domain::account::Operation;
use crate::domain::event::Record;
use crate::domain::id::Kind;
use crate::domain::mandate::{Mandate, MandateOrder, MandatePayer};
use crate::domain::personal::{Email, PersonName, Phone, Vpa};
use crate::domain::upi::{AmountRule, Day, DayRule, Pattern};
use crate::domain::working_days::day_in_india;
use crate::engine::lists::ListQuery;
use crate::engine::mandate::MandateWish;
use crate::engine::{Answer, Asked, Error};

const NAME_CHARS_MAX: usize = 64;
const PAYER_NAME_CHARS_MAX: usize = 100;
pub(super) const DESCRIPTION_CHARS_MAX: usize = 255;
/// UPI's purpose codes: recurring mandates, and those of one debit (upi.md 3).
const PURPOSE_RECURRING: &str = "14";
const PURPOSE_ONE_TIME: &str = "01";

#[tonic::async_trait]
impl MandateService for Api {
    async fn create_mandate(&self, request: Request<pb::CreateMandateRequest>) -> Result<Response<pb::CreateMandateResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let asked = call.asked(&self.engine, "CreateMandate", "CreateMandateRequest", &request.idempotency_key, &request);
        let created = async {
            let wish = self.mandate_wish(&call, request)?;
            call.check_account(&self.engine, &wish.account, "account", wish.account.as_str())?;
            self.engine.create_mandate(asked, wish).await
        };
        let Answer { resource, replayed } = created.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::CreateMandateResponse { mandate: Some(mandate(&resource, call.sight)), idempotency_replayed: replayed }))
    }

    async fn get_mandate(&self, request: Request<pb::GetMandateRequest>) -> Result<Response<pb::GetMandateResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let pb::GetMandateRequest { id } = request.into_inner();
        let found = self.visible_mandate(&call, ("id", &id), Violations::default()).await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::GetMandateResponse { mandate: Some(mandate(&found, call.sight)) }))
    }

    async fn list_mandates(&self, request: Request<pb::ListMandatesRequest>) -> Result<Response<pb::ListMandatesResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let listed = async {
            let query = mandates_query(&request)?;
            self.page(&call, ("ListMandatesRequest", &request, &request.page_token), query).await
        };
        let (records, next_page_token) = listed.await.map_err(|error| status(&error))?;
        let mandates = records.iter().filter_map(|record| match record {
            Record::Mandate(found) => Some(mandate(found, call.sight)),
            _ => None,
        });
        Ok(Response::new(pb::ListMandatesResponse { mandates: mandates.collect(), next_page_token }))
    }

    async fn update_mandate(&self, request: Request<pb::UpdateMandateRequest>) -> Result<Response<pb::UpdateMandateResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let asked = call.asked(&self.engine, "UpdateMandate", "UpdateMandateRequest", &request.idempotency_key, &request);
        let pb::UpdateMandateRequest { idempotency_key, id, max_amount, valid_until } = request;
        let mut violations = Violations::default();
        violations.key(&idempotency_key);
        max_amount.as_ref().and_then(|amount| violations.amount("max_amount", amount));
        violations.time("valid_until", valid_until.as_ref());
        if max_amount.is_none() && valid_until.is_none() {
            violations.add("max_amount", "is needed, or valid_until: say what is to change");
        }
        let changed = self.refuse_change(&call, &asked, &id, violations, Operation::UpdateMandate);
        let Answer { resource, replayed } = changed.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::UpdateMandateResponse { mandate: Some(mandate(&resource, call.sight)), idempotency_replayed: replayed }))
    }

    async fn pause_mandate(&self, request: Request<pb::PauseMandateRequest>) -> Result<Response<pb::PauseMandateResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let asked = call.asked(&self.engine, "PauseMandate", "PauseMandateRequest", &request.idempotency_key, &request);
        let pb::PauseMandateRequest { idempotency_key, id } = request;
        let mut violations = Violations::default();
        violations.key(&idempotency_key);
        let changed = self.refuse_change(&call, &asked, &id, violations, Operation::PauseMandate);
        let Answer { resource, replayed } = changed.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::PauseMandateResponse { mandate: Some(mandate(&resource, call.sight)), idempotency_replayed: replayed }))
    }

    async fn resume_mandate(&self, request: Request<pb::ResumeMandateRequest>) -> Result<Response<pb::ResumeMandateResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let asked = call.asked(&self.engine, "ResumeMandate", "ResumeMandateRequest", &request.idempotency_key, &request);
        let pb::ResumeMandateRequest { idempotency_key, id } = request;
        let mut violations = Violations::default();
        violations.key(&idempotency_key);
        let changed = self.refuse_change(&call, &asked, &id, violations, Operation::ResumeMandate);
        let Answer { resource, replayed } = changed.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::ResumeMandateResponse { mandate: Some(mandate(&resource, call.sight)), idempotency_replayed: replayed }))
    }

    async fn revoke_mandate(&self, request: Request<pb::RevokeMandateRequest>) -> Result<Response<pb::RevokeMandateResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let asked = call.asked(&self.engine, "RevokeMandate", "RevokeMandateRequest", &request.idempotency_key, &request);
        let pb::RevokeMandateRequest { idempotency_key, id } = request;
        let revoked = async {
            let mut violations = Violations::default();
            violations.key(&idempotency_key);
            let found = self.visible_mandate(&call, ("id", &id), violations).await?;
            self.engine.revoke_mandate(asked, found).await
        };
        let Answer { resource, replayed } = revoked.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::RevokeMandateResponse { mandate: Some(mandate(&resource, call.sight)), idempotency_replayed: replayed }))
    }

    async fn create_debit(&self, request: Request<pb::CreateDebitRequest>) -> Result<Response<pb::CreateDebitResponse>, Status> {
        let Answer { resource, replayed } = self.debit_created(request).await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::CreateDebitResponse { debit: Some(debit(&resource)), idempotency_replayed: replayed }))
    }

    async fn execute_debit(&self, request: Request<pb::ExecuteDebitRequest>) -> Result<Response<pb::ExecuteDebitResponse>, Status> {
        let Answer { resource, replayed } = self.debit_executed(request).await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::ExecuteDebitResponse { debit: Some(debit(&resource)), idempotency_replayed: replayed }))
    }

    async fn cancel_debit(&self, request: Request<pb::CancelDebitRequest>) -> Result<Response<pb::CancelDebitResponse>, Status> {
        let Answer { resource, replayed } = self.debit_cancelled(request).await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::CancelDebitResponse { debit: Some(debit(&resource)), idempotency_replayed: replayed }))
    }

    async fn get_debit(&self, request: Request<pb::GetDebitRequest>) -> Result<Response<pb::GetDebitResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let pb::GetDebitRequest { id } = request.into_inner();
        let found = self.visible_debit(&call, &id, Violations::default()).await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::GetDebitResponse { debit: Some(debit(&found)) }))
    }

    async fn list_debits(&self, request: Request<pb::ListDebitsRequest>) -> Result<Response<pb::ListDebitsResponse>, Status> {
        let (debits, next_page_token) = self.debits_listed(request).await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::ListDebitsResponse { debits, next_page_token }))
    }
}

impl Api {
    /// What is asked for; or all that is wrong with it, what the account's provider would refuse included.
    fn mandate_wish(&self, call: &Call, request: pb::CreateMandateRequest) -> Result<MandateWish, Error> {
        let now = self.engine.now();
        let (wish, mut violations) = wish(request, now);
        if let Some(wish) = wish.as_ref().filter(|wish| !violations.is_empty() && call.may_see(&self.engine, &wish.account)) {
            violations.add_further(self.engine.mandate_violations(&wish.account, &wish.order));
        }
        violations.unless_any(wish)
    }

    /// The mandate with this id, if the caller may see it. `violations`: what is wrong with the rest of the request.
    pub(super) async fn visible_mandate(&self, call: &Call, (field, id): (&str, &str), mut violations: Violations) -> Result<Mandate, Error> {
        let parsed = violations.id(field, Kind::Mandate, id);
        let parsed = violations.unless_any(parsed)?;
        let mandate = call.in_time(self.engine.get_mandate(&parsed)).await?;
        call.check_account(&self.engine, &mandate.header.account, "mandate", id)?;
        Ok(mandate)
    }

    /// A change that none of the providers makes.
    async fn refuse_change(
        &self,
        call: &Call,
        asked: &Asked,
        id: &str,
        violations: Violations,
        operation: Operation,
    ) -> Result<Answer<Mandate>, Error> {
        let mandate = self.visible_mandate(call, ("id", id), violations).await?;
        self.engine.refuse_change(asked, &mandate, operation).await
    }
}

/// What is asked for, as far as it can be read, and what is wrong with it whoever the provider is.
fn wish(request: pb::CreateMandateRequest, now: jiff::Timestamp) -> (Option<MandateWish>, Violations) {
    let pb::CreateMandateRequest {
        idempotency_key,
        account,
        reference,
        labels,
        max_amount,
        amount_rule,
        frequency,
        debit_day,
        debit_day_rule,
        valid_from,
        valid_until,
        block_funds,
        revocable,
        payer_vpa,
        payer_name,
        payer_phone,
        payer_email,
        purpose,
        name,
        description,
        approval_expire_time,
        notes,
    } = request;
    let mut violations = Violations::default();
    violations.key(&idempotency_key);
    let account = violations.account(&account);
    violations.reference(&reference);
    violations.labels("labels", &labels);
    let max_amount = match &max_amount {
        Some(amount) => violations.amount("max_amount", amount),
        None => {
            violations.add("max_amount", "is needed: say how much at most");
            None
        }
    };
    let amount_rule = violations.known::<pb::MandateAmountRule>("amount_rule", amount_rule).and_then(|rule| match rule {
        pb::MandateAmountRule::Unspecified => {
            violations.add("amount_rule", "is needed: EXACT or MAX");
            None
        }
        pb::MandateAmountRule::Exact => Some(AmountRule::Exact),
        pb::MandateAmountRule::Max => Some(AmountRule::Max),
    });
    let pattern = pattern(frequency, &mut violations);
    let day = day(pattern, debit_day, debit_day_rule, &mut violations);
    let from = valid_from.as_ref().map_or(Some(now), |from| violations.time("valid_from", Some(from)));
    let until = match &valid_until {
        Some(until) => violations.time("valid_until", Some(until)),
        None => {
            violations.add("valid_until", "is needed: say until when");
            None
        }
    };
    if from.is_some_and(|from| day_in_india(from) < day_in_india(now)) {
        violations.add("valid_from", "must be today, in India, or later");
    }
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        violations.add("valid_until", "must be after valid_from");
    }
    let approval_expire_time = approval_expire_time.as_ref().and_then(|time| violations.time("approval_expire_time", Some(time)));
    if approval_expire_time.is_some_and(|time| time <= now) {
        violations.add("approval_expire_time", "must be in the future");
    }
    let one_time = pattern == Some(Pattern::OneTime);
    if block_funds && pattern.is_some() && !one_time {
        violations.add("block_funds", "is only for ONE_TIME: nothing else can block funds");
    }
    let revocable = revocable.unwrap_or(true);
    if !revocable && one_time && !block_funds {
        violations.add("revocable", "must be true for ONE_TIME without block_funds");
    }
    violations.text("payer_name", &payer_name, PAYER_NAME_CHARS_MAX);
    let payer = MandatePayer {
        vpa: parsed("payer_vpa", &payer_vpa, Vpa::parse, &mut violations),
        name: parsed("payer_name", &payer_name, PersonName::parse, &mut violations),
        phone: parsed("payer_phone", &payer_phone, Phone::parse, &mut violations),
        email: parsed("payer_email", &payer_email, Email::parse, &mut violations),
    };
    if !purpose.is_empty() && !(purpose.len() == 2 && purpose.bytes().all(|digit| digit.is_ascii_digit())) {
        violations.add("purpose", "must be a purpose code of two digits, or empty");
    }
    let purpose = match (purpose.is_empty(), one_time) {
        (false, _) => purpose,
        (true, true) => PURPOSE_ONE_TIME.to_owned(),
        (true, false) => PURPOSE_RECURRING.to_owned(),
    };
    if name.trim().is_empty() {
        violations.add("name", "is needed: what the payer is shown");
    }
    violations.text("name", &name, NAME_CHARS_MAX);
    violations.text("description", &description, DESCRIPTION_CHARS_MAX);
    violations.notes("notes", &notes);
    let order = max_amount.zip(amount_rule).zip(pattern).zip(from).zip(until).map(
        |((((max_amount, amount_rule), pattern), valid_from), valid_until)| MandateOrder {
            max_amount,
            amount_rule,
            pattern,
            day,
            valid_from,
            valid_until,
            block_funds,
            revocable,
            payer,
            purpose,
            name,
            description,
            approval_expire_time,
            notes,
        },
    );
    (account.zip(order).map(|(account, order)| MandateWish { account, reference, labels, order }), violations)
}

fn pattern(frequency: i32, violations: &mut Violations) -> Option<Pattern> {
    match violations.known::<pb::MandateFrequency>("frequency", frequency)? {
        pb::MandateFrequency::Unspecified => {
            violations.add("frequency", "is needed: say how often a debit may succeed");
            None
        }
        pb::MandateFrequency::OneTime => Some(Pattern::OneTime),
        pb::MandateFrequency::Daily => Some(Pattern::Daily),
        pb::MandateFrequency::Weekly => Some(Pattern::Weekly),
        pb::MandateFrequency::Fortnightly => Some(Pattern::Fortnightly),
        pb::MandateFrequency::Monthly => Some(Pattern::Monthly),
        pb::MandateFrequency::Bimonthly => Some(Pattern::BiMonthly),
        pb::MandateFrequency::Quarterly => Some(Pattern::Quarterly),
        pb::MandateFrequency::HalfYearly => Some(Pattern::HalfYearly),
        pb::MandateFrequency::Yearly => Some(Pattern::Yearly),
        pb::MandateFrequency::AsPresented => Some(Pattern::AsPresented),
    }
}

/// The day and its rule: both or neither, and only where the frequency has days.
fn day(pattern: Option<Pattern>, number: Option<i32>, rule: i32, violations: &mut Violations) -> Option<Day> {
    let known = if rule == 0 { None } else { violations.known::<pb::MandateDebitDayRule>("debit_day_rule", rule) };
    let rule = known.and_then(|rule| match rule {
        pb::MandateDebitDayRule::Unspecified => None,
        pb::MandateDebitDayRule::Before => Some(DayRule::Before),
        pb::MandateDebitDayRule::On => Some(DayRule::On),
        pb::MandateDebitDayRule::After => Some(DayRule::After),
    });
    let (number, rule) = match (number, rule) {
        (None, None) => return None,
        (Some(number), Some(rule)) => (number, rule),
        (Some(_), None) => {
            violations.add("debit_day_rule", "is needed with debit_day: BEFORE, ON or AFTER");
            return None;
        }
        (None, Some(_)) => {
            violations.add("debit_day", "is needed with debit_day_rule");
            return None;
        }
    };
    let pattern = pattern?;
    let most = match pattern {
        Pattern::OneTime | Pattern::Daily | Pattern::AsPresented => {
            violations.add("debit_day", "has no meaning for this frequency");
            return None;
        }
        Pattern::Weekly => 7,
        Pattern::Fortnightly => 16,
        Pattern::Monthly | Pattern::BiMonthly | Pattern::Quarterly | Pattern::HalfYearly | Pattern::Yearly => 31,
    };
    match u8::try_from(number).ok().filter(|number| (1..=most).contains(number)) {
        Some(number) => Some(Day { number, rule }),
        None => {
            violations.add("debit_day", format!("must be 1 to {most} for this frequency"));
            None
        }
    }
}

/// What `parse` makes of a text that may be left out.
fn parsed<T, E: std::fmt::Display>(field: &str, text: &str, parse: fn(&str) -> Result<T, E>, violations: &mut Violations) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    match parse(text) {
        Ok(read) => Some(read),
        Err(why) => {
            violations.add(field, why.to_string());
            None
        }
    }
}

fn mandates_query(request: &pb::ListMandatesRequest) -> Result<(ListQuery, usize), Error> {
    let pb::ListMandatesRequest { account, page_size, page_token: _, states, create_time_from, create_time_to, reference, labels } = request;
    let mut violations = Violations::default();
    let filters =
        Filters { account, create_time_from: create_time_from.as_ref(), create_time_to: create_time_to.as_ref(), reference, labels };
    let query = filters.query(Kind::Mandate, &mut violations);
    let limit = violations.page_size(*page_size);
    let states = states.iter().filter_map(|state| violations.known::<pb::MandateState>("states", *state)).filter_map(|state| match state {
        pb::MandateState::Unspecified => None,
        pb::MandateState::Requested => Some("requested"),
        pb::MandateState::AwaitingApproval => Some("awaiting_approval"),
        pb::MandateState::Active => Some("active"),
        pb::MandateState::Paused => Some("paused"),
        pb::MandateState::Revoked => Some("revoked"),
        pb::MandateState::Rejected => Some("rejected"),
        pb::MandateState::Expired => Some("expired"),
        pb::MandateState::Completed => Some("completed"),
        pb::MandateState::Failed => Some("failed"),
    });
    let states = states.collect();
    violations.unless_any(query.map(|query| (ListQuery { states, ..query }, limit)))
}
