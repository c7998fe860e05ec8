//! The contract suite: what every kind of log must do, run against each with
//! [`contract_tests!`](crate::contract_tests). A case that needs a capability runs for the
//! logs that declare it.

#![allow(missing_docs, reason = "the cases' names say what they check")]

pub mod retention;
pub mod stores;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    AppendError, AppendOptions, Batch, Budget, Entry, EventId, ExpectedLast, Filter,
    IdempotencyKey, Log, NewEvent, Position, ReadRange, Record, Topic,
};

/// Every wait in the suite ends by then.
const DEADLINE: Duration = Duration::from_secs(20);

const PLENTY: Budget = Budget { events: usize::MAX, bytes: usize::MAX };

type Tested = Arc<dyn Log>;

/// Makes one test of each case. The argument is an expression that makes, for a given
/// `max_bytes`, a fresh log and whatever must live as long as it:
/// `async fn(u64) -> (Arc<dyn Log>, impl Sized)`.
#[macro_export]
macro_rules! contract_tests {
    ($make:expr) => {
        $crate::contract_tests!(@cases $make;
            appended_events_read_back_in_order, positions_grow_and_ids_resolve,
            a_read_keeps_its_budget_and_says_how_far, a_filter_passes_its_topics_only,
            prev_names_the_topics_previous_event, time_never_falls, a_tail_misses_and_doubles_nothing,
            a_tail_begins_anywhere, a_closed_log_refuses, batches_stay_together,
            read_back_finds_the_last, conditions_hold, conditions_count_what_is_in_flight,
            a_repeated_key_appends_nothing, a_key_with_another_body_is_refused,
            keys_are_scoped, erased_events_are_gone, erasing_the_future_does_nothing,
            retention_removes_the_oldest_and_says_so, gaps_are_told_to_those_who_missed_something,
            record_fields_survive, a_time_finds_its_place,
            patterns_find_their_topics,
            a_state_is_its_latest_event_and_no_gap, states_survive_the_limit_on_bytes,
            the_newest_events_of_a_topic_stay, a_topic_has_bytes_of_its_own,
            old_events_go_and_young_ones_stay, a_gap_skips_nothing_that_is_left,
            other_limits_may_come_later, space_is_given_back, a_tail_sees_what_is_hidden_at_once,
        );
    };
    (@cases $make:expr; $($case:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $case() {
            // 512 KiB: enough for every case, little enough to see retention at work.
            let (log, _guard) = $make(512 * 1024).await;
            use $crate::contract::{*, retention::*};
            $case(log).await;
        })*
    };
}

fn topic(name: &str) -> Topic {
    name.parse().unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn event(name: &str, data: impl Into<String>) -> NewEvent {
    NewEvent::new(topic(name), data.into())
}

async fn publish(log: &Tested, name: &str, data: impl Into<String>) -> EventId {
    let appended = append(log, event(name, data).into(), AppendOptions::default()).await;
    appended.expect("the append is acknowledged").remove(0)
}

async fn append(
    log: &Tested,
    batch: Batch,
    options: AppendOptions,
) -> Result<Vec<EventId>, AppendError> {
    let appending = tokio::time::timeout(DEADLINE, log.append(batch, options));
    appending.await.expect("an append is answered").map(|appended| appended.ids)
}

async fn read(log: &Tested, after: Position, filter: &Filter, budget: Budget) -> crate::Page {
    let reading = tokio::time::timeout(DEADLINE, log.read(ReadRange::after(after), filter, budget));
    reading.await.expect("a read is answered").expect("the log is readable")
}

async fn all(log: &Tested, filter: &Filter) -> Vec<Arc<Record>> {
    let (mut events, mut after) = (Vec::new(), Position::START);
    while after < log.end() {
        let page = read(log, after, filter, PLENTY).await;
        assert!(page.examined > after, "a read moves on");
        after = page.examined;
        events.extend(page.entries.into_iter().filter_map(only_event));
    }
    events
}

fn only_event(entry: Entry) -> Option<Arc<Record>> {
    match entry {
        Entry::Event(record) => Some(record),
        Entry::Erasure { .. } => None,
    }
}

fn texts(events: &[Arc<Record>]) -> Vec<&str> {
    events.iter().map(|event| &*event.data).collect()
}

fn key(scope: &str, key: &str) -> AppendOptions {
    let key = IdempotencyKey { scope: scope.into(), key: key.into() };
    AppendOptions { key: Some(key), ..AppendOptions::default() }
}

fn expect_last(expected: ExpectedLast) -> AppendOptions {
    AppendOptions { expected_last: Some(expected), ..AppendOptions::default() }
}

pub async fn appended_events_read_back_in_order(log: Tested) {
    for n in 0..20 {
        publish(&log, "a", format!("{n}")).await;
    }
    let got = all(&log, &Filter::All).await;
    assert_eq!(texts(&got), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

pub async fn positions_grow_and_ids_resolve(log: Tested) {
    let mut last = log.end();
    for n in 0..20 {
        let id = publish(&log, "a", format!("{n}")).await;
        assert!(id.position > last);
        assert_eq!(log.epochs().resolve(&id, log.end()), crate::Resolution::At(id.position));
        assert_eq!(log.epochs().id(id.position), id);
        last = id.position;
    }
    assert_eq!(log.end(), last);
}

pub async fn a_read_keeps_its_budget_and_says_how_far(log: Tested) {
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(publish(&log, "a", format!("{n}")).await);
    }
    let page =
        read(&log, Position::START, &Filter::All, Budget { events: 2, bytes: usize::MAX }).await;
    assert_eq!((page.entries.len(), page.examined), (2, ids[1].position));
    let page = read(&log, page.examined, &Filter::All, Budget { events: 9, bytes: 1 }).await;
    assert_eq!((page.entries.len(), page.examined), (1, ids[2].position), "at least one");
    let page = read(&log, log.end(), &Filter::All, PLENTY).await;
    assert_eq!((page.entries.len(), page.examined), (0, log.end()));
}

pub async fn a_filter_passes_its_topics_only(log: Tested) {
    for n in 0..30 {
        publish(&log, ["a", "b", "c/d"][n % 3], format!("{n}")).await;
    }
    let filter = Filter::topics([topic("c/d"), topic("a"), topic("a")]);
    let expected: Vec<_> = (0..30).filter(|n| n % 3 != 1).map(|n| n.to_string()).collect();
    assert_eq!(texts(&all(&log, &filter).await), expected);
    let nothing = read(&log, Position::START, &Filter::topics([topic("x")]), PLENTY).await;
    assert_eq!((nothing.entries.len(), nothing.examined), (0, log.end()), "the cursor moves on");
}

pub async fn prev_names_the_topics_previous_event(log: Tested) {
    for n in 0..9 {
        publish(&log, ["a", "b", "a"][n % 3], format!("{n}")).await;
    }
    if !log.capabilities().chained {
        return;
    }
    let mut last: BTreeMap<Topic, Position> = BTreeMap::new();
    for event in all(&log, &Filter::All).await {
        let before = last.insert(event.topic.clone(), event.position).unwrap_or_default();
        assert_eq!(event.prev, before);
    }
}

pub async fn time_never_falls(log: Tested) {
    for n in 0..50 {
        publish(&log, "a", format!("{n}")).await;
    }
    let events = all(&log, &Filter::All).await;
    assert!(events[0].time > 1_500_000_000_000, "milliseconds since 1970");
    assert!(events.windows(2).all(|w| w[0].time <= w[1].time));
}

pub async fn a_tail_misses_and_doubles_nothing(log: Tested) {
    const EACH: usize = 200;
    let mut tail = log.tail(Position::START);
    let publishers: Vec<_> = (0..4)
        .map(|p| {
            let log = log.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    publish(&log, "t", format!("{p}-{n}")).await;
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    while seen.len() < 4 * EACH {
        let next = tokio::time::timeout(DEADLINE, tail.next()).await.expect("the tail goes on");
        let page = next.expect("readable").expect("open");
        assert!(page.examined <= log.end(), "nothing is shown before it is acknowledged");
        seen.extend(page.entries.into_iter().filter_map(only_event));
    }
    for publisher in publishers {
        publisher.await.expect("the publisher finished");
    }
    assert!(seen.windows(2).all(|w| w[0].position < w[1].position));
    assert_eq!(texts(&seen), texts(&all(&log, &Filter::All).await));
}

pub async fn a_tail_begins_anywhere(log: Tested) {
    let first = publish(&log, "a", "1").await;
    publish(&log, "a", "2").await;
    let mut tail = log.tail(first.position);
    let page = tokio::time::timeout(DEADLINE, tail.next()).await.expect("in time");
    let page = page.expect("readable").expect("open");
    let events: Vec<_> = page.entries.into_iter().filter_map(only_event).collect();
    assert_eq!(texts(&events), ["2"]);
}

pub async fn a_closed_log_refuses(log: Tested) {
    publish(&log, "a", "1").await;
    let mut tail = log.tail(log.end());
    assert_eq!(log.health(), Ok(()));
    log.close().await;
    let refused = append(&log, event("a", "2").into(), AppendOptions::default()).await;
    assert!(matches!(refused, Err(AppendError::Stopped { .. })));
    let end = tokio::time::timeout(DEADLINE, tail.next()).await.expect("the tail ends");
    assert_eq!(end, Ok(None));
}

pub async fn batches_stay_together(log: Tested) {
    if !log.capabilities().atomic_batches {
        return;
    }
    let batch = |p: usize| Batch::new((0..10).map(|n| event("a", format!("{p}-{n}"))).collect());
    let appends = (0..8).map(|p| {
        let (log, batch) = (log.clone(), batch(p).expect("not empty"));
        tokio::spawn(async move { append(&log, batch, AppendOptions::default()).await })
    });
    for append in appends.collect::<Vec<_>>() {
        assert_eq!(append.await.expect("finished").expect("acknowledged").len(), 10);
    }
    let events = all(&log, &Filter::All).await;
    for together in texts(&events).chunks(10) {
        let publisher = together[0].split('-').next();
        assert!(together.iter().all(|text| text.split('-').next() == publisher));
    }
}

pub async fn read_back_finds_the_last(log: Tested) {
    let mut ids = Vec::new();
    // Enough to span several blocks of any index.
    for n in 0..600 {
        let name = if n % 50 == 7 { "rare" } else { "common" };
        ids.push(publish(&log, name, format!("{n}-{}", "x".repeat(300))).await);
    }
    let back = async |name: &str, before: Option<Position>, count| {
        let page =
            log.read_back(&topic(name), before, Budget::events(count)).await.expect("readable");
        let firsts = page.events.iter().map(|e| e.data.split('-').next().map(str::to_owned));
        (firsts.map(Option::unwrap_or_default).collect::<Vec<_>>(), page.more)
    };
    let strings = |numbers: &[usize]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(back("common", None, 3).await, (strings(&[597, 598, 599]), true));
    assert_eq!(back("rare", None, 2).await, (strings(&[507, 557]), true));
    assert!(!back("rare", None, 12).await.1);
    let third = ids[107].position;
    assert_eq!(back("rare", Some(third), 9).await, (strings(&[7, 57]), false));
    assert_eq!(back("rare", Some(ids[8].position), 9).await, (strings(&[7]), false));
    assert_eq!(back("rare", Some(ids[7].position), 9).await, (vec![], false));
    assert_eq!(back("nobody", None, 9).await, (vec![], false));
    assert_eq!(back("common", None, 0).await, (vec![], true));
    let small = Budget { events: 9, bytes: 1 };
    let page = log.read_back(&topic("common"), None, small).await.expect("readable");
    assert_eq!((page.events.len(), page.more), (1, true), "one, however large");
}

pub async fn conditions_hold(log: Tested) {
    if !log.capabilities().conditional_append {
        return;
    }
    let none = || expect_last(ExpectedLast::None);
    let first =
        append(&log, event("a", "1").into(), none()).await.expect("the topic is empty")[0].clone();
    let again = append(&log, event("a", "2").into(), none()).await;
    assert_eq!(again, Err(AppendError::Condition { last: Some(first.clone()) }));
    assert_eq!(log.last(&topic("a")).await, Ok(Some(first.clone())));
    assert_eq!(log.last(&topic("b")).await, Ok(None));
    publish(&log, "b", "elsewhere").await;
    let on_first = || expect_last(ExpectedLast::Id(first.clone()));
    let second = append(&log, event("a", "3").into(), on_first()).await.expect("it is the last");
    let stale = append(&log, event("a", "4").into(), on_first()).await;
    assert_eq!(stale, Err(AppendError::Condition { last: Some(second[0].clone()) }));
    assert_eq!(texts(&all(&log, &Filter::topics([topic("a")])).await), ["1", "3"]);
}

pub async fn conditions_count_what_is_in_flight(log: Tested) {
    if !log.capabilities().conditional_append {
        return;
    }
    let racers = (0..20).map(|n| {
        let log = log.clone();
        tokio::spawn(async move {
            append(&log, event("a", n.to_string()).into(), expect_last(ExpectedLast::None)).await
        })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        won += usize::from(racer.await.expect("finished").is_ok());
    }
    assert_eq!((won, all(&log, &Filter::All).await.len()), (1, 1));
}

pub async fn a_repeated_key_appends_nothing(log: Tested) {
    let racers = (0..20).map(|_| {
        let log = log.clone();
        tokio::spawn(async move { append(&log, event("a", "once").into(), key("", "k")).await })
    });
    let mut ids = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        ids.push(racer.await.expect("finished").expect("acknowledged"));
    }
    assert!(ids.windows(2).all(|w| w[0] == w[1]));
    let again = log.append(event("a", "once").into(), key("", "k")).await.expect("acknowledged");
    assert!(again.repeated && again.ids == ids[0]);
    assert_eq!(all(&log, &Filter::All).await.len(), 1);
}

pub async fn a_key_with_another_body_is_refused(log: Tested) {
    append(&log, event("a", "1").into(), key("", "k")).await.expect("acknowledged");
    let other = append(&log, event("a", "2").into(), key("", "k")).await;
    assert_eq!(other, Err(AppendError::KeyReused));
    assert_eq!(all(&log, &Filter::All).await.len(), 1);
}

pub async fn keys_are_scoped(log: Tested) {
    for (name, scope) in [("a", ""), ("b", ""), ("a", "someone")] {
        append(&log, event(name, "x").into(), key(scope, "k")).await.expect("acknowledged");
    }
    assert_eq!(all(&log, &Filter::All).await.len(), 3);
}

pub async fn erased_events_are_gone(log: Tested) {
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(publish(&log, "a", format!("{n}")).await.position);
    }
    let mut tail = log.tail(log.end());
    let erasure = log.erase(vec![ids[1], ids[3]]).await.expect("acknowledged");
    assert!(erasure > ids[3]);
    assert_eq!(texts(&all(&log, &Filter::All).await), ["0", "2"]);
    let back = log.read_back(&topic("a"), None, Budget::events(9)).await.expect("readable");
    assert_eq!(texts(&back.events), ["0", "2"]);
    let page = tokio::time::timeout(DEADLINE, tail.next()).await.expect("told");
    let entries = page.expect("readable").expect("open").entries;
    let [Entry::Erasure { position, erased }] = &entries[..] else { panic!("{entries:?}") };
    let mut erased = erased.to_vec();
    erased.sort_unstable();
    assert_eq!((*position, erased), (erasure, vec![ids[1], ids[3]]));
    let last = log.last(&topic("a")).await.expect("readable");
    assert_eq!(last.map(|id| id.position), Some(ids[3]), "its place is still the last");
    publish(&log, "a", "4").await;
    let page = read(&log, Position::START, &Filter::All, PLENTY).await;
    assert_eq!(page.removed, None, "an erasure is no gap");
    let Some(Entry::Event(last)) = page.entries.last() else { panic!("no event") };
    let chained = log.capabilities().chained;
    assert!(!chained || last.prev == ids[3], "the place of an erased event stays");
}

pub async fn erasing_the_future_does_nothing(log: Tested) {
    let id = publish(&log, "a", "1").await;
    let far = (1..10).map(|n| Position(id.position.0 + n)).collect();
    log.erase(far).await.expect("acknowledged");
    publish(&log, "a", "2").await;
    publish(&log, "a", "3").await;
    assert_eq!(texts(&all(&log, &Filter::All).await), ["1", "2", "3"]);
}

/// Publishes until events of the beginning are gone.
async fn fill(log: &Tested) -> usize {
    let count = usize::try_from(log.retention().max_bytes / 4096).expect("small") * 3;
    for n in 0..count {
        publish(log, "busy", format!("{n}-{}", "x".repeat(4096))).await;
    }
    maintain(log).await;
    count
}

async fn maintain(log: &Tested) {
    tokio::time::timeout(DEADLINE, log.maintain()).await.expect("maintenance comes to an end");
}

pub async fn retention_removes_the_oldest_and_says_so(log: Tested) {
    let count = fill(&log).await;
    let page = read(&log, Position::START, &Filter::All, PLENTY).await;
    let removed = page.removed.expect("the oldest are gone");
    let left = all(&log, &Filter::All).await;
    let chained = log.capabilities().chained;
    assert!(left[0].position > removed, "exactly up to there");
    assert!(left[0].prev == removed || !chained, "exactly up to there");
    assert!(!left.is_empty() && left.len() < count);
    let numbers: Vec<usize> = left
        .iter()
        .map(|e| e.data.split('-').next().unwrap_or("").parse().expect("a number"))
        .collect();
    assert_eq!(numbers, (count - left.len()..count).collect::<Vec<_>>(), "none but the oldest");
    let bytes: usize = left.iter().map(|event| event.data.len()).sum();
    assert!(bytes as u64 <= log.retention().max_bytes, "{bytes} bytes are left");
    let back = log.read_back(&topic("busy"), None, Budget::events(count)).await.expect("readable");
    assert_eq!((back.events.len(), back.more), (left.len(), false));
}

pub async fn gaps_are_told_to_those_who_missed_something(log: Tested) {
    publish(&log, "quiet", "1").await;
    let seen = publish(&log, "quiet", "2").await;
    fill(&log).await;
    let gap = async |name: &str, after| {
        read(&log, after, &Filter::topics([topic(name)]), PLENTY).await.removed
    };
    assert_eq!(gap("quiet", Position::START).await, Some(seen.position));
    assert_eq!(gap("quiet", seen.position).await, None, "nothing of it was missed");
    assert_eq!(gap("never", Position::START).await, None);
    assert!(gap("busy", seen.position).await.is_some());
    let empty = append(&log, event("quiet", "3").into(), expect_last(ExpectedLast::None)).await;
    empty.expect("an emptied topic has no last event");
    assert_eq!(gap("quiet", seen.position).await, None);
}

pub async fn record_fields_survive(log: Tested) {
    let mut new = event("a", "x\ny").named("ping");
    new.by = Some("someone".into());
    new.source_id = Some("up-7".into());
    new.expires = Some(99);
    append(&log, new.into(), key("s", "k")).await.expect("acknowledged");
    let got = all(&log, &Filter::All).await.remove(0);
    assert_eq!((got.event.as_deref(), &*got.data), (Some("ping"), "x\ny"));
    assert_eq!(got.fields.by.as_deref(), Some("someone"));
    assert_eq!(got.fields.source_id.as_deref(), Some("up-7"));
    assert_eq!(got.fields.expires, Some(99));
    assert_eq!(got.fields.key, Some(("s".into(), "k".into())));
}

pub async fn a_time_finds_its_place(log: Tested) {
    let mut ids = Vec::new();
    // Enough to span several blocks of any index, at times that tests cannot choose.
    for n in 0..400 {
        ids.push(publish(&log, "a", format!("{n}-{}", "x".repeat(300))).await.position);
    }
    let events = all(&log, &Filter::All).await;
    for event in events.iter().step_by(17) {
        let found = log.position_before(event.time).await.expect("readable");
        let first = events.iter().find(|other| other.time >= event.time).expect("at least itself");
        assert!(found < first.position, "nothing that is new enough is skipped");
        let skipped = events.iter().filter(|other| other.position <= found);
        assert!(skipped.into_iter().all(|other| other.time < event.time));
        let next = events.iter().find(|other| other.position > found).expect("itself");
        assert_eq!(next.position, first.position, "nothing older comes first");
    }
    let last = events.last().expect("an event").time;
    assert_eq!(log.position_before(last + 1).await.expect("readable"), log.end());
    assert_eq!(log.position_before(0).await.expect("readable"), Position::START);
}

pub async fn patterns_find_their_topics(log: Tested) {
    for (n, name) in ["a/1", "b/1", "a/2", "$own/1", "a/2/x", "c"].into_iter().enumerate() {
        publish(&log, name, n.to_string()).await;
    }
    assert_eq!(log.topic_count(), 6);
    let select = |exact: &[&str], patterns: &[&str]| {
        let patterns = patterns.iter().map(|p| p.parse().expect("a pattern")).collect();
        Filter::select(exact.iter().map(|name| topic(name)), patterns)
    };
    let found = async |filter: Filter| {
        let mut topics = log.topics(&filter).await.expect("readable");
        topics.sort();
        let texts: Vec<String> =
            all(&log, &filter).await.iter().map(|event| event.data.to_string()).collect();
        (topics.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), texts.join(" "))
    };
    assert_eq!(found(select(&[], &["a/*"])).await, ("a/1 a/2".into(), "0 2".into()));
    assert_eq!(
        found(select(&["c"], &["a/**"])).await,
        ("a/1 a/2 a/2/x c".into(), "0 2 4 5".into())
    );
    assert_eq!(found(select(&[], &["**"])).await.1, "0 1 2 4 5", "never the hub's own");
    let gap = async |patterns: &[&str], after| {
        read(&log, after, &select(&[], patterns), PLENTY).await.removed
    };
    assert_eq!(gap(&["a/*"], Position::START).await, None);
    let before = log.end();
    fill(&log).await;
    assert!(gap(&["a/*"], Position::START).await.is_some());
    assert_eq!(gap(&["a/*"], before).await, None, "nothing of these was missed since");
    assert_eq!(log.topics(&select(&[], &["a/**"])).await, Ok(vec![]), "all of it is gone");
}
