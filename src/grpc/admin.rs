//! AdminService: what only a person can decide.

use jiff::Timestamp;
use tonic::{Request, Response, Status};

use super::call::Call;
use super::list::cursor_id;
use super::mandate_resource::{debit, mandate};
use super::pb::admin_service_server::AdminService;
use super::refund_resource::refund;
use super::settlement_resource::settlement;
use super::status::status;
use super::violations::Violations;
use super::{Api, page, pb, resource};
use crate::domain::event::Record;
use crate::domain::id::{Id, Kind};
use crate::domain::mandate::MandateState;
use crate::domain::personal::Sight;
use crate::domain::qr::QrState;
use crate::engine::doubts::{Decision, Doubt, DoubtKind};
use crate::engine::quarantine::{Quarantined, Reason};
use crate::engine::{Answer, Error};

const NOTE_CHARS_MAX: usize = 500;
const PROVIDER_REF_CHARS_MAX: usize = 128;

#[tonic::async_trait]
impl AdminService for Api {
    async fn list_quarantine(&self, request: Request<pb::ListQuarantineRequest>) -> Result<Response<pb::ListQuarantineResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let key = self.engine.fingerprint_key();
        let listed = async {
            let pb::ListQuarantineRequest { account, page_size, page_token, reasons, receive_time_from, receive_time_to } = &request;
            let mut violations = Violations::default();
            let account = violations.account(account);
            let limit = violations.page_size(*page_size);
            let reasons: Vec<pb::QuarantineReason> = reasons.iter().filter_map(|reason| violations.known("reasons", *reason)).collect();
            let from = violations.time("receive_time_from", receive_time_from.as_ref());
            let to = violations.time("receive_time_to", receive_time_to.as_ref());
            let account = violations.unless_any(account)?;
            call.check_account(&self.engine, &account, "account", account.as_str())?;
            let before = cursor_id(page::cursor(key, "ListQuarantineRequest", &request, page_token)?)?;
            let entries = call.in_time(self.engine.list_quarantine(&account, before.as_ref(), limit)).await?;
            let next = (entries.len() == limit).then(|| entries.last().map(|entry| entry.id.clone())).flatten();
            let admitted = entries.into_iter().filter(|entry| {
                (reasons.is_empty() || reasons.contains(&quarantine_reason(entry.reason)))
                    && from.is_none_or(|from| entry.receive_time >= from)
                    && to.is_none_or(|to| entry.receive_time < to)
            });
            Ok::<_, Error>((admitted.map(|entry| quarantined(&entry)).collect(), next))
        };
        let (entries, next): (Vec<_>, Option<Id>) = listed.await.map_err(|error| status(&error))?;
        let next_page_token = next.map(|id| page::token(key, "ListQuarantineRequest", &request, id.as_str())).unwrap_or_default();
        Ok(Response::new(pb::ListQuarantineResponse { entries, next_page_token }))
    }

    async fn replay_quarantined(
        &self,
        request: Request<pb::ReplayQuarantinedRequest>,
    ) -> Result<Response<pb::ReplayQuarantinedResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let pb::ReplayQuarantinedRequest { idempotency_key, id } = request.into_inner();
        let replayed = async {
            let mut violations = Violations::default();
            // Trying a kept callback again is harmless however often it is done: the key needs no claim.
            violations.key(&idempotency_key);
            let parsed = violations.id("id", Kind::Quarantined, &id);
            let parsed = violations.unless_any(parsed)?;
            let entry = call.in_time(self.engine.get_quarantined(&parsed)).await?;
            call.check_account(&self.engine, &entry.account, "kept callback", &id)?;
            let settled = self.engine.replay_quarantined(&parsed).await?;
            Ok::<_, Error>((entry, settled))
        };
        let (entry, settled) = replayed.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::ReplayQuarantinedResponse { entry: Some(quarantined(&entry)), settled, idempotency_replayed: false }))
    }

    async fn list_doubts(&self, request: Request<pb::ListDoubtsRequest>) -> Result<Response<pb::ListDoubtsResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let key = self.engine.fingerprint_key();
        let listed = async {
            let pb::ListDoubtsRequest { account, page_size, page_token, kinds, operator_needed_only } = &request;
            let mut violations = Violations::default();
            let account = violations.account(account);
            let limit = violations.page_size(*page_size);
            let kinds: Vec<pb::DoubtKind> = kinds.iter().filter_map(|kind| violations.known("kinds", *kind)).collect();
            let account = violations.unless_any(account)?;
            call.check_account(&self.engine, &account, "account", account.as_str())?;
            let before = cursor_id(page::cursor(key, "ListDoubtsRequest", &request, page_token)?)?;
            let (doubts, next) = call.in_time(self.engine.list_doubts(&account, before.as_ref(), limit)).await?;
            let admitted = doubts.into_iter().filter(|found| {
                let needs_operator = self.engine.looked_at_again(found).is_none();
                (kinds.is_empty() || kinds.contains(&doubt_kind(found.kind))) && (needs_operator || !operator_needed_only)
            });
            Ok::<_, Error>((admitted.map(|found| doubt(&found, self.engine.looked_at_again(&found), call.sight)).collect(), next))
        };
        let (doubts, next): (Vec<_>, Option<Id>) = listed.await.map_err(|error| status(&error))?;
        let next_page_token = next.map(|id| page::token(key, "ListDoubtsRequest", &request, id.as_str())).unwrap_or_default();
        Ok(Response::new(pb::ListDoubtsResponse { doubts, next_page_token }))
    }

    async fn resolve_doubt(&self, request: Request<pb::ResolveDoubtRequest>) -> Result<Response<pb::ResolveDoubtResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let asked = call.asked(&self.engine, "ResolveDoubt", "ResolveDoubtRequest", &request.idempotency_key, &request);
        let pb::ResolveDoubtRequest { idempotency_key, id, decision, note, expected_revision } = request;
        let resolved = async {
            let mut violations = Violations::default();
            violations.key(&idempotency_key);
            let parsed = resource_id(&id, &mut violations);
            let decision = decided(decision, &mut violations);
            if note.trim().is_empty() {
                violations.add("note", "is needed: it says why");
            }
            violations.text("note", &note, NOTE_CHARS_MAX);
            if expected_revision.is_some_and(|revision| revision < 1) {
                violations.add("expected_revision", "must be at least 1");
            }
            let (parsed, decision) = violations.unless_any(parsed.zip(decision))?;
            let record = call.in_time(self.engine.get_record(&parsed)).await?;
            call.check_account(&self.engine, &record.header().account, "resource", &id)?;
            let expected = expected_revision.and_then(|revision| u64::try_from(revision).ok());
            self.engine.resolve_doubt(asked, record, decision, note, expected).await
        };
        let Answer { resource, replayed } = resolved.await.map_err(|error| status(&error))?;
        let resource = match &resource {
            Record::Qr(qr) => pb::resolve_doubt_response::Resource::Qr(resource::qr(qr, call.sight)),
            Record::Payment(payment) => pb::resolve_doubt_response::Resource::Payment(resource::payment(payment, call.sight)),
            Record::Refund(found) => pb::resolve_doubt_response::Resource::Refund(refund(found)),
            Record::Mandate(found) => pb::resolve_doubt_response::Resource::Mandate(mandate(found, call.sight)),
            Record::Debit(found) => pb::resolve_doubt_response::Resource::Debit(debit(found)),
            Record::Settlement(found) => pb::resolve_doubt_response::Resource::Settlement(settlement(found, 0)),
            // It is never in doubt.
            Record::SettlementBreak(_) => return Err(status(&Error::Internal)),
        };
        Ok(Response::new(pb::ResolveDoubtResponse { resource: Some(resource), idempotency_replayed: replayed }))
    }
}

fn resource_id(text: &str, violations: &mut Violations) -> Option<Id> {
    let id = text.parse::<Id>().ok().filter(|id| crate::store::is_resource(id.kind()));
    if id.is_none() {
        violations.add("id", "is not the id of a resource");
    }
    id
}

fn decided(decision: Option<pb::resolve_doubt_request::Decision>, violations: &mut Violations) -> Option<Decision> {
    use pb::resolve_doubt_request::Decision as Wanted;
    match decision {
        None => {
            violations.add("decision", "is needed: happened or did_not_happen");
            None
        }
        Some(Wanted::DidNotHappen(pb::DidNotHappen {})) => Some(Decision::DidNotHappen),
        Some(Wanted::Happened(pb::Happened { provider_ref })) => {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if provider_ref.len() > PROVIDER_REF_CHARS_MAX || !provider_ref.chars().all(fits) {
                violations.add("happened.provider_ref", "must be the provider's id: at most 128 letters, digits, `_` and `-`");
                return None;
            }
            Some(Decision::Happened { provider_ref })
        }
    }
}

fn quarantine_reason(reason: Reason) -> pb::QuarantineReason {
    match reason {
        Reason::NotUnderstood => pb::QuarantineReason::NotUnderstood,
        Reason::Unmatched => pb::QuarantineReason::Unmatched,
        Reason::UnlinkedPayment => pb::QuarantineReason::UnlinkedPayment,
        Reason::Hint => pb::QuarantineReason::Hint,
    }
}

fn quarantined(entry: &Quarantined) -> pb::QuarantineEntry {
    pb::QuarantineEntry {
        id: entry.id.to_string(),
        account: entry.account.to_string(),
        provider: entry.provider.to_string(),
        reason: quarantine_reason(entry.reason).into(),
        event_name: entry.event.clone(),
        provider_refs: entry.provider_refs.clone(),
        receive_time: Some(resource::time(entry.receive_time)),
        attempts: i32::try_from(entry.attempts).unwrap_or(i32::MAX),
        message: entry.message.clone(),
    }
}

fn doubt_kind(kind: DoubtKind) -> pb::DoubtKind {
    match kind {
        DoubtKind::OutcomeUnknown => pb::DoubtKind::OutcomeUnknown,
        DoubtKind::ChangeUnknown => pb::DoubtKind::ChangeUnknown,
        DoubtKind::ReportedOnly => pb::DoubtKind::ReportedOnly,
        DoubtKind::Contradiction => pb::DoubtKind::Contradiction,
    }
}

fn doubt(found: &Doubt, next_look: Option<Timestamp>, sight: Sight) -> pb::Doubt {
    let Doubt { kind, since, record } = found;
    let header = record.header();
    let (operation, resource) = match record {
        Record::Refund(found) => ("create_refund", Some(pb::doubt::Resource::Refund(refund(found)))),
        Record::Mandate(found) => {
            let operation = if found.state == MandateState::Requested { "create_mandate" } else { "revoke_mandate" };
            (operation, Some(pb::doubt::Resource::Mandate(mandate(found, sight))))
        }
        Record::Debit(found) => {
            let operation = if found.attempts.is_empty() { "create_debit" } else { "execute_debit" };
            (operation, Some(pb::doubt::Resource::Debit(debit(found))))
        }
        Record::Settlement(found) => ("", Some(pb::doubt::Resource::Settlement(settlement(found, 0)))),
        Record::SettlementBreak(_) => ("", None),
        Record::Qr(qr) => {
            let operation = if qr.state == QrState::Requested { "create_qr" } else { "close_qr" };
            (operation, Some(pb::doubt::Resource::Qr(resource::qr(qr, sight))))
        }
        Record::Payment(payment) => ("", Some(pb::doubt::Resource::Payment(resource::payment(payment, sight)))),
    };
    let operation = if *kind == DoubtKind::Contradiction { "" } else { operation };
    pb::Doubt {
        resource_id: header.id.to_string(),
        kind: doubt_kind(*kind).into(),
        account: header.account.to_string(),
        provider: header.provider.to_string(),
        operation: operation.to_owned(),
        since: Some(resource::time(*since)),
        next_look_time: next_look.map(resource::time),
        resource,
    }
}
