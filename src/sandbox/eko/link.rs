//! The `upi://pay?…` text inside a code of the Razorpay rail: written strictly, read leniently.

use crate::sandbox::upi::{paise, value};

/// The text of a code, whose `tr` is `RZP`, the 14 characters of its id, `qrv2`. The payer sees Eko as the payee.
pub fn write(code: &str, payee: &str) -> String {
    format!("upi://pay?ver=01&mode=01&pa={payee}&pn=Eko&tr=RZP{code}qrv2&cu=INR&mc=4814&qrMedium=04&tn=PaymenttoEko")
}

/// The id of the code that a text belongs to, and the amount in paise that somebody appended to the text.
pub fn read(text: &str) -> Option<(String, Option<i64>)> {
    let code = value(text, "tr")?.strip_prefix("RZP")?.strip_suffix("qrv2")?;
    let amount = match value(text, "am") {
        Some(rupees) => Some(paise(rupees)?),
        None => None,
    };
    Some((format!("qr_{code}"), amount))
}

#[cfg(test)]
mod tests {
    use super::{read, write};

    #[test]
    fn a_text_leads_back_to_its_code_and_to_the_amount_appended_to_it() {
        let text = write("NbC4dEf5GhI6jK", "rpy.qreko100000000000000@examplebank");
        assert_eq!(read(&text), Some(("qr_NbC4dEf5GhI6jK".to_owned(), None)));
        assert_eq!(read(&format!("{text}&am=5")), Some(("qr_NbC4dEf5GhI6jK".to_owned(), Some(500))));
        assert_eq!(read("qr_NbC4dEf5GhI6jK"), None);
    }
}
