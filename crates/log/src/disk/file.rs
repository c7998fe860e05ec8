//! A segment's file, open only while somebody needs it: a log may have thousands of segments,
//! and a process few file descriptors. The active segment's stays open.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::{Medium, MediumFile};

#[derive(Debug)]
pub(crate) struct SegmentFile {
    medium: Arc<dyn Medium>,
    name: Arc<str>,
    open: Mutex<Open>,
}

#[derive(Debug)]
enum Open {
    Held(Arc<dyn MediumFile>),
    /// Whoever reads it just now holds it.
    Lent(Option<Weak<dyn MediumFile>>),
}

impl SegmentFile {
    pub(crate) fn new(
        medium: &Arc<dyn Medium>,
        name: &Arc<str>,
        file: Arc<dyn MediumFile>,
    ) -> Self {
        Self { medium: medium.clone(), name: name.clone(), open: Mutex::new(Open::Held(file)) }
    }

    /// The file, opened if it was not. While the index has its segment, it is there; later it
    /// may be gone.
    pub(crate) fn get(&self) -> io::Result<Arc<dyn MediumFile>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = match &*open {
            Open::Held(file) => return Ok(file.clone()),
            Open::Lent(lent) => lent.as_ref().and_then(Weak::upgrade),
        };
        let file = lent.map_or_else(|| self.medium.open(&self.name), Ok)?;
        *open = Open::Lent(Some(Arc::downgrade(&file)));
        Ok(file)
    }

    /// Nothing more is appended to it: it need not stay open.
    pub(crate) fn release(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Open::Lent(None);
    }
}
