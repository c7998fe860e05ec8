//! The bounded way to the writer, and what may be asked of it.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, SyncSender, sync_channel},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{AppendError, AppendOptions, Appended, Batch, Position, Record};

/// Appends that may wait for the writer.
const MAX_WAITING: usize = 4096;
/// Bytes of data that may wait for the writer.
const MAX_WAITING_BYTES: usize = 64 << 20;

pub(crate) enum Command {
    Append {
        batch: Batch,
        options: AppendOptions,
        reply: oneshot::Sender<Result<Appended, AppendError>>,
        permit: OwnedSemaphorePermit,
    },
    Erase {
        positions: Vec<Position>,
        reply: oneshot::Sender<Result<Position, AppendError>>,
        permit: OwnedSemaphorePermit,
    },
    /// Stores records of another log at their places.
    Place {
        records: Vec<Arc<Record>>,
        /// The other log ends here.
        end: Option<Position>,
        reply: oneshot::Sender<Result<Appended, AppendError>>,
        permit: OwnedSemaphorePermit,
    },
    /// Seals the active segment, so that it can be compacted; the answer comes once it is, or never.
    Roll { reply: Option<oneshot::Sender<()>>, permit: OwnedSemaphorePermit },
    /// Makes everything durable that is shown; the answer comes once it is, or never.
    Sync { reply: oneshot::Sender<()>, permit: OwnedSemaphorePermit },
}

/// The bounded way to the writer. Who finds it full waits.
#[derive(Debug)]
pub(crate) struct Queue {
    sender: Mutex<Option<SyncSender<Command>>>,
    /// One permit a KiB, and every command takes at least enough to bound their number.
    room: Arc<Semaphore>,
}

const PERMITS: usize = MAX_WAITING_BYTES / 1024;
const LEAST: usize = PERMITS / MAX_WAITING;

impl Queue {
    pub(crate) fn new() -> (Self, Receiver<Command>) {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let room = Arc::new(Semaphore::new(PERMITS));
        (Self { sender: Mutex::new(Some(sender)), room }, receiver)
    }

    pub(crate) async fn send(
        &self,
        bytes: usize,
        command: impl FnOnce(OwnedSemaphorePermit) -> Command,
    ) -> Result<(), AppendError> {
        let permits = (bytes / 1024).clamp(LEAST, PERMITS);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let permit = self.room.clone().acquire_many_owned(permits).await.map_err(|_| stopped())?;
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.as_ref().ok_or_else(stopped)?;
        // Never full: the permits bound what is in the channel.
        sender.try_send(command(permit)).map_err(|_| stopped())
    }

    /// Seals the active segment, and answers once it is done.
    pub(crate) async fn seal(&self) -> Result<(), AppendError> {
        let (reply, sealed) = oneshot::channel();
        self.send(0, |permit| Command::Roll { reply: Some(reply), permit }).await?;
        sealed.await.map_err(|_| stopped())
    }

    /// The writer is to seal its segment when it has time; nobody waits for it.
    pub(crate) fn ask_to_roll(&self) {
        self.ask(|permit| Command::Roll { reply: None, permit });
    }

    /// Waits, not within a runtime, until what is shown is durable; `false` if that is not to be
    /// had now.
    pub(crate) fn sync(&self) -> bool {
        let (reply, synced) = oneshot::channel();
        self.ask(|permit| Command::Sync { reply, permit });
        synced.blocking_recv().is_ok()
    }

    /// Sends a command if there is room.
    fn ask(&self, command: impl FnOnce(OwnedSemaphorePermit) -> Command) {
        let permits = u32::try_from(LEAST).unwrap_or(1);
        let Ok(permit) = self.room.clone().try_acquire_many_owned(permits) else { return };
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender {
            let _ = sender.try_send(command(permit));
        }
    }

    pub(crate) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.room.close();
    }
}

pub(crate) fn stopped() -> AppendError {
    AppendError::Stopped { reason: "it is closed".into() }
}
