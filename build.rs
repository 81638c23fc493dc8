//! Compiles the protos with protox, so that no machine needs `protoc`.
//!
//! Two passes: the API as tonic makes it, and `Subscribe` once more as a server whose responses are bytes that were
//! encoded before, since a live event is encoded once for all subscribers.

use std::path::PathBuf;

use tonic_prost_build::manual;

const PROTOS: [&str; 10] = ["common", "error", "qr", "payment", "refund", "mandate", "settlement", "event", "account", "admin"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let files = PROTOS.map(|name| format!("upistream/v1/{name}.proto"));
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    std::fs::write(out.join("upistream.descriptors.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        // Maps in the order of their keys: requests are fingerprinted as bytes.
        .btree_map(".")
        .build_transport(true)
        .compile_fds(compiler.file_descriptor_set())?;

    let rpc = |name: &str, route: &str| {
        manual::Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::grpc::pb::{route}Request"))
            .output_type(format!("crate::grpc::pb::{route}Response"))
            .codec_path("tonic_prost::ProstCodec")
            .build()
    };
    let subscribe = manual::Method::builder()
        .name("subscribe")
        .route_name("Subscribe")
        .input_type("crate::grpc::pb::SubscribeRequest")
        .output_type("crate::grpc::frame::Outgoing")
        .codec_path("crate::grpc::frame::FrameCodec")
        .server_streaming()
        .build();
    let events = manual::Service::builder()
        .name("EventService")
        .package("upistream.v1")
        .method(subscribe)
        .method(rpc("list_events", "ListEvents"))
        .method(rpc("get_event", "GetEvent"))
        .build();
    let framed = out.join("framed");
    std::fs::create_dir_all(&framed)?;
    manual::Builder::new().build_client(false).out_dir(framed).compile(&[events]);
    Ok(())
}
