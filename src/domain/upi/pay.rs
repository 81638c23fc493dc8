//! The strict writer of `upi://pay` links: static (the payer types the amount, any number of times)
//! and dynamic (one amount under one reference).

use jiff::Timestamp;
use jiff::tz::Offset;

use super::encoding::encode;
use super::{LinkKind, Violation, strict_violations};
use crate::domain::money::Amount;
use crate::domain::personal::{Sight, Vpa};

/// Who is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payee {
    pub vpa: Vpa,
    pub name: String,
    /// What kind of merchant; a person has none.
    pub mcc: Option<Mcc>,
}

/// A merchant category code of ISO 18245: four digits. `0000` says "a person".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mcc(String);

/// How the payment begins. Only the modes that need no signature, for we can make none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    StaticQr,
    Intent,
    Mandate,
    DynamicQr,
    OnlineStaticQr,
    OnlineDynamicQr,
}

/// Where the QR code is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QrMedium {
    Gallery,
    App,
    PointOfSale,
    Physical,
    Atm,
    Web,
}

/// A link to be written. What a type can't rule out (lengths, characters) `text` reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayLink {
    payee: Payee,
    mode: Mode,
    order: Option<Order>,
    tid: Option<String>,
    note: Option<String>,
    url: Option<String>,
    medium: Option<QrMedium>,
    expires: Option<Timestamp>,
}

/// What only a dynamic link has, and always both.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Order {
    amount: Amount,
    reference: String,
}

impl Mcc {
    pub fn parse(text: &str) -> Option<Mcc> {
        is_mcc(text).then(|| Mcc(text.to_owned()))
    }

    pub fn code(&self) -> &str {
        &self.0
    }
}

impl Mode {
    const ALL: [Mode; 6] = [Mode::StaticQr, Mode::Intent, Mode::Mandate, Mode::DynamicQr, Mode::OnlineStaticQr, Mode::OnlineDynamicQr];

    pub fn from_code(code: &str) -> Option<Mode> {
        Self::ALL.into_iter().find(|mode| mode.code() == code)
    }

    pub const fn code(self) -> &'static str {
        match self {
            Mode::StaticQr => "01",
            Mode::Intent => "04",
            Mode::Mandate => "11",
            Mode::DynamicQr => "15",
            Mode::OnlineStaticQr => "19",
            Mode::OnlineDynamicQr => "22",
        }
    }
}

impl QrMedium {
    pub const fn code(self) -> &'static str {
        match self {
            QrMedium::Gallery => "01",
            QrMedium::App => "02",
            QrMedium::PointOfSale => "03",
            QrMedium::Physical => "04",
            QrMedium::Atm => "05",
            QrMedium::Web => "06",
        }
    }
}

impl PayLink {
    /// For a sticker on the counter.
    pub fn static_qr(payee: Payee) -> PayLink {
        PayLink::new(payee, Mode::StaticQr, None)
    }

    /// For one order, shown as a QR code.
    pub fn dynamic_qr(payee: Payee, amount: Amount, reference: impl Into<String>) -> PayLink {
        let order = Order { amount, reference: reference.into() };
        PayLink::new(payee, Mode::DynamicQr, Some(order))
    }

    /// For one order, opened by the payer's own app.
    pub fn intent(payee: Payee, amount: Amount, reference: impl Into<String>) -> PayLink {
        let order = Order { amount, reference: reference.into() };
        PayLink::new(payee, Mode::Intent, Some(order))
    }

    fn new(payee: Payee, mode: Mode, order: Option<Order>) -> PayLink {
        PayLink { payee, mode, order, tid: None, note: None, url: None, medium: None, expires: None }
    }

    /// Another mode than the usual one of its kind.
    pub fn mode(self, mode: Mode) -> PayLink {
        PayLink { mode, ..self }
    }

    /// The PSP's transaction id. Only a PSP makes one; it is passed on, never invented.
    pub fn transaction_id(self, tid: impl Into<String>) -> PayLink {
        PayLink { tid: Some(tid.into()), ..self }
    }

    pub fn note(self, note: impl Into<String>) -> PayLink {
        PayLink { note: Some(note.into()), ..self }
    }

    /// Where the payer may read about what he pays for.
    pub fn url(self, url: impl Into<String>) -> PayLink {
        PayLink { url: Some(url.into()), ..self }
    }

    pub fn medium(self, medium: QrMedium) -> PayLink {
        PayLink { medium: Some(medium), ..self }
    }

    pub fn expires(self, at: Timestamp) -> PayLink {
        PayLink { expires: Some(at), ..self }
    }

    /// The link's text, or everything that is wrong with it. It is checked by the same rules as a
    /// stranger's text, so writer and check can't drift apart.
    pub fn text(&self) -> Result<String, Vec<Violation>> {
        let PayLink { payee, mode, order, tid, note, url, medium, expires } = self;
        let Payee { vpa, name, mcc } = payee;
        let pa = vpa.show(Sight::Clear);
        let am = order.as_ref().map(|order| order.amount.rupees_text());
        let expires = expires.map(indian_time);
        checked(
            LinkKind::Pay,
            &[
                ("ver", Some("01")),
                ("mode", Some(mode.code())),
                ("pa", Some(&pa)),
                ("pn", Some(name)),
                ("mc", mcc.as_ref().map(Mcc::code)),
                ("tid", tid.as_deref()),
                ("tr", order.as_ref().map(|order| order.reference.as_str())),
                ("tn", note.as_deref()),
                ("am", am.as_deref()),
                ("cu", Some("INR")),
                ("url", url.as_deref()),
                ("qrMedium", medium.map(QrMedium::code)),
                ("QRexpire", expires.as_deref()),
            ],
        )
    }
}

/// Writes the parameters that are there, in this order, and checks the result.
pub(super) fn checked(kind: LinkKind, parameters: &[(&str, Option<&str>)]) -> Result<String, Vec<Violation>> {
    let query: Vec<String> = parameters.iter().filter_map(|(name, value)| Some(format!("{name}={}", encode((*value)?)))).collect();
    let text = format!("upi://{}?{}", kind.path(), query.join("&"));
    let violations = strict_violations(&text);
    if violations.is_empty() { Ok(text) } else { Err(violations) }
}

pub(super) fn is_mcc(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit())
}

/// `2026-01-01T10:05:00+05:30`: apps show it, so it is in the payer's own time.
fn indian_time(at: Timestamp) -> String {
    const INDIA_SECONDS: i32 = (5 * 60 + 30) * 60;
    let offset = Offset::from_seconds(INDIA_SECONDS).expect("5 h 30 min is a possible offset");
    format!("{}+05:30", offset.to_datetime(at).strftime("%Y-%m-%dT%H:%M:%S"))
}
