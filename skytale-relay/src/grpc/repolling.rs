//! Tasks that do not wake another thread by waking themselves.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;
use hyper::rt::Executor;

/// A future that is polled again at once where it was woken while it was polled.
///
/// A body of HTTP/2 wakes its own task with each piece that it sends. The runtime takes a task that woke itself for one
/// that gives way: it puts the task at the end of a queue and wakes a second thread to look for work there, which costs
/// more than sending the piece did.
pub(super) struct RepollingTask<F> {
    future: Pin<Box<F>>,
    turn: Arc<Turn>,
    waker: Waker,
}

/// Spawns futures that are [`RepollingTask`].
#[derive(Clone, Copy, Debug)]
pub(super) struct SettledExecutor;

/// Whose turn it is.
#[derive(Debug, Default)]
struct Turn {
    state: AtomicU8,
    task: AtomicWaker,
}

/// The future waits to be woken.
const WAITING: u8 = 0;
/// The future is polled, and was not woken since that began.
const POLLED: u8 = 1;
/// The future was woken, and is polled again without further waking.
const WOKEN: u8 = 2;

/// How often a future is polled in its task's turn; then other tasks have theirs.
const POLLS: usize = 4;

impl<F> RepollingTask<F> {
    pub fn new(future: F) -> Self {
        let turn = Arc::<Turn>::default();
        Self { future: Box::pin(future), waker: turn.clone().into(), turn }
    }
}

impl<F: Future> Future for RepollingTask<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, turn, waker } = &mut *self;
        turn.task.register(cx.waker());
        for _ in 0..POLLS {
            turn.state.swap(POLLED, Ordering::AcqRel);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(output);
            }
            let settled =
                turn.state.compare_exchange(POLLED, WAITING, Ordering::AcqRel, Ordering::Acquire).is_ok();
            if settled {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<F> fmt::Debug for RepollingTask<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settled").field("turn", &self.turn).finish_non_exhaustive()
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == WAITING {
            self.task.wake();
        }
    }
}

impl<F> Executor<F> for SettledExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(RepollingTask::new(future));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns a future that wakes itself so many times.
    fn restless(mut times: usize) -> impl Future<Output = ()> {
        std::future::poll_fn(move |cx| {
            if times == 0 {
                return Poll::Ready(());
            }
            times -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    fn poll_once(settled: &mut RepollingTask<impl Future<Output = ()>>) -> (Poll<()>, usize) {
        let wakes = Arc::<Wakes>::default();
        let polled = Pin::new(settled).poll(&mut Context::from_waker(&wakes.clone().into()));
        (polled, wakes.0.load(Ordering::Relaxed))
    }

    #[test]
    fn what_wakes_itself_goes_on_at_once() {
        let mut settled = RepollingTask::new(restless(POLLS - 1));
        assert_eq!(poll_once(&mut settled), (Poll::Ready(()), 0));
    }

    #[test]
    fn what_never_settles_gives_way() {
        let mut settled = RepollingTask::new(restless(POLLS + 1));
        assert_eq!(poll_once(&mut settled), (Poll::Pending, 1));
        assert_eq!(poll_once(&mut settled), (Poll::Ready(()), 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn wakes_from_elsewhere_are_heard() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let reading = tokio::spawn(RepollingTask::new(async move {
            let mut count = 0;
            while receiver.recv().await.is_some() {
                count += 1;
            }
            count
        }));
        let sending = async {
            for _ in 0..10_000 {
                sender.send(()).await.expect("it is read");
            }
            drop(sender);
            reading.await.expect("no panic")
        };
        let count = tokio::time::timeout(Duration::from_secs(60), sending).await;
        assert_eq!(count, Ok(10_000));
    }
}
