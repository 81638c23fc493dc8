//! A service that says what it was told to say, for tests of those who listen.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

use crate::grpc::pb;
use crate::grpc::pb::event_service_server::{EventService, EventServiceServer};
use crate::grpc::pb::subscribe_request::Start;

/// What one stream says, in order. Then it stays open, unless it ended with an error or a goodbye.
pub type Script = Vec<Result<pb::SubscribeResponse, Status>>;

/// What was asked of it.
#[derive(Clone)]
pub struct Asked(Arc<Scripted>);

impl Asked {
    pub fn starts(&self) -> Vec<Start> {
        self.0.starts.lock().unwrap().clone()
    }
}

struct Scripted {
    scripts: Mutex<VecDeque<Script>>,
    starts: Mutex<Vec<Start>>,
}

/// An EventService on loopback whose streams say these scripts, one after the other.
pub async fn events_address(scripts: Vec<Script>) -> (String, Asked) {
    let scripted = Arc::new(Scripted { scripts: Mutex::new(scripts.into()), starts: Mutex::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let service = EventServiceServer::from_arc(scripted.clone());
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
    (address, Asked(scripted))
}

pub async fn events_service(scripts: Vec<Script>) -> (Channel, Asked) {
    let (address, asked) = events_address(scripts).await;
    (Endpoint::from_shared(address).unwrap().connect().await.unwrap(), asked)
}

#[tonic::async_trait]
impl EventService for Scripted {
    type SubscribeStream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<pb::SubscribeResponse, Status>> + Send>>;

    async fn subscribe(&self, request: Request<pb::SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        self.starts.lock().unwrap().extend(request.into_inner().start);
        let script = self.scripts.lock().unwrap().pop_front().ok_or_else(|| Status::unavailable("nothing more is planned"))?;
        Ok(Response::new(Box::pin(tokio_stream::StreamExt::chain(tokio_stream::iter(script), tokio_stream::pending()))))
    }

    async fn list_events(&self, _: Request<pb::ListEventsRequest>) -> Result<Response<pb::ListEventsResponse>, Status> {
        Err(Status::unimplemented("not planned"))
    }

    async fn get_event(&self, _: Request<pb::GetEventRequest>) -> Result<Response<pb::GetEventResponse>, Status> {
        Err(Status::unimplemented("not planned"))
    }
}

pub mod said {
    use super::*;
    use crate::grpc::pb::subscribe_response::Message;

    type Said = Result<pb::SubscribeResponse, Status>;

    fn message(message: Message) -> Said {
        Ok(pb::SubscribeResponse { message: Some(message) })
    }

    pub fn confirmation() -> Said {
        let heartbeat_interval = Some(prost_types::Duration { seconds: 15, nanos: 0 });
        message(Message::Confirmation(pb::Confirmation { heartbeat_interval, ..pb::Confirmation::default() }))
    }

    pub fn event(id: &str, token: &str) -> Said {
        message(Message::Event(pb::Event { id: id.to_owned(), token: token.to_owned(), ..pb::Event::default() }))
    }

    pub fn caught_up(token: &str) -> Said {
        message(Message::CaughtUp(pb::CaughtUp { token: token.to_owned(), time: None }))
    }

    pub fn bookmark(token: &str) -> Said {
        message(Message::Bookmark(pb::Bookmark { token: token.to_owned(), ..pb::Bookmark::default() }))
    }

    pub fn goodbye(token: &str) -> Said {
        let retry_after = Some(prost_types::Duration { seconds: 0, nanos: 10_000_000 });
        message(Message::Goodbye(pb::Goodbye { token: token.to_owned(), retry_after }))
    }
}
