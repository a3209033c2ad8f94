//! Two futures side by side, of which one goes first.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::{
    future::{FusedFuture, FutureExt, maybe_done},
    task::AtomicWaker,
};

/// Whether the future that goes first has something to do.
struct Urgent {
    is_woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Urgent {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// Runs both to their ends. Whenever `urgent` has gone a step, the task makes room before `other` goes on: what that step gave to
/// other tasks, say a request to a connection, goes out now, and not when `other` has computed for as long as it likes to.
pub(super) async fn with_priority<A: Future, B: Future>(urgent: A, other: B) -> (A::Output, B::Output) {
    let (mut urgent, mut other) = (pin!(maybe_done(urgent)), pin!(maybe_done(other)));
    let wakes = Arc::new(Urgent { is_woken: AtomicBool::new(true), task: AtomicWaker::new() });
    let waker = Waker::from(Arc::clone(&wakes));
    poll_fn(|context| {
        wakes.task.register(context.waker());
        if !urgent.is_terminated() && wakes.is_woken.swap(false, Ordering::AcqRel) {
            let _ = urgent.as_mut().poll(&mut Context::from_waker(&waker));
            if !other.is_terminated() {
                return pin!(tokio::task::yield_now()).poll_unpin(context);
            }
        }
        if !other.is_terminated() {
            let _ = other.as_mut().poll(context);
        }
        let all = urgent.is_terminated() && other.is_terminated();
        if all { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let outputs = (urgent.take_output(), other.take_output());
    (outputs.0.expect("it has ended"), outputs.1.expect("it has ended"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::{
        sync::Notify,
        task::{coop::consume_budget, yield_now},
    };

    use super::*;

    #[tokio::test]
    async fn what_a_step_gave_to_another_task_is_done_before_the_other_future_goes_on() {
        let (asked, answered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let answers = tokio::spawn({
            let (asked, answered) = (Arc::clone(&asked), Arc::clone(&answered));
            async move {
                loop {
                    asked.notified().await;
                    answered.notify_one();
                }
            }
        });
        let steps = RefCell::new(Vec::new());
        let urgent = async {
            for _ in 0..3 {
                asked.notify_one();
                answered.notified().await;
                steps.borrow_mut().push("urgent");
            }
            "u"
        };
        let other = async {
            for _ in 0..2 {
                steps.borrow_mut().push("other");
                yield_now().await;
            }
            "o"
        };
        assert_eq!(with_priority(urgent, other).await, ("u", "o"));
        assert_eq!(steps.into_inner(), ["urgent", "urgent", "urgent", "other", "other"]);
        answers.abort();
    }

    #[tokio::test]
    async fn each_is_driven_to_its_end_when_the_other_has_ended() {
        let computes = async {
            for _ in 0..1000 {
                consume_budget().await;
            }
            7
        };
        assert_eq!(with_priority(async { 1 }, computes).await, (1, 7));
        for urgent_waits in [true, false] {
            let (first, second) = (Notify::new(), Notify::new());
            let waits = async {
                first.notify_one();
                second.notified().await;
            };
            let wakes = async {
                first.notified().await;
                second.notify_one();
            };
            if urgent_waits {
                with_priority(waits, wakes).await;
            } else {
                with_priority(wakes, waits).await;
            }
        }
    }
}
