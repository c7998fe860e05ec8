//! The end of one topic, read backwards: from memory if it is there; else by looking ever further
//! back, since a stream can only be read forwards.

use std::{collections::VecDeque, sync::Arc};

use eventwall_log::{BackPage, Budget, Entry, Filter, Position, ReadRange, Record, Topic};

use crate::{index::View, shared::Shared, source::Want};

/// How far back the first look goes, in positions; each next one goes eight times as far.
const FIRST_LOOK: u64 = 2048;
/// What one step of a look reads.
const STEP: Budget = Budget { events: 4096, bytes: 4 << 20 };

pub(crate) async fn read_back(
    shared: &Shared,
    topic: Topic,
    before: Position,
    budget: Budget,
) -> Result<BackPage, String> {
    let (recent, older) = shared.index().recent_of(&topic, before);
    let page = BackPage::newest(recent, budget);
    if page.more || !older {
        return Ok(page);
    }
    let filter = Filter::topics([topic.clone()]);
    let want = Want::of(&filter, &shared.nats);
    let (mut look, wanted) = (FIRST_LOOK, budget.events.saturating_add(1));
    loop {
        let (last, floor) = {
            let index = shared.index();
            let reach = index.topics.get(&topic);
            let first = index.runs.position(index.first_seq).before();
            (reach.last.min(before.before()), reach.hidden.max(first))
        };
        let after = Position(last.0.saturating_sub(look)).max(floor);
        let whole = after == floor;
        let seq = shared.index().runs.sequence(after) + 1;
        // If all there is from there on is too little, there is no need to read it yet.
        let enough = whole || shared.source.count(&shared.nats, &want, seq).await? >= wanted as u64;
        if enough {
            let found = collect(shared, &filter, (after, before), wanted).await?;
            let page = BackPage::newest(found, budget);
            if whole || page.more {
                return Ok(page);
            }
        }
        look = look.saturating_mul(8);
    }
}

/// The last `count` events in a stretch, newest first.
async fn collect(
    shared: &Shared,
    filter: &Filter,
    (after, before): (Position, Position),
    count: usize,
) -> Result<Vec<Arc<Record>>, String> {
    let mut found: VecDeque<Arc<Record>> = VecDeque::new();
    let mut range = ReadRange { through: before.before(), ..ReadRange::after(after) };
    loop {
        let page = shared.page(range, filter, (STEP, View::Kept)).await?;
        for entry in page.entries {
            if let Entry::Event(record) = entry {
                found.push_front(record);
                found.truncate(count);
            }
        }
        let end = range.through.min(shared.index().end);
        if page.examined >= end || page.examined <= range.after {
            return Ok(found.into());
        }
        range.after = page.examined;
    }
}
