//! A service with one mandate and one debit of it, which remembers what it was asked.

use std::sync::{Arc, Mutex};

use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::super::testing::{at, inr, served};
use crate::grpc::pb;
use crate::grpc::pb::mandate_service_server::{MandateService, MandateServiceServer};

/// A request as it came, but for reads of one resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    CreateMandate(Box<pb::CreateMandateRequest>),
    ListMandates(pb::ListMandatesRequest),
    UpdateMandate(pb::UpdateMandateRequest),
    PauseMandate(pb::PauseMandateRequest),
    ResumeMandate(pb::ResumeMandateRequest),
    RevokeMandate(pb::RevokeMandateRequest),
    CreateDebit(pb::CreateDebitRequest),
    ExecuteDebit(pb::ExecuteDebitRequest),
    CancelDebit(pb::CancelDebitRequest),
    ListDebits(pb::ListDebitsRequest),
}

/// The very same request again is a replay. It has no pausing, a revoke of `mndt_busy` is pending, and `dbt_early` may not be
/// executed before 10:00 of the next day.
#[derive(Default)]
pub struct Desk {
    asked: Mutex<Vec<Asked>>,
}

pub async fn desk() -> (String, Arc<Desk>) {
    let desk = Arc::new(Desk::default());
    let address = served(Server::builder().add_service(MandateServiceServer::from_arc(desk.clone()))).await;
    (address, desk)
}

pub fn mandate() -> pb::Mandate {
    pb::Mandate {
        id: "mndt_1".to_owned(),
        account: "shop".to_owned(),
        provider: "razorpay".to_owned(),
        provider_ref: "order_Ab3dEf".to_owned(),
        state: pb::MandateState::AwaitingApproval.into(),
        revision: 2,
        create_time: Some(at(0)),
        max_amount: Some(inr(150_000)),
        amount_rule: pb::MandateAmountRule::Max.into(),
        frequency: pb::MandateFrequency::Monthly.into(),
        debit_day: Some(5),
        debit_day_rule: pb::MandateDebitDayRule::Before.into(),
        valid_from: Some(at(0)),
        valid_until: Some(at(24 * 60)),
        revocable: true,
        approval_link: "upi://mandate?pa=demostores.qr@examplebank&pn=Demo%20Stores&am=1500.00&txnType=CREATE".to_owned(),
        purpose: "14".to_owned(),
        name: "Gold plan".to_owned(),
        amount_debited: Some(inr(0)),
        ..pb::Mandate::default()
    }
}

pub fn active() -> pb::Mandate {
    pb::Mandate {
        state: pb::MandateState::Active.into(),
        revision: 7,
        approve_time: Some(at(1)),
        umn: "0a1b2c@examplebank".to_owned(),
        debit_count: 3,
        amount_debited: Some(inr(449_900)),
        ..mandate()
    }
}

pub fn debit() -> pb::Debit {
    pb::Debit {
        id: "dbt_1".to_owned(),
        account: "shop".to_owned(),
        provider: "razorpay".to_owned(),
        state: pb::DebitState::Scheduled.into(),
        revision: 3,
        create_time: Some(at(0)),
        mandate_id: "mndt_1".to_owned(),
        amount: Some(inr(49_900)),
        auto_execute: true,
        cycle: "2026-02".to_owned(),
        notify_time: Some(at(1)),
        notify_deliver_time: Some(at(2)),
        notify_expire_time: Some(at(3 * 24 * 60)),
        notify_count: 1,
        next_permitted_time: Some(at(24 * 60 + 2)),
        ..pb::Debit::default()
    }
}

impl Desk {
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Whether it was asked before.
    fn note(&self, asked: Asked) -> bool {
        let mut all = self.asked.lock().unwrap();
        let replayed = all.contains(&asked);
        all.push(asked);
        replayed
    }
}

fn no(code: Code, reason: &str, metadata: &[(&str, &str)], message: &str) -> Status {
    let metadata = [("outcome", "NOT_SENT")].iter().chain(metadata).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let details = ErrorDetails::with_error_info(reason, "upistream", metadata.collect::<std::collections::HashMap<_, _>>());
    Status::with_error_details(code, message, details)
}

#[tonic::async_trait]
impl MandateService for Desk {
    async fn create_mandate(&self, request: Request<pb::CreateMandateRequest>) -> Result<Response<pb::CreateMandateResponse>, Status> {
        let idempotency_replayed = self.note(Asked::CreateMandate(Box::new(request.into_inner())));
        Ok(Response::new(pb::CreateMandateResponse { mandate: Some(mandate()), idempotency_replayed }))
    }

    async fn get_mandate(&self, request: Request<pb::GetMandateRequest>) -> Result<Response<pb::GetMandateResponse>, Status> {
        let found = pb::Mandate { id: request.into_inner().id, ..active() };
        Ok(Response::new(pb::GetMandateResponse { mandate: Some(found) }))
    }

    async fn list_mandates(&self, request: Request<pb::ListMandatesRequest>) -> Result<Response<pb::ListMandatesResponse>, Status> {
        self.note(Asked::ListMandates(request.into_inner()));
        Ok(Response::new(pb::ListMandatesResponse::default()))
    }

    async fn update_mandate(&self, request: Request<pb::UpdateMandateRequest>) -> Result<Response<pb::UpdateMandateResponse>, Status> {
        let request = request.into_inner();
        let changed = pb::Mandate {
            pending_change: Some(pb::PendingChange { operation: pb::Operation::Update.into(), since: Some(at(5)) }),
            pending_max_amount: request.max_amount.clone(),
            pending_valid_until: request.valid_until,
            ..active()
        };
        let idempotency_replayed = self.note(Asked::UpdateMandate(request));
        Ok(Response::new(pb::UpdateMandateResponse { mandate: Some(changed), idempotency_replayed }))
    }

    async fn pause_mandate(&self, request: Request<pb::PauseMandateRequest>) -> Result<Response<pb::PauseMandateResponse>, Status> {
        self.note(Asked::PauseMandate(request.into_inner()));
        let lacks = [("operation", "PauseMandate"), ("account", "shop"), ("provider", "razorpay")];
        Err(no(Code::FailedPrecondition, "PROVIDER_LACKS_CAPABILITY", &lacks, "only the payer can pause"))
    }

    async fn resume_mandate(&self, request: Request<pb::ResumeMandateRequest>) -> Result<Response<pb::ResumeMandateResponse>, Status> {
        let idempotency_replayed = self.note(Asked::ResumeMandate(request.into_inner()));
        Ok(Response::new(pb::ResumeMandateResponse { mandate: Some(active()), idempotency_replayed }))
    }

    async fn revoke_mandate(&self, request: Request<pb::RevokeMandateRequest>) -> Result<Response<pb::RevokeMandateResponse>, Status> {
        let request = request.into_inner();
        if request.id == "mndt_busy" {
            let pending = [("resource_id", "mndt_busy"), ("operation", "REVOKE")];
            return Err(no(Code::Aborted, "CHANGE_PENDING", &pending, "a change of it is pending"));
        }
        let idempotency_replayed = self.note(Asked::RevokeMandate(request));
        let revoked = pb::Mandate { state: pb::MandateState::Revoked.into(), end_time: Some(at(9)), ..active() };
        Ok(Response::new(pb::RevokeMandateResponse { mandate: Some(revoked), idempotency_replayed }))
    }

    async fn create_debit(&self, request: Request<pb::CreateDebitRequest>) -> Result<Response<pb::CreateDebitResponse>, Status> {
        let idempotency_replayed = self.note(Asked::CreateDebit(request.into_inner()));
        Ok(Response::new(pb::CreateDebitResponse { debit: Some(debit()), idempotency_replayed }))
    }

    async fn execute_debit(&self, request: Request<pb::ExecuteDebitRequest>) -> Result<Response<pb::ExecuteDebitResponse>, Status> {
        let request = request.into_inner();
        if request.id == "dbt_early" {
            let rule = [("rule", "pre_debit_notice"), ("next_permitted_time", "2026-02-18T10:00:00Z"), ("resource_id", "dbt_early")];
            return Err(no(Code::FailedPrecondition, "RULE_FORBIDS", &rule, "the payer was told less than 24 hours ago"));
        }
        let idempotency_replayed = self.note(Asked::ExecuteDebit(request));
        let attempt = pb::DebitAttempt { number: 1, start_time: Some(at(9)), ..pb::DebitAttempt::default() };
        let begun = pb::Debit { state: pb::DebitState::Executing.into(), attempts: vec![attempt], next_permitted_time: None, ..debit() };
        Ok(Response::new(pb::ExecuteDebitResponse { debit: Some(begun), idempotency_replayed }))
    }

    async fn cancel_debit(&self, request: Request<pb::CancelDebitRequest>) -> Result<Response<pb::CancelDebitResponse>, Status> {
        let idempotency_replayed = self.note(Asked::CancelDebit(request.into_inner()));
        let cancelled = pb::Debit { state: pb::DebitState::Cancelled.into(), next_permitted_time: None, ..debit() };
        Ok(Response::new(pb::CancelDebitResponse { debit: Some(cancelled), idempotency_replayed }))
    }

    async fn get_debit(&self, request: Request<pb::GetDebitRequest>) -> Result<Response<pb::GetDebitResponse>, Status> {
        Ok(Response::new(pb::GetDebitResponse { debit: Some(pb::Debit { id: request.into_inner().id, ..debit() }) }))
    }

    async fn list_debits(&self, request: Request<pb::ListDebitsRequest>) -> Result<Response<pb::ListDebitsResponse>, Status> {
        self.note(Asked::ListDebits(request.into_inner()));
        Ok(Response::new(pb::ListDebitsResponse::default()))
    }
}
