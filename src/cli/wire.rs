//! Any message of the API as a tree, read from its bytes by the API's own descriptors, so that what is shown leaves no field
//! out and a field that is added to a .proto shows without a line of code here.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Buf;
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use super::tree::Tree;
use crate::grpc::pb;

/// How deep messages of the API stand in each other, with room.
const DEPTH_MAX: usize = 16;

struct Api {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, EnumDescriptorProto>,
}

static API: LazyLock<Api> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(pb::DESCRIPTORS).expect("the build wrote it");
    let mut api = Api { messages: BTreeMap::new(), enums: BTreeMap::new() };
    for file in files.file {
        let package = format!(".{}", file.package());
        api.add(&package, file.message_type, file.enum_type);
    }
    api
});

/// The tree of a message of package upistream.v1, for example "Qr".
pub fn tree<M: Message>(name: &str, message: &M) -> Tree {
    let bytes = message.encode_to_vec();
    // Bytes that we encoded ourselves are readable; a wrong name is a slip that the first test meets.
    API.message(&format!(".upistream.v1.{name}"), &bytes, DEPTH_MAX).unwrap_or_else(|| Tree::Text(format!("(an unreadable {name})")))
}

impl Api {
    fn add(&mut self, parent: &str, messages: Vec<DescriptorProto>, enums: Vec<EnumDescriptorProto>) {
        for each in enums {
            self.enums.insert(format!("{parent}.{}", each.name()), each);
        }
        for mut each in messages {
            let name = format!("{parent}.{}", each.name());
            self.add(&name, std::mem::take(&mut each.nested_type), std::mem::take(&mut each.enum_type));
            self.messages.insert(name, each);
        }
    }

    fn message(&self, name: &str, bytes: &[u8], depth: usize) -> Option<Tree> {
        let descriptor = self.messages.get(name)?;
        let depth = depth.checked_sub(1)?;
        let mut found: BTreeMap<i32, Vec<Tree>> = BTreeMap::new();
        let mut rest = bytes;
        while rest.has_remaining() {
            let (number, wire) = decode_key(&mut rest).ok()?;
            let raw = Raw::read(wire, &mut rest)?;
            // A number without a descriptor is of a newer release: the client that decoded it first has dropped it already.
            if let Some(field) = descriptor.field.iter().find(|field| u32::try_from(field.number()) == Ok(number)) {
                found.entry(field.number()).or_default().extend(self.values(field, raw, depth)?);
            }
        }
        match name {
            ".google.protobuf.Timestamp" | ".google.protobuf.Duration" => {
                let mut part = |number| match found.remove(&number).and_then(|mut values| values.pop()) {
                    Some(Tree::Integer(number)) => number,
                    _ => 0,
                };
                let (seconds, nanos) = (part(1), i32::try_from(part(2)).ok()?);
                if name.ends_with("Timestamp") {
                    return Some(Tree::time(seconds, nanos));
                }
                return Some(Tree::Span(Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?)));
            }
            _ => (),
        }
        let mut fields = Vec::new();
        for field in &descriptor.field {
            let values = found.remove(&field.number()).unwrap_or_default();
            if let Some(tree) = self.field(field, values) {
                fields.push((field.name().to_owned(), tree));
            }
        }
        Some(if name == ".upistream.v1.Money" { Tree::money(fields) } else { Tree::Object(fields) })
    }

    /// What stands for a field with these values; `None` for one that is absent.
    fn field(&self, field: &FieldDescriptorProto, mut values: Vec<Tree>) -> Option<Tree> {
        if self.is_map(field) {
            let pairs = values.into_iter().filter_map(|entry| match entry {
                Tree::Object(parts) => match <[_; 2]>::try_from(parts) {
                    Ok([(_, Tree::Text(key)), (_, value)]) => Some((key, value)),
                    _ => None,
                },
                _ => None,
            });
            return Some(Tree::Map(pairs.collect()));
        }
        if field.label() == Label::Repeated {
            return Some(Tree::List(values));
        }
        // The last one counts.
        values.pop().or_else(|| {
            let implicit = field.r#type() != Type::Message && field.oneof_index.is_none();
            implicit.then(|| self.default(field))
        })
    }

    fn default(&self, field: &FieldDescriptorProto) -> Tree {
        match field.r#type() {
            Type::String => Tree::Text(String::new()),
            Type::Bytes => Tree::Bytes(Vec::new()),
            Type::Bool => Tree::Flag(false),
            Type::Enum => self.named(field.type_name(), 0),
            _ => Tree::Integer(0),
        }
    }

    /// One value, or several of a packed field.
    fn values(&self, field: &FieldDescriptorProto, raw: Raw<'_>, depth: usize) -> Option<Vec<Tree>> {
        let kind = field.r#type();
        match raw {
            Raw::Bytes(bytes) => match kind {
                Type::String => Some(vec![Tree::Text(String::from_utf8(bytes.to_vec()).ok()?)]),
                Type::Bytes => Some(vec![Tree::Bytes(bytes.to_vec())]),
                Type::Message => Some(vec![self.message(field.type_name(), bytes, depth)?]),
                _ => {
                    let mut rest = bytes;
                    let mut values = Vec::new();
                    while rest.has_remaining() {
                        values.push(self.number(field, decode_varint(&mut rest).ok()?));
                    }
                    Some(values)
                }
            },
            Raw::Number(number) => Some(vec![self.number(field, number)]),
        }
    }

    fn number(&self, field: &FieldDescriptorProto, number: u64) -> Tree {
        let number = number.cast_signed();
        match field.r#type() {
            Type::Bool => Tree::Flag(number != 0),
            Type::Enum => self.named(field.type_name(), number),
            _ => Tree::Integer(number),
        }
    }

    fn named(&self, name: &str, number: i64) -> Tree {
        let value = self.enums.get(name).and_then(|each| each.value.iter().find(|value| i64::from(value.number()) == number));
        let zero = self.enums.get(name).and_then(|each| each.value.first());
        match (value, zero) {
            // The first value is `<ENUM>_UNSPECIFIED`: what stands before is the prefix of all.
            (Some(value), Some(zero)) => {
                let prefix = zero.name().trim_end_matches("UNSPECIFIED").to_owned();
                Tree::Choice { name: value.name().to_owned(), prefix }
            }
            _ => Tree::Integer(number),
        }
    }

    fn is_map(&self, field: &FieldDescriptorProto) -> bool {
        field.r#type() == Type::Message
            && self.messages.get(field.type_name()).and_then(|each| each.options.as_ref()).is_some_and(|options| options.map_entry())
    }
}

enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    /// The API has no floats and no fixed numbers, and groups are gone from the language.
    fn read(wire: WireType, rest: &mut &'a [u8]) -> Option<Self> {
        match wire {
            WireType::Varint => decode_varint(rest).ok().map(Self::Number),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
                let (bytes, after) = rest.split_at_checked(length)?;
                *rest = after;
                Some(Self::Bytes(bytes))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json<M: Message>(name: &str, message: &M) -> serde_json::Value {
        serde_json::to_value(tree(name, message)).unwrap()
    }

    fn qr() -> pb::Qr {
        pb::Qr {
            id: "qr_1".to_owned(),
            state: pb::QrState::Active.into(),
            revision: 2,
            labels: [("shop".to_owned(), "pune".to_owned()), ("a".to_owned(), String::new())].into(),
            create_time: Some(prost_types::Timestamp { seconds: 1_771_322_400, nanos: 5_000_000 }),
            amount: Some(pb::Money { currency_code: "INR".to_owned(), minor_units: 49_900 }),
            in_doubt: true,
            ..pb::Qr::default()
        }
    }

    #[test]
    fn a_resource_shows_all_its_fields() {
        let json = json("Qr", &qr());
        assert_eq!(json["id"], "qr_1");
        assert_eq!(json["state"], "QR_STATE_ACTIVE");
        assert_eq!(json["revision"], 2);
        assert_eq!(json["labels"], serde_json::json!({ "a": "", "shop": "pune" }));
        assert_eq!(json["create_time"], "2026-02-17T10:00:00.005Z");
        assert_eq!(json["amount"], serde_json::json!({ "currency_code": "INR", "minor_units": 49_900 }));
        assert_eq!(json["in_doubt"], true);
        // Unset but always there, against absent.
        assert_eq!(json["provider_ref"], "");
        assert_eq!(json["payment_count"], 0);
        assert_eq!(json["contradictions"], serde_json::json!([]));
        assert_eq!(json["close_reason"], "QR_CLOSE_REASON_UNSPECIFIED");
        assert!(json.get("expire_time").is_none());
        assert!(json.get("failure").is_none());
    }

    #[test]
    fn fields_come_in_the_order_of_the_proto() {
        let text = serde_json::to_string(&tree("Qr", &qr())).unwrap();
        let at = |name: &str| text.find(&format!("\"{name}\":")).unwrap();
        assert!(at("id") < at("account") && at("account") < at("state") && at("state") < at("amount"), "{text}");
    }

    #[test]
    fn negative_numbers_packed_lists_and_durations_are_read() {
        let money = pb::Money { currency_code: "INR".to_owned(), minor_units: -5 };
        assert_eq!(json("Money", &money)["minor_units"], -5);

        let capability = pb::RefundCapability {
            speeds: vec![pb::RefundSpeed::Normal.into(), pb::RefundSpeed::Instant.into()],
            partial_supported: true,
            max_payment_age: Some(prost_types::Duration { seconds: 90, nanos: 500_000_000 }),
        };
        let json = json("RefundCapability", &capability);
        assert_eq!(json["speeds"], serde_json::json!(["REFUND_SPEED_NORMAL", "REFUND_SPEED_INSTANT"]));
        assert_eq!(json["max_payment_age"], "90.5s");
    }

    #[test]
    fn what_a_newer_release_says_is_shown_as_its_number() {
        let qr = pb::Qr { state: 99, ..pb::Qr::default() };
        assert_eq!(json("Qr", &qr)["state"], 99);
    }

    #[test]
    fn an_event_holds_its_resource() {
        let event = pb::Event { id: "evt_1".to_owned(), resource: Some(pb::event::Resource::Qr(qr())), ..pb::Event::default() };
        let json = json("Event", &event);
        assert_eq!(json["qr"]["id"], "qr_1");
        assert!(json.get("payment").is_none());
    }
}
