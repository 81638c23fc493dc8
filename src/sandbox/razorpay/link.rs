//! The `upi://pay?…` text inside a QR code, written strictly and read leniently, and the `upi://mandate?…` text that asks a
//! payer for a mandate.

use super::payment::Payment;
use super::qr::Qr;
use super::terms::Terms;
use crate::sandbox::clock::in_ist;
use crate::sandbox::upi::{paise, percent_encode, rupees, value};

/// The text of a code. Its `tr` is `RZP`, the 14 characters of its id, `qrv2`.
pub fn write(qr: &Qr, merchant: &str) -> String {
    let mode = if qr.payment_amount.is_some() { "15" } else { "01" };
    let mut link = format!(
        "upi://pay?ver=01&mode={mode}&pa={}&pn={}&mc=5411&tr={}&cu=INR",
        vpa(merchant),
        percent_encode(merchant),
        reference(&qr.id)
    );
    if let Some(amount) = qr.payment_amount {
        link.push_str(&format!("&am={}", rupees(amount)));
    }
    let note: String = qr.description.as_deref().unwrap_or_default().chars().filter(is_note).take(50).collect();
    let note = note.trim();
    if !note.is_empty() {
        link.push_str("&tn=");
        link.push_str(&percent_encode(note));
    }
    link.push_str("&qrMedium=06");
    link
}

/// The id of the code that a text belongs to, and the amount that the text asks for in paise.
pub fn read(text: &str) -> Option<(String, Option<i64>)> {
    let id = value(text, "tr")?.strip_prefix("RZP")?.strip_suffix("qrv2")?;
    let amount = match value(text, "am") {
        Some(rupees) => Some(paise(rupees)?),
        None => None,
    };
    Some((format!("qr_{id}"), amount))
}

/// The text that a mandate is approved by, as of `now_ms`. Its `tr` is `EXM` and the 14 characters of its payment's id.
pub fn write_mandate(payment: &Payment, terms: &Terms, merchant: &str, now_ms: i64) -> String {
    let rule = terms.rule.map_or_else(String::new, |rule| format!("&recurtype={}&recurvalue={}", rule.kind.in_links(), rule.value));
    let day = |at_ms| in_ist(at_ms).strftime("%d%m%Y").to_string();
    format!(
        "upi://mandate?pa={}&pn={}&tr=EXM{}&am={}&fam={}&amrule=MAX&cu=INR&recur={}{rule}&validitystart={}&validityend={}\
         &rev=Y&txnType=CREATE&mode=04&purpose=14&block=N&mc=5411",
        vpa(merchant),
        percent_encode(merchant),
        payment.id.strip_prefix("pay_").unwrap_or(&payment.id),
        rupees(terms.max_amount),
        rupees(payment.amount),
        terms.frequency.in_links(),
        day(now_ms),
        day(terms.expire_at.saturating_mul(1_000)),
    )
}

/// The id of the payment that such a text belongs to.
pub fn read_mandate(text: &str) -> Option<String> {
    let query = text.strip_prefix("upi://mandate?")?;
    let id = query.split('&').find_map(|pair| pair.strip_prefix("tr=EXM"))?;
    Some(format!("pay_{id}"))
}

fn reference(qr_id: &str) -> String {
    format!("RZP{}qrv2", qr_id.strip_prefix("qr_").unwrap_or(qr_id))
}

fn vpa(merchant: &str) -> String {
    let local: String = merchant.chars().filter(char::is_ascii_alphanumeric).take(30).collect();
    format!("{}.rzp@examplebank", if local.is_empty() { "merchant".to_owned() } else { local.to_ascii_lowercase() })
}

fn is_note(c: &char) -> bool {
    c.is_ascii_alphanumeric() || *c == ' '
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_text_leads_back_to_its_code() {
        let text = "upi://pay?pa=a.b@examplebank&tr=RZPPz3dM6vX0tJ4Fbqrv2&am=450.00";
        assert_eq!(read(text), Some(("qr_Pz3dM6vX0tJ4Fb".to_owned(), Some(45_000))));
        assert_eq!(read("upi://pay?pa=a.b@examplebank"), None);
    }
}
