//! Reads the log for members that are behind the window. It owns the reads that are under way, and ends them
//! with the shard.

use std::{collections::VecDeque, panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use eventwall_hub::Read;
use eventwall_log::ReadError;
use futures_util::FutureExt as _;
use tokio::{
    sync::{
        mpsc::{Receiver, Sender, channel},
        oneshot,
    },
    task::{JoinHandle, JoinSet},
};

use super::{mailbox::Mailbox, member::Key};
use crate::App;

/// Reads of one shard that are under way, or about to be. The hub has a bound of its own, for all.
const MOST: usize = 64;

type Reading = Pin<Box<dyn Future<Output = Result<Read, ReadError>> + Send>>;

/// What a member holds while the log is read for it. Once it is dropped, nobody reads for it any more.
pub(super) type Wanted = oneshot::Sender<()>;

struct Request {
    member: Key,
    reading: Reading,
    unwanted: oneshot::Receiver<()>,
}

pub(super) struct Reads {
    queue: Sender<Request>,
    /// Members that there was no room for.
    waiting: VecDeque<Key>,
    task: JoinHandle<()>,
}

impl Reads {
    /// Within a tokio runtime. Also wakes the shard when the server goes down.
    pub(super) fn start(app: Arc<App>, mailbox: Arc<Mailbox>) -> Self {
        let (queue, requests) = channel(MOST);
        let task = tokio::spawn(serve(requests, app, mailbox));
        Self { queue, waiting: VecDeque::new(), task }
    }

    /// Reads for a member; if there is no room, it is to ask again when it is its turn.
    pub(super) fn begin(&mut self, member: Key, reading: Reading) -> Wanted {
        let (wanted, unwanted) = oneshot::channel();
        if self.queue.try_send(Request { member, reading, unwanted }).is_err() {
            self.waiting.push_back(member);
        }
        wanted
    }

    /// Whose turn it is, since a read is over.
    pub(super) fn next(&mut self) -> Option<Key> {
        self.waiting.pop_front()
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Request {
    /// `None`: nobody wants it any more.
    async fn run(self) -> (Key, Option<Result<Read, ReadError>>) {
        let reading = AssertUnwindSafe(self.reading).catch_unwind();
        let read = tokio::select! {
            biased;
            _ = self.unwanted => None,
            read = reading => Some(read.unwrap_or_else(|_| Err(ReadError::Io("reading failed: this is a bug".into())))),
        };
        (self.member, read)
    }
}

async fn serve(mut requests: Receiver<Request>, app: Arc<App>, mailbox: Arc<Mailbox>) {
    let mut under_way = JoinSet::new();
    let draining = async {
        app.drain.draining().await;
        mailbox.tell(|_| {});
        std::future::pending::<()>().await;
    };
    tokio::pin!(draining);
    loop {
        tokio::select! {
            request = requests.recv(), if under_way.len() < MOST => match request {
                Some(request) => drop(under_way.spawn(request.run())),
                None => return,
            },
            Some(done) = under_way.join_next() => match done {
                Ok(done) => mailbox.tell(|inbox| inbox.reads.push(done)),
                Err(error) => tracing::error!(%error, "a read of the log failed: this is a bug"),
            },
            () = &mut draining => {}
        }
    }
}
