//! What a node knows, fed by hand: holes, breaks, and what one node tells the next.

use eventwall_log::{
    Budget, Fields, Filter, Keep, Limits, Position, ReadRange, Record, Retention, Rule,
    system_clock, system_uptime,
};

use super::{Content, Index, Stored, View};
use crate::{
    runs::{Mark, Runs},
    shared::Witness,
    snapshot::Snapshot,
};

const PLENTY: Budget = Budget { events: usize::MAX, bytes: usize::MAX };

fn index() -> Index {
    limited(Retention::default())
}

fn limited(retention: Retention) -> Index {
    let runs = Runs::new("today".into());
    Index::new(retention, runs, (system_clock(), system_uptime()))
}

fn filter(name: &str) -> Filter {
    Filter::topics([name.parse().unwrap()])
}

fn event(seq: u64, name: &str) -> Stored {
    let record = Record {
        position: Position::START,
        time: seq,
        prev: Position::START,
        topic: name.parse().unwrap(),
        event: None,
        data: seq.to_string().into(),
        fields: Fields::default(),
    };
    stored(seq, Content::Event(Box::new(record)))
}

fn erasure(seq: u64, erased: u64) -> Stored {
    stored(seq, Content::Erasure(vec![Position(erased)]))
}

fn stored(seq: u64, content: Content) -> Stored {
    Stored { mark: Mark { seq, time: i128::from(seq) * 1_000_000 }, content, id: None }
}

fn feed(index: &mut Index, messages: impl IntoIterator<Item = Stored>) {
    let messages: Vec<Stored> = messages.into_iter().collect();
    let count = messages.len() as u64;
    for (n, message) in messages.into_iter().enumerate() {
        index.take_in(message, count - 1 - n as u64);
    }
}

/// What a tail reads from here on: data, and what it is told to be lost.
fn tail(index: &Index, after: u64) -> (Vec<String>, Option<u64>) {
    let range = ReadRange::after(Position(after));
    let how = (PLENTY, View::Raw);
    // Of what is not at hand any more, a reader would have read nothing here.
    let page = index.read_recent(range, &Filter::All, how);
    let left = || index.page((range, index.end), &Filter::All, how, index.recent.iter().cloned());
    let page = page.unwrap_or_else(left);
    let data = page.entries.iter().filter_map(|entry| match entry {
        eventwall_log::Entry::Event(record) => Some(record.data.to_string()),
        eventwall_log::Entry::Erasure { .. } => None,
    });
    (data.collect(), page.removed.map(|removed| removed.0))
}

fn gap(index: &Index, name: &str, after: u64) -> Option<u64> {
    let removed = index.topics.removed_after(&filter(name), Position(after), 0);
    removed.map(|removed| removed.0)
}

#[test]
fn nothing_beyond_a_hole_is_shown_until_it_is_explained() {
    let mut index = index();
    feed(&mut index, [event(1, "a"), event(2, "a")]);
    // The message after the hole says that one more is there.
    index.take_in(event(4, "a"), 1);
    assert_eq!(index.end, Position(2), "it may have been anything");
    index.take_in(erasure(5, 3), 0);
    assert_eq!(index.end, Position(5));
    assert_eq!(tail(&index, 2), (vec!["4".into()], None), "it was erased: no gap");
    assert_eq!(gap(&index, "a", 0), None);
}

#[test]
fn a_hole_that_nobody_explains_is_told_where_it_lies() {
    let mut index = index();
    feed(&mut index, [event(1, "a"), event(2, "b")]);
    feed(&mut index, [event(5, "a"), event(6, "a")]);
    assert_eq!(tail(&index, 2), (vec!["5".into(), "6".into()], Some(4)));
    assert_eq!(tail(&index, 0).1, Some(4));
    assert_eq!(tail(&index, 5).1, None, "whoever is past it has lost nothing");
    assert_eq!(gap(&index, "never", 3), Some(4), "it may have been of any topic");
    assert_eq!(gap(&index, "a", 4), None);
}

#[test]
fn a_break_is_told_even_if_there_are_holes_behind_it() {
    let mut index = index();
    feed(&mut index, (1..=10).map(|seq| event(seq, "a")));
    let mut runs = index.runs.clone();
    runs.break_after(8, index.end);
    index.restart(runs);
    assert!(!index.is_whole);
    let told = index.end;
    // What was purged before leaves holes, and no snapshot says whose they were.
    feed(&mut index, [event(3, "a"), event(8, "a")]);
    assert_eq!(index.end, told, "nothing of that is new");
    let page = tail(&index, 10);
    assert_eq!(page.1, Some(told.0), "live followers hear of the break at once");
    feed(&mut index, [event(9, "a")]);
    assert!(index.end > told);
    let (data, lost) = tail(&index, 10);
    assert_eq!((data, lost), (vec!["9".into()], Some(told.0)));
}

#[test]
fn a_fresh_node_knows_by_a_snapshot_what_the_servers_removed_since() {
    let mut old = index();
    feed(&mut old, (1..=20).map(|seq| event(seq, if seq % 2 == 0 { "a" } else { "b" })));
    feed(&mut old, [event(21, "late")]);
    let snapshot = Snapshot::decode(&old.snapshot().encode()).unwrap();
    let mut fresh = index();
    fresh.adopt(old.runs.clone());
    assert!(fresh.learn(snapshot));
    // The servers have dropped the oldest in between.
    fresh.left(6, 100);
    assert_eq!(gap(&fresh, "a", 0), Some(4));
    assert_eq!(gap(&fresh, "b", 0), Some(5));
    assert_eq!(gap(&fresh, "a", 4), None, "exactly");
    assert_eq!(gap(&fresh, "late", 0), None, "not of others");
}

#[test]
fn what_goes_unseen_is_a_gap_for_everybody_and_hides_none() {
    let mut fresh = index();
    fresh.left(100, 0);
    feed(&mut fresh, [event(100, "a")]);
    assert_eq!(gap(&fresh, "a", 5), Some(99));
    assert_eq!(gap(&fresh, "never", 5), Some(99));
    assert_eq!(gap(&fresh, "a", 99), None);
}

#[test]
fn a_snapshot_of_another_stream_or_by_other_limits_is_not_believed() {
    let mut old = index();
    feed(&mut old, [event(1, "a")]);
    let mut other = index();
    assert!(!other.learn(old.snapshot()), "its epoch is another");
    let mut brief = Retention::default();
    brief.limits.max_events = Some(1);
    let mut differs = limited(brief);
    differs.adopt(old.runs.clone());
    assert!(!differs.learn(old.snapshot()));
    assert!(!old.learn(old.snapshot()), "it is no news");
}

#[test]
fn readers_must_come_to_the_last_event_or_ask() {
    let mut index = index();
    feed(&mut index, [event(1, "a"), event(2, "b"), event(3, "a")]);
    assert_eq!(index.witness(&filter("a"), Position(0)), Witness::At(Position(3)));
    assert_eq!(index.witness(&filter("a"), Position(3)), Witness::None);
    assert_eq!(index.witness(&filter("never"), Position(0)), Witness::None);
    feed(&mut index, [erasure(4, 3)]);
    assert_eq!(index.witness(&filter("a"), Position(0)), Witness::Ask, "it is not there any more");
    assert_eq!(index.witness(&filter("b"), Position(0)), Witness::At(Position(2)));
}

#[test]
fn a_clock_of_the_servers_that_falls_back_moves_no_event_back() {
    let mut index = index();
    let at = |seq: u64, time: u64| {
        let Stored { mark, content: Content::Event(mut record), .. } = event(seq, "a") else {
            panic!("an event")
        };
        record.time = time;
        Stored { mark, content: Content::Event(record), id: None }
    };
    feed(&mut index, [at(1, 50), at(2, 30), at(3, 40), at(4, 60), at(5, 10)]);
    let times: Vec<_> = (1..=5).zip([50, 30, 40, 60, 10]).collect();
    let read = times.iter().map(|(seq, said)| index.time_at(Position(*seq), *said));
    assert_eq!(read.collect::<Vec<_>>(), [50, 50, 50, 60, 60], "as whoever was there had it");
}

#[test]
fn events_grow_old_in_the_order_of_the_log() {
    let limits = Limits { max_age: Some(60_000), ..Limits::default() };
    let retention = Retention { limits, ..Retention::default() };
    let mut index = limited(retention);
    feed(&mut index, [event(1, "a"), event(2, "b")]);
    index.expire();
    // They were stored in 1970.
    assert_eq!(gap(&index, "a", 0), Some(1));
    assert_eq!(index.topics.matching(&Filter::All), []);
}

#[test]
fn a_state_that_the_servers_remove_is_told_and_a_superseded_one_is_not() {
    let mut rule = Rule::of("state/*".parse().unwrap());
    rule.keep = Some(Keep::Latest);
    let retention = Retention { rules: vec![rule], ..Retention::default() };
    let mut index = limited(retention);
    feed(
        &mut index,
        [event(1, "state/a"), event(2, "state/b"), event(3, "state/a"), event(4, "x")],
    );
    index.left(2, 0);
    assert_eq!(gap(&index, "state/a", 0), None, "it was superseded");
    index.left(3, 0);
    assert_eq!(gap(&index, "state/b", 0), Some(2), "it was all that there was");
    assert_eq!(gap(&index, "state/a", 0), None);
}

#[test]
fn a_hole_is_judged_though_what_was_to_come_never_does() {
    let mut index = index();
    feed(&mut index, [event(1, "a")]);
    index.take_in(event(3, "a"), 1000);
    assert_eq!(index.end, Position(1));
    // All but one of the thousand are purged before they are sent.
    index.take_in(event(1004, "a"), 0);
    assert_eq!(index.end, Position(1004));
    assert!(gap(&index, "a", 1).is_some());
    // And the next hole does not wait for the rest.
    index.take_in(event(1006, "a"), 0);
    assert_eq!(index.end, Position(1006));
}

#[test]
fn breaks_that_are_too_many_are_told_to_whoever_has_not_read_over_one() {
    let mut index = index();
    for n in 0..40_u64 {
        feed(&mut index, [event(2 * n + 1, "a")]);
    }
    let (last, tail_at) = (index.end, 4);
    let page = tail(&index, tail_at);
    assert!(page.1 >= Some(last.0 - 1), "{page:?}");
}

#[test]
fn a_trail_that_began_anew_takes_nothing_that_was_read_for_the_old_one() {
    let mut index = index();
    feed(&mut index, (1..=4).map(|seq| event(seq, "a")));
    index.set_retention(Retention {
        limits: Limits { max_age: Some(1), ..Limits::default() },
        ..Retention::default()
    });
    let [(which, after)] = index.short_trails()[..] else { panic!("the ages' trail is empty") };
    assert_eq!(after, Position(0));
    index.refill((which, Position(3)), &[], Position(4));
    assert_eq!(index.short_trails(), [(which, after)], "1 to 3 would be skipped");
}
