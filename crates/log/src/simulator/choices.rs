//! Decisions that a crash makes, each for or against: all ways of making them while there are few,
//! else those that matter most and some at random.

use rand::{Rng, RngExt as _};

/// Runs `outcome` with every way of deciding, at most `most` of them. `outcome` asks for one decision
/// after the other, and always begins with the same questions.
pub(super) fn explore<T>(
    most: usize,
    rng: &mut impl Rng,
    mut outcome: impl FnMut(&mut dyn FnMut() -> bool) -> T,
) -> Vec<T> {
    let mut asked = 0;
    let none = outcome(&mut || {
        asked += 1;
        false
    });
    let mut outcomes = vec![none];
    if asked < 16 && (1_usize << asked) <= most {
        // Counted like a binary number: the last decision changes first.
        let mut path: Vec<bool> = vec![false; asked];
        while let Some(last) = path.iter().rposition(|decided| !decided) {
            path.truncate(last);
            path.push(true);
            let mut at = 0;
            let end = outcome(&mut || {
                at += 1;
                if at > path.len() {
                    path.push(false);
                }
                path[at - 1]
            });
            outcomes.push(end);
        }
        return outcomes;
    }
    for kind in 0..most.saturating_sub(1) {
        // All of it; all up to a place; all but one; only one; and then any.
        let place = rng.random_range(0..asked.max(1));
        let mut at = 0;
        outcomes.push(outcome(&mut || {
            at += 1;
            match kind % 5 {
                0 if kind == 0 => true,
                1 => at <= place,
                2 => at - 1 != place,
                3 => at - 1 == place,
                _ => rng.random_bool(0.6),
            }
        }));
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{SeedableRng as _, rngs::SmallRng};

    use super::*;

    #[test]
    fn few_decisions_are_made_in_every_way() {
        let mut rng = SmallRng::seed_from_u64(1);
        // The second question is only asked after a yes.
        let all = explore(64, &mut rng, |choose| {
            let first = choose();
            (first, first && choose(), choose())
        });
        let unique: BTreeSet<_> = all.iter().collect();
        assert_eq!((all.len(), unique.len()), (6, 6), "{all:?}");
        assert_eq!(explore(64, &mut rng, |_| ()).len(), 1, "nothing to decide");
    }

    #[test]
    fn many_are_made_in_as_many_ways_as_are_wanted() {
        let mut rng = SmallRng::seed_from_u64(1);
        let all = explore(20, &mut rng, |choose| (0..40).map(|_| choose()).collect::<Vec<_>>());
        assert_eq!(all.len(), 20);
        assert!(all[0].iter().all(|yes| !yes) && all[1].iter().all(|yes| *yes));
        assert!(all.iter().any(|way| way.iter().filter(|yes| !**yes).count() == 1));
    }
}
