//! One door in: the gRPC API.

pub mod frame;
pub mod pb;
