//! EnKash's mandates for whoever plays the payer and his bank.

use serde_json::Value;

use super::{Mandate, MandateNoticeStatus, MandateStatus, Notice};
use crate::sandbox::control::ControlError;
use crate::sandbox::desk::Mandates;
use crate::sandbox::enkash::Paths;
use crate::sandbox::enkash::control::{to_value, wrong_state};
use crate::sandbox::enkash::desk::Desk;
use crate::sandbox::enkash::transaction::Status;
use crate::sandbox::{DebitEnd, NoticeEnd, PayerAct};

impl Mandates for Desk<'_> {
    /// Takes EnKash's id, the merchant's reference, or the number that the payer's side gave it.
    fn decide_mandate(&mut self, id: &str, act: PayerAct) -> Result<(), ControlError> {
        let mandate = self.find_mandate(id).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        let (ours, status) = (mandate.id.clone(), mandate.status);
        let may_revoke = mandate.cancelling || mandate.is_revokeable_by_payer();
        let was_asked_to = mandate.cancelling;
        match (act, status) {
            (PayerAct::Approve, MandateStatus::Initiated) => self.approve_mandate(&ours),
            (PayerAct::Reject, MandateStatus::Initiated) => self.move_mandate(&ours, MandateStatus::Rejected),
            (PayerAct::Pause, MandateStatus::Active) => self.pause_mandate(&ours),
            (PayerAct::Resume, MandateStatus::Paused) => self.move_mandate(&ours, MandateStatus::Active),
            (PayerAct::Revoke, MandateStatus::Active) if may_revoke => self.move_mandate(&ours, MandateStatus::Revoked),
            (PayerAct::Revoke, MandateStatus::Active) => return Err(wrong_state(id, "not for the payer to revoke")),
            (PayerAct::Revoke, MandateStatus::Initiated) if was_asked_to => self.move_mandate(&ours, MandateStatus::Revoked),
            _ => return Err(wrong_state(id, self.words().status(status))),
        }
        Ok(())
    }

    /// `id` is the notice's, or its mandate's: then the newest that waits is meant.
    fn end_notice(&mut self, id: &str, how: NoticeEnd) -> Result<(), ControlError> {
        let waits = |status: MandateNoticeStatus| status == MandateNoticeStatus::Pending;
        let is_meant = |notice: &&Notice| notice.id == id || (notice.mandate_id == id && waits(notice.status));
        let notice = self.books.notices.newest_first().find(is_meant);
        let notice = notice.ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        if !waits(notice.status) {
            return Err(wrong_state(id, self.words().notice(notice.status)));
        }
        let (ours, now_ms) = (notice.id.clone(), self.now_ms);
        if let Some(notice) = self.books.notices.get_mut(&ours) {
            (notice.status, notice.delivered_ms) = match how {
                NoticeEnd::Delivered => (MandateNoticeStatus::Delivered, Some(now_ms)),
                NoticeEnd::Failed => (MandateNoticeStatus::Failed, None),
            };
        }
        Ok(())
    }

    /// What failed may be collected late.
    fn end_debit(&mut self, id: &str, how: &DebitEnd) -> Result<(), ControlError> {
        let order = self.books.orders.get(id).and_then(|order| order.attempts.last().cloned());
        let transaction = order.unwrap_or_else(|| id.to_owned());
        if self.mandate_debited(&transaction).is_none() {
            return Err(ControlError::NotFound(id.to_owned()));
        }
        match how {
            DebitEnd::Collected => {
                self.expect_attempt(&transaction, |status| matches!(status, Status::PendingWithBank | Status::Failed))?;
                self.decide(&transaction, Status::Success);
            }
            DebitEnd::Failed { reason } => {
                self.expect_attempt(&transaction, |status| status == Status::PendingWithBank)?;
                self.fail_debit(&transaction, reason.clone());
            }
        }
        Ok(())
    }

    /// Spelt like the callbacks.
    fn print_mandates(&self) -> Vec<Value> {
        let mandates = self.books.mandates.newest_first();
        mandates.map(|mandate| to_value(self.view_mandate(mandate, self.naming(Paths::Today)))).collect()
    }
}

impl Desk<'_> {
    pub fn find_mandate(&self, id: &str) -> Option<&Mandate> {
        let is_meant = |mandate: &&Mandate| mandate.reference_id == id || mandate.umn.as_deref() == Some(id);
        self.books.mandates.get(id).or_else(|| self.books.mandates.newest_first().find(is_meant))
    }
}
