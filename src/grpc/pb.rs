//! The API as it is generated from `proto/`.

#![allow(clippy::all, clippy::pedantic, missing_docs)]

tonic::include_proto!("upistream.v1");

/// The server of `EventService` whose stream sends bytes that were encoded before.
pub mod framed {
    include!(concat!(env!("OUT_DIR"), "/framed/upistream.v1.EventService.rs"));
}

/// All files of the API, as reflection shows them.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/upistream.descriptors.bin"));
