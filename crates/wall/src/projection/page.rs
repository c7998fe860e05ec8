//! Pages of posts as they are now: read out of the log, newest or before an event, with what became of each.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use eventwall_hub::{EventPage, Framed, Gap, Hub, PageLimit, Start, StartError};
use eventwall_log::{EventId, Filter, Topic};
use eventwall_server::{Problem, start_problem};
use serde::Serialize;

use super::{
    fold::{EDIT, Edit, REMOVE, Removal},
    follow::Live,
};
use crate::shown::{Entry, kind_of, name_of};

/// Reads for one page: more than that only if almost nothing are posts. Its reader goes on from there.
const MAX_READS: usize = 8;
/// Bytes of the posts of one page; one always fits.
const MAX_BYTES: usize = 1 << 20;

/// A page of posts.
#[derive(Debug, Serialize)]
pub(crate) struct Slip {
    /// Oldest first.
    pub(crate) events: Vec<Entry>,
    /// Before which to go on reading: the oldest event that was looked at, whether or not it is a post.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oldest: Option<String>,
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
/// If the log cannot be read, or of older posts nothing is known just now.
pub(crate) async fn read_page(
    hub: &Hub,
    topic: &Topic,
    live: &Live,
    before: Option<EventId>,
    count: usize,
) -> Result<Slip, Problem> {
    let filter = Filter::topics([topic.clone()]);
    let count = count.min(hub.max_start_events());
    let is_newest = before.is_none();
    let mut slip =
        Slip { events: Vec::new(), oldest: None, cursor: String::new(), more: true, gap: None };
    let mut fates = Fates::default();
    let mut upto = before;
    for read in 0..MAX_READS {
        let page = older(hub, &filter, upto.as_ref(), count).await.map_err(start_problem)?;
        if read == 0 {
            slip.cursor = page.cursor.to_string();
            slip.gap = page.gap;
        }
        slip.more = page.more;
        upto = page.events.first().map(|event| event.id().clone());
        slip.oldest = upto.as_ref().map(ToString::to_string);
        let mut posts = fates.take(&page.events);
        if !is_newest {
            // What came of these may lie behind: only the projection knows.
            let known = live.seen(|wall| posts.retain(|entry| wall.has(entry.id.position)));
            known.ok_or_else(Live::unready)?;
        }
        posts.append(&mut slip.events);
        slip.events = posts;
        let bytes: usize = slip.events.iter().map(|entry| entry.data.len()).sum();
        if slip.events.len() >= count || bytes > MAX_BYTES || !page.more {
            break;
        }
    }
    slip.cut(count);
    for entry in &mut slip.events {
        if is_newest {
            fates.revise(entry);
        } else {
            revise(hub, &filter, live, entry).await?;
        }
    }
    Ok(slip)
}

impl Slip {
    /// Leaves out the oldest that are too many, or too large together.
    fn cut(&mut self, count: usize) {
        let mut bytes = 0;
        let fits = self.events.iter().rev().take(count).take_while(|entry| {
            let is_first = bytes == 0;
            bytes += entry.data.len();
            is_first || bytes <= MAX_BYTES
        });
        let over = self.events.len() - fits.count();
        self.events.drain(..over);
        if over > 0 {
            self.more = true;
            self.oldest = self.events.first().map(|entry| entry.id.to_string());
        }
    }
}

/// Makes an entry what its last edit says.
async fn revise(hub: &Hub, filter: &Filter, live: &Live, entry: &mut Entry) -> Result<(), Problem> {
    let edit = live.seen(|wall| wall.edit_of(entry.id.position)).ok_or_else(Live::unready)?;
    let Some(edit) = edit else { return Ok(()) };
    let found = read_one(hub, filter.clone(), &edit).await.map_err(start_problem)?;
    if let Some(edit) = found.and_then(|event| serde_json::from_str(&event.record().data).ok()) {
        turn_into(entry, &edit);
    }
    Ok(())
}

/// The event of that id, if the log has it.
///
/// # Errors
/// If the log cannot be read.
pub(crate) async fn read_one(
    hub: &Hub,
    filter: Filter,
    id: &EventId,
) -> Result<Option<Arc<Framed>>, StartError> {
    let before = EventId { position: id.position.before(), ..id.clone() };
    let page = hub.page(filter, &Start::After(before), PageLimit::events(1)).await?;
    Ok(page.events.into_iter().next().filter(|event| event.id() == id))
}

fn turn_into(entry: &mut Entry, edit: &Edit) {
    entry.event.clone_from(&edit.event);
    entry.data.clone_from(&edit.data);
    entry.edited = true;
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
    fn take(&mut self, events: &[Arc<Framed>]) -> Vec<Entry> {
        let mut posts: Vec<Entry> =
            events.iter().rev().filter_map(|event| self.post(event)).collect();
        posts.reverse();
        posts
    }

    fn post(&mut self, event: &Framed) -> Option<Entry> {
        let record = event.record();
        let name = name_of(record);
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
        if let Some(edit) = self.edits.get(&entry.id.to_string()) {
            turn_into(entry, edit);
        }
    }
}
