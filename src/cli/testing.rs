//! A service that says what it was told to say, for tests of those who listen, and somebody who types commands to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use clap::Parser as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::Router;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

use super::Cli;
use super::console::captured::console;
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
    let address = served(Server::builder().add_service(EventServiceServer::from_arc(scripted.clone()))).await;
    (address, Asked(scripted))
}

/// The address on loopback at which these services answer.
pub async fn served(services: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(services.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

/// What a command that was typed wrote, and how it ended.
pub struct Typed {
    pub exit_code: u8,
    pub out: String,
    pub err: String,
}

/// Types `upistream` and this to the service at `address`.
pub async fn typed(address: &str, line: &str) -> Typed {
    let words = ["upistream"].into_iter().chain(line.split_whitespace()).chain(["--address", address]);
    let cli = Cli::try_parse_from(words).unwrap();
    let (console, out, err) = console();
    let json = cli.command.json();
    let exit_code = match cli.command.run(&console).await {
        Ok(()) => 0,
        Err(failure) => failure.show(&console, json),
    };
    Typed { exit_code, out: out.text(), err: err.text() }
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

pub fn inr(paise: i64) -> pb::Money {
    pb::Money { currency_code: "INR".to_owned(), minor_units: paise }
}

/// 17 February 2026, 15:30 in India, and so many minutes.
pub fn at(minutes: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: 1_771_322_400 + 60 * minutes, nanos: 0 }
}
