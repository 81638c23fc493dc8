//! Messages of the event stream that were encoded before, as a tonic codec: ordinary clients see ordinary messages.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::pb;
use crate::domain::personal::Sight;
use crate::events::Shown;

/// Field numbers of the API that are written by hand here; a test compares them with the descriptors.
pub(super) const EVENT_IN_RESPONSE: u32 = 2;
pub(super) const TOKEN_IN_EVENT: u32 = 31;
/// Wire type 2: length-delimited.
const LENGTH_DELIMITED: u32 = 2;

/// A message of the stream.
#[derive(Debug)]
pub enum Outgoing {
    /// An event, whose bytes all subscribers with this sight share, and this subscriber's token.
    Event(Shown, Sight),
    /// Anything else.
    Message(Box<pb::SubscribeResponse>),
}

/// Encodes [`Outgoing`], decodes requests as usual.
#[derive(Debug, Default, Clone, Copy)]
pub struct FrameCodec;

#[derive(Debug, Default, Clone, Copy)]
pub struct FrameEncoder;

#[derive(Debug, Default, Clone, Copy)]
pub struct RequestDecoder;

impl Codec for FrameCodec {
    type Encode = Outgoing;
    type Decode = pb::SubscribeRequest;
    type Encoder = FrameEncoder;
    type Decoder = RequestDecoder;

    fn encoder(&mut self) -> FrameEncoder {
        FrameEncoder
    }

    fn decoder(&mut self) -> RequestDecoder {
        RequestDecoder
    }
}

impl Encoder for FrameEncoder {
    type Item = Outgoing;
    type Error = Status;

    fn encode(&mut self, item: Outgoing, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match item {
            Outgoing::Event(shown, sight) => put_event(shown.frame.bytes(sight), shown.token(), buffer),
            Outgoing::Message(message) => {
                message.encode(buffer).map_err(|_| Status::internal("a message of the stream could not be encoded"))?;
            }
        }
        Ok(())
    }
}

/// `SubscribeResponse { event: <the shared bytes, and the token as their last field> }`.
fn put_event(event: &Bytes, token: &str, buffer: &mut impl BufMut) {
    let token_field = prost::encoding::key_len(TOKEN_IN_EVENT) + prost::encoding::encoded_len_varint(token.len() as u64) + token.len();
    put_key(EVENT_IN_RESPONSE, buffer);
    prost::encoding::encode_varint((event.len() + token_field) as u64, buffer);
    buffer.put_slice(event);
    put_key(TOKEN_IN_EVENT, buffer);
    prost::encoding::encode_varint(token.len() as u64, buffer);
    buffer.put_slice(token.as_bytes());
}

fn put_key(field: u32, buffer: &mut impl BufMut) {
    prost::encoding::encode_varint(u64::from((field << 3) | LENGTH_DELIMITED), buffer);
}

impl Decoder for RequestDecoder {
    type Item = pb::SubscribeRequest;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        pb::SubscribeRequest::decode(bytes).map(Some).map_err(|_| Status::internal("the request can't be decoded"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framed_event_is_an_ordinary_message() {
        let event = pb::Event { id: "evt_1".to_owned(), r#type: "payment.succeeded".to_owned(), ..Default::default() };
        let mut buffer = Vec::new();
        put_event(&Bytes::from(event.encode_to_vec()), "token-1", &mut buffer);
        let expected = pb::SubscribeResponse {
            message: Some(pb::subscribe_response::Message::Event(pb::Event { token: "token-1".to_owned(), ..event })),
        };
        assert_eq!(pb::SubscribeResponse::decode(&buffer[..]).unwrap(), expected);
    }
}
