//! Static codes: made once for each `sender_id`, and answered again ever after.

use serde::{Deserialize, Serialize};

use super::answer::{Refusal, Success};
use super::desk::Desk;
use super::input::Body;
use super::link;
use super::service::{AU_RAIL, RAZORPAY_RAIL};
use super::switches::QrFailure;
use crate::sandbox::shelf::Labelled;
use crate::sandbox::simulated::Reply;

const GENERATED: Success = Success { response_status_id: -1, response_type_id: 1888, message: "successfully generated QR code" };
/// `QR_ACTIVE`.
const QR_ACTIVE: u8 = 2;
/// Customers on the AU rail have eight digits.
const AU_CUSTOMER_FIRST: u64 = 40_000_000;
const AU_CUSTOMER_STEP_MAX: u64 = 9;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Qr {
    /// The customer at the rail. Callbacks name it `client_ref_id`.
    pub utility_acc_no: String,
    /// The code at the rail. Callbacks don't name it.
    pub client_ref_id: String,
    pub sender_id: String,
    pub name: String,
    /// What a payer scans, or on the AU rail the address of its picture.
    pub qr_string: String,
}

impl Labelled for Qr {
    fn id(&self) -> &str {
        &self.utility_acc_no
    }
}

#[derive(Serialize)]
pub struct QrView<'a> {
    client_ref_id: &'a str,
    name: &'a str,
    graph_data: &'static str,
    utility_acc_no: &'a str,
    sender_id: &'a str,
    qr_string: &'a str,
    status: u8,
}

pub fn view(qr: &Qr) -> QrView<'_> {
    QrView {
        client_ref_id: &qr.client_ref_id,
        name: &qr.name,
        graph_data: "",
        utility_acc_no: &qr.utility_acc_no,
        sender_id: &qr.sender_id,
        qr_string: &qr.qr_string,
        status: QR_ACTIVE,
    }
}

impl Desk<'_> {
    pub fn create_qr(&mut self, body: &Body) -> Result<Reply, Refusal> {
        let switches = &self.switches.eko;
        let service = match body.number("service_code")? {
            None | Some(59) => RAZORPAY_RAIL,
            Some(85) => AU_RAIL,
            Some(_) => return Err(Refusal::no_key()),
        };
        if !self.is_active(service) {
            return Err(if switches.inactive_answers_200 { Refusal::not_allowed() } else { Refusal::Gateway(403) });
        }
        self.check_initiator(body)?;
        let sender_id = body.text("sender_id")?.filter(|id| is_mobile(id)).ok_or_else(Refusal::no_key)?;
        let name = body.text("name")?.ok_or_else(Refusal::no_key)?;
        body.text("email")?;
        if let Some(failure) = switches.qr_failure {
            return Err(Refusal::Failed { status: 1, message: words(failure) });
        }
        let made = self.books.qr_of_sender.get(sender_id).and_then(|id| self.books.qrs.get_mut(id));
        if let Some(qr) = made {
            if switches.repeat_renames {
                qr.name = name.to_owned();
            }
            return Ok(GENERATED.with(view(qr)));
        }
        if self.books.qrs.is_full() {
            return Err(Refusal::Gateway(500));
        }
        let qr = if service == AU_RAIL { self.new_au_qr(sender_id, name) } else { self.new_razorpay_qr(sender_id, name) };
        let answer = GENERATED.with(view(&qr));
        self.books.qr_of_sender.insert(sender_id.to_owned(), qr.utility_acc_no.clone());
        self.books.qrs.put(qr);
        Ok(answer)
    }

    fn new_razorpay_qr(&mut self, sender_id: &str, name: &str) -> Qr {
        let (customer, code) = (self.dice.letters(14), self.dice.letters(14));
        // Fifteen digits.
        let digits = 100_000_000_000_000 + self.dice.below(100_000_000_000_000);
        Qr {
            utility_acc_no: format!("cust_{customer}"),
            qr_string: link::write(&code, &format!("rpy.qreko{digits}@examplebank")),
            client_ref_id: format!("qr_{code}"),
            sender_id: sender_id.to_owned(),
            name: name.to_owned(),
        }
    }

    fn new_au_qr(&mut self, sender_id: &str, name: &str) -> Qr {
        self.books.au_customer = self.books.au_customer.max(AU_CUSTOMER_FIRST) + 1 + self.dice.below(AU_CUSTOMER_STEP_MAX);
        let customer = self.books.au_customer;
        Qr {
            utility_acc_no: customer.to_string(),
            client_ref_id: sender_id.to_owned(),
            sender_id: sender_id.to_owned(),
            name: name.to_owned(),
            qr_string: format!("https://qr.getepay.example/static/{customer}.png"),
        }
    }

    /// A code by the customer's id, its own id, its text or the address of its picture; and the amount in paise that
    /// somebody wrote into the text.
    pub fn find_qr(&self, code: &str) -> Option<(&Qr, Option<i64>)> {
        if let Some(qr) = self.books.qrs.get(code) {
            return Some((qr, None));
        }
        let (id, amount) = link::read(code).unwrap_or((code.to_owned(), None));
        let mut qrs = self.books.qrs.newest_first();
        let qr = qrs.find(|qr| qr.client_ref_id == id || qr.qr_string == code)?;
        Some((qr, amount))
    }
}

fn is_mobile(text: &str) -> bool {
    text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn words(failure: QrFailure) -> &'static str {
    match failure {
        QrFailure::NoCustomer => "Failed to create a customer ID",
        QrFailure::CustomerIsNull => "Customer ID is null",
        QrFailure::NoCode => "Failed to generate QR",
    }
}
