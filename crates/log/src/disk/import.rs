//! Makes a log on disk out of another log: its events at their places, its epochs, and what it knows of
//! topics whose events are gone. It is a log once [`DiskImport::finish`] has answered.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::oneshot;

use super::{
    DiskConfig, DiskLog, Medium, OpenError,
    persist::{Persist, UNSURE},
    queue::Command,
};
use crate::{
    AppendError, FileState, Log as _, Position, Record, StateError, Topic,
    kit::{Known, Origin},
};

/// See the module.
#[derive(Debug)]
pub struct DiskImport {
    log: DiskLog,
    medium: Arc<dyn Medium>,
    origin: Origin,
    /// The last event of each topic that is here, or was lost before.
    last: HashMap<Topic, Position>,
}

impl DiskImport {
    /// In an empty folder.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn begin(
        medium: Arc<dyn Medium>,
        config: DiskConfig,
        origin: Origin,
    ) -> Result<Self, OpenError> {
        // What is over the limits goes when a server has it.
        let config = DiskConfig { keep_every: None, ..config };
        let (log, _) = DiskLog::open(medium.clone(), config)?;
        let lost = |known: &Known| (known.topic.clone(), known.removed);
        let last = origin.known.iter().map(lost).collect();
        Ok(Self { log, medium, origin, last })
    }

    /// The next events, in order.
    ///
    /// # Errors
    /// If they cannot be stored.
    pub async fn place(&mut self, records: Vec<Arc<Record>>) -> Result<(), AppendError> {
        let records: Vec<_> = records.into_iter().map(|record| self.chained(record)).collect();
        self.store(records, None).await
    }

    async fn store(
        &self,
        records: Vec<Arc<Record>>,
        end: Option<Position>,
    ) -> Result<(), AppendError> {
        let (reply, stored) = oneshot::channel();
        let bytes = records.iter().map(|record| record.cost()).sum();
        let place = |permit| Command::Place { records, end, reply, permit };
        self.log.queue().send(bytes, place).await?;
        let stopped = || AppendError::Stopped { reason: "it is closed".into() };
        stored.await.map_err(|_| stopped())?.map(drop)
    }

    /// A record that says which was its topic's last one before it.
    fn chained(&mut self, record: Arc<Record>) -> Arc<Record> {
        let before = self.last.insert(record.topic.clone(), record.position).unwrap_or_default();
        if record.prev > Position::START {
            return record;
        }
        // What may have been lost behind it says nothing of what came before.
        let prev = before.min(record.position.before());
        Arc::new(Record { prev, ..Record::clone(&record) })
    }

    /// All of it is here: the next opening begins an epoch after it.
    ///
    /// # Errors
    /// If that cannot be noted.
    pub async fn finish(self) -> Result<(), StateError> {
        let ended = self.store(Vec::new(), Some(self.origin.end)).await;
        ended.map_err(|error| StateError::Io(error.to_string()))?;
        let Self { log, medium, origin, .. } = self;
        log.close().await;
        drop(log);
        let persist = Persist::new(FileState::new(medium));
        let mut marks = format!("{}\n{}\n", origin.end, origin.forgotten);
        if origin.unsure > Position::START {
            marks.push_str(&format!("{UNSURE}{}\n", origin.unsure));
        }
        for known in origin.known.iter().filter(|known| known.reach.hidden >= known.reach.last) {
            marks.push_str(&format!("{} {}\n", known.reach.last, known.topic));
        }
        persist.put_watermarks(&marks)?;
        persist.put_epochs(&origin.epochs, origin.end)
    }
}
