//! What a merchant is told of a payment: its new state and the one before. Nothing in it is signed, so it proves
//! nothing. Faults know callbacks by what happened: `payment.held`, `payment.credited`, `payment.failed`,
//! `payment.refunded`.

use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::to_json;
use super::payment::{Payment, Status};
use super::switches::EkoSwitches;
use crate::sandbox::clock::in_ist;
use crate::sandbox::upi::rupees;
use crate::sandbox::webhooks::News;

/// Payments on codes have this one, though another is activated for them.
const SERVICE_CODE: &str = "27";

#[derive(Serialize)]
struct Callback<'a> {
    tx_status: u8,
    amount: Box<RawValue>,
    tds: Box<RawValue>,
    txstatus_desc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_vpa: Option<&'a str>,
    fee: Box<RawValue>,
    gst: Box<RawValue>,
    tid: Box<RawValue>,
    client_ref_id: &'a str,
    old_tx_status: u8,
    partners_commision: Box<RawValue>,
    service_code: &'static str,
    old_tx_status_desc: &'static str,
    bank_ref_num: &'a str,
    timestamp: String,
}

/// The callback about a payment that has just left the state `from`.
pub fn write(payment: &Payment, from: Status, switches: &EkoSwitches) -> News {
    let rupees = |paise| number(in_rupees(paise, switches.float_amounts));
    let callback = Callback {
        tx_status: payment.status.code(),
        amount: rupees(payment.amount),
        tds: rupees(0),
        txstatus_desc: payment.status.words(),
        customer_vpa: Some(payment.vpa.as_str()).filter(|_| switches.customer_vpa),
        fee: rupees(payment.fee),
        gst: rupees(payment.gst),
        tid: number(payment.tid.clone()),
        client_ref_id: &payment.client_ref_id,
        old_tx_status: from.code(),
        partners_commision: rupees(0),
        service_code: SERVICE_CODE,
        old_tx_status_desc: from.words(),
        bank_ref_num: &payment.rrn,
        // The time of the payment, whatever is told of it.
        timestamp: in_ist(payment.created_ms).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    };
    let event = match payment.status {
        Status::Held => "payment.held",
        Status::Success => "payment.credited",
        Status::Fail => "payment.failed",
        Status::Refunded => "payment.refunded",
        Status::Initiated => "payment.initiated",
    };
    News { event, body: to_json(&callback), content_type: "application/json", url: None }
}

/// Rupees as a number is printed: no more decimals than it takes, but with `float` at least one.
fn in_rupees(paise: i64, float: bool) -> String {
    let text = rupees(paise);
    let short = text.trim_end_matches('0');
    match short.strip_suffix('.') {
        Some(whole) if float => format!("{whole}.0"),
        Some(whole) => whole.to_owned(),
        None => short.to_owned(),
    }
}

/// Digits as a number and not as a text; no binary fraction comes near them.
fn number(digits: String) -> Box<RawValue> {
    RawValue::from_string(digits).expect("digits, with a point between them at most, are a JSON number")
}

#[cfg(test)]
mod tests {
    use super::in_rupees;

    #[test]
    fn amounts_are_printed_as_numbers_are() {
        let check = |paise, integers: &str, floats: &str| {
            assert_eq!((in_rupees(paise, false).as_str(), in_rupees(paise, true).as_str()), (integers, floats));
        };
        check(0, "0", "0.0");
        check(2_100_000, "21000", "21000.0");
        check(40_050, "400.5", "400.5");
        check(472, "4.72", "4.72");
        check(10_000, "100", "100.0");
    }
}
