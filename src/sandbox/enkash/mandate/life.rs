//! How a mandate goes on: approved or not, paused, ended by either side or by time, used up. The merchant is told of what
//! comes from elsewhere, and of his own revocation; that one debit used a mandate up he learns from the debit.

use serde::Deserialize;

use super::{Mandate, MandatePeriod, MandateStatus, no_such_mandate};
use crate::sandbox::enkash::Paths;
use crate::sandbox::enkash::desk::Desk;
use crate::sandbox::enkash::failure::Failure;
use crate::sandbox::enkash::input;
use crate::sandbox::enkash::print::to_json;
use crate::sandbox::enkash::transaction::Pays;
use crate::sandbox::webhooks::News;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RevokeRequest {
    #[serde(alias = "reference_id")]
    reference_id: String,
}

impl Desk<'_> {
    /// What an update may say is not known.
    pub fn update_mandate(&self) -> Result<String, Failure> {
        Err(Failure::other("Mandate can't be updated."))
    }

    /// The payer needn't agree. While a mandate is paused nobody but him can do a thing about it.
    pub fn revoke_mandate(&mut self, body: &[u8]) -> Result<String, Failure> {
        let RevokeRequest { reference_id } = input::read(body)?;
        let mandate = self.mandate_of(&reference_id).ok_or_else(no_such_mandate)?;
        let (id, status) = (mandate.id.clone(), mandate.status);
        match status {
            MandateStatus::Initiated | MandateStatus::Active if self.switches.mandates.cancelling_stays => {
                self.with_mandate(&id, |mandate| mandate.cancelling = true);
            }
            MandateStatus::Initiated | MandateStatus::Active => self.move_mandate(&id, MandateStatus::Revoked),
            MandateStatus::Revoked if !self.our_switches().revoking_revoked_fails => (),
            MandateStatus::Revoked
            | MandateStatus::Paused
            | MandateStatus::Rejected
            | MandateStatus::Expired
            | MandateStatus::Completed => {
                return Err(Failure::other(format!("Mandate is {}.", self.words().status(status))));
            }
        }
        let mandate = self.books.mandates.get(&id).ok_or_else(no_such_mandate)?;
        Ok(self.success(self.view_standing(mandate, self.naming(Paths::Today))))
    }

    pub fn approve_mandate_by_itself(&mut self, id: &str) {
        if self.mandate_status(id) == Some(MandateStatus::Initiated) {
            self.approve_mandate(id);
        }
    }

    pub fn approve_mandate(&mut self, id: &str) {
        let hex = self.dice.hex().to_ascii_lowercase();
        self.with_mandate(id, |mandate| mandate.umn = Some(umn(&hex, &mandate.payer.vpa)));
        self.move_mandate(id, MandateStatus::Active);
    }

    /// The payer let the time for his approval pass.
    pub fn time_out_approval(&mut self, id: &str) {
        if self.mandate_status(id) == Some(MandateStatus::Initiated) {
            self.move_mandate(id, MandateStatus::Expired);
        }
    }

    /// A mandate's validity is over.
    pub fn end_mandate(&mut self, id: &str) {
        if let Some(MandateStatus::Initiated | MandateStatus::Active | MandateStatus::Paused) = self.mandate_status(id) {
            self.move_mandate(id, MandateStatus::Expired);
        }
    }

    /// Money of a debit came: a mandate for one is used up by it.
    pub fn use_mandate(&mut self, transaction: &str) {
        if let Some(id) = self.mandate_debited(transaction) {
            self.with_mandate(&id, |mandate| {
                if mandate.recurrence.period == MandatePeriod::OneTime && mandate.status.goes_on() {
                    mandate.status = MandateStatus::Completed;
                }
            });
        }
    }

    /// Whose debit a transaction is, if it is one.
    pub fn mandate_debited(&self, transaction: &str) -> Option<String> {
        let Pays::Order(order) = &self.books.transactions.get(transaction)?.pays else {
            return None;
        };
        self.books.orders.get(order)?.mandate_id.clone()
    }

    /// What is told of an approval that never was, in a mandate of this amount.
    pub fn forge_approval(&mut self, mandate: &Mandate, amount: i64) {
        let hex = self.dice.hex().to_ascii_lowercase();
        let umn = Some(umn(&hex, &mandate.payer.vpa));
        let forged = Mandate { status: MandateStatus::Active, umn, amount, ..mandate.clone() };
        if let Some(news) = self.news_of(&forged) {
            self.forge(news);
        }
    }

    pub fn mandate_status(&self, id: &str) -> Option<MandateStatus> {
        self.books.mandates.get(id).map(|mandate| mandate.status)
    }

    pub fn pause_mandate(&mut self, id: &str) {
        let now_ms = self.now_ms;
        self.with_mandate(id, |mandate| mandate.paused_ms = Some(now_ms));
        self.move_mandate(id, MandateStatus::Paused);
    }

    /// Whether it may was checked before. The merchant is told.
    pub fn move_mandate(&mut self, id: &str, status: MandateStatus) {
        self.with_mandate(id, |mandate| (mandate.status, mandate.cancelling) = (status, mandate.cancelling && status.goes_on()));
        let news = self.books.mandates.get(id).and_then(|mandate| self.news_of(mandate));
        self.tell(news.into_iter().collect());
    }

    fn with_mandate(&mut self, id: &str, act: impl FnOnce(&mut Mandate)) {
        if let Some(mandate) = self.books.mandates.get_mut(id) {
            act(mandate);
        }
    }

    fn news_of(&self, mandate: &Mandate) -> Option<News> {
        let event = match mandate.status {
            MandateStatus::Active if mandate.paused_ms.is_some() => "mandate.resumed",
            MandateStatus::Active => "mandate.approved",
            MandateStatus::Rejected => "mandate.rejected",
            MandateStatus::Paused => "mandate.paused",
            MandateStatus::Revoked => "mandate.revoked",
            MandateStatus::Expired => "mandate.expired",
            MandateStatus::Initiated | MandateStatus::Completed => return None,
        };
        let body = to_json(&self.view_mandate(mandate, self.naming(Paths::Today)));
        Some(News { event, body, content_type: "application/json", url: None })
    }
}

impl MandateStatus {
    fn goes_on(self) -> bool {
        matches!(self, Self::Initiated | Self::Active | Self::Paused)
    }
}

/// 32 digits at the handle of the payer's address, since his side makes them.
fn umn(hex: &str, vpa: &str) -> String {
    let handle = vpa.split_once('@').map_or("examplebank", |(_, handle)| handle);
    format!("{hex}@{handle}")
}
