//! What requests bring along, as JSON or as a form.

use axum::extract::Query as Pairs;
use http::Uri;
use serde_json::{Map, Value};

use super::answer::Refusal;
use crate::sandbox::simulated::Asked;

/// How a body may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    UrlEncoded,
    Either,
}

/// A body's fields; in a form all are texts.
pub struct Body {
    fields: Map<String, Value>,
    is_json: bool,
}

impl Body {
    pub fn read(asked: &Asked, form: Form) -> Result<Self, Refusal> {
        let given = asked.header("content-type").unwrap_or_default();
        let given = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json = match (given.as_str(), form) {
            ("application/json", Form::Json | Form::Either) => true,
            ("application/x-www-form-urlencoded", Form::UrlEncoded | Form::Either) => false,
            _ => return Err(Refusal::Gateway(415)),
        };
        let fields = if is_json { serde_json::from_slice(&asked.body).ok() } else { read_form(&asked.body) };
        let fields = fields.ok_or(Refusal::Gateway(500))?;
        Ok(Self { fields, is_json })
    }

    /// Null and the empty text count as left out; anything else but a text is malformed.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.trim().is_empty())),
            Some(_) => Err(Refusal::no_key()),
        }
    }

    /// In JSON it is a number and not a text.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let number = match self.fields.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if !self.is_json => text.parse().ok(),
            Some(value) => value.as_u64(),
        };
        number.map(Some).ok_or_else(Refusal::no_key)
    }
}

/// None where it is no form.
fn read_form(body: &[u8]) -> Option<Map<String, Value>> {
    let text = std::str::from_utf8(body).ok()?;
    let uri = Uri::builder().path_and_query(format!("/?{text}")).build().ok()?;
    let Pairs(pairs) = Pairs::<Vec<(String, String)>>::try_from_uri(&uri).ok()?;
    Some(pairs.into_iter().map(|(name, value)| (name, value.into())).collect())
}

/// A query's parameters.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn read(asked: &Asked) -> Result<Self, Refusal> {
        asked.query().map(Self).ok_or(Refusal::Gateway(500))
    }

    /// The empty text counts as left out.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}
