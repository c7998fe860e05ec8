//! What goes: by the servers' limits, by age, and when limits change.

use std::sync::Arc;

use eventwall_log::{
    Entry, Keep, Position, Retention,
    kit::{Ages, Known},
};

use super::{Index, ahead};
use crate::trail::Trail;

impl Index {
    /// Ages are counted from a time that is known to have been: this node's clock may be wrong.
    pub(crate) fn count_ages_from_the_last(&mut self) {
        if self.last_time > 0 && !self.is_whole {
            let retention = self.topics.retention().clone();
            self.ages = Ages::new(&retention, self.last_time, self.uptime.clone());
        }
    }

    pub(super) fn begin_trails(&mut self, after: Position) {
        self.front = Trail::after(after);
        self.trails = self.ages.scans.iter().map(|_| Trail::after(after)).collect();
    }

    /// The servers say what is left of the stream.
    pub(crate) fn left(&mut self, first_seq: u64, bytes: u64) {
        self.bytes = bytes;
        if first_seq <= self.first_seq {
            return;
        }
        self.first_seq = first_seq;
        let first = self.runs.position(first_seq);
        let mut states = 0;
        while let Some(gone) = self.front.pop_if(|ahead| ahead.position < first) {
            let is_state = self.topics.limits(&gone.topic).keep == Keep::Latest;
            let reach = self.topics.get(&gone.topic);
            if is_state && gone.position > reach.hidden && gone.position >= reach.last {
                states += 1;
                self.topics.lost(&gone.topic, gone.position);
            } else {
                self.topics.removed(&gone.topic, gone.position);
            }
        }
        if states > 0 {
            tracing::warn!(
                topics = states,
                "NATS has removed the latest events of topics that keep those, to stay within max_bytes: give the hub more, or their publishers must publish them again"
            );
        }
        if !self.front.skip_to(first) {
            self.lost_unseen(first);
        }
        for trail in &mut self.trails {
            while trail.pop_if(|ahead| ahead.position < first).is_some() {}
            trail.skip_to(first);
        }
        self.erased = self.erased.split_off(&first);
    }

    /// Events before `first` went faster than they could be looked at.
    fn lost_unseen(&mut self, first: Position) {
        let gone =
            |known: &Known| known.reach.last < first && known.reach.hidden < known.reach.last;
        let gone: Vec<_> = self.topics.known().0.filter(gone).collect();
        for known in gone {
            self.topics.removed(&known.topic, known.reach.last);
        }
        self.topics.unsure_up_to(first.before());
    }

    /// Hides what is too old by now.
    pub(crate) fn expire(&mut self) {
        let now = self.ages.now((self.clock)(), self.topics.retention().max_clock_step);
        for (scan, trail) in self.ages.scans.iter().zip(&mut self.trails) {
            while let Some(old) = trail.pop_if(|ahead| scan.is_over(ahead.time, now)) {
                if self.topics.limits(&old.topic).max_age == Some(scan.max_age) {
                    self.topics.removed(&old.topic, old.position);
                }
            }
        }
    }

    /// From which positions on trails want to be refilled.
    pub(crate) fn short_trails(&self) -> Vec<(Option<usize>, Position)> {
        let ages = self.trails.iter().enumerate().map(|(n, trail)| (Some(n), trail));
        let all = ages.chain([(None, &self.front)]);
        all.filter(|(_, trail)| trail.is_short(self.end)).map(|(n, t)| (n, t.through())).collect()
    }

    /// What was read for a trail.
    pub(crate) fn refill(
        &mut self,
        (which, after): (Option<usize>, Position),
        read: &[Entry],
        examined: Position,
    ) {
        let trail = match which {
            None => &mut self.front,
            Some(n) if n < self.trails.len() => &mut self.trails[n],
            Some(_) => return,
        };
        // It may have begun anew meanwhile.
        if trail.through() != after {
            return;
        }
        trail.extend(read.iter().filter_map(ahead), examined);
    }

    /// From now on other limits hold; of what is there already, those on counts take hold as it is
    /// superseded.
    pub(crate) fn set_retention(&mut self, retention: Retention) {
        self.ages.set(&retention);
        let first = self.runs.position(self.first_seq).before();
        self.trails = self.ages.scans.iter().map(|_| Trail::after(first)).collect();
        self.topics.set_retention(Arc::new(retention), std::iter::empty());
        let states = |known: &Known| known.reach.hidden < known.reach.last.before();
        let known: Vec<_> = self.topics.known().0.filter(states).collect();
        for known in known {
            if self.topics.limits(&known.topic).keep == Keep::Latest {
                self.topics.removed(&known.topic, known.reach.last.before());
            }
        }
    }
}
