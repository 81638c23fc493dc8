//! The same log in pages.

use upistream::grpc::pb;
use upistream::grpc::pb::list_events_request::Start;

use crate::support::app::{App, told};
use crate::support::log::{Feeder, Reader, after, earliest};

async fn page(app: &App, request: pb::ListEventsRequest) -> pb::ListEventsResponse {
    app.events().list_events(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn pages_show_what_the_stream_shows_and_lead_back_to_it() {
    let app = App::start().await;
    let feeder = Feeder::of(&app);
    feeder.append(23).await;
    let streamed = Reader::open(&app, earliest()).await.history().await;

    let mut listed = Vec::new();
    let mut request = pb::ListEventsRequest { page_size: 5, ..Default::default() };
    let end = loop {
        let found = page(&app, request.clone()).await;
        assert!(found.events.len() <= 5);
        if let Some(last) = found.events.last() {
            assert!(!last.token.is_empty());
        }
        listed.extend(found.events);
        if found.next_page_token.is_empty() {
            break found.token;
        }
        request.page_token = found.next_page_token;
        // The size of a page may change.
        request.page_size = if request.page_size == 5 { 3 } else { 5 };
    };
    assert_eq!(listed, streamed, "the same events, tokens and all, in the same order");

    // Each event's token leads on from there, on the stream and in pages.
    for (index, event) in listed.iter().enumerate().step_by(7) {
        let rest: Vec<&str> = listed[index + 1..].iter().map(|event| event.id.as_str()).collect();
        assert_eq!(Reader::open(&app, after(&event.token)).await.history_ids().await, rest);
        let start = Some(Start::AfterToken(event.token.clone()));
        let found = page(&app, pb::ListEventsRequest { start, page_size: 200, ..Default::default() }).await;
        assert_eq!(found.events.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), rest);
    }
    let new = feeder.append(1).await;
    assert_eq!(Reader::open(&app, after(&end)).await.history_ids().await, new);
    let time = listed.last().unwrap().record_time;
    let found = page(&app, pb::ListEventsRequest { start: time.map(Start::AtTime), ..Default::default() }).await;
    assert_eq!(found.events.last().unwrap().id, new[0]);
}

#[tokio::test]
async fn a_page_of_other_filters_is_not_this_one() {
    let app = App::start().await;
    Feeder::of(&app).append(5).await;
    let filter = Some(pb::EventFilter { types: vec!["qr.*".to_owned()], ..Default::default() });
    let first = page(&app, pb::ListEventsRequest { filter, page_size: 2, ..Default::default() }).await;
    for page_token in [first.next_page_token, first.token, "nonsense".to_owned()] {
        let refused = app.events().list_events(pb::ListEventsRequest { page_token, ..Default::default() }).await.unwrap_err();
        assert_eq!((told(&refused).code, told(&refused).reason.as_str()), (tonic::Code::InvalidArgument, "INVALID_TOKEN"));
    }
}

#[tokio::test]
async fn a_page_on_which_everything_was_filtered_out_still_goes_on() {
    let app = App::start().await;
    let feeder = Feeder::of(&app);
    feeder.append(30).await;
    let filter = Some(pb::EventFilter { types: vec!["payment.*".to_owned()], ..Default::default() });
    let found = page(&app, pb::ListEventsRequest { filter, page_size: 5, ..Default::default() }).await;
    assert!(found.events.is_empty() && found.next_page_token.is_empty());
    let new = feeder.append(1).await;
    assert_eq!(Reader::open(&app, after(&found.token)).await.history_ids().await, new);
}

#[tokio::test]
async fn one_event_is_read_by_its_id() {
    let app = App::start().await;
    let id = Feeder::of(&app).append(3).await[1].clone();
    let listed = app.log().await[1].clone();
    let read = app.events().get_event(pb::GetEventRequest { id: id.clone() }).await.unwrap().into_inner().event.unwrap();
    assert_eq!(read, pb::Event { token: String::new(), ..listed });

    let later = app.running.store().now_ms().await.unwrap() + 60_000;
    app.running.store().trim(later, 10).await.unwrap();
    let gone = told(&app.events().get_event(pb::GetEventRequest { id }).await.unwrap_err());
    assert_eq!((gone.code, gone.reason.as_str(), gone.outcome()), (tonic::Code::NotFound, "NOT_FOUND", "NOT_SENT"));
}
