//! The fold of a wall's log. Pure: events go in, in the order of the log, each at most once.

use std::collections::{BTreeMap, HashMap};

use eventwall_hub::Framed;
use eventwall_log::{EventId, Position};
use serde::{Deserialize, Serialize};

use crate::shown::{kind_of, name_of};

/// The name of the event that changes a post. Only the wall can write it: the hub refuses such names.
pub(crate) const EDIT: &str = "eventwall:edit";
/// The name of the event that takes a post away.
pub(crate) const REMOVE: &str = "eventwall:remove";

/// The data of [`EDIT`]: what a post is from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edit {
    /// The post's id.
    pub(crate) post: String,
    /// As of an event: `message` for a status.
    pub(crate) event: String,
    pub(crate) data: String,
}

/// The data of [`REMOVE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removal {
    /// The post's id.
    pub(crate) post: String,
}

/// How many posts a wall has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) posts: usize,
    /// Those up to there.
    pub(crate) upto: u64,
}

/// A wall, as far as its log was folded.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Projection {
    /// Up to where.
    cursor: Option<String>,
    /// Positions of the posts, ascending.
    posts: Vec<u64>,
    /// The ids of the last edits of posts that were changed, by the posts' positions.
    edits: HashMap<u64, String>,
    /// The posts' positions by those of their last edits.
    edited: HashMap<u64, u64>,
    /// What nobody is to read any more and that is in the log as far as is known: posts that were removed, their edits, and
    /// edits that others followed; by their positions, with the post's. Whoever comes by erases them.
    condemned: BTreeMap<u64, u64>,
}

impl Projection {
    /// Up to where the log was folded.
    pub(crate) fn cursor(&self) -> Option<EventId> {
        self.cursor.as_deref().and_then(|cursor| cursor.parse().ok())
    }

    pub(crate) fn counts(&self) -> Counts {
        let upto = self.cursor().map_or(0, |cursor| cursor.position.0);
        Counts { posts: self.posts.len(), upto }
    }

    /// Takes the next event in.
    pub(crate) fn apply(&mut self, event: &Framed) {
        let record = event.record();
        match name_of(record) {
            EDIT => self.edit(event, &record.data),
            REMOVE => self.remove(&record.data),
            name if kind_of(name).is_some() => self.posts.push(event.position().0),
            _ => {}
        }
    }

    /// All up to there was taken in.
    pub(crate) fn reached(&mut self, cursor: &EventId) {
        self.cursor = Some(cursor.to_string());
    }

    /// The log has nothing before `first` any more.
    pub(crate) fn forget_before(&mut self, first: Position) {
        let gone = self.posts.partition_point(|position| *position < first.0);
        self.posts.drain(..gone);
        self.edits.retain(|post, _| *post >= first.0);
        self.edited.retain(|_, post| *post >= first.0);
        self.condemned = self.condemned.split_off(&first.0);
    }

    /// These are gone, posts or edits.
    pub(crate) fn erase(&mut self, positions: &[Position]) {
        for Position(position) in positions {
            self.condemned.remove(position);
            if let Some(post) = self.edited.remove(position) {
                self.edits.remove(&post);
            }
            if let Ok(at) = self.posts.binary_search(position) {
                self.posts.remove(at);
                // Whoever erased it may not have known of its edit.
                self.condemn_edit(*position);
            }
        }
    }

    /// What is to be erased, or some of it.
    pub(crate) fn condemned(&self, most: usize) -> Vec<Position> {
        self.condemned.keys().take(most).copied().map(Position).collect()
    }

    /// What of a post is to be erased.
    pub(crate) fn condemned_of(&self, post: Position) -> Vec<Position> {
        let own = self.condemned.iter().filter(|(_, of)| **of == post.0);
        own.map(|(position, _)| Position(*position)).collect()
    }

    /// Whether a post is on the wall.
    pub(crate) fn has(&self, position: Position) -> bool {
        self.posts.binary_search(&position.0).is_ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.posts.is_empty()
    }

    /// The last edit of a post.
    pub(crate) fn edit_of(&self, position: Position) -> Option<EventId> {
        self.edits.get(&position.0)?.parse().ok()
    }

    fn edit(&mut self, event: &Framed, data: &str) {
        let Ok(edit) = serde_json::from_str::<Edit>(data) else { return };
        let Some(post) = position_in(&edit.post) else { return };
        if self.has(Position(post)) {
            self.condemn_edit(post);
            self.edits.insert(post, event.id().to_string());
            self.edited.insert(event.position().0, post);
        } else {
            // Its post was removed before it came.
            self.condemned.insert(event.position().0, post);
        }
    }

    fn remove(&mut self, data: &str) {
        let Ok(removal) = serde_json::from_str::<Removal>(data) else { return };
        let Some(post) = position_in(&removal.post) else { return };
        let Ok(at) = self.posts.binary_search(&post) else { return };
        self.posts.remove(at);
        self.condemned.insert(post, post);
        self.condemn_edit(post);
    }

    fn condemn_edit(&mut self, post: u64) {
        let Some(edit) = self.edits.remove(&post).as_deref().and_then(position_in) else { return };
        self.edited.remove(&edit);
        self.condemned.insert(edit, post);
    }
}

fn position_in(id: &str) -> Option<u64> {
    id.parse().ok().map(|id: EventId| id.position.0)
}
