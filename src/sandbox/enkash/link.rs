//! The `upi://pay?…` text inside EnKash's QR codes: written strictly, read leniently.

use crate::sandbox::upi::{paise, percent_encode, rupees, value};

/// Groceries.
pub const MCC: &str = "5411";
const NAME_LENGTH_MAX: usize = 30;
const NOTE_LENGTH_MAX: usize = 50;

/// The text that leads to `id`: an attempt to pay an order, or a UPI QR code.
pub fn write(id: &str, merchant: &str, amount: Option<i64>, note: &str) -> String {
    let name: String = merchant.chars().take(NAME_LENGTH_MAX).collect();
    let mut link = format!("upi://pay?pa={}&pn={}&mc={MCC}&tr={id}", vpa(merchant), percent_encode(&name));
    let note: String = note.chars().filter(is_note).take(NOTE_LENGTH_MAX).collect();
    let note = note.trim();
    if !note.is_empty() {
        link.push_str("&tn=");
        link.push_str(&percent_encode(note));
    }
    if let Some(amount) = amount {
        link.push_str(&format!("&am={}", rupees(amount)));
    }
    link.push_str("&cu=INR");
    link
}

/// What a text leads to, and the amount that it asks for in paise.
pub fn read(text: &str) -> Option<(String, Option<i64>)> {
    let id = value(text, "tr")?;
    let amount = match value(text, "am") {
        Some(rupees) => Some(paise(rupees)?),
        None => None,
    };
    Some((id.to_owned(), amount))
}

/// The merchant's address, made of his account's name.
pub fn vpa(merchant: &str) -> String {
    let local: String = merchant.chars().filter(char::is_ascii_alphanumeric).take(NAME_LENGTH_MAX).collect();
    format!("{}.enkash@examplebank", if local.is_empty() { "merchant".to_owned() } else { local.to_ascii_lowercase() })
}

fn is_note(c: &char) -> bool {
    c.is_ascii_alphanumeric() || *c == ' '
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_leads_back_to_what_it_was_written_for() {
        let text = write("EK1743074262175e8KIO", "Till 4", Some(49_900), "inv-1001");
        assert_eq!(text, "upi://pay?pa=till4.enkash@examplebank&pn=Till%204&mc=5411&tr=EK1743074262175e8KIO&tn=inv1001&am=499.00&cu=INR");
        assert_eq!(read(&text), Some(("EK1743074262175e8KIO".to_owned(), Some(49_900))));
        assert_eq!(read("upi://pay?pa=a.b@examplebank"), None);
    }
}
