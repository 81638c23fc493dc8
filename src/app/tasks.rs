//! What runs until the service stops. That one of them ends before is noticed: half a service looks like a whole one
//! to those who route to it.

use std::future::Future;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::error;

pub(super) struct Tasks {
    running: JoinSet<()>,
    /// From here on it is right that they end.
    leaving: CancellationToken,
    broken: watch::Sender<Option<&'static str>>,
}

impl Tasks {
    pub fn new() -> Self {
        Self { running: JoinSet::new(), leaving: CancellationToken::new(), broken: watch::Sender::new(None) }
    }

    /// Runs `task`, which does `what` until it is told to stop.
    pub fn spawn(&mut self, what: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (leaving, broken) = (self.leaving.clone(), self.broken.clone());
        self.running.spawn(async move {
            let ended = AbortOnDropHandle::new(tokio::spawn(task)).await;
            if leaving.is_cancelled() {
                return;
            }
            match ended {
                Ok(()) => error!("{what} ended, which it never should"),
                Err(cause) => error!("{what} ended badly: {cause}"),
            }
            broken.send_replace(Some(what));
        });
    }

    /// Waits until one of them has ended that should not; which one.
    pub async fn broken(&self) -> &'static str {
        let mut broken = self.broken.subscribe();
        let what = broken.wait_for(Option::is_some).await.ok().and_then(|what| *what);
        match what {
            Some(what) => what,
            None => std::future::pending().await,
        }
    }

    pub fn may_end(&self) {
        self.leaving.cancel();
    }

    /// Waits until all have ended.
    pub async fn ended(&mut self) {
        while self.running.join_next().await.is_some() {}
    }

    pub fn abort(&mut self) {
        self.running.abort_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_or_panics_is_noticed() {
        let mut tasks = Tasks::new();
        tasks.spawn("the patient one", std::future::pending());
        tasks.spawn("the lazy one", async {});
        assert_eq!(tasks.broken().await, "the lazy one");

        let mut tasks = Tasks::new();
        tasks.spawn("the clumsy one", async { panic!("as it is meant to") });
        assert_eq!(tasks.broken().await, "the clumsy one");
    }

    #[tokio::test]
    async fn an_end_that_is_due_is_none_to_speak_of() {
        let mut tasks = Tasks::new();
        let stop = CancellationToken::new();
        tasks.spawn("the obedient one", stop.clone().cancelled_owned());
        tasks.may_end();
        stop.cancel();
        tasks.ended().await;
        assert_eq!(*tasks.broken.borrow(), None);
    }
}
