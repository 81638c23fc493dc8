//! Work that a call begins and that does not end with it: who asked waits for it as for any future, and when he leaves it
//! goes on as a task of its own. As long as he waits no task is made, and no thread woken: that spared a tenth of a creation.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// The work panicked. It was a fault of ours, and takes nobody else with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panicked;

type Work<T> = Pin<Box<dyn Future<Output = Result<T, Panicked>> + Send>>;

/// Work under way.
pub(super) struct Outliving<T: 'static> {
    /// `None`: it is done.
    work: Option<Work<T>>,
    runtime: Handle,
}

impl<T: 'static> Outliving<T> {
    /// Nothing happens before it is waited for, or dropped. `tasks` knows of it until it is done.
    pub fn new(tasks: &TaskTracker, work: impl Future<Output = T> + Send + 'static) -> Self {
        let work = AssertUnwindSafe(work).catch_unwind().map(|ended| ended.map_err(|_| Panicked));
        Self { work: Some(Box::pin(tasks.track_future(work))), runtime: Handle::current() }
    }
}

impl<T: 'static> Future for Outliving<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl<T: 'static> Drop for Outliving<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.runtime.spawn(async move { drop(work.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_when_nobody_waits_for_it_and_is_known_until_it_is_done() {
        let tasks = TaskTracker::new();
        let (go, may_go) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let work = Outliving::new(&tasks, async move {
            let _ = may_go.await;
            let _ = tell.send(7);
        });
        assert!(tokio::time::timeout(Duration::from_millis(20), work).await.is_err(), "its caller leaves");
        assert_eq!(tasks.len(), 1);
        go.send(()).expect("it waits for that");
        assert_eq!(told.await, Ok(7));
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn what_nobody_ever_waited_for_is_done_all_the_same() {
        let tasks = TaskTracker::new();
        let (tell, told) = oneshot::channel();
        drop(Outliving::new(&tasks, async move { tell.send(7) }));
        assert_eq!(told.await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_told_and_goes_no_further() {
        let tasks = TaskTracker::new();
        let ended = Outliving::new(&tasks, async { panic!("a fault of ours") }).await;
        assert!(matches!(ended, Err::<(), _>(Panicked)));
        assert!(tasks.is_empty());
    }
}
