//! RefundService.

use tonic::{Request, Response, Status};

use super::call::Call;
use super::list::Filters;
use super::pb::refund_service_server::RefundService;
use super::refund_resource::refund;
use super::status::status;
use super::violations::Violations;
use super::{Api, pb};
use crate::domain::event::Record;
use crate::domain::id::Kind;
use crate::domain::refund::{Refund, RefundOrder, RefundSpeed};
use crate::engine::lists::ListQuery;
use crate::engine::refund::RefundWish;
use crate::engine::{Answer, Error};

const DESCRIPTION_CHARS_MAX: usize = 255;

#[tonic::async_trait]
impl RefundService for Api {
    async fn create_refund(&self, request: Request<pb::CreateRefundRequest>) -> Result<Response<pb::CreateRefundResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let asked = call.asked(&self.engine, "CreateRefund", "CreateRefundRequest", &request.idempotency_key, &request);
        let created = async {
            let payment_id = request.payment_id.clone();
            let (wish, violations) = wish(request);
            let payment = self.visible_payment(&call, ("payment_id", &payment_id), violations).await?;
            let wish = Violations::default().unless_any(wish)?;
            self.engine.create_refund(asked, payment, wish).await
        };
        let Answer { resource, replayed } = created.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::CreateRefundResponse { refund: Some(refund(&resource)), idempotency_replayed: replayed }))
    }

    async fn get_refund(&self, request: Request<pb::GetRefundRequest>) -> Result<Response<pb::GetRefundResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let pb::GetRefundRequest { id } = request.into_inner();
        let found = self.visible_refund(&call, &id).await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::GetRefundResponse { refund: Some(refund(&found)) }))
    }

    async fn list_refunds(&self, request: Request<pb::ListRefundsRequest>) -> Result<Response<pb::ListRefundsResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let listed = async {
            let query = list_query(&request)?;
            self.page(&call, ("ListRefundsRequest", &request, &request.page_token), query).await
        };
        let (records, next_page_token) = listed.await.map_err(|error| status(&error))?;
        let refunds = records.iter().filter_map(|record| if let Record::Refund(found) = record { Some(refund(found)) } else { None });
        Ok(Response::new(pb::ListRefundsResponse { refunds: refunds.collect(), next_page_token }))
    }
}

impl Api {
    async fn visible_refund(&self, call: &Call, id: &str) -> Result<Refund, Error> {
        let mut violations = Violations::default();
        let parsed = violations.id("id", Kind::Refund, id);
        let parsed = violations.unless_any(parsed)?;
        let refund = call.in_time(self.engine.get_refund(&parsed)).await?;
        call.check_account(&self.engine, &refund.header.account, "refund", id)?;
        Ok(refund)
    }
}

/// What is asked for, as far as it can be read, and what is wrong with it whoever the provider is.
fn wish(request: pb::CreateRefundRequest) -> (Option<RefundWish>, Violations) {
    let pb::CreateRefundRequest { idempotency_key, payment_id: _, reference, labels, amount, speed, description, notes } = request;
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
    let speed = match pb::RefundSpeed::try_from(speed) {
        Ok(pb::RefundSpeed::Unspecified | pb::RefundSpeed::Normal) => Some(RefundSpeed::Normal),
        Ok(pb::RefundSpeed::Instant) => Some(RefundSpeed::Instant),
        Err(_) => {
            violations.add("speed", "is not a value of this field");
            None
        }
    };
    violations.text("description", &description, DESCRIPTION_CHARS_MAX);
    violations.notes("notes", &notes);
    let order = amount.zip(speed).map(|(amount, speed)| RefundOrder { amount, speed, description, notes });
    (order.map(|order| RefundWish { reference, labels, order }), violations)
}

fn list_query(request: &pb::ListRefundsRequest) -> Result<(ListQuery, usize), Error> {
    let pb::ListRefundsRequest {
        account,
        page_size,
        page_token: _,
        states,
        create_time_from,
        create_time_to,
        reference,
        labels,
        payment_id,
    } = request;
    let mut violations = Violations::default();
    let filters =
        Filters { account, create_time_from: create_time_from.as_ref(), create_time_to: create_time_to.as_ref(), reference, labels };
    let query = filters.query(Kind::Refund, &mut violations);
    let limit = violations.page_size(*page_size);
    let states = states.iter().filter_map(|state| violations.known::<pb::RefundState>("states", *state)).filter_map(|state| match state {
        pb::RefundState::Unspecified => None,
        pb::RefundState::Requested => Some("requested"),
        pb::RefundState::Pending => Some("pending"),
        pb::RefundState::Succeeded => Some("succeeded"),
        pb::RefundState::Failed => Some("failed"),
    });
    let states = states.collect();
    let parent = (!payment_id.is_empty()).then(|| violations.id("payment_id", Kind::Payment, payment_id)).flatten();
    violations.unless_any(query.map(|query| (ListQuery { states, parent, ..query }, limit)))
}
