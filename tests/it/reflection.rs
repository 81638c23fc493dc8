//! Reflection shows what is served, no more and no less.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::FileDescriptorProto;
use upistream::grpc::SERVICES;

use crate::support::app::App;

/// The reflection of one version, asked one thing at a time.
macro_rules! reflection {
    ($version:ident) => {
        mod $version {
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            use tonic_reflection::pb::$version::{ServerReflectionRequest, ServerReflectionResponse};

            async fn ask(app: &super::App, question: MessageRequest) -> Option<MessageResponse> {
                let mut client = ServerReflectionClient::new(app.channel.clone());
                let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
                let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.expect("it reflects").into_inner();
                let answer: Result<Option<ServerReflectionResponse>, _> = answers.message().await;
                answer.ok()?.expect("one answer").message_response
            }

            pub async fn services(app: &super::App) -> Vec<String> {
                match ask(app, MessageRequest::ListServices(String::new())).await {
                    Some(MessageResponse::ListServicesResponse(listed)) => listed.service.into_iter().map(|service| service.name).collect(),
                    other => panic!("{other:?}"),
                }
            }

            /// The files that are given for a symbol or, ending in `.proto`, by name.
            pub async fn files(app: &super::App, name: &str) -> Vec<Vec<u8>> {
                let question = match name.ends_with(".proto") {
                    true => MessageRequest::FileByFilename(name.to_owned()),
                    false => MessageRequest::FileContainingSymbol(name.to_owned()),
                };
                match ask(app, question).await {
                    Some(MessageResponse::FileDescriptorResponse(found)) => found.file_descriptor_proto,
                    Some(MessageResponse::ErrorResponse(_)) | None => Vec::new(),
                    other => panic!("{other:?}"),
                }
            }
        }
    };
}

reflection!(v1);
reflection!(v1alpha);

fn check_services(listed: Vec<String>) {
    let own: BTreeSet<&str> = listed.iter().map(String::as_str).filter(|name| !name.starts_with("grpc.reflection.")).collect();
    assert_eq!(own, SERVICES.into_iter().chain(["grpc.health.v1.Health"]).collect());
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "each once: {listed:?}");
}

/// Asks for a service's file and all that it imports.
async fn check_resolves(service: &str, files: impl AsyncFn(&str) -> Vec<Vec<u8>>) {
    let mut wanted = vec![service.to_owned()];
    let mut known = BTreeSet::new();
    let mut services = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        let found = files(&name).await;
        assert!(!found.is_empty(), "{service}: `{name}` is not found");
        for file in found {
            let file = FileDescriptorProto::decode(&file[..]).expect("a file");
            if known.insert(file.name().to_owned()) {
                services.extend(file.service.iter().map(|service| format!("{}.{}", file.package(), service.name())));
                wanted.extend(file.dependency);
            }
        }
    }
    assert!(services.contains(service), "{service} is in none of {known:?}");
}

#[tokio::test]
async fn both_versions_show_exactly_what_is_served_and_resolve_it() {
    let app = App::start().await;
    check_services(v1::services(&app).await);
    check_services(v1alpha::services(&app).await);
    for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
        check_resolves(service, async |name| v1::files(&app, name).await).await;
        check_resolves(service, async |name| v1alpha::files(&app, name).await).await;
    }
    for symbol in ["upistream.v1.Event", "upistream.v1.QrService.CreateQr", "upistream.v1.ErrorReason"] {
        assert!(!v1::files(&app, symbol).await.is_empty(), "{symbol}");
    }
    assert!(v1::files(&app, "upistream.v1.Nothing").await.is_empty());
}
