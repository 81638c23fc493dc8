//! The notice that a payer gets before a debit. Nobody can ask for one later, so what becomes of it is in the answer.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::naming::Fields;
use super::{MandateNoticeStatus, no_such_mandate};
use crate::sandbox::NoticeCourse;
use crate::sandbox::clock::in_ist;
use crate::sandbox::enkash::Paths;
use crate::sandbox::enkash::desk::{Desk, room_on};
use crate::sandbox::enkash::failure::Failure;
use crate::sandbox::enkash::input;
use crate::sandbox::shelf::Labelled;
use crate::sandbox::upi;

/// `YYYY-MM-DD`.
const DATE_LENGTH: usize = 10;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Notice {
    pub id: String,
    pub mandate_id: String,
    /// In paise.
    pub amount: i64,
    pub status: MandateNoticeStatus,
    pub delivered_ms: Option<i64>,
}

impl Labelled for Notice {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NotifyRequest<'a> {
    #[serde(alias = "mandate_id")]
    mandate_id: String,
    #[serde(borrow)]
    amount: &'a RawValue,
    #[serde(alias = "debit_date")]
    debit_date: String,
}

impl Desk<'_> {
    /// Every call is another notice.
    pub fn notify_payer(&mut self, body: &[u8], paths: Paths) -> Result<String, Failure> {
        room_on(&self.books.notices)?;
        let NotifyRequest { mandate_id, amount, debit_date } = input::read(body)?;
        let amount = input::amount("amount", amount)?;
        let mandate = self.books.mandates.get(&mandate_id).ok_or_else(no_such_mandate)?;
        mandate.expect_active(self.words(), amount)?;
        let days = in_ist(self.now_ms).date()..=in_ist(mandate.ends_ms).date();
        let date = Some(&debit_date).filter(|date| date.len() == DATE_LENGTH).and_then(|date| date.parse::<Date>().ok());
        if !date.is_some_and(|date| days.contains(&date)) {
            return Err(Failure::other("debitDate must be a day, from today to the mandate's last, as YYYY-MM-DD."));
        }
        let status = match self.switches.mandates.notices {
            NoticeCourse::ByThemselves => MandateNoticeStatus::Delivered,
            NoticeCourse::Fail => MandateNoticeStatus::Failed,
            NoticeCourse::WhenTold => MandateNoticeStatus::Pending,
        };
        let id = self.new_id("PN");
        let delivered_ms = (status == MandateNoticeStatus::Delivered).then_some(self.now_ms);
        let answer = Fields::new(self.naming(paths))
            .with("mandateId", &mandate_id)
            .with("predebitNotificationId", &id)
            .with("status", self.status(self.words().notice(status)))
            // A string here, where the request has a number.
            .with("amount", upi::rupees(amount))
            .with("debitDate", &debit_date);
        self.books.notices.put(Notice { id, mandate_id, amount, status, delivered_ms });
        Ok(self.success(answer))
    }
}
