//! The idempotency keys that an opening finds: those of segments that it read, and those that index
//! files keep, which are read only as far back as so many can be remembered.

use std::sync::Arc;

use super::{
    Medium, index_file,
    scan::WalkError,
    summary::{Sealed, Summary},
};
use crate::{
    Record, Topic,
    keys::{KeyUse, KeyUses, MAX_KEYS},
    sequencer::Sequencer,
};

/// In the order of the log.
#[derive(Debug, Default)]
pub(crate) struct Recall(Vec<Source>);

#[derive(Debug)]
enum Source {
    Read(KeyUses),
    Kept(Sealed),
}

impl Recall {
    /// An event that was just read; `first` is the first topic of its batch.
    pub(crate) fn now(&mut self, record: &Record, first: &Topic) {
        if record.fields.key.is_none() {
            return;
        }
        if !matches!(self.0.last(), Some(Source::Read(_))) {
            self.0.push(Source::Read(KeyUses::default()));
        }
        if let Some(Source::Read(keys)) = self.0.last_mut() {
            keys.add(record, first);
        }
    }

    /// The keys of a segment that need not be read.
    pub(crate) fn later(&mut self, of: Sealed) {
        self.0.push(Source::Kept(of));
    }

    /// Hands over the newest, in the order of the log.
    pub(crate) fn into_sequencer(
        self,
        medium: &Arc<dyn Medium>,
        sequencer: &mut Sequencer,
    ) -> Result<(), WalkError> {
        let (mut newest_first, mut count): (Vec<Vec<KeyUse>>, usize) = (Vec::new(), 0);
        for source in self.0.into_iter().rev() {
            if count >= MAX_KEYS {
                break;
            }
            let KeyUses(keys) = source.keys(medium)?;
            count += keys.len();
            newest_first.push(keys);
        }
        newest_first.iter().rev().flatten().for_each(|used| sequencer.recall(used));
        Ok(())
    }
}

impl Source {
    fn keys(self, medium: &Arc<dyn Medium>) -> Result<KeyUses, WalkError> {
        let of = match self {
            Self::Read(keys) => return Ok(keys),
            Self::Kept(of) => of,
        };
        match index_file::keys(&**medium, &of.name) {
            Some(keys) => Ok(keys),
            // The segment itself still has them; what was erased in it is not asked here.
            None => Ok(Summary::read(medium, &of, &|_| true, &mut |_| Ok(()))?.keys),
        }
    }
}
