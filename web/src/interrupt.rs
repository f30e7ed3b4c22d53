//! Waiting that can be interrupted.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// The value of a future. Meanwhile `tick` runs repeatedly, and its first error ends the waiting.
///
/// ```
/// # use std::pin::pin;
/// # use std::task::{Context, Poll, Waker};
/// let mut ticks = 0;
/// let cancelled_at_3 = async || {
///     ticks += 1;
///     if ticks < 3 { Ok(()) } else { Err("cancelled") }
/// };
/// let download = pin!(web::interrupt::watched(std::future::pending::<()>(), cancelled_at_3));
/// assert_eq!(download.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err("cancelled")));
/// ```
///
/// # Errors
/// That of `tick`.
pub async fn watched<T, E>(
    future: impl Future<Output = T>,
    mut tick: impl AsyncFnMut() -> Result<(), E>,
) -> Result<T, E> {
    let mut future = pin!(future);
    loop {
        let mut tick = pin!(tick());
        let first = poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(Ok(value))),
            Poll::Pending => tick.as_mut().poll(context).map(|ticked| ticked.err().map(Err)),
        });
        if let Some(result) = first.await {
            return result;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn a_ready_value_is_returned_even_if_cancelled() {
        let waiting = pin!(watched(ready(7), async || Err("cancelled")));
        assert_eq!(waiting.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(7)));
    }
}
