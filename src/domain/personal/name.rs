//! A person's name.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::Sight;

/// A person's name as somebody wrote it.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct PersonName(String);

/// Why a text is no name. It never quotes the text: errors are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PersonNameError {
    #[error("is longer than {} characters", PersonName::CHARS_MAX)]
    TooLong,
    #[error("has no letter")]
    NoLetter,
    #[error("has a line break or another control character")]
    Character,
}

impl PersonName {
    /// More than any provider takes.
    pub const CHARS_MAX: usize = 100;

    pub fn parse(text: &str) -> Result<PersonName, PersonNameError> {
        if text.chars().count() > Self::CHARS_MAX {
            return Err(PersonNameError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(PersonNameError::Character);
        }
        if !text.chars().any(char::is_alphabetic) {
            return Err(PersonNameError::NoLetter);
        }
        Ok(PersonName(text.to_owned()))
    }

    pub fn show(&self, sight: Sight) -> String {
        match sight {
            Sight::Clear => self.0.clone(),
            Sight::Masked => self.masked(),
        }
    }

    /// `A***`: the first letter alone.
    pub fn masked(&self) -> String {
        let first: String = self.0.chars().take(1).collect();
        format!("{first}***")
    }
}

impl fmt::Debug for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PersonName({})", self.masked())
    }
}

impl TryFrom<String> for PersonName {
    type Error = PersonNameError;

    fn try_from(text: String) -> Result<PersonName, PersonNameError> {
        PersonName::parse(&text)
    }
}

impl Serialize for PersonName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_its_first_letter_alone() {
        let name = PersonName::parse("Asha Rao").unwrap();
        assert_eq!(name.show(Sight::Masked), "A***");
        assert_eq!(name.show(Sight::Clear), "Asha Rao");
        assert_eq!(format!("{name:?}"), "PersonName(A***)");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(PersonName::parse(""), Err(PersonNameError::NoLetter));
        assert_eq!(PersonName::parse("12 34"), Err(PersonNameError::NoLetter));
        assert_eq!(PersonName::parse("Asha\nRao"), Err(PersonNameError::Character));
        assert_eq!(PersonName::parse(&"a".repeat(101)), Err(PersonNameError::TooLong));
        assert!(PersonName::parse("आशा").is_ok());
    }
}
