//! How mandates spell their fields: one fragment of the newer bodies is known, and it is in snake_case, where the older
//! ones were in camelCase. Requests may be in either.

use serde::ser::{Serialize, Serializer};
use serde_json::value::to_raw_value;

use crate::sandbox::enkash::print::Printed;

/// How answers and callbacks about mandates spell their fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandateNaming {
    #[default]
    SnakeCase,
    CamelCase,
}

/// An object in the order in which its fields were put in, spelt as the naming says.
pub struct Fields {
    naming: MandateNaming,
    fields: Vec<(String, Printed)>,
}

impl Fields {
    pub fn new(naming: MandateNaming) -> Self {
        Self { naming, fields: Vec::new() }
    }

    /// `name` in camelCase; one that is not stays as it is.
    pub fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        let value = to_raw_value(&value).expect("our own views have string keys and no failing parts");
        self.fields.push((self.naming.spell(name), value));
        self
    }

    pub fn with_some(self, name: &'static str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields.iter().map(|(name, value)| (name, value)))
    }
}

impl MandateNaming {
    fn spell(self, name: &str) -> String {
        if self == Self::CamelCase {
            return name.to_owned();
        }
        let mut spelt = String::with_capacity(name.len() + 4);
        for c in name.chars() {
            if c.is_ascii_uppercase() {
                spelt.push('_');
            }
            spelt.push(c.to_ascii_lowercase());
        }
        spelt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_spelt_as_told_and_keep_their_digits() {
        let print = |naming| {
            let inner = Fields::new(naming).with("start_at", 1);
            let amount = serde_json::value::RawValue::from_string("299.00".to_owned()).unwrap();
            let fields = Fields::new(naming).with("predebitNotificationId", "PN1").with("amount", amount).with("pausePeriod", inner);
            serde_json::to_string(&fields.with_some("umn", None::<&str>)).unwrap()
        };
        let camel = r#"{"predebitNotificationId":"PN1","amount":299.00,"pausePeriod":{"start_at":1}}"#;
        let snake = r#"{"predebit_notification_id":"PN1","amount":299.00,"pause_period":{"start_at":1}}"#;
        assert_eq!((print(MandateNaming::CamelCase).as_str(), print(MandateNaming::SnakeCase).as_str()), (camel, snake));
    }
}
