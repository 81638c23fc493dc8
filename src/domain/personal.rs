//! What identifies a person: VPA, phone, e-mail, name. None of them has a `Display`, and their `Debug` is
//! masked, so that none reaches a log by accident; whoever wants the text says with which sight.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize, Serializer};

mod name;

pub use name::{PersonName, PersonNameError};

/// How much the reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sight {
    Clear,
    Masked,
}

/// A UPI address, `local@handle`. It keeps its spelling; two spellings that differ only in case are
/// the same address.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Vpa(String);

/// A phone number as somebody wrote it: providers differ in prefix, spaces and their own masking.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Phone(String);

/// An e-mail address, checked only for what every one of them has.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Email(String);

/// Why a text is no VPA. It never quotes the text: errors are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VpaError {
    #[error("has no handle: a VPA is `name@handle`")]
    NoHandle,
    #[error("has more than one `@`")]
    SecondAt,
    #[error("needs at least 2 characters before the `@`")]
    LocalTooShort,
    #[error("may have only letters, digits, `.`, `-` and `_` before the `@`")]
    LocalCharacter,
    #[error("needs a handle of 2 to 64 characters after the `@`")]
    HandleLength,
    #[error("may have only letters and digits, a letter first, after the `@` (an e-mail address is no VPA)")]
    HandleCharacter,
    #[error("is longer than {} characters", Vpa::LENGTH_MAX)]
    TooLong,
}

/// Why a text is no phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    #[error("needs a digit at least")]
    NoDigit,
    #[error("may have only printable ASCII characters")]
    Character,
    #[error("is longer than {} characters", Phone::LENGTH_MAX)]
    TooLong,
}

/// Why a text is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    #[error("needs something before and after its `@`")]
    Parts,
    #[error("may have no spaces or control characters")]
    Character,
    #[error("is longer than {} characters", Email::LENGTH_MAX)]
    TooLong,
}

impl Vpa {
    /// Above any length seen, and short enough for every field that must hold it.
    pub const LENGTH_MAX: usize = 255;

    /// `[A-Za-z0-9._-]{2,256}@[A-Za-z][A-Za-z0-9]{1,63}`, at most 255 in all.
    pub fn parse(text: &str) -> Result<Vpa, VpaError> {
        let (local, handle) = text.split_once('@').ok_or(VpaError::NoHandle)?;
        if handle.contains('@') {
            return Err(VpaError::SecondAt);
        }
        if handle.is_empty() {
            return Err(VpaError::NoHandle);
        }
        if !local.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            return Err(VpaError::LocalCharacter);
        }
        if local.len() < 2 {
            return Err(VpaError::LocalTooShort);
        }
        if !handle.bytes().all(|b| b.is_ascii_alphanumeric()) || handle.as_bytes()[0].is_ascii_digit() {
            return Err(VpaError::HandleCharacter);
        }
        if !(2..=64).contains(&handle.len()) {
            return Err(VpaError::HandleLength);
        }
        if text.len() > Self::LENGTH_MAX {
            return Err(VpaError::TooLong);
        }
        Ok(Vpa(text.to_owned()))
    }

    pub fn show(&self, sight: Sight) -> String {
        match sight {
            Sight::Clear => self.0.clone(),
            Sight::Masked => self.masked(),
        }
    }

    /// `as***@examplebank`: enough to recognise one's own. Of a name of two or three characters
    /// only the first is kept, or nothing would be hidden.
    pub fn masked(&self) -> String {
        mask_before_at(&self.0, 2)
    }
}

impl Phone {
    /// Fifteen digits is the longest number there is; the rest is room for how people write it.
    pub const LENGTH_MAX: usize = 32;

    pub fn parse(text: &str) -> Result<Phone, PhoneError> {
        if text.len() > Self::LENGTH_MAX {
            return Err(PhoneError::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Err(PhoneError::Character);
        }
        if !text.bytes().any(|b| b.is_ascii_digit()) {
            return Err(PhoneError::NoDigit);
        }
        Ok(Phone(text.to_owned()))
    }

    pub fn show(&self, sight: Sight) -> String {
        match sight {
            Sight::Clear => self.0.clone(),
            Sight::Masked => self.masked(),
        }
    }

    /// `***10`: the last two digits; of a number shorter than six, nothing.
    pub fn masked(&self) -> String {
        let digits: Vec<char> = self.0.chars().filter(char::is_ascii_digit).collect();
        let kept = if digits.len() < 6 { 0 } else { 2 };
        format!("***{}", digits[digits.len() - kept..].iter().collect::<String>())
    }
}

impl Email {
    /// The longest address that SMTP can carry.
    pub const LENGTH_MAX: usize = 254;

    pub fn parse(text: &str) -> Result<Email, EmailError> {
        if text.len() > Self::LENGTH_MAX {
            return Err(EmailError::TooLong);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(EmailError::Character);
        }
        match text.rsplit_once('@') {
            Some((local, domain)) if !local.is_empty() && !domain.is_empty() => Ok(Email(text.to_owned())),
            Some(_) | None => Err(EmailError::Parts),
        }
    }

    pub fn show(&self, sight: Sight) -> String {
        match sight {
            Sight::Clear => self.0.clone(),
            Sight::Masked => self.masked(),
        }
    }

    /// `a***@example.com`.
    pub fn masked(&self) -> String {
        mask_before_at(&self.0, 1)
    }
}

impl PartialEq for Vpa {
    fn eq(&self, other: &Vpa) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Vpa {}

impl Hash for Vpa {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As `eq` does: what is equal must hash alike.
        self.0.to_ascii_lowercase().hash(state);
    }
}

impl fmt::Debug for Vpa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vpa({})", self.masked())
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phone({})", self.masked())
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email({})", self.masked())
    }
}

// The disk format is the text. What is read from disk passes the same door as everything else. There
// is no `From<Vpa> for String`: it would be a way to the text that names no sight.

impl TryFrom<String> for Vpa {
    type Error = VpaError;

    fn try_from(text: String) -> Result<Vpa, VpaError> {
        Vpa::parse(&text)
    }
}

impl TryFrom<String> for Phone {
    type Error = PhoneError;

    fn try_from(text: String) -> Result<Phone, PhoneError> {
        Phone::parse(&text)
    }
}

impl TryFrom<String> for Email {
    type Error = EmailError;

    fn try_from(text: String) -> Result<Email, EmailError> {
        Email::parse(&text)
    }
}

impl Serialize for Vpa {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for Phone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for Email {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Keeps at most `keep` characters of what stands before the last `@`, and never more than half of it.
fn mask_before_at(text: &str, keep: usize) -> String {
    let (local, domain) = text.rsplit_once('@').expect("VPA and e-mail were parsed with an `@`");
    let keep = keep.min(local.chars().count() / 2);
    let kept: String = local.chars().take(keep).collect();
    format!("{kept}***@{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn vpa(text: &str) -> Vpa {
        Vpa::parse(text).unwrap()
    }

    #[test]
    fn vpas_of_the_table_are_told_apart() {
        let check = |text, error: Option<VpaError>| assert_eq!(Vpa::parse(text).err(), error, "{text}");
        check("demostores.qr@examplebank", None);
        check("9876500001@ybl", None);
        check("first.last-2@upi", None);
        check("shop_1@okaxis", None);
        check("a@b", Some(VpaError::LocalTooShort));
        check("shop@ok-axis", Some(VpaError::HandleCharacter));
        check("shop@@okaxis", Some(VpaError::SecondAt));
        check("shop okaxis", Some(VpaError::NoHandle));
        check("shop@okaxis.com", Some(VpaError::HandleCharacter));
        check("@okaxis", Some(VpaError::LocalTooShort));
        check("shop@", Some(VpaError::NoHandle));
        check("shop@b", Some(VpaError::HandleLength));
        check("shop@1axis", Some(VpaError::HandleCharacter));
        check("sh op@okaxis", Some(VpaError::LocalCharacter));
        check("shop@okaxis\n", Some(VpaError::HandleCharacter));
        check("", Some(VpaError::NoHandle));
    }

    #[test]
    fn lengths_are_bounded() {
        assert!(Vpa::parse(&format!("{}@upi", "a".repeat(251))).is_ok());
        assert_eq!(Vpa::parse(&format!("{}@upi", "a".repeat(252))), Err(VpaError::TooLong));
        assert!(Vpa::parse(&format!("ab@{}", "a".repeat(64))).is_ok());
        assert_eq!(Vpa::parse(&format!("ab@{}", "a".repeat(65))), Err(VpaError::HandleLength));
        assert_eq!(Phone::parse(&"9".repeat(33)), Err(PhoneError::TooLong));
        assert_eq!(Email::parse(&format!("a@{}", "b".repeat(253))), Err(EmailError::TooLong));
    }

    #[test]
    fn case_makes_no_other_address() {
        assert_eq!(vpa("Asha@ExampleBank"), vpa("asha@examplebank"));
        assert_eq!(HashSet::from([vpa("Asha@ExampleBank"), vpa("asha@examplebank")]).len(), 1);
        assert_eq!(vpa("Asha@ExampleBank").show(Sight::Clear), "Asha@ExampleBank");
    }

    #[test]
    fn masked_hides_at_least_half() {
        let check = |text, masked| assert_eq!(vpa(text).show(Sight::Masked), masked);
        check("asha.verma@examplebank", "as***@examplebank");
        check("asha@examplebank", "as***@examplebank");
        check("ash@examplebank", "a***@examplebank");
        check("as@examplebank", "a***@examplebank");

        let phone = |text: &str| Phone::parse(text).unwrap().show(Sight::Masked);
        assert_eq!(phone("+91 98765-43210"), "***10");
        assert_eq!(phone("12345"), "***");
        assert_eq!(phone("98xxxxxx10"), "***");

        let email = |text: &str| Email::parse(text).unwrap().show(Sight::Masked);
        assert_eq!(email("asha@example.com"), "a***@example.com");
        assert_eq!(email("a@example.com"), "***@example.com");
        assert_eq!(email("आशा@example.com"), "आ***@example.com");
    }

    #[test]
    fn phones_and_emails_are_read_leniently() {
        assert!(Phone::parse("+919876543210").is_ok());
        assert_eq!(Phone::parse(""), Err(PhoneError::NoDigit));
        assert_eq!(Phone::parse("none"), Err(PhoneError::NoDigit));
        assert_eq!(Phone::parse("98765\n43210"), Err(PhoneError::Character));
        assert!(Email::parse("void@example.com").is_ok());
        assert_eq!(Email::parse("example.com"), Err(EmailError::Parts));
        assert_eq!(Email::parse("@example.com"), Err(EmailError::Parts));
        assert_eq!(Email::parse("a b@example.com"), Err(EmailError::Character));
    }

    #[test]
    fn debug_shows_no_more_than_masked() {
        assert_eq!(format!("{:?}", vpa("asha@examplebank")), "Vpa(as***@examplebank)");
        assert_eq!(format!("{:?}", Phone::parse("9876543210").unwrap()), "Phone(***10)");
        assert_eq!(format!("{:?}", Email::parse("asha@example.com").unwrap()), "Email(a***@example.com)");
    }

    #[test]
    fn on_disk_they_are_their_text_and_a_bad_one_is_not_read() {
        assert_eq!(serde_json::to_string(&vpa("asha@examplebank")).unwrap(), "\"asha@examplebank\"");
        assert_eq!(serde_json::from_str::<Vpa>("\"asha@examplebank\"").unwrap(), vpa("asha@examplebank"));
        let error = serde_json::from_str::<Vpa>("\"asha@example.bank\"").unwrap_err().to_string();
        assert!(!error.contains("asha"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in ".{0,40}|[a-z@.+ 0-9]{0,40}") {
            let _ = Vpa::parse(&text).map(|vpa| vpa.masked());
            let _ = Phone::parse(&text).map(|phone| phone.masked());
            let _ = Email::parse(&text).map(|email| email.masked());
        }

        #[test]
        fn whatever_the_pattern_matches_is_a_vpa(text in "[A-Za-z0-9._-]{2,60}@[A-Za-z][A-Za-z0-9]{1,63}") {
            prop_assert_eq!(Vpa::parse(&text).unwrap().show(Sight::Clear), text);
        }
    }
}
