//! Work that would leave something half done if it ended with whoever asked for it. It goes on without them, and the
//! server does not end before it.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::sync::{oneshot, watch};

use crate::Problem;

/// How much of it is under way. Cheap to clone; all clones count the same.
#[derive(Debug, Clone, Default)]
pub struct Begun(Arc<watch::Sender<usize>>);

struct UnderWay(Begun);

impl UnderWay {
    fn begin(begun: &Begun) -> Self {
        begun.0.send_modify(|count| *count += 1);
        Self(begun.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

impl Begun {
    /// Does it, whether or not this future is waited for.
    ///
    /// # Errors
    /// The work's own, and `500` if it panicked.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let under_way = UnderWay::begin(self);
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            if let Err(Err(problem)) = answer.send(work.await) {
                let detail = problem.detail();
                tracing::warn!(detail, "what somebody asked for who has gone since failed");
            }
            drop(under_way);
        });
        answered.await.unwrap_or_else(|_| {
            let detail = "the request failed inside the server: see its log";
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail))
        })
    }

    /// Waits until nothing of it is under way, but not for ever.
    pub async fn ended(&self, patience: Duration) {
        let mut count = self.0.subscribe();
        let _ = tokio::time::timeout(patience, count.wait_for(|count| *count == 0)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_begun_ends_though_nobody_waits() {
        let begun = Begun::default();
        let (done, is_done) = oneshot::channel();
        let work = async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            done.send(()).map_err(|()| Problem::bad_request("nobody"))
        };
        let asked = tokio::time::timeout(Duration::from_millis(10), begun.to_the_end(work));
        assert!(asked.await.is_err(), "whoever asked has gone");
        begun.ended(Duration::from_secs(5)).await;
        assert_eq!(is_done.await, Ok(()));
        let never = std::future::pending::<Result<(), Problem>>();
        let _ = tokio::time::timeout(Duration::from_millis(10), begun.to_the_end(never)).await;
        begun.ended(Duration::from_secs(5)).await;
    }
}
