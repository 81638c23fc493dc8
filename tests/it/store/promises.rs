//! What every store promises (the comments of `upistream::store`), as tests over two handles on one place. A backend's
//! file says how to open it, and no more: `store_promises!(two_handles);`.

pub mod claims;
pub mod commits;
pub mod leases;
pub mod lists;
pub mod log;
pub mod news;
pub mod references;
pub mod whole;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use upistream::domain::id::{Id, Kind, Partition};
use upistream::store::{
    AnyStore, Batch, Change, Claim, ClaimScope, ClaimStep, Commit, Conflict, Guard, LeaseStep, ListKey, Look, NewEvent, Reference, Stored,
    Written,
};

use crate::support::StoreTime;

/// As many as the stores of these tests have.
pub const PARTITIONS: u16 = 4;
/// Where a test works that needs only one.
pub const HERE: Partition = Partition(1);
pub const ELSEWHERE: Partition = Partition(2);
pub const LEASE: Duration = Duration::from_secs(30);

/// Two handles on one place, and the clock that the store there goes by.
pub struct Place {
    pub a: AnyStore,
    pub b: AnyStore,
    pub clock: Arc<StoreTime>,
    /// What must live as long: a folder, a server.
    pub _keep: Box<dyn Any + Send + Sync>,
}

/// A test of this backend for each promise. A promise that is missing here is a warning: nobody calls it.
macro_rules! store_promises {
    ($two_handles:ident) => {
        store_promises! { @each $two_handles;
            commits: a_created_record_is_read_through_both_handles,
            commits: a_change_needs_the_revision_that_it_names,
            commits: of_concurrent_writers_of_one_revision_one_wins,
            commits: a_conflict_leaves_nothing_behind,
            commits: conflicts_are_found_in_their_order,
            commits: several_records_move_together_or_not_at_all,
            commits: a_commit_sent_twice_is_done_once,
            commits: a_commit_sent_through_both_handles_at_once_is_done_once,
            commits: a_conflict_is_tried_again,
            commits: a_removed_record_leaves_no_trace,
            commits: a_batch_beyond_the_limits_is_refused,
            commits: a_batch_that_is_not_of_one_partition_is_refused,
            commits: a_batch_that_contradicts_itself_is_refused,
            claims: a_claim_is_taken_once_and_shows_its_record_as_it_is,
            claims: of_concurrent_claimers_exactly_one_wins,
            claims: a_settled_claim_tells_how_it_ended_and_by_what_to_answer,
            claims: only_the_record_of_a_claim_settles_or_frees_it,
            claims: a_claim_is_settled_once,
            claims: a_freed_claim_is_anybodys,
            claims: a_claim_may_be_taken_and_settled_at_once,
            claims: a_settled_claim_is_kept_as_long_as_it_said,
            claims: what_is_not_settled_or_kept_for_ever_is_never_forgotten,
            claims: a_claim_settled_before_its_record_rests_is_kept_from_then_on,
            claims: retention_starts_once_and_only_for_the_record_of_a_settled_claim,
            claims: forgetting_stops_at_its_limit,
            claims: claims_of_two_partitions_are_apart,
            references: a_unique_reference_belongs_to_one_record,
            references: of_concurrent_makers_of_a_unique_reference_one_wins,
            references: two_changes_of_one_commit_cant_share_a_unique_reference,
            references: a_latest_reference_is_the_newest_records,
            references: references_of_accounts_and_sorts_are_apart,
            lists: a_list_is_read_newest_first_in_pages,
            lists: a_list_counts_each_record_once,
            lists: a_record_leaves_a_list,
            lists: a_record_that_leaves_and_joins_stays,
            lists: lists_of_accounts_and_partitions_are_apart,
            lists: a_list_never_grows_past_its_guard,
            lists: a_page_has_a_limit,
            leases: what_is_due_is_taken_longest_due_first,
            leases: of_concurrent_takers_each_record_goes_to_one,
            leases: a_lease_that_ran_out_is_free_and_its_fence_stale,
            leases: a_renewed_lease_lasts_from_then,
            leases: a_stale_fence_changes_nothing,
            leases: who_holds_no_lease_may_still_change_the_record,
            leases: a_change_takes_a_free_lease_and_leaves_a_held_one,
            leases: of_concurrent_changes_that_take_a_lease_one_gets_it,
            leases: a_change_gives_its_lease_back,
            leases: rest_ends_the_lease,
            leases: a_released_record_is_looked_at_when_its_holder_said,
            leases: a_woken_record_is_due_now_unless_it_was_sooner,
            leases: a_guard_tells_whether_anybody_holds_a_lease,
            leases: the_next_due_is_the_longest_waiting_that_nobody_holds,
            leases: times_are_cut_to_the_millisecond,
            news: a_record_at_rest_can_be_woken,
            news: news_outlive_what_the_holder_of_the_lease_says,
            news: no_change_makes_the_look_that_news_demand_later_or_takes_it_away,
            news: news_to_a_record_at_rest_are_looked_at_before_it_rests_again,
            news: news_under_a_lease_stand_when_a_change_ends_it,
            news: a_time_set_beside_the_lease_outlives_what_its_holder_says,
            news: a_time_set_beside_the_lease_binds_only_its_holder,
            log: positions_have_no_gaps_and_times_never_go_back,
            log: concurrent_commits_make_one_sequence_without_holes,
            log: the_log_is_read_in_pages_by_number_and_by_id,
            log: the_number_before_a_time_is_found,
            log: trimming_takes_the_old_end_and_the_sequence_goes_on,
            log: a_head_tells_the_time_of_the_newest_entry_that_trimming_removed,
            log: a_log_trimmed_to_nothing_remembers_its_end,
            log: logs_of_partitions_are_apart,
            log: an_events_id_is_used_once,
            log: a_commit_with_an_event_wakes_watchers_of_both_handles,
            whole: both_handles_know_one_identity_and_one_time,
            whole: a_store_that_is_read_and_written_answers_a_ping,
        }
    };
    (@each $two_handles:ident; $($topic:ident: $promise:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::store::promises::$topic::$promise($two_handles().await).await;
            }
        )*
    };
}

/// Counts what must be unique in a place; unique in the process is easier.
fn next() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// An id that is newer than all before.
pub fn new_id(kind: Kind) -> Id {
    new_id_in(HERE, kind)
}

pub fn new_id_in(partition: Partition, kind: Kind) -> Id {
    Id::new(kind, partition, 1_767_225_600_000 + next(), 0)
}

pub fn create(id: &Id, body: &str) -> Change {
    Change {
        id: id.clone(),
        from: None,
        body: Some(Bytes::copy_from_slice(body.as_bytes())),
        event: None,
        references: Vec::new(),
        join: Vec::new(),
        leave: Vec::new(),
        look: Look::Keep,
        lease: LeaseStep::Keep,
    }
}

pub fn update(id: &Id, from: u64, body: &str) -> Change {
    Change { from: Some(from), ..create(id, body) }
}

pub fn remove(id: &Id, from: u64) -> Change {
    Change { from: Some(from), body: None, ..create(id, "") }
}

/// A record that is to be looked at `seconds` after 1970.
pub fn create_due(id: &Id, seconds: i64) -> Change {
    Change { look: Look::At(at(seconds)), ..create(id, "due") }
}

pub fn new_event() -> Option<NewEvent> {
    new_event_in(HERE)
}

pub fn new_event_in(partition: Partition) -> Option<NewEvent> {
    let id = new_id_in(partition, Kind::Event);
    let body = Bytes::from(format!("happened: {id}"));
    Some(NewEvent { id, account: "shop".parse().expect("a name"), body })
}

pub fn batch(changes: impl IntoIterator<Item = Change>) -> Batch {
    Batch {
        partition: HERE,
        write: u128::from(next()) << 64,
        claims: Vec::new(),
        changes: changes.into_iter().collect(),
        guards: Vec::new(),
    }
}

pub fn stored(id: &Id, revision: u64, body: &str) -> Stored {
    Stored { id: id.clone(), revision, body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// Business time.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("tests use seconds near 1970")
}

pub fn scope(name: &str) -> ClaimScope {
    ClaimScope(format!("caller/account/method/{name}"))
}

pub fn take(name: &str, record: &Id) -> ClaimStep {
    ClaimStep::Take { scope: scope(name), fingerprint: Bytes::from_static(b"print"), record: record.clone() }
}

pub fn list_of(key: &str) -> ListKey {
    ListKey { account: "shop".to_owned(), key: key.to_owned() }
}

pub fn reference(value: &str) -> Reference {
    Reference { account: "shop".to_owned(), sort: "qr.provider", value: value.to_owned() }
}

pub async fn done(store: &AnyStore, batch: Batch) -> Vec<Written> {
    match store.commit(batch.into()).await.unwrap() {
        Commit::Done(written) => written,
        Commit::Conflict(conflict) => panic!("a commit that nothing stands against came to {conflict:?}"),
    }
}

pub async fn conflict(store: &AnyStore, batch: Batch) -> Conflict {
    match store.commit(batch.into()).await.unwrap() {
        Commit::Conflict(conflict) => conflict,
        Commit::Done(written) => panic!("a commit that can't be done came to {written:?}"),
    }
}

/// A guard that never holds: a batch with it asks and writes nothing.
pub fn never() -> Guard {
    Guard::ShorterThan { list: list_of("never"), entries: 0 }
}

/// The claim on a key and its record, if there is one, without taking it.
pub async fn claim_on(store: &AnyStore, name: &str) -> Option<(Claim, Option<Stored>)> {
    let probe = Batch { claims: vec![take(name, &new_id(Kind::Qr))], guards: vec![never()], ..batch([]) };
    match conflict(store, probe).await {
        Conflict::Claimed { claim, record } => Some((claim, record)),
        Conflict::Guard(0) => None,
        other => panic!("asking for a claim came to {other:?}"),
    }
}
