//! QR codes: create, get, close, draw.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tracing::error;

use super::act::{Act, Work};
use super::admission::lacks;
use super::error::{Error, STORE_RETRY_AFTER};
use super::idempotency::Asked;
use super::learn::as_qr;
use super::qr_image::{self, ErrorCorrection};
use super::{Answer, Engine, reference};
use crate::domain::account::{AccountName, DoubtCure, Operation, QrUsageCapability};
use crate::domain::event::{EventKind, Fact, Record};
use crate::domain::fact::{Evidence, Learned};
use crate::domain::header::Header;
use crate::domain::id::{Id, Kind};
use crate::domain::qr::{Qr, QrCode, QrFact, QrOrder, QrState, Usage};
use crate::providers::{KnownQr, Provider, QrClosing, QrCodes, QrCreation, Violation};
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
        let creation = match self.may_create(&asked, &provider, &wish.order, now) {
            Ok(creation) => creation,
            Err(forbidden) => {
                let partition = self.partition_of(wish.account.as_str());
                let nothing = self.randomness.id(Kind::Qr, partition, now);
                let Answer { resource, replayed } = self.replay_or(&asked, &wish.account, nothing, forbidden).await?;
                return Ok(Answer { resource: as_qr(resource)?, replayed });
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
            traceparent: asked.traceparent.clone(),
            has_unknown_parts: false,
        };
        let qr = Record::Qr(Qr::requested(header, order.clone()));
        let claim = ClaimStep::Take { scope, fingerprint: asked.fingerprint.to_bytes(), record: qr.id().clone() };
        let act = Act::CreateQr { creation, order, our_ref };
        let work = Box::new(Work {
            asked,
            provider,
            before: None,
            intent: qr,
            event: EventKind::QrRequested,
            claim,
            act,
            parent: None,
            turn: None,
        });
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
        let codes = self.providers.get(account).and_then(|provider| provider.qr.as_ref());
        codes.map_or_else(Vec::new, |codes| codes.creation.violations(order, self.clock.now()))
    }

    /// Asks the provider to close a code.
    pub async fn close_qr(self: &Arc<Self>, asked: Asked, mut qr: Qr) -> Result<Answer<Qr>, Error> {
        let provider = self.provider(&qr.header.account)?.clone();
        let closing = match self.check_time(&asked, &provider).and_then(|()| may_close(&provider, &qr)) {
            Ok(closing) => closing,
            Err(forbidden) => {
                let Answer { resource, replayed } = self.replay_or(&asked, &qr.header.account, qr.header.id.clone(), forbidden).await?;
                return Ok(Answer { resource: as_qr(resource)?, replayed });
            }
        };
        let id = qr.header.id.clone();
        let scope = asked.scope(qr.header.account.as_str());
        let claim = ClaimStep::Take { scope: scope.clone(), fingerprint: asked.fingerprint.to_bytes(), record: id.clone() };
        for _ in 0..RACES_MAX {
            let fact = Fact::Qr(QrFact::CloseAsked { claim: scope.0.clone() });
            let before = Record::Qr(qr.clone());
            let learned = before.learn(&fact, Evidence::Answer, self.clock.now());
            let (Ok(Learned::Moved(intent, event)), Some(code)) = (learned, known(&qr)) else {
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
            let act = Act::CloseQr { closing: Arc::clone(&closing), code };
            let (asked, provider, claim) = (asked.clone(), provider.clone(), claim.clone());
            let work = Box::new(Work { asked, provider, before: Some(before), intent, event, claim, act, parent: None, turn: None });
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

    /// A picture of a code: the bytes and their media type. Drawn from its UPI text; where the provider gives only a
    /// picture, that as it came.
    pub fn qr_image(
        &self,
        qr: &Qr,
        format: ImageFormat,
        size_pixels: u32,
        correction: ErrorCorrection,
    ) -> Result<(Vec<u8>, &'static str), Error> {
        let code = qr.code.clone().unwrap_or_default();
        if code.upi_link.is_empty() {
            return as_it_came(qr, &code, format);
        }
        let drawn = match format {
            ImageFormat::Png => qr_image::png(&code.upi_link, size_pixels, correction).map(|image| (image, "image/png")),
            ImageFormat::Svg => qr_image::svg(&code.upi_link, size_pixels, correction).map(|image| (image.into_bytes(), "image/svg+xml")),
        };
        drawn.map_err(|cause| Error::Invalid(vec![Violation { field: "size_pixels".to_owned(), description: cause.to_string() }]))
    }

    /// Whether a new code may be asked for: nothing is written or sent that would be refused.
    fn may_create(&self, asked: &Asked, provider: &Provider, order: &QrOrder, now: Timestamp) -> Result<Arc<dyn QrCreation>, Error> {
        let codes = qr_codes(provider, Operation::CreateQr)?;
        let usage = provider.capabilities.qr_usage(order.usage);
        if let Some(why) = usage.map_or(Some("this provider has no such codes"), QrUsageCapability::refusal) {
            return Err(lacks(Operation::CreateQr, why));
        }
        let violations = codes.creation.violations(order, now);
        if !violations.is_empty() {
            return Err(Error::Invalid(violations));
        }
        self.check_time(asked, provider)?;
        Ok(Arc::clone(&codes.creation))
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

/// The provider's own picture, where there is nothing to draw.
fn as_it_came(qr: &Qr, code: &QrCode, format: ImageFormat) -> Result<(Vec<u8>, &'static str), Error> {
    let no_image = |why: &str| Error::Lacks { operation: "GetQrImage", why: why.to_owned() };
    match (&code.picture, format) {
        (Some(picture), ImageFormat::Png) => match STANDARD.decode(picture) {
            Ok(image) => Ok((image, "image/png")),
            Err(_) => {
                error!(resource.id = %qr.header.id, "the picture of `{}` is stored and can't be read", qr.header.id);
                Err(Error::Internal)
            }
        },
        (Some(_), ImageFormat::Svg) => Err(no_image("this provider gives a PNG picture of its codes and no text to draw")),
        (None, _) if !code.image_url.is_empty() => Err(no_image("this provider gives only the address of a picture: use image_url")),
        (None, _) => Err(Error::StateForbids { state: qr.state.name(), message: "this code has no UPI text to draw".to_owned() }),
    }
}

/// Who has codes at the provider, if `operation` is to be had there; or why not.
fn qr_codes(provider: &Provider, operation: Operation) -> Result<&QrCodes, Error> {
    if let Some(why) = provider.capabilities.missing(operation) {
        return Err(lacks(operation, why));
    }
    provider.qr.as_ref().ok_or_else(|| lacks(operation, "this provider has no QR codes"))
}

/// Who closes `qr`, or why nobody does.
fn may_close(provider: &Provider, qr: &Qr) -> Result<Arc<dyn QrClosing>, Error> {
    let codes = qr_codes(provider, Operation::CloseQr)?;
    if let Some(why) = provider.capabilities.qr_usage(qr.order.usage).and_then(|usage| usage.close_missing) {
        return Err(lacks(Operation::CloseQr, why));
    }
    codes.closing.clone().ok_or_else(|| lacks(Operation::CloseQr, "this provider closes no codes"))
}

/// What the provider has to be told to find the code again; `None`: it has none that we know of.
pub(super) fn known(qr: &Qr) -> Option<KnownQr> {
    let provider_ref = qr.header.provider_ref.clone()?;
    Some(KnownQr {
        provider_ref,
        our_ref: qr.header.our_ref.clone(),
        usage: qr.order.usage,
        amount: qr.order.amount,
        attempt_ref: qr.code.as_ref().and_then(|code| code.attempt_ref.clone()),
    })
}

/// How the lost answer to the creation of a code of `usage` is found out.
pub(super) fn doubt_of(provider: &Provider, usage: Usage) -> DoubtCure {
    provider.capabilities.qr_usage(usage).map_or(DoubtCure::None, |usage| usage.doubt)
}
