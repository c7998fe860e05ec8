//! What the disk log keeps in [`FileState`]: its epochs with the reserved positions, the
//! watermarks of emptied topics, and the erased positions.

use crate::{Epochs, FileState, Millis, Position, StateError, Topic, topics::Topics};

/// Positions reserved at a time. After a crash the log skips what was reserved, so no
/// position that may ever have been written is used again.
pub(crate) const RESERVE: u64 = 1 << 16;

/// The keys of the state that are the disk log's own: a copy makes them anew.
pub const OWN_KEYS: [&str; 5] = ["epochs", "watermarks", "closed", "erased", "aged"];

/// Before the position up to which events of any topic may have been lost; only a copied log has one.
pub(crate) const UNSURE: &str = "unsure ";

#[derive(Debug, Clone)]
pub(crate) struct Persist {
    state: FileState,
}

impl Persist {
    pub(crate) fn new(state: FileState) -> Self {
        Self { state }
    }

    /// The epochs, and the last position that may have been given out.
    pub(crate) fn epochs(&self) -> Result<Option<(Epochs, Position)>, StateError> {
        let damaged = || StateError::Damaged("state/epochs".into());
        let Some(text) = self.text("epochs")? else { return Ok(None) };
        let (reserved, epochs) = text.split_once('\n').ok_or_else(damaged)?;
        let reserved = reserved.parse().map_err(|_| damaged())?;
        Ok(Some((epochs.parse().map_err(|_| damaged())?, Position(reserved))))
    }

    pub(crate) fn put_epochs(&self, epochs: &Epochs, reserved: Position) -> Result<(), StateError> {
        self.put("epochs", &format!("{reserved}\n{epochs}"))
    }

    /// Recalls emptied topics into `topics`; answers up to which position they are known.
    pub(crate) fn recall_watermarks(&self, topics: &mut Topics) -> Result<Position, StateError> {
        let damaged = || StateError::Damaged("state/watermarks".into());
        let Some(text) = self.text("watermarks")? else { return Ok(Position::START) };
        let mut lines = text.lines();
        let mut mark = || lines.next()?.parse().ok().map(Position);
        let (through, forgotten) = mark().zip(mark()).ok_or_else(damaged)?;
        topics.forget_up_to(forgotten);
        for line in lines {
            if let Some(unsure) = line.strip_prefix(UNSURE) {
                topics.unsure_up_to(Position(unsure.parse().map_err(|_| damaged())?));
                continue;
            }
            let (last, topic) = line.split_once(' ').ok_or_else(damaged)?;
            let topic: Topic = topic.parse().map_err(|_| damaged())?;
            topics.recall(&topic, Position(last.parse().map_err(|_| damaged())?));
        }
        Ok(through)
    }

    /// The text of the watermarks, made while the index is at hand: of the topics that are
    /// empty, and of those of `more` that will be.
    pub(crate) fn watermarks(
        topics: &Topics,
        more: &[(Topic, Position)],
        through: Position,
    ) -> String {
        let (emptied, forgotten) = topics.watermarks();
        let will_be = more.iter().map(|(topic, at)| (topic, *at, topics.get(topic).last));
        let will_be = will_be.filter(|(_, at, last)| at >= last);
        let emptied = emptied.chain(will_be.map(|(topic, _, last)| (topic, last)));
        let mut text = format!("{through}\n{forgotten}\n");
        if topics.unsure() > Position::START {
            text.push_str(&format!("{UNSURE}{}\n", topics.unsure()));
        }
        for (topic, last) in emptied {
            text.push_str(&format!("{last} {topic}\n"));
        }
        text
    }

    pub(crate) fn put_watermarks(&self, text: &str) -> Result<(), StateError> {
        self.put("watermarks", text)
    }

    /// The segment that was active when the log was last closed in order, and its length: up to
    /// there nothing was unfinished.
    pub(crate) fn closed(&self) -> Result<Option<(String, u64)>, StateError> {
        let text = self.text("closed")?;
        Ok(text.and_then(|text| {
            let (name, len) = text.split_once(' ')?;
            Some((name.to_owned(), len.parse().ok()?))
        }))
    }

    pub(crate) fn put_closed(&self, name: &str, len: u64) -> Result<(), StateError> {
        self.put("closed", &format!("{name} {len}"))
    }

    /// Positions whose data may have been overwritten.
    pub(crate) fn erased(&self) -> Result<Vec<Position>, StateError> {
        let text = self.text("erased")?.unwrap_or_default();
        let positions: Option<_> = text.lines().map(|l| l.parse().ok().map(Position)).collect();
        positions.ok_or_else(|| StateError::Damaged("state/erased".into()))
    }

    pub(crate) fn put_erased(
        &self,
        erased: impl Iterator<Item = Position>,
    ) -> Result<(), StateError> {
        self.put("erased", &erased.map(|position| format!("{position}\n")).collect::<String>())
    }

    /// The time that ages were counted by, not long before the end.
    pub(crate) fn aged(&self) -> Result<Millis, StateError> {
        let text = self.text("aged")?;
        let time = text.map_or(Ok(0), |text| text.parse());
        time.map_err(|_| StateError::Damaged("state/aged".into()))
    }

    pub(crate) fn put_aged(&self, time: Millis) -> Result<(), StateError> {
        self.put("aged", &time.to_string())
    }

    fn text(&self, key: &str) -> Result<Option<String>, StateError> {
        let Some((bytes, _)) = self.state.get_now(key)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|_| StateError::Damaged(format!("state/{key}")))
    }

    /// Each key has one thread that puts it: the keeper watermarks and ages, the writer the rest.
    fn put(&self, key: &str, text: &str) -> Result<(), StateError> {
        let revision = self.state.get_now(key)?.map_or(0, |(_, revision)| revision);
        self.state.put_now(key, text.as_bytes(), revision).map(drop)
    }
}
