//! How EnKash prints things: its envelope, rupees, times.

use jiff::tz::{TimeZone, offset};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::desk::Desk;
use super::switches::EnkashSwitches;
use crate::sandbox::upi;

/// JSON that was put together digit by digit: no binary fraction comes near an amount.
pub type Printed = Box<RawValue>;

/// What an answer of success is wrapped in.
#[derive(Serialize)]
struct Envelope<T> {
    response_code: i64,
    response_message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<T>,
}

impl Desk<'_> {
    pub fn success(&self, payload: impl Serialize) -> String {
        let payload = (!self.our_switches().without_payload).then_some(payload);
        to_json(&Envelope { response_code: 0, response_message: "Success", payload })
    }

    pub fn amount(&self, paise: i64) -> Printed {
        let rupees = upi::rupees(paise);
        let text = if self.our_switches().amounts_as_strings { format!("\"{rupees}\"") } else { rupees };
        RawValue::from_string(text).expect("digits and a point are JSON, with quotes and without")
    }

    /// Whole seconds, as in the samples.
    pub fn time(&self, at_ms: i64) -> String {
        let at = Timestamp::from_second(at_ms / 1_000).unwrap_or(Timestamp::MAX);
        if !self.our_switches().times_without_offset {
            return at.to_string();
        }
        let ist = TimeZone::fixed(offset(5).saturating_add(SignedDuration::from_mins(30)));
        at.to_zoned(ist).datetime().to_string()
    }

    /// A status, or a word that nobody has heard of.
    pub fn status<'w>(&self, word: &'w str) -> &'w str {
        if self.our_switches().unheard_statuses { "ON_HOLD_WITH_SWITCH" } else { word }
    }

    pub fn our_switches(&self) -> &EnkashSwitches {
        &self.switches.enkash
    }
}

pub fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own views have string keys and no failing parts")
}
