//! The log: one gapless sequence per partition that survives its own trimming.

use tokio::task::JoinSet;
use upistream::store::{Head, Logged, Position, StoreError};

use super::*;

const MS: Duration = Duration::from_millis(1);

fn eventful(partition: Partition) -> Batch {
    let change = Change { event: new_event_in(partition), ..create(&new_id_in(partition, Kind::Payment), "x") };
    Batch { partition, ..batch([change]) }
}

async fn append(store: &AnyStore, partition: Partition) -> Position {
    done(store, eventful(partition)).await[0].position.expect("the change had an event")
}

async fn head(store: &AnyStore, partition: Partition) -> Head {
    store.heads().await.unwrap()[usize::from(partition.0)]
}

async fn seqs(store: &AnyStore, after: u64, limit: usize) -> Vec<u64> {
    store.events_after(HERE, after, limit).await.unwrap().into_iter().map(|entry| entry.position.seq).collect()
}

pub async fn positions_have_no_gaps_and_times_never_go_back(place: Place) {
    let start = place.clock.now_ms();
    let first = append(&place.a, HERE).await;
    assert_eq!(first, Position { ms: start, seq: 1 });
    place.clock.pass(5 * MS);
    assert_eq!(append(&place.b, HERE).await, Position { ms: start + 5, seq: 2 });
    place.clock.go_back(Duration::from_secs(3_600));
    assert_eq!(append(&place.a, HERE).await, Position { ms: start + 5, seq: 3 });
    // A conflict and a commit without an event use up no number.
    conflict(&place.a, Batch { guards: vec![never()], ..eventful(HERE) }).await;
    done(&place.a, batch([create(&new_id(Kind::Quarantined), "kept")])).await;
    place.clock.pass(Duration::from_secs(3_600) + MS);
    assert_eq!(append(&place.b, HERE).await, Position { ms: start + 6, seq: 4 });
    // Several events of one commit follow one another in the order of its changes.
    let events = [new_event(), new_event(), new_event()];
    let bodies: Vec<Bytes> = events.iter().flatten().map(|event| event.body.clone()).collect();
    let changes = events.map(|event| Change { event, ..create(&new_id(Kind::Payment), "x") });
    let written = done(&place.a, batch(changes)).await;
    let expected: Vec<Position> = (5..=7).map(|seq| Position { ms: start + 6, seq }).collect();
    assert_eq!(written.iter().filter_map(|written| written.position).collect::<Vec<_>>(), expected);
    let logged = place.b.events_after(HERE, 4, 10).await.unwrap();
    assert_eq!(logged.iter().map(|entry| entry.position).collect::<Vec<_>>(), expected);
    assert_eq!(logged.into_iter().map(|entry| entry.body).collect::<Vec<_>>(), bodies);
}

pub async fn concurrent_commits_make_one_sequence_without_holes(place: Place) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 25;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, clock) = (if writer % 2 == 0 { place.a.clone() } else { place.b.clone() }, place.clock.clone());
        writers.spawn(async move {
            let mut positions = Vec::new();
            for _ in 0..EACH {
                if writer == 0 {
                    clock.pass(3 * MS)
                } else {
                    clock.go_back(MS)
                }
                positions.push(append(&store, HERE).await);
            }
            positions
        });
    }
    // A reader that goes by seq + 1 meets no hole, at no moment.
    let mut last = Position::default();
    while last.seq < WRITERS * EACH {
        for entry in place.b.events_after(HERE, last.seq, 7).await.unwrap() {
            assert_eq!(entry.position.seq, last.seq + 1);
            assert!(entry.position.ms >= last.ms);
            last = entry.position;
        }
        tokio::task::yield_now().await;
    }
    let mut told: Vec<Position> = writers.join_all().await.into_iter().flatten().collect();
    told.sort_by_key(|position| position.seq);
    let logged = place.a.events_after(HERE, 0, 1_000).await.unwrap();
    assert_eq!(told, logged.iter().map(|entry| entry.position).collect::<Vec<_>>());
    assert_eq!(head(&place.a, HERE).await.last, last);
}

pub async fn the_log_is_read_in_pages_by_number_and_by_id(place: Place) {
    let mut entries = Vec::new();
    for _ in 0..7 {
        place.clock.pass(MS);
        let event = new_event().unwrap();
        let change = Change { event: Some(event.clone()), ..create(&new_id(Kind::Payment), "x") };
        let position = done(&place.a, batch([change])).await[0].position.unwrap();
        entries.push((event.id, Logged { partition: HERE, position, body: event.body }));
    }
    assert_eq!(seqs(&place.b, 0, 3).await, [1, 2, 3]);
    assert_eq!(seqs(&place.b, 3, 3).await, [4, 5, 6]);
    assert_eq!(seqs(&place.b, 6, 3).await, [7]);
    assert_eq!(seqs(&place.b, 0, 0).await, Vec::<u64>::new());
    for beyond in [7, 8, u64::MAX] {
        assert_eq!(seqs(&place.b, beyond, 3).await, Vec::<u64>::new());
    }
    for (id, entry) in &entries {
        assert_eq!(place.b.entry(HERE, entry.position.seq).await.unwrap().as_ref(), Some(entry));
        assert_eq!(place.b.event(id).await.unwrap().as_ref(), Some(entry));
    }
    for unknown in [0, 8, u64::MAX] {
        assert_eq!(place.b.entry(HERE, unknown).await.unwrap(), None);
    }
    assert_eq!(place.b.event(&new_id(Kind::Event)).await.unwrap(), None);
}

pub async fn the_number_before_a_time_is_found(place: Place) {
    assert_eq!(place.a.seq_before(HERE, u64::MAX).await.unwrap(), 0);
    let start = place.clock.now_ms();
    // Numbers 1 to 3 at `start`, 4 and 5 at +10, 6 at +20.
    for (wait, count) in [(0, 3), (10, 2), (10, 1)] {
        place.clock.pass(MS * wait);
        for _ in 0..count {
            append(&place.a, HERE).await;
        }
    }
    let before = async |ms| place.b.seq_before(HERE, ms).await.unwrap();
    for (ms, seq) in [(0, 0), (start, 0), (start + 1, 3), (start + 10, 3), (start + 11, 5), (start + 20, 5), (start + 21, 6), (u64::MAX, 6)]
    {
        assert_eq!(before(ms).await, seq, "before {ms}");
    }
    assert_eq!(place.a.trim(start + 10, 100).await.unwrap(), 3);
    for (ms, seq) in [(start, 3), (start + 10, 3), (start + 11, 5)] {
        assert_eq!(before(ms).await, seq, "before {ms}, trimmed");
    }
    assert_eq!(place.a.trim(u64::MAX, 100).await.unwrap(), 3);
    for ms in [0, start, u64::MAX] {
        assert_eq!(before(ms).await, 6, "before {ms}, empty");
    }
}

pub async fn trimming_takes_the_old_end_and_the_sequence_goes_on(place: Place) {
    let start = place.clock.now_ms();
    let old = new_event().unwrap();
    done(&place.a, batch([Change { event: Some(old.clone()), ..create(&new_id(Kind::Payment), "x") }])).await;
    for _ in 0..4 {
        append(&place.a, HERE).await;
    }
    place.clock.pass(MS);
    let newer = append(&place.a, HERE).await;

    assert_eq!(place.b.trim(start, 10).await.unwrap(), 0);
    assert_eq!(place.b.trim(start + 1, 0).await.unwrap(), 0);
    assert_eq!(place.b.trim(start + 1, 2).await.unwrap(), 2);
    assert_eq!(seqs(&place.a, 0, 10).await, [3, 4, 5, 6], "a page after a trimmed number begins with a hole");
    assert_eq!(place.a.event(&old.id).await.unwrap(), None);
    assert_eq!(place.a.entry(HERE, 2).await.unwrap(), None);
    assert_eq!(place.b.trim(start + 1, 10).await.unwrap(), 3);
    assert_eq!(place.b.trim(start + 1, 10).await.unwrap(), 0);
    assert_eq!(head(&place.a, HERE).await, Head { partition: HERE, first: Some(newer), last: newer, trimmed_ms: start });
    assert_eq!(append(&place.b, HERE).await.seq, 7);
}

pub async fn a_head_tells_the_time_of_the_newest_entry_that_trimming_removed(place: Place) {
    let start = place.clock.now_ms();
    for _ in 0..4 {
        append(&place.a, HERE).await;
        place.clock.pass(10 * MS);
    }
    append(&place.a, ELSEWHERE).await;
    let trimmed = async || place.b.heads().await.unwrap().iter().map(|head| head.trimmed_ms).collect::<Vec<_>>();
    assert_eq!(place.a.trim(start, 10).await.unwrap(), 0);
    assert_eq!(place.a.trim(u64::MAX, 0).await.unwrap(), 0);
    assert_eq!(trimmed().await, [0, 0, 0, 0]);

    // Its own time, not the one that was trimmed up to.
    assert_eq!(place.a.trim(start + 19, 10).await.unwrap(), 2);
    assert_eq!(trimmed().await, [0, start + 10, 0, 0]);
    assert_eq!(place.a.trim(start + 39, 1).await.unwrap(), 1);
    assert_eq!(trimmed().await, [0, start + 20, 0, 0]);
    assert_eq!(place.a.trim(start + 15, 10).await.unwrap(), 0);
    assert_eq!(trimmed().await, [0, start + 20, 0, 0], "what removes nothing leaves it");
    assert_eq!(place.b.trim(u64::MAX, 10).await.unwrap(), 2);
    assert_eq!(trimmed().await, [0, start + 30, start + 40, 0]);
    append(&place.a, HERE).await;
    assert_eq!(trimmed().await, [0, start + 30, start + 40, 0]);
}

pub async fn a_log_trimmed_to_nothing_remembers_its_end(place: Place) {
    let empty = Head { partition: HERE, first: None, last: Position::default(), trimmed_ms: 0 };
    assert_eq!(head(&place.a, HERE).await, empty);
    append(&place.a, HERE).await;
    let last = append(&place.a, HERE).await;
    assert_eq!(place.b.trim(u64::MAX, 10).await.unwrap(), 2);
    assert_eq!(head(&place.a, HERE).await, Head { last, trimmed_ms: last.ms, ..empty });
    assert_eq!(seqs(&place.a, 0, 10).await, Vec::<u64>::new());

    place.clock.go_back(Duration::from_secs(60));
    assert_eq!(append(&place.b, HERE).await, Position { ms: last.ms, seq: 3 });
    assert_eq!(seqs(&place.a, 0, 10).await, [3]);
}

pub async fn logs_of_partitions_are_apart(place: Place) {
    for (partition, count) in [(0, 2), (1, 3), (3, 1)] {
        for _ in 0..count {
            append(&place.a, Partition(partition)).await;
        }
    }
    let heads = place.b.heads().await.unwrap();
    let partitions = heads.iter().map(|head| head.partition.0).collect::<Vec<_>>();
    assert_eq!(partitions, [0, 1, 2, 3]);
    assert_eq!(heads.iter().map(|head| head.last.seq).collect::<Vec<_>>(), [2, 3, 0, 1]);
    assert_eq!(heads.iter().map(|head| head.first.map_or(0, |first| first.seq)).collect::<Vec<_>>(), [1, 1, 0, 1]);
    assert_eq!(seqs(&place.b, 0, 10).await, [1, 2, 3]);
    assert!(place.b.events_after(Partition(0), 0, 10).await.unwrap().iter().all(|entry| entry.partition == Partition(0)));

    place.clock.pass(MS);
    assert_eq!(place.a.trim(place.clock.now_ms(), 4).await.unwrap(), 4);
    assert_eq!(place.a.trim(place.clock.now_ms(), 4).await.unwrap(), 2);
    assert!(place.b.heads().await.unwrap().iter().all(|head| head.first.is_none()));
}

pub async fn an_events_id_is_used_once(place: Place) {
    let event = new_event();
    let change = |event: &Option<NewEvent>| Change { event: event.clone(), ..create(&new_id(Kind::Payment), "x") };
    done(&place.a, batch([change(&event)])).await;
    let again = place.b.commit(batch([change(&new_event()), change(&event)]).into()).await;
    assert!(matches!(again, Err(StoreError::Broken(_))), "{again:?}");
    assert_eq!(head(&place.a, HERE).await.last.seq, 1);
}

pub async fn a_commit_with_an_event_wakes_watchers_of_both_handles(place: Place) {
    let mut watchers = [place.a.wakeups(), place.b.wakeups()];
    for round in 1..=5 {
        let before = watchers.each_mut().map(|watcher| watcher.borrow_and_update().clone());
        append(if round % 2 == 0 { &place.a } else { &place.b }, HERE).await;
        for (watcher, before) in watchers.iter_mut().zip(before) {
            let woken = tokio::time::timeout(Duration::from_secs(5), watcher.changed()).await;
            woken.expect("a watcher is woken by a commit").unwrap();
            assert!(watcher.borrow().since(&before).contains(&HERE), "and told where to look");
            // Whoever is woken finds what woke him.
            assert_eq!(head(&place.a, HERE).await.last.seq, round);
        }
    }
}
