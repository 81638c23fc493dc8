//! A call on its way through a layer, and what the layer does with the answer. Not in a box: each layer that put its own around
//! the one before had the request and the answer moved once more, which small calls felt.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

/// What a layer does with an answer. Dropped without it where the caller hangs up before, or the service fails.
pub trait AtItsEnd<Response> {
    type Answer;

    fn answer(self, response: Response) -> Self::Answer;
}

pin_project! {
    /// A call on its way.
    pub struct Answering<F, L> {
        #[pin]
        call: F,
        // Taken by the answer.
        layer: Option<L>,
    }
}

impl<F, L> Answering<F, L> {
    pub fn new(call: F, layer: L) -> Self {
        Self { call, layer: Some(layer) }
    }
}

impl<F, L, R, E> Future for Answering<F, L>
where
    F: Future<Output = Result<R, E>>,
    L: AtItsEnd<R>,
{
    type Output = Result<L::Answer, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.call.poll(context))?;
        let layer = this.layer.take().expect("a future that has ended is not polled again");
        Poll::Ready(Ok(layer.answer(response)))
    }
}
