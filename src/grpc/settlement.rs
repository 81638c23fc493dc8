//! SettlementService.

use tonic::{Request, Response, Status};

use super::call::Call;
use super::list::{Filters, cursor_id};
use super::pb::settlement_service_server::SettlementService;
use super::settlement_resource::{settlement, settlement_break, settlement_entry};
use super::status::status;
use super::violations::Violations;
use super::{Api, page, pb};
use crate::domain::event::Record;
use crate::domain::id::Kind;
use crate::domain::settlement::{BreakKind, EntryKind, Settlement};
use crate::engine::Error;
use crate::engine::lists::ListQuery;
use crate::engine::settlement::EntriesQuery;

#[tonic::async_trait]
impl SettlementService for Api {
    async fn get_settlement(&self, request: Request<pb::GetSettlementRequest>) -> Result<Response<pb::GetSettlementResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let pb::GetSettlementRequest { id } = request.into_inner();
        let got = async {
            let mut violations = Violations::default();
            let parsed = violations.id("id", Kind::Settlement, &id);
            let parsed = violations.unless_any(parsed)?;
            let found = call.in_time(self.engine.get_settlement(&parsed)).await?;
            call.check_account(&self.engine, &found.header.account, "settlement", &id)?;
            self.with_breaks(&call, &found).await
        };
        let settlement = got.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::GetSettlementResponse { settlement: Some(settlement) }))
    }

    async fn list_settlements(
        &self,
        request: Request<pb::ListSettlementsRequest>,
    ) -> Result<Response<pb::ListSettlementsResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let listed = async {
            let query = settlements_query(&request)?;
            let (records, next) = self.page(&call, ("ListSettlementsRequest", &request, &request.page_token), query).await?;
            let mut settlements = Vec::with_capacity(records.len());
            for record in &records {
                if let Record::Settlement(found) = record {
                    settlements.push(self.with_breaks(&call, found).await?);
                }
            }
            Ok((settlements, next))
        };
        let (settlements, next_page_token) = listed.await.map_err(|error: Error| status(&error))?;
        Ok(Response::new(pb::ListSettlementsResponse { settlements, next_page_token }))
    }

    async fn list_settlement_entries(
        &self,
        request: Request<pb::ListSettlementEntriesRequest>,
    ) -> Result<Response<pb::ListSettlementEntriesResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let key = self.engine.fingerprint_key();
        let listed = async {
            let (query, limit) = entries_query(&request)?;
            call.check_account(&self.engine, &query.account, "account", query.account.as_str())?;
            let provider = self.engine.provider_of(&query.account)?;
            let before = cursor_id(page::cursor(key, "ListSettlementEntriesRequest", &request, &request.page_token)?)?;
            let (entries, next) = call.in_time(self.engine.list_settlement_entries(&query, before, limit)).await?;
            let entries = entries.iter().map(|entry| settlement_entry(entry, &query.account, provider)).collect();
            Ok((entries, next))
        };
        let (entries, next) = listed.await.map_err(|error: Error| status(&error))?;
        let next_page_token = next.map(|id| page::token(key, "ListSettlementEntriesRequest", &request, id.as_str())).unwrap_or_default();
        Ok(Response::new(pb::ListSettlementEntriesResponse { entries, next_page_token }))
    }

    async fn list_settlement_breaks(
        &self,
        request: Request<pb::ListSettlementBreaksRequest>,
    ) -> Result<Response<pb::ListSettlementBreaksResponse>, Status> {
        let call = Call::of(&request, self.deadlines);
        let request = request.into_inner();
        let listed = async {
            let query = breaks_query(&request)?;
            self.page(&call, ("ListSettlementBreaksRequest", &request, &request.page_token), query).await
        };
        let (records, next_page_token) = listed.await.map_err(|error| status(&error))?;
        let breaks = records.iter().filter_map(|record| match record {
            Record::SettlementBreak(difference) => Some(settlement_break(difference)),
            _ => None,
        });
        Ok(Response::new(pb::ListSettlementBreaksResponse { breaks: breaks.collect(), next_page_token }))
    }
}

impl Api {
    /// A settlement with the number of its differences that are open now.
    async fn with_breaks(&self, call: &Call, found: &Settlement) -> Result<pb::Settlement, Error> {
        let open = call.in_time(self.engine.open_breaks_of(found)).await?;
        Ok(settlement(found, open))
    }
}

fn settlements_query(request: &pb::ListSettlementsRequest) -> Result<(ListQuery, usize), Error> {
    let pb::ListSettlementsRequest { account, page_size, page_token: _, states, create_time_from, create_time_to } = request;
    let mut violations = Violations::default();
    let labels = std::collections::BTreeMap::new();
    let filters = Filters {
        account,
        create_time_from: create_time_from.as_ref(),
        create_time_to: create_time_to.as_ref(),
        reference: "",
        labels: &labels,
    };
    let query = filters.query(Kind::Settlement, &mut violations);
    let limit = violations.page_size(*page_size);
    let known = states.iter().filter_map(|state| violations.known::<pb::SettlementState>("states", *state));
    let states = known.filter_map(|state| match state {
        pb::SettlementState::Unspecified => None,
        pb::SettlementState::Created => Some("created"),
        pb::SettlementState::Processed => Some("processed"),
        pb::SettlementState::Failed => Some("failed"),
    });
    let states = states.collect();
    violations.unless_any(query.map(|query| (ListQuery { states, ..query }, limit)))
}

fn entries_query(request: &pb::ListSettlementEntriesRequest) -> Result<(EntriesQuery, usize), Error> {
    let pb::ListSettlementEntriesRequest { account, page_size, page_token: _, settlement_id, payment_id, refund_id, kinds } = request;
    let mut violations = Violations::default();
    let account = violations.account(account);
    let limit = violations.page_size(*page_size);
    let known = kinds.iter().filter_map(|kind| violations.known::<pb::SettlementEntryKind>("kinds", *kind));
    let kinds = known.filter_map(|kind| match kind {
        pb::SettlementEntryKind::Unspecified => None,
        pb::SettlementEntryKind::Payment => Some(EntryKind::Payment),
        pb::SettlementEntryKind::Refund => Some(EntryKind::Refund),
        pb::SettlementEntryKind::Adjustment => Some(EntryKind::Adjustment),
    });
    let kinds = kinds.collect();
    let named = [
        ("settlement_id", Kind::Settlement, settlement_id),
        ("payment_id", Kind::Payment, payment_id),
        ("refund_id", Kind::Refund, refund_id),
    ];
    let mut parents = Vec::new();
    for (field, kind, text) in named.into_iter().filter(|(_, _, text)| !text.is_empty()) {
        parents.push(violations.id(field, kind, text));
    }
    if parents.len() != 1 {
        violations.add("settlement_id", "exactly one of settlement_id, payment_id and refund_id is needed");
    }
    let parent = parents.pop().flatten();
    violations.unless_any(account.zip(parent).map(|(account, parent)| (EntriesQuery { account, parent, kinds }, limit)))
}

fn breaks_query(request: &pb::ListSettlementBreaksRequest) -> Result<(ListQuery, usize), Error> {
    let pb::ListSettlementBreaksRequest {
        account,
        page_size,
        page_token: _,
        kinds,
        open_time_from,
        open_time_to,
        settlement_id,
        include_closed,
    } = request;
    let mut violations = Violations::default();
    let account = violations.account(account);
    let from = violations.time("open_time_from", open_time_from.as_ref());
    let to = violations.time("open_time_to", open_time_to.as_ref());
    let limit = violations.page_size(*page_size);
    let known = kinds.iter().filter_map(|kind| violations.known::<pb::SettlementBreakKind>("kinds", *kind));
    let break_kinds = known.filter_map(|kind| match kind {
        pb::SettlementBreakKind::Unspecified => None,
        pb::SettlementBreakKind::SettledUnknown => Some(BreakKind::SettledUnknown),
        pb::SettlementBreakKind::SucceededNotSettled => Some(BreakKind::SucceededNotSettled),
        pb::SettlementBreakKind::AmountDiffers => Some(BreakKind::AmountDiffers),
        pb::SettlementBreakKind::RefundWithoutLine => Some(BreakKind::RefundWithoutLine),
        pb::SettlementBreakKind::Duplicate => Some(BreakKind::Duplicate),
    });
    let break_kinds = break_kinds.collect();
    let parent = (!settlement_id.is_empty()).then(|| violations.id("settlement_id", Kind::Settlement, settlement_id)).flatten();
    let states = if *include_closed { Vec::new() } else { vec!["open"] };
    violations.unless_any(account.map(|account| {
        let all = ListQuery::all_of(account, Kind::SettlementBreak);
        (ListQuery { states, from, to, parent, break_kinds, ..all }, limit)
    }))
}
