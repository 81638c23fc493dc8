//! What a batch must be to be tried at all. A batch that isn't is a fault of ours, not a conflict.

use std::collections::HashSet;

use crate::domain::id::{Id, Partition};
use crate::store::{Batch, CHANGES_MAX, Change, ClaimScope, ClaimStep, Guard, LeaseStep, StoreError};

pub(super) fn check(batch: &Batch, partitions: u16) -> Result<(), StoreError> {
    let Batch { partition, write: _, claims, changes, guards } = batch;
    if partition.0 >= partitions {
        return refuse(format!("there is no partition {}", partition.0));
    }
    for (what, count) in [("changes", changes.len()), ("claim steps", claims.len()), ("guards", guards.len())] {
        if count > CHANGES_MAX {
            return refuse(format!("a commit of {count} {what}, of which there may be {CHANGES_MAX}"));
        }
    }
    let mut scopes = HashSet::new();
    for step in claims {
        check_claim(step, *partition, &mut scopes)?;
    }
    let mut ids = HashSet::new();
    for change in changes {
        check_change(change, *partition)?;
        if !ids.insert(&change.id) {
            return refuse(format!("`{}` is changed twice in one commit", change.id));
        }
    }
    for guard in guards {
        match guard {
            Guard::At { id, revision: _ } | Guard::Held { id, fence: _ } | Guard::Unheld { id } => belongs(id, *partition)?,
            Guard::ShorterThan { list: _, entries: _ } => (),
        }
    }
    Ok(())
}

fn check_claim<'a>(step: &'a ClaimStep, partition: Partition, scopes: &mut HashSet<&'a ClaimScope>) -> Result<(), StoreError> {
    let (scope, record, takes) = match step {
        ClaimStep::Take { scope, fingerprint: _, record } => (scope, record, true),
        ClaimStep::Settle { scope, record, outcome: _, answer, keep: _ } => {
            belongs(answer, partition)?;
            (scope, record, false)
        }
        ClaimStep::StartRetention { scope, record, keep: _ } | ClaimStep::Free { scope, record } => (scope, record, false),
    };
    belongs(record, partition)?;
    if !scopes.insert(scope) && takes {
        return refuse("a claim is taken after another step on it in one commit".to_owned());
    }
    Ok(())
}

fn check_change(change: &Change, partition: Partition) -> Result<(), StoreError> {
    let Change { id, from, body, event, references, join, leave: _, look: _, lease } = change;
    belongs(id, partition)?;
    if let Some(event) = event {
        belongs(&event.id, partition)?;
    }
    if body.is_none() {
        let builds = !references.is_empty() || !join.is_empty() || matches!(lease, LeaseStep::Take(_));
        if from.is_none() || builds {
            return refuse(format!("the removal of `{id}` also asks for something to be made"));
        }
    }
    Ok(())
}

fn belongs(id: &Id, partition: Partition) -> Result<(), StoreError> {
    if id.partition() == partition {
        return Ok(());
    }
    refuse(format!("`{id}` is not of partition {}", partition.0))
}

fn refuse(why: String) -> Result<(), StoreError> {
    Err(StoreError::Broken(why))
}
