//! MandateService's debits: take apart, do, put together.

use tonic::Request;

use super::call::Call;
use super::list::Filters;
use super::mandate::DESCRIPTION_CHARS_MAX;
use super::mandate_resource::debit;
use super::violations::Violations;
use super::{Api, pb};
use crate::domain::debit::{Debit, DebitOrder};
use crate::domain::event::Record;
use crate::domain::id::Kind;
use crate::engine::debit::DebitWish;
use crate::engine::lists::ListQuery;
use crate::engine::{Answer, Error};

impl Api {
    pub(super) async fn debit_created(&self, request: Request<pb::CreateDebitRequest>) -> Result<Answer<Debit>, Error> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let asked = call.asked(&self.engine, "CreateDebit", "CreateDebitRequest", &request.idempotency_key, &request);
        let mandate_id = request.mandate_id.clone();
        let (wish, violations) = wish(request);
        let mandate = self.visible_mandate(&call, ("mandate_id", &mandate_id), violations).await?;
        let wish = Violations::default().unless_any(wish)?;
        self.engine.create_debit(asked, mandate, wish).await
    }

    pub(super) async fn debit_executed(&self, request: Request<pb::ExecuteDebitRequest>) -> Result<Answer<Debit>, Error> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let asked = call.asked(&self.engine, "ExecuteDebit", "ExecuteDebitRequest", &request.idempotency_key, &request);
        let pb::ExecuteDebitRequest { idempotency_key, id } = request;
        let mut violations = Violations::default();
        violations.key(&idempotency_key);
        let found = self.visible_debit(&call, &id, violations).await?;
        self.engine.execute_debit(asked, found).await
    }

    pub(super) async fn debit_cancelled(&self, request: Request<pb::CancelDebitRequest>) -> Result<Answer<Debit>, Error> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let asked = call.asked(&self.engine, "CancelDebit", "CancelDebitRequest", &request.idempotency_key, &request);
        let pb::CancelDebitRequest { idempotency_key, id } = request;
        let mut violations = Violations::default();
        violations.key(&idempotency_key);
        let found = self.visible_debit(&call, &id, violations).await?;
        self.engine.cancel_debit(asked, found).await
    }

    pub(super) async fn debits_listed(&self, request: Request<pb::ListDebitsRequest>) -> Result<(Vec<pb::Debit>, String), Error> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let query = list_query(&request)?;
        let (records, next_page_token) = self.page(&call, ("ListDebitsRequest", &request, &request.page_token), query).await?;
        let debits = records.iter().filter_map(|record| if let Record::Debit(found) = record { Some(debit(found)) } else { None });
        Ok((debits.collect(), next_page_token))
    }

    /// The debit with this id, if the caller may see it. `violations`: what is wrong with the rest of the request.
    pub(super) async fn visible_debit(&self, call: &Call, id: &str, mut violations: Violations) -> Result<Debit, Error> {
        let parsed = violations.id("id", Kind::Debit, id);
        let parsed = violations.unless_any(parsed)?;
        let debit = call.in_time(self.engine.get_debit(&parsed)).await?;
        call.check_account(&self.engine, &debit.header.account, "debit", id)?;
        Ok(debit)
    }
}

/// What is asked for, as far as it can be read, and what is wrong with it whoever the provider is.
fn wish(request: pb::CreateDebitRequest) -> (Option<DebitWish>, Violations) {
    let pb::CreateDebitRequest {
        idempotency_key,
        mandate_id: _,
        reference,
        labels,
        amount,
        auto_execute,
        execute_after,
        description,
        notes,
    } = request;
    let mut violations = Violations::default();
    violations.key(&idempotency_key);
    violations.reference(&reference);
    violations.labels("labels", &labels);
    let amount = match &amount {
        Some(amount) => violations.amount("amount", amount),
        None => {
            violations.add("amount", "is needed: say how much");
            None
        }
    };
    let execute_after = execute_after.as_ref().and_then(|time| violations.time("execute_after", Some(time)));
    violations.text("description", &description, DESCRIPTION_CHARS_MAX);
    violations.notes("notes", &notes);
    let auto_execute = auto_execute.unwrap_or(true);
    let order = amount.map(|amount| DebitOrder { amount, auto_execute, execute_after, description, notes });
    (order.map(|order| DebitWish { reference, labels, order }), violations)
}

fn list_query(request: &pb::ListDebitsRequest) -> Result<(ListQuery, usize), Error> {
    let pb::ListDebitsRequest {
        account,
        page_size,
        page_token: _,
        states,
        create_time_from,
        create_time_to,
        reference,
        labels,
        mandate_id,
    } = request;
    let mut violations = Violations::default();
    let filters =
        Filters { account, create_time_from: create_time_from.as_ref(), create_time_to: create_time_to.as_ref(), reference, labels };
    let query = filters.query(Kind::Debit, &mut violations);
    let limit = violations.page_size(*page_size);
    let states = states.iter().filter_map(|state| violations.known::<pb::DebitState>("states", *state)).filter_map(|state| match state {
        pb::DebitState::Unspecified => None,
        pb::DebitState::Requested => Some("requested"),
        pb::DebitState::Notified => Some("notified"),
        pb::DebitState::Scheduled => Some("scheduled"),
        pb::DebitState::Executing => Some("executing"),
        pb::DebitState::Succeeded => Some("succeeded"),
        pb::DebitState::Failed => Some("failed"),
        pb::DebitState::Cancelled => Some("cancelled"),
    });
    let states = states.collect();
    let parent = (!mandate_id.is_empty()).then(|| violations.id("mandate_id", Kind::Mandate, mandate_id)).flatten();
    violations.unless_any(query.map(|query| (ListQuery { states, parent, ..query }, limit)))
}
