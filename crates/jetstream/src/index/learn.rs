//! What one node tells the next.

use eventwall_log::{Filter, Position};

use super::{Index, settings};
use crate::snapshot::Snapshot;

impl Index {
    /// What another node needs to go on from here.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let (known, forgotten, unsure) = self.topics.known();
        Snapshot {
            created: self.runs.created.clone(),
            epoch: self
                .runs
                .epoch(self.mark.seq)
                .map(|e| e.as_str().to_owned())
                .unwrap_or_default(),
            retention: settings(self.topics.retention()),
            mark: self.mark,
            position: self.runs.position(self.mark.seq),
            first_seq: self.first_seq,
            last_time: self.last_time,
            forgotten,
            unsure,
            unsure_by_runs: self.runs.unsure,
            falls: self.falls.iter().copied().collect(),
            erased: self.erased.iter().copied().collect(),
            topics: known.collect(),
            front: (self.front.events().cloned().collect(), self.front.through()),
            ages: self
                .ages
                .scans
                .iter()
                .zip(&self.trails)
                .map(|(s, t)| (s.max_age, t.begins()))
                .collect(),
        }
    }

    /// Goes on from what another node knew; `false` if that was of another stream or by other
    /// limits, or is no news.
    pub(crate) fn learn(&mut self, snapshot: Snapshot) -> bool {
        let same_place = self.runs.position(snapshot.mark.seq) == snapshot.position
            && self.runs.epoch(snapshot.mark.seq).map(eventwall_log::Epoch::as_str)
                == Some(&*snapshot.epoch);
        let same = snapshot.created == self.runs.created
            && snapshot.retention == settings(self.topics.retention());
        if !same || !same_place || snapshot.mark.seq <= self.taken {
            return false;
        }
        let shown = self.end;
        for known in &snapshot.topics {
            self.topics.learn(known);
        }
        self.topics.forget_up_to(snapshot.forgotten);
        self.topics.unsure_up_to(snapshot.unsure);
        self.erased.extend(snapshot.erased);
        self.falls = snapshot.falls.into();
        self.last_time = self.last_time.max(snapshot.last_time);
        self.first_seq = self.first_seq.max(snapshot.first_seq);
        self.holes.clear();
        self.judge_at = 0;
        self.begin_trails(self.runs.position(self.first_seq).before());
        let (events, through) = snapshot.front;
        self.front.extend(events, through);
        for (scan, trail) in self.ages.scans.iter().zip(&mut self.trails) {
            let before = snapshot.ages.iter().find(|(age, _)| *age == scan.max_age);
            trail.skip_to(before.map_or(Position::START, |(_, at)| at.next()));
        }
        if shown > Position::START && shown < snapshot.position {
            // Those who follow here have not seen what lies between: they read what is left of it.
            (self.recent, self.recent_bytes) = Default::default();
            let removed = self.topics.removed_after(&Filter::All, shown, 0);
            if let Some(removed) = removed {
                self.broke(shown, removed);
            }
        }
        self.end = self.end.max(snapshot.position);
        self.recent_after = self.recent_after.max(self.end);
        self.note_mark(snapshot.mark);
        self.count_ages_from_the_last();
        true
    }
}
