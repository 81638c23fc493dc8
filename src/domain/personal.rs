//! Personal data.
use serde::{Deserialize, Serialize};
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Vpa(String);
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phone(String);
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);
impl Vpa {
    pub fn parse(text: &str) -> Result<Self, ()> {
        Ok(Self(text.into()))
    }
}
impl Phone {
    pub fn parse(text: &str) -> Result<Self, ()> {
        Ok(Self(text.into()))
    }
}
impl Email {
    pub fn parse(text: &str) -> Result<Self, ()> {
        Ok(Self(text.into()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)] pub enum Sight { Clear, Masked }
