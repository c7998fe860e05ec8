//! Pages of posts as they are now: read out of the log, newest or before an event, with what became of each.

use std::collections::{HashMap, HashSet};

use eventwall_hub::{EventPage, Framed, Gap, Hub, PageLimit, Start, StartError};
use eventwall_log::{EventId, Filter, Topic};
use serde::Serialize;

use super::{
    fold::{EDIT, Edit, REMOVE, Removal},
    follow::Live,
};
use crate::shown::{Entry, kind_of};

/// Reads for one page: more than that only if almost nothing are posts.
const MAX_READS: usize = 8;

/// A page of posts.
#[derive(Debug, Serialize)]
pub(crate) struct Slip {
    /// Oldest first.
    pub(crate) events: Vec<Entry>,
    /// From where to follow.
    pub(crate) cursor: String,
    /// Older ones are left.
    pub(crate) more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gap: Option<Gap>,
}

/// The last `count` posts, before an event if there is one. Of older ones only a projection that is up to date
/// knows what became of them; of the newest, the page has seen it all.
///
/// # Errors
/// If the log cannot be read.
pub(crate) async fn read_page(
    hub: &Hub,
    topic: &Topic,
    live: &Live,
    before: Option<EventId>,
    count: usize,
) -> Result<Slip, StartError> {
    let filter = Filter::topics([topic.clone()]);
    let mut slip = Slip { events: Vec::new(), cursor: String::new(), more: true, gap: None };
    let mut fates = Fates::default();
    let mut upto = before;
    for read in 0..MAX_READS {
        let page = older(hub, &filter, upto.as_ref(), count).await?;
        if read == 0 {
            slip.cursor = page.cursor.to_string();
            slip.gap = page.gap;
        }
        slip.more = page.more;
        upto = page.events.first().map(|event| event.id().clone());
        let mut posts = fates.take(&page.events);
        posts.append(&mut slip.events);
        slip.events = posts;
        if slip.events.len() >= count || !page.more {
            break;
        }
    }
    // Those that came by asking once too often.
    let over = slip.events.len().saturating_sub(count);
    slip.more |= over > 0;
    slip.events.drain(..over);
    let projection = live.look();
    for entry in &mut slip.events {
        projection.revise(entry);
    }
    for entry in &mut slip.events {
        fates.revise(entry);
    }
    Ok(slip)
}

async fn older(
    hub: &Hub,
    filter: &Filter,
    before: Option<&EventId>,
    count: usize,
) -> Result<EventPage, StartError> {
    let limit = PageLimit::events(count);
    match before {
        Some(id) => hub.page_before(filter, id, count, limit).await,
        None => hub.page(filter.clone(), &Start::Last(count), limit).await,
    }
}

/// What the page itself says of posts: whatever does comes after them, and is read first.
#[derive(Default)]
struct Fates {
    removed: HashSet<String>,
    edits: HashMap<String, Edit>,
}

impl Fates {
    /// The posts among these events, which are oldest first.
    fn take(&mut self, events: &[std::sync::Arc<Framed>]) -> Vec<Entry> {
        let mut posts: Vec<Entry> =
            events.iter().rev().filter_map(|event| self.post(event)).collect();
        posts.reverse();
        posts
    }

    fn post(&mut self, event: &Framed) -> Option<Entry> {
        let record = event.record();
        let name = record.event.as_deref().unwrap_or("message");
        if name == REMOVE {
            let removal: Removal = serde_json::from_str(&record.data).ok()?;
            self.removed.insert(removal.post);
        } else if name == EDIT {
            let edit: Edit = serde_json::from_str(&record.data).ok()?;
            self.edits.entry(edit.post.clone()).or_insert(edit);
        }
        kind_of(name)?;
        if self.removed.contains(&event.id().to_string()) {
            return None;
        }
        Some(Entry {
            id: event.id().clone(),
            event: name.into(),
            time: record.time,
            by: record.fields.by.as_deref().map(Into::into),
            data: record.data.clone().into(),
            edited: false,
        })
    }

    fn revise(&self, entry: &mut Entry) {
        let Some(edit) = self.edits.get(&entry.id.to_string()) else { return };
        entry.event.clone_from(&edit.event);
        entry.data.clone_from(&edit.data);
        entry.edited = true;
    }
}
