//! AccountService: what each account can do, as data.

use tonic::{Request, Response, Status};

use super::call::Call;
use super::mandate_resource::frequency;
use super::pb::account_service_server::AccountService;
use super::refund_resource::speed;
use super::resource;
use super::{Api, pb};
use crate::domain::account::{
    Capabilities, DoubtCure, MandateCapability, NOT_OFFERED, Operation, OperationCapability, QrUsageCapability, RefundCapability,
};
use crate::providers::{BreakerState, Provider};

#[tonic::async_trait]
impl AccountService for Api {
    async fn list_accounts(&self, request: Request<pb::ListAccountsRequest>) -> Result<Response<pb::ListAccountsResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let visible = self.engine.accounts().filter(|provider| call.may_see(&self.engine, &provider.account));
        let accounts = visible.map(|provider| self.account(&call, provider)).collect();
        Ok(Response::new(pb::ListAccountsResponse { accounts }))
    }
}

impl Api {
    fn account(&self, call: &Call, provider: &Provider) -> pb::Account {
        pb::Account {
            name: provider.account.to_string(),
            provider: provider.id.to_string(),
            capabilities: Some(capabilities(&provider.capabilities)),
            idempotency_retention: Some(resource::duration(self.engine.settings().claim_retention)),
            permissions: call.caller.permissions().map(|permission| permission.as_str().to_owned()).collect(),
            sandbox: self.sandbox_accounts.contains(&provider.account),
            provider_calls: Some(provider_calls(provider.line.state())),
        }
    }
}

fn provider_calls(state: BreakerState) -> pb::ProviderCalls {
    let (breaker, retry_after) = match state {
        BreakerState::Closed => (pb::ProviderBreaker::Closed, None),
        BreakerState::Open { retry_after } => (pb::ProviderBreaker::Open, Some(retry_after)),
        BreakerState::HalfOpen => (pb::ProviderBreaker::HalfOpen, None),
    };
    pb::ProviderCalls { breaker: breaker.into(), retry_after: retry_after.map(resource::duration) }
}

fn capabilities(capabilities: &Capabilities) -> pb::Capabilities {
    let Capabilities { operations, qr, refunds, mandates, settlements: _ } = capabilities;
    pb::Capabilities {
        operations: every_operation().map(|named| operation(named, operations)).collect(),
        qrs: qr.iter().map(qr_usage).collect(),
        mandates: mandates.as_ref().map(mandate),
        refunds: refunds.as_ref().map(refund),
    }
}

/// All that the API has a name for.
fn every_operation() -> impl Iterator<Item = pb::ProviderOperation> {
    (1..).map_while(|number| pb::ProviderOperation::try_from(number).ok())
}

fn operation(named: pb::ProviderOperation, operations: &[OperationCapability]) -> pb::OperationCapability {
    let Some(OperationCapability { operation, doubt, missing }) = operations.iter().find(|known| name(known.operation) == named) else {
        return pb::OperationCapability { operation: named.into(), missing_reason: NOT_OFFERED.to_owned(), ..Default::default() };
    };
    let doubt = match (operation, doubt) {
        // It only reads, or is nothing to ask the provider for.
        (Operation::FetchPayment | Operation::FetchSettlements | Operation::CancelDebit, _) => pb::DoubtRemedy::Unspecified,
        _ if missing.is_some() => pb::DoubtRemedy::Unspecified,
        (_, cure) => remedy(*cure),
    };
    pb::OperationCapability {
        operation: named.into(),
        supported: missing.is_none(),
        doubt: doubt.into(),
        missing_reason: missing.unwrap_or_default().to_owned(),
    }
}

fn remedy(cure: DoubtCure) -> pb::DoubtRemedy {
    match cure {
        DoubtCure::Lookup => pb::DoubtRemedy::Lookup,
        DoubtCure::SafeResend => pb::DoubtRemedy::SafeResend,
        DoubtCure::None => pb::DoubtRemedy::None,
    }
}

fn name(operation: Operation) -> pb::ProviderOperation {
    match operation {
        Operation::CreateQr => pb::ProviderOperation::CreateQr,
        Operation::CloseQr => pb::ProviderOperation::CloseQr,
        Operation::FetchPayment => pb::ProviderOperation::RefreshPayment,
        Operation::CreateRefund => pb::ProviderOperation::CreateRefund,
        Operation::CreateMandate => pb::ProviderOperation::CreateMandate,
        Operation::UpdateMandate => pb::ProviderOperation::UpdateMandate,
        Operation::PauseMandate => pb::ProviderOperation::PauseMandate,
        Operation::ResumeMandate => pb::ProviderOperation::ResumeMandate,
        Operation::RevokeMandate => pb::ProviderOperation::RevokeMandate,
        Operation::CreateDebit => pb::ProviderOperation::CreateDebit,
        Operation::ExecuteDebit => pb::ProviderOperation::ExecuteDebit,
        Operation::CancelDebit => pb::ProviderOperation::CancelDebit,
        Operation::FetchSettlements => pb::ProviderOperation::FetchSettlements,
    }
}

fn mandate(capability: &MandateCapability) -> pb::MandateCapability {
    let MandateCapability {
        patterns,
        payer_vpa,
        approval_link,
        block_funds,
        irrevocable,
        day_required: _,
        amount_min,
        amount_max,
        required_fields,
        notice_always: _,
        mcc: _,
    } = capability;
    pb::MandateCapability {
        frequencies: patterns.iter().map(|pattern| frequency(*pattern).into()).collect(),
        payer_vpa_supported: *payer_vpa,
        approval_link_supported: *approval_link,
        block_funds_supported: *block_funds,
        irrevocable_supported: *irrevocable,
        min_amount: Some(resource::money(*amount_min)),
        max_amount: Some(resource::money(*amount_max)),
        required_fields: required_fields.iter().map(|field| (*field).to_owned()).collect(),
    }
}

fn refund(capability: &RefundCapability) -> pb::RefundCapability {
    let RefundCapability { speeds, partial, amount_min: _, payment_age_max, one_at_a_time: _ } = capability;
    pb::RefundCapability {
        speeds: speeds.iter().map(|named| speed(*named).into()).collect(),
        partial_supported: *partial,
        max_payment_age: payment_age_max.map(resource::duration),
    }
}

fn qr_usage(capability: &QrUsageCapability) -> pb::QrCapability {
    let missing = capability.refusal();
    let QrUsageCapability {
        usage,
        missing: _,
        amount_min,
        amount_max,
        open_amount,
        expiry,
        fixed_amount,
        payments_observable,
        unobservable_allowed: _,
        callback_evidence,
        doubt,
        close_missing,
        upi_link,
        required_fields,
    } = capability;
    pb::QrCapability {
        usage: resource::usage(*usage).into(),
        supported: missing.is_none(),
        missing_reason: missing.unwrap_or_default().to_owned(),
        min_amount: Some(resource::money(*amount_min)),
        max_amount: amount_max.map(resource::money),
        amount_supported: *fixed_amount,
        amount_required: !open_amount,
        expire_time_supported: expiry.is_some(),
        min_lifetime: expiry.as_ref().map(|(least, _)| resource::duration(*least)),
        max_lifetime: expiry.as_ref().map(|(_, most)| resource::duration(*most)),
        upi_link_available: *upi_link,
        payments_observable: *payments_observable,
        callback_evidence: resource::evidence(*callback_evidence).into(),
        close_supported: close_missing.is_none() && missing.is_none(),
        close_missing_reason: close_missing.unwrap_or_default().to_owned(),
        doubt: missing.map_or_else(|| remedy(*doubt), |_| pb::DoubtRemedy::Unspecified).into(),
        required_fields: required_fields.iter().map(|field| (*field).to_owned()).collect(),
    }
}
