//! PaymentService.

use tonic::{Request, Response, Status};

use super::call::Call;
use super::list::Filters;
use super::pb::payment_service_server::PaymentService;
use super::resource;
use super::status::status;
use super::violations::Violations;
use super::{Api, pb};
use crate::domain::event::Record;
use crate::domain::id::Kind;
use crate::domain::payment::Payment;
use crate::engine::Error;
use crate::engine::lists::ListQuery;

#[tonic::async_trait]
impl PaymentService for Api {
    async fn get_payment(&self, request: Request<pb::GetPaymentRequest>) -> Result<Response<pb::GetPaymentResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let pb::GetPaymentRequest { id } = request.into_inner();
        let payment = self.visible_payment(&call, ("id", &id), Violations::default()).await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::GetPaymentResponse { payment: Some(resource::payment(&payment, call.sight)) }))
    }

    async fn list_payments(&self, request: Request<pb::ListPaymentsRequest>) -> Result<Response<pb::ListPaymentsResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let listed = async {
            let query = list_query(&request)?;
            self.page(&call, ("ListPaymentsRequest", &request, &request.page_token), query).await
        };
        let (records, next_page_token) = listed.await.map_err(|error| status(&error))?;
        let payments = records.iter().filter_map(|record| match record {
            Record::Payment(payment) => Some(resource::payment(payment, call.sight)),
            _ => None,
        });
        Ok(Response::new(pb::ListPaymentsResponse { payments: payments.collect(), next_page_token }))
    }

    async fn refresh_payment(&self, request: Request<pb::RefreshPaymentRequest>) -> Result<Response<pb::RefreshPaymentResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let pb::RefreshPaymentRequest { id } = request.into_inner();
        let refreshed = async {
            let payment = self.visible_payment(&call, ("id", &id), Violations::default()).await?;
            self.engine.refresh_payment(payment, call.deadline, call.traceparent.clone()).await
        };
        let payment = refreshed.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::RefreshPaymentResponse { payment: Some(resource::payment(&payment, call.sight)) }))
    }
}

impl Api {
    /// The payment with this id, if the caller may see it. `violations`: what is wrong with the rest of the request.
    pub(super) async fn visible_payment(
        &self,
        call: &Call,
        (field, id): (&str, &str),
        mut violations: Violations,
    ) -> Result<Payment, Error> {
        let parsed = violations.id(field, Kind::Payment, id);
        let parsed = violations.unless_any(parsed)?;
        let payment = call.in_time(self.engine.get_payment(&parsed)).await?;
        call.check_account(&self.engine, &payment.header.account, "payment", id)?;
        Ok(payment)
    }
}

fn list_query(request: &pb::ListPaymentsRequest) -> Result<(ListQuery, usize), Error> {
    let pb::ListPaymentsRequest {
        account,
        page_size,
        page_token: _,
        states,
        create_time_from,
        create_time_to,
        reference,
        labels,
        qr_id,
        debit_id,
    } = request;
    let mut violations = Violations::default();
    let filters =
        Filters { account, create_time_from: create_time_from.as_ref(), create_time_to: create_time_to.as_ref(), reference, labels };
    let query = filters.query(Kind::Payment, &mut violations);
    let limit = violations.page_size(*page_size);
    let states = states.iter().filter_map(|state| violations.known::<pb::PaymentState>("states", *state)).filter_map(|state| match state {
        pb::PaymentState::Unspecified => None,
        pb::PaymentState::Pending => Some("pending"),
        pb::PaymentState::Authorized => Some("authorized"),
        pb::PaymentState::Succeeded => Some("succeeded"),
        pb::PaymentState::Mismatched => Some("mismatched"),
        pb::PaymentState::Failed => Some("failed"),
        pb::PaymentState::Reversed => Some("reversed"),
    });
    let states = states.collect();
    if !qr_id.is_empty() && !debit_id.is_empty() {
        violations.add("debit_id", "must not be given together with qr_id");
    }
    let qr = (!qr_id.is_empty()).then(|| violations.id("qr_id", Kind::Qr, qr_id)).flatten();
    let debit = (!debit_id.is_empty()).then(|| violations.id("debit_id", Kind::Debit, debit_id)).flatten();
    let parent = qr.or(debit);
    violations.unless_any(query.map(|query| (ListQuery { states, parent, ..query }, limit)))
}
