//! QR codes: create, get, close, draw.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::error;

use super::act::{Act, Work};
use super::error::{Error, STORE_RETRY_AFTER};
use super::idempotency::Asked;
use super::learn::as_qr;
use super::qr_image::{self, ErrorCorrection};
use super::{Answer, Engine, reference};
use crate::domain::account::{AccountName, Operation};
use crate::domain::event::{EventKind, Fact, Record};
use crate::domain::fact::{Evidence, Learned};
use crate::domain::header::Header;
use crate::domain::id::{Id, Kind};
use crate::domain::qr::{Qr, QrFact, QrOrder, QrState};
use crate::providers::{Provider, QrCodes, Violation};
use crate::store::ClaimStep;

/// How often a change is derived anew after the record moved meanwhile.
const RACES_MAX: usize = 8;

/// A code that a caller wants.
#[derive(Clone, Debug)]
pub struct QrWish {
    pub account: AccountName,
    pub reference: String,
    pub labels: BTreeMap<String, String>,
    pub order: QrOrder,
}

/// How a picture of a code should be.
#[derive(Clone, Copy, Debug)]
pub enum ImageFormat {
    Png,
    Svg,
}

impl Engine {
    /// Asks the account's provider for a code.
    pub async fn create_qr(self: &Arc<Self>, asked: Asked, wish: QrWish) -> Result<Answer<Qr>, Error> {
        let provider = self.provider(&wish.account)?.clone();
        let now = self.clock.now();
        let adapter = match self.may_create(&asked, &provider, &wish.order, now) {
            Ok(adapter) => adapter,
            Err(forbidden) => {
                let partition = self.partition_of(wish.account.as_str());
                let nothing = self.randomness.id(Kind::Qr, partition, now);
                return self.replay_or(&asked, &wish.account, nothing, forbidden).await;
            }
        };

        let QrWish { account, reference, labels, order } = wish;
        let partition = self.partition_of(account.as_str());
        let our_ref = reference::derive(&asked.caller, account.as_str(), asked.method, &asked.key);
        let scope = asked.scope(account.as_str());
        let header = Header {
            id: self.randomness.id(Kind::Qr, partition, now),
            account,
            provider: provider.id,
            provider_ref: None,
            our_ref: Some(our_ref.clone()),
            revision: 1,
            reference,
            labels,
            create_time: now,
            update_time: now,
            contradictions: Vec::new(),
            claim: Some(scope.0.clone()),
            operator_note: None,
            has_unknown_parts: false,
        };
        let qr = Record::Qr(Qr::requested(header, order.clone()));
        let claim = ClaimStep::Take { scope, fingerprint: asked.fingerprint.to_bytes(), record: qr.id().clone() };
        let act = Act::Create { order, our_ref };
        let work = Work { asked, provider, adapter, before: None, intent: qr, event: EventKind::QrRequested, claim, act };
        match self.write_then_act(work).await? {
            Some(Answer { resource, replayed }) => Ok(Answer { resource: as_qr(resource)?, replayed }),
            None => {
                error!("a new id was taken already");
                Err(Error::Internal)
            }
        }
    }

    /// All that the account's provider would refuse about `order`, for a request that is refused anyway.
    pub fn violations_of(&self, account: &AccountName, order: &QrOrder) -> Vec<Violation> {
        let adapter = self.providers.get(account).and_then(|provider| provider.qr.as_ref());
        adapter.map_or_else(Vec::new, |adapter| adapter.violations(order, self.clock.now()))
    }

    /// Asks the provider to close a code.
    pub async fn close_qr(self: &Arc<Self>, asked: Asked, mut qr: Qr) -> Result<Answer<Qr>, Error> {
        let provider = self.provider(&qr.header.account)?.clone();
        let adapter = match self.check_time(&asked, &provider).and_then(|()| qr_adapter(&provider, Operation::CloseQr)) {
            Ok(adapter) => adapter,
            Err(forbidden) => return self.replay_or(&asked, &qr.header.account, qr.header.id.clone(), forbidden).await,
        };
        let id = qr.header.id.clone();
        let scope = asked.scope(qr.header.account.as_str());
        let claim = ClaimStep::Take { scope: scope.clone(), fingerprint: asked.fingerprint.to_bytes(), record: id.clone() };
        for _ in 0..RACES_MAX {
            let fact = Fact::Qr(QrFact::CloseAsked { claim: scope.0.clone() });
            let before = Record::Qr(qr.clone());
            let learned = before.learn(&fact, Evidence::Answer, self.clock.now());
            let (Ok(Learned::Moved(intent, event)), Some(provider_ref)) = (learned, qr.header.provider_ref.clone()) else {
                // Not possible now; but it may be this very request that made it so, when it came first.
                return match self.claimed_by_whom(&claim).await? {
                    Some((claim, record)) => self.replay_qr(&asked, claim, record).await,
                    // What is asked for is so already.
                    None if matches!(qr.state, QrState::Closed { .. }) => Ok(Answer { resource: qr, replayed: false }),
                    None if qr.pending_change.is_some() => Err(Error::ChangePending { id }),
                    None => Err(Error::StateForbids {
                        state: qr.state.name(),
                        message: format!("a code that is {} can't be closed", qr.state.name()),
                    }),
                };
            };
            let (asked, provider, adapter, claim) = (asked.clone(), provider.clone(), Arc::clone(&adapter), claim.clone());
            let work = Work { asked, provider, adapter, before: Some(before), intent, event, claim, act: Act::Close { provider_ref } };
            match self.write_then_act(work).await? {
                Some(Answer { resource, replayed }) => return Ok(Answer { resource: as_qr(resource)?, replayed }),
                None => qr = self.get_qr(&id).await?,
            }
        }
        Err(Error::StoreUnavailable { retry_after: STORE_RETRY_AFTER })
    }

    pub async fn get_qr(&self, id: &Id) -> Result<Qr, Error> {
        match self.store.get(id).await.map_err(Error::of_read)? {
            Some(stored) => as_qr(super::learn::decode(&stored).map_err(Error::of_read)?),
            None => Err(Error::no_such("QR code", id)),
        }
    }

    /// A picture of a code, drawn from its UPI text: the bytes and their media type.
    pub fn qr_image(
        &self,
        qr: &Qr,
        format: ImageFormat,
        size_pixels: u32,
        correction: ErrorCorrection,
    ) -> Result<(Vec<u8>, &'static str), Error> {
        let Some(text) = qr.code.as_ref().map(|code| code.upi_link.as_str()).filter(|text| !text.is_empty()) else {
            return Err(Error::StateForbids { state: qr.state.name(), message: "this code has no UPI text to draw".to_owned() });
        };
        let drawn = match format {
            ImageFormat::Png => qr_image::png(text, size_pixels, correction).map(|image| (image, "image/png")),
            ImageFormat::Svg => qr_image::svg(text, size_pixels, correction).map(|image| (image.into_bytes(), "image/svg+xml")),
        };
        drawn.map_err(|cause| Error::Invalid(vec![Violation { field: "size_pixels".to_owned(), description: cause.to_string() }]))
    }

    /// Whether a new code may be asked for: nothing is written or sent that would be refused.
    fn may_create(&self, asked: &Asked, provider: &Provider, order: &QrOrder, now: Timestamp) -> Result<Arc<dyn QrCodes>, Error> {
        let adapter = qr_adapter(provider, Operation::CreateQr)?;
        let usage = provider.capabilities.qr_usage(order.usage);
        if let Some(why) = usage.map_or(Some("this provider has no such codes"), |usage| usage.missing) {
            return Err(Error::Lacks { operation: Operation::CreateQr.as_str(), why: why.to_owned() });
        }
        let violations = adapter.violations(order, now);
        if !violations.is_empty() {
            return Err(Error::Invalid(violations));
        }
        self.check_time(asked, provider)?;
        Ok(adapter)
    }

    /// What forbids a request now does not concern one that was taken before: a repeat of that is answered as every
    /// repeat is. To say NOT_SENT of it would be wrong. `record`: whom the claim would be for; it need not exist.
    async fn replay_or(&self, asked: &Asked, account: &AccountName, record: Id, forbidden: Error) -> Result<Answer<Qr>, Error> {
        let claim = ClaimStep::Take { scope: asked.scope(account.as_str()), fingerprint: asked.fingerprint.to_bytes(), record };
        match self.claimed_by_whom(&claim).await? {
            Some((claim, record)) => self.replay_qr(asked, claim, record).await,
            None => Err(forbidden),
        }
    }

    fn check_time(&self, asked: &Asked, provider: &Provider) -> Result<(), Error> {
        if self.draining.is_cancelled() {
            return Err(Error::Draining { retry_after: super::PROVIDER_RETRY_AFTER });
        }
        if asked.time_left() < provider.deadline_floor {
            return Err(Error::DeadlineTooShort { floor: provider.deadline_floor });
        }
        Ok(())
    }

    async fn replay_qr(
        &self,
        asked: &Asked,
        claim: crate::store::Claim,
        record: Option<crate::store::Stored>,
    ) -> Result<Answer<Qr>, Error> {
        let Answer { resource, replayed } = self.replay(asked, claim, record).await?;
        Ok(Answer { resource: as_qr(resource)?, replayed })
    }
}

/// The adapter for `operation`, or why there is none.
fn qr_adapter(provider: &Provider, operation: Operation) -> Result<Arc<dyn QrCodes>, Error> {
    let lacks = |why: &str| Error::Lacks { operation: operation.as_str(), why: why.to_owned() };
    if let Some(why) = provider.capabilities.missing(operation) {
        return Err(lacks(why));
    }
    provider.qr.clone().ok_or_else(|| lacks("this provider has no QR codes"))
}
