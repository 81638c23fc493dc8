//! What a stream must bring, a resumed one above all, judged without mercy. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::grpc::pb;

/// What was expected, and what came.
type Surprise = (String, String);

/// `before` was received, `missed` is what the log has after it, `resumed` came after resuming. More may have been written since
/// the log was read.
pub fn resumed(before: &[pb::Event], missed: &[pb::Event], resumed: &[pb::Event]) -> Result<(), Surprise> {
    let ids = |events: &[pb::Event]| events.iter().map(|event| event.id.clone()).collect::<Vec<_>>();
    let (missed, came) = (ids(missed), ids(resumed));
    if missed.is_empty() {
        return Err(("events while the stream was cut".to_owned(), "none".to_owned()));
    }
    if !came.starts_with(&missed) {
        return Err((
            format!("{} missed events, in order: {}", missed.len(), missed.join(" ")),
            format!("{}: {}", came.len(), came.join(" ")),
        ));
    }
    let all: Vec<pb::Event> = before.iter().chain(resumed).cloned().collect();
    gapless(&all)
}

/// Each event once, and of each resource all revisions from the first on.
pub fn gapless(events: &[pb::Event]) -> Result<(), Surprise> {
    let mut seen = BTreeSet::new();
    for event in events {
        if !seen.insert(&event.id) {
            return Err(("each event once".to_owned(), format!("{} twice", event.id)));
        }
    }
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    for event in events {
        let revision = newest.entry(&event.resource_id).or_default();
        if event.revision != *revision + 1 {
            let expected = format!("revision {} of {}", *revision + 1, event.resource_id);
            return Err((expected, format!("revision {} ({})", event.revision, event.r#type)));
        }
        *revision = event.revision;
    }
    Ok(())
}

/// The ids of the resources, in the order in which they appeared.
pub fn in_order(events: &[pb::Event]) -> Vec<&str> {
    let mut ids: Vec<&str> = Vec::new();
    for event in events {
        if !ids.contains(&event.resource_id.as_str()) {
            ids.push(&event.resource_id);
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written as `resource.revision`; the id follows from both.
    fn events(written: &str) -> Vec<pb::Event> {
        let event = |text: &str| {
            let (resource_id, revision) = text.split_once('.').unwrap();
            pb::Event {
                id: text.to_owned(),
                resource_id: resource_id.to_owned(),
                revision: revision.parse().unwrap(),
                ..pb::Event::default()
            }
        };
        written.split_whitespace().map(event).collect()
    }

    #[track_caller]
    fn check(before: &str, missed: &str, came: &str, expected: Result<(), (&str, &str)>) {
        let judged = resumed(&events(before), &events(missed), &events(came));
        assert_eq!(judged, expected.map_err(|(expected, came)| (expected.to_owned(), came.to_owned())));
    }

    #[test]
    fn exactly_the_missed_events_may_come() {
        check("a.1 a.2", "b.1 b.2", "b.1 b.2", Ok(()));
        check("a.1", "a.2 b.1", "a.2 b.1 b.2", Ok(()));
        check("a.1", "", "", Err(("events while the stream was cut", "none")));
        check("a.1", "b.1 b.2", "b.1", Err(("2 missed events, in order: b.1 b.2", "1: b.1")));
        check("a.1", "b.1 c.1", "c.1 b.1", Err(("2 missed events, in order: b.1 c.1", "2: c.1 b.1")));
        check("a.1", "a.1 b.1", "a.1 b.1", Err(("each event once", "a.1 twice")));
        check("a.1", "a.3", "a.3", Err(("revision 2 of a", "revision 3 ()")));
        check("", "a.2", "a.2", Err(("revision 1 of a", "revision 2 ()")));
    }

    #[test]
    fn resources_come_as_they_appeared() {
        assert_eq!(in_order(&events("b.1 a.1 b.2")), ["b", "a"]);
    }
}
