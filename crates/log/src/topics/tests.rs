use super::*;

fn topic(name: &str) -> Topic {
    name.parse().unwrap()
}

#[test]
fn only_topics_that_lost_something_after_the_cursor_have_a_gap() {
    let mut topics = Topics::default();
    topics.added(&topic("a"), Position(1), Position(0), 1);
    topics.added(&topic("b"), Position(2), Position(0), 1);
    topics.added(&topic("b"), Position(9), Position(2), 1);
    topics.removed(&topic("a"), Position(1));
    topics.removed(&topic("b"), Position(2));
    let gap = |name: &str, after| {
        topics.removed_after(&Filter::topics([topic(name)]), Position(after), 0)
    };
    assert_eq!(gap("a", 0), Some(Position(1)));
    assert_eq!(gap("a", 1), None);
    assert_eq!(gap("b", 1), Some(Position(2)));
    assert_eq!(gap("c", 0), None);
}

/// Whoever knows of one topic's loss must not be kept from hearing of another's.
#[test]
fn what_is_forgiven_is_forgiven_by_topic() {
    let mut topics = Topics::default();
    for (n, name) in [(1, "a"), (2, "b"), (3, "a"), (4, "b"), (5, "a")] {
        topics.added(&topic(name), Position(n), Position(n.saturating_sub(2)), 1);
    }
    topics.removed(&topic("a"), Position(3));
    let both = Filter::topics([topic("a"), topic("b")]);
    let knows = topics.removals();
    assert_eq!(topics.removed_after(&both, Position(0), 0), Some(Position(3)));
    assert_eq!(topics.removed_after(&both, Position(0), knows), None);
    topics.removed(&topic("b"), Position(2));
    assert_eq!(topics.removed_after(&both, Position(0), knows), Some(Position(2)));
    topics.forget_up_to(Position(1));
    let other = Filter::topics([topic("other")]);
    assert_eq!(topics.removed_after(&other, Position(0), knows), Some(Position(1)));
    assert_eq!(topics.removed_after(&other, Position(0), topics.removals()), None);
}

/// Topics that are emptied late may lie further back than those that were forgotten before.
#[test]
fn what_is_forgotten_later_is_news_to_those_who_forgave_before() {
    let mut topics = Topics::default();
    let (early, late) = (|n: usize| format!("early/{n}"), |n: usize| format!("late/{n}"));
    for n in 0..MAX_EMPTIED + 2 {
        let at = n as u64 + 1;
        topics.added(&topic(&late(n)), Position(at), Position(0), 1);
        topics.added(&topic(&early(n)), Position(1_000_000 + at), Position(0), 1);
    }
    for n in 0..MAX_EMPTIED + 1 {
        topics.removed(&topic(&early(n)), Position(1_000_001 + n as u64));
    }
    let (knows, one) = (topics.removals(), Filter::topics([topic(&late(5))]));
    assert_eq!(topics.removed_after(&one, Position(0), knows), None);
    for n in 0..MAX_EMPTIED + 2 {
        topics.removed(&topic(&late(n)), Position(n as u64 + 1));
    }
    assert!(topics.removed_after(&one, Position(0), knows).is_some());
}

#[test]
fn what_is_left_of_a_forgotten_topic_hides_no_gap() {
    let mut topics = Topics::default();
    topics.added(&topic("a"), Position(5), Position(0), 1);
    topics.removed(&topic("a"), Position(5));
    topics.added(&topic("b"), Position(6), Position(0), 1);
    topics.forget_up_to(Position(10));
    topics.forget_unrecalled();
    let gap = |name: &str, after| {
        topics.removed_after(&Filter::topics([topic(name)]), Position(after), 0)
    };
    assert_eq!(gap("a", 7), Some(Position(10)));
    assert_eq!(gap("b", 6), None, "what is shown of it knows better");
}

#[test]
fn forgotten_topics_may_tell_a_false_gap_but_never_hide_one() {
    let mut topics = Topics::default();
    for n in 1..=(MAX_EMPTIED as u64 + 1) {
        let name = topic(&format!("t{n}"));
        topics.added(&name, Position(n), Position(0), 1);
        topics.removed(&name, Position(n));
    }
    assert!(topics.known.len() <= MAX_EMPTIED);
    for n in [1, 2, MAX_EMPTIED as u64 / 2, MAX_EMPTIED as u64 + 1] {
        let filter = Filter::topics([topic(&format!("t{n}"))]);
        assert!(topics.removed_after(&filter, Position(n - 1), 0).is_some(), "t{n}");
    }
}
