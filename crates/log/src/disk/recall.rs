//! The idempotency keys that an opening finds: those of segments that it read, and those that index
//! files keep, which are read only as far back as keys are remembered.

use std::sync::Arc;

use super::{
    Medium,
    index_file::IndexFile,
    scan::WalkError,
    summary::{Sealed, Summary},
};
use crate::{
    keys::{KeyUse, MAX_KEYS},
    sequencer::Sequencer,
};

/// In the order of the log.
#[derive(Debug, Default)]
pub(crate) struct Recall(Vec<Source>);

#[derive(Debug)]
enum Source {
    Read(Vec<KeyUse>),
    Kept(IndexFile, Sealed),
}

impl Recall {
    /// A key that was just read.
    pub(crate) fn now(&mut self, used: Option<KeyUse>) {
        let Some(used) = used else { return };
        match self.0.last_mut() {
            Some(Source::Read(keys)) => keys.push(used),
            _ => self.0.push(Source::Read(vec![used])),
        }
        if let Some(Source::Read(keys)) = self.0.last_mut()
            && keys.len() >= 2 * MAX_KEYS
        {
            keys.drain(..MAX_KEYS);
        }
    }

    /// The keys of a segment that need not be read.
    pub(crate) fn later(&mut self, file: IndexFile, of: Sealed) {
        self.0.push(Source::Kept(file, of));
    }

    /// Hands over the newest, in the order of the log.
    pub(crate) fn into_sequencer(
        self,
        medium: &Arc<dyn Medium>,
        sequencer: &mut Sequencer,
    ) -> Result<(), WalkError> {
        let (mut newest_first, mut count) = (Vec::new(), 0);
        for source in self.0.into_iter().rev() {
            if count >= MAX_KEYS {
                break;
            }
            let keys = source.keys(medium)?;
            count += keys.len();
            newest_first.push(keys);
        }
        newest_first.iter().rev().flatten().for_each(|used| sequencer.recall(used));
        Ok(())
    }
}

impl Source {
    fn keys(self, medium: &Arc<dyn Medium>) -> Result<Vec<KeyUse>, WalkError> {
        match self {
            Self::Read(keys) => Ok(keys),
            Self::Kept(file, of) => match file.keys()? {
                Some(keys) => Ok(keys),
                // The segment itself still has them; what was erased in it is not asked here.
                None => Ok(Summary::read(medium, &of, &|_| true, &mut |_| Ok(()))?.keys),
            },
        }
    }
}
