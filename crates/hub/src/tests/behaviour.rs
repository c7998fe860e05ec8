//! The hub over a log: starts, gaps, live, ticks and pages.

use std::sync::Arc;

use eventwall_log::{
    AppendOptions, Batch, EventId, Filter, MemoryLog, NewEvent, Retention, Topic, system_clock,
};
use eventwall_sse::{Decoder, Event, Item};
use tokio::time::Duration;

use crate::{
    Desk, Ephemeral, FollowOptions, Form, GapReason, Hub, HubConfig, PageLimit, Start, StartError,
    Step, Subscriber, Subscription,
};

fn topic(name: &str) -> Topic {
    name.parse().unwrap()
}

fn filter(names: &[&str]) -> Filter {
    Filter::topics(names.iter().map(|name| topic(name)))
}

fn hub_with(max_bytes: u64, window_bytes: usize) -> Hub {
    let log = MemoryLog::new(Retention::bytes(max_bytes), system_clock());
    Hub::new(Arc::new(log), &HubConfig { window_bytes, ..HubConfig::default() })
}

fn hub() -> Hub {
    hub_with(1 << 30, 1 << 20)
}

async fn publish(hub: &Hub, name: &str, data: &str) -> EventId {
    let batch = Batch::from(NewEvent::new(topic(name), data));
    hub.publish(batch, AppendOptions::default()).await.unwrap().ids.remove(0)
}

async fn subscribe(hub: &Hub, names: &[&str], start: Start) -> Subscription {
    let form = Form { topic_line: names.len() > 1, json: false };
    let options = FollowOptions { form, ..FollowOptions::default() };
    hub.subscribe(filter(names), &start, options).await.unwrap().into_stream()
}

/// The events of a stream until one named `last`, as `name:data`.
async fn until(subscription: &mut Subscription, last: &str) -> Vec<Event> {
    let (mut decoder, mut events) = (Decoder::new(), Vec::new());
    while events.last().is_none_or(|event: &Event| event.event != last && event.data != last) {
        for frame in subscription.next().await.unwrap().unwrap() {
            decoder.feed(&frame, |item| match item {
                Item::Event(event) => events.push(event),
                other => panic!("{other:?}"),
            });
        }
    }
    events
}

fn told(events: &[Event]) -> Vec<&str> {
    let name = |event: &Event| event.event.strip_prefix("eventwall:").map(str::len);
    events.iter().map(|e| if name(e).is_some() { &e.event[10..] } else { &*e.data }).collect()
}

#[tokio::test(start_paused = true)]
async fn a_new_subscriber_gets_a_tick_at_its_cursor_and_what_follows() {
    let hub = hub();
    let before = publish(&hub, "a", "before").await;
    let mut stream = subscribe(&hub, &["a"], Start::Now).await;
    publish(&hub, "b", "not asked for").await;
    let after = publish(&hub, "a", "after").await;
    let events = until(&mut stream, "after").await;
    assert_eq!(told(&events), ["tick", "after"]);
    assert_eq!(events[0].last_event_id, before.to_string());
    assert_eq!(events[1].last_event_id, after.to_string());
}

#[tokio::test(start_paused = true)]
async fn quiet_streams_tick_and_their_cursor_moves_on() {
    let hub = hub();
    let mut stream = subscribe(&hub, &["a"], Start::Now).await;
    until(&mut stream, "eventwall:tick").await;
    let elsewhere = publish(&hub, "b", "x").await;
    let began = tokio::time::Instant::now();
    let tick = until(&mut stream, "eventwall:tick").await.remove(0);
    assert_eq!(began.elapsed().as_secs(), 15);
    assert_eq!(tick.last_event_id, elsewhere.to_string());
    // A resume from there is exact.
    publish(&hub, "a", "y").await;
    let mut resumed = subscribe(&hub, &["a"], Start::Resume(tick.last_event_id)).await;
    assert_eq!(told(&until(&mut resumed, "eventwall:live").await), ["tick", "y", "live"]);
}

/// Time is the test's own: a subscriber is slow if its steps come late.
#[tokio::test(start_paused = true)]
async fn who_stays_behind_once_live_is_told_apart_from_who_replays() {
    let hub = hub();
    let from = publish(&hub, "a", "0").await;
    for n in 1..5_000 {
        publish(&hub, "a", &n.to_string()).await;
    }
    let minute = Duration::from_secs(60);
    let options = FollowOptions { max_lag: Some(minute), ..FollowOptions::default() };
    let start = Start::Resume(from.to_string());
    let mut stream = hub.subscribe(filter(&["a"]), &start, options).await.unwrap().into_stream();
    // A replay may take as long as it likes.
    let mut frames = 0;
    // The first tick, the events, and live.
    while frames < 1 + 4_999 + 1 {
        tokio::time::advance(minute).await;
        frames += stream.next().await.unwrap().unwrap().len();
    }
    until(&mut stream, "eventwall:tick").await;
    // Quiet for long is not behind.
    tokio::time::advance(10 * minute).await;
    for n in 0..5_000 {
        publish(&hub, "a", &n.to_string()).await;
    }
    let is_event = |frame: &bytes::Bytes| frame.ends_with(b"data: 0\n\n");
    while !stream.next().await.unwrap().unwrap().iter().any(is_event) {}
    tokio::time::advance(minute / 2).await;
    assert!(stream.next().await.is_ok());
    tokio::time::advance(minute).await;
    let lagging = stream.next().await.unwrap_err();
    assert!(lagging.to_string().contains("behind for 90 s"), "{lagging}");
    assert_eq!(stream.next().await, Ok(None));
}

/// On a busy topic there is always something newer: that is no lag.
#[tokio::test(start_paused = true)]
async fn who_keeps_up_with_a_busy_topic_is_not_behind() {
    let hub = hub();
    let options = FollowOptions { max_lag: Some(Duration::from_secs(60)), ..Default::default() };
    let mut stream =
        hub.subscribe(filter(&["a"]), &Start::Now, options).await.unwrap().into_stream();
    until(&mut stream, "eventwall:tick").await;
    for n in 0..20 {
        // Each step finds what came since the one before.
        publish(&hub, "a", &n.to_string()).await;
        hub.shared.caught_up_with(hub.log().end()).await;
        stream.next().await.unwrap();
        tokio::time::advance(Duration::from_secs(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_caught_up_is_not_behind_whatever_ephemera_come() {
    let hub = hub();
    let minute = Duration::from_secs(60);
    let options = FollowOptions { max_lag: Some(minute), ..FollowOptions::default() };
    let mut stream =
        hub.subscribe(filter(&["a"]), &Start::Now, options).await.unwrap().into_stream();
    until(&mut stream, "eventwall:tick").await;
    publish(&hub, "a", "first").await;
    until(&mut stream, "first").await;
    until(&mut stream, "eventwall:tick").await;
    publish(&hub, "a", "second").await;
    until(&mut stream, "second").await;
    for _ in 0..4 {
        let (topic, event, data) = (topic("a"), None, "typing".into());
        hub.publish_ephemeral(Ephemeral { topic, event, data });
        until(&mut stream, "typing").await;
        tokio::time::advance(minute / 2).await;
    }
    publish(&hub, "a", "third").await;
    // Its next step finds it in the window.
    hub.shared.caught_up_with(hub.log().end()).await;
    until(&mut stream, "third").await;
}

#[tokio::test(start_paused = true)]
async fn last_brings_the_last_of_each_topic_in_the_order_of_the_log() {
    let hub = hub_with(1 << 30, 2000);
    for n in 0..20 {
        publish(&hub, if n % 5 == 0 { "rare" } else { "common" }, &n.to_string()).await;
    }
    let mut stream = subscribe(&hub, &["rare", "common", "empty"], Start::Last(2)).await;
    let events = until(&mut stream, "eventwall:live").await;
    assert_eq!(told(&events), ["tick", "10", "15", "18", "19", "live"]);
    assert_eq!(events[1].topic.as_deref(), Some("rare"));
    publish(&hub, "empty", "first").await;
    assert_eq!(told(&until(&mut stream, "first").await), ["first"]);
    let config = HubConfig { max_start_events: 5, ..HubConfig::default() };
    let small = Hub::new(hub.log().clone(), &config);
    let start = async |last| {
        let both = filter(&["rare", "common"]);
        small.subscribe(both, &Start::Last(last), FollowOptions::default()).await.map(drop)
    };
    assert_eq!(start(2).await, Ok(()), "what it brings is counted, not what it could");
    let refused = start(3).await;
    assert_eq!(refused, Err(StartError::TooMany { last: 3, topics: 2, max: 5 }));
}

#[tokio::test(start_paused = true)]
async fn a_start_by_last_is_no_gap_however_much_is_gone() {
    let hub = hub_with(3000, 1000);
    publish(&hub, "quiet", "gone").await;
    for n in 0..50 {
        publish(&hub, "busy", &n.to_string()).await;
    }
    let mut stream = subscribe(&hub, &["busy", "quiet"], Start::Last(1000)).await;
    let events = until(&mut stream, "eventwall:live").await;
    assert!(!told(&events).contains(&"gap") && events.len() > 3, "{:?}", told(&events));
}

#[tokio::test(start_paused = true)]
async fn gaps_say_from_where_to_where_and_why() {
    let hub = hub_with(3000, 1000);
    let seen = publish(&hub, "a", "seen").await;
    for n in 0..50 {
        publish(&hub, "a", &n.to_string()).await;
    }
    for (id, reason, first) in [
        (seen.to_string(), GapReason::Expired, "tick"),
        ("zzzz-7".into(), GapReason::Replaced, "gap"),
        ("no id at all".into(), GapReason::Unknown, "gap"),
        (format!("{}-999", seen.epoch.as_str()), GapReason::Replaced, "gap"),
    ] {
        let mut stream = subscribe(&hub, &["a"], Start::Resume(id.clone())).await;
        let events = until(&mut stream, "eventwall:live").await;
        assert_eq!(told(&events)[0], first, "{id}");
        let gaps: Vec<_> = events.iter().filter(|e| e.event == "eventwall:gap").collect();
        assert_eq!(gaps.len(), 1, "{id}: {:?}", told(&events));
        let gap: serde_json::Value = serde_json::from_str(&gaps[0].data).unwrap();
        assert_eq!(gap["after"], id);
        assert_eq!(gap["resumed"], gaps[0].last_event_id);
        assert_eq!(gap["reason"], serde_json::to_value(reason).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_after_a_full_replacement_brings_everything_that_is_left() {
    let hub = hub();
    for n in 0..3 {
        publish(&hub, "a", &n.to_string()).await;
    }
    let mut stream = subscribe(&hub, &["a"], Start::Resume("other-1".into())).await;
    let events = until(&mut stream, "eventwall:live").await;
    assert_eq!(told(&events), ["gap", "tick", "0", "1", "2", "live"]);
}

#[tokio::test(start_paused = true)]
async fn the_json_form_says_what_stock_event_source_cannot() {
    let hub = hub();
    let mut event = NewEvent::new(topic("a"), "x").named("ping");
    event.by = Some("someone".into());
    let id = hub.publish(event.into(), AppendOptions::default()).await.unwrap().ids.remove(0);
    let form = Form { topic_line: false, json: true };
    let options = FollowOptions { form, ..FollowOptions::default() };
    let mut stream =
        hub.subscribe(filter(&["a"]), &Start::Last(1), options).await.unwrap().into_stream();
    let events = until(&mut stream, "eventwall:live").await;
    assert_eq!(events[1].event, "ping");
    let json: serde_json::Value = serde_json::from_str(&events[1].data).unwrap();
    assert_eq!(json["id"], id.to_string());
    assert_eq!((&json["topic"], &json["event"]), (&"a".into(), &"ping".into()));
    assert_eq!((&json["by"], &json["data"]), (&"someone".into(), &"x".into()));
    let time = json["time"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.len() == "2026-01-01T00:00:00.000Z".len(), "{time}");
}

#[tokio::test(start_paused = true)]
async fn pages_add_up_to_the_log_forwards_and_backwards() {
    let hub = hub_with(1 << 30, 3000);
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(publish(&hub, ["a", "b"][n % 2], &n.to_string()).await);
    }
    let only_a = filter(&["a"]);
    let (mut cursor, mut forwards) = (ids[0].clone(), Vec::new());
    loop {
        let page =
            hub.page(only_a.clone(), &Start::After(cursor), PageLimit::events(4)).await.unwrap();
        forwards.extend(page.events.iter().map(|e| e.record().data.to_string()));
        cursor = page.cursor;
        if !page.more {
            break;
        }
    }
    assert_eq!(forwards, (1..15).map(|n| (2 * n).to_string()).collect::<Vec<_>>());
    assert_eq!(cursor.position, hub.log().end());

    let first = hub.page(only_a.clone(), &Start::Last(4), PageLimit::events(100)).await.unwrap();
    assert_eq!((first.events.len(), first.more), (4, true));
    let (mut before, mut backwards) = (first.events[0].id().clone(), 4);
    loop {
        let page = hub.page_before(&only_a, &before, 4, PageLimit::events(100)).await.unwrap();
        backwards += page.events.len();
        if !page.more {
            break;
        }
        before = page.events[0].id().clone();
    }
    assert_eq!(backwards, 15);
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_still_moves_the_cursor() {
    let hub = hub();
    let elsewhere = publish(&hub, "b", "x").await;
    let start = hub.log().epochs().id(eventwall_log::Position::START);
    let page = hub.page(filter(&["a"]), &Start::After(start), PageLimit::events(9)).await.unwrap();
    assert_eq!((page.events.len(), page.cursor), (0, elsewhere));
}

#[tokio::test(start_paused = true)]
async fn erased_events_are_not_delivered_from_the_window() {
    let hub = hub();
    let start = hub.log().epochs().id(eventwall_log::Position::START);
    let gone = publish(&hub, "a", "gone").await;
    publish(&hub, "a", "kept").await;
    let mut behind = subscribe(&hub, &["a"], Start::After(start.clone())).await;
    hub.erase(vec![gone.position]).await.unwrap();
    assert_eq!(told(&until(&mut behind, "eventwall:live").await), ["tick", "kept", "live"]);
    let mut after = subscribe(&hub, &["a"], Start::After(start)).await;
    assert_eq!(told(&until(&mut after, "eventwall:live").await), ["tick", "kept", "live"]);
}

#[tokio::test(start_paused = true)]
async fn frames_are_shared_and_differ_only_by_their_topic_line() {
    let hub = hub();
    publish(&hub, "a/b", "x").await;
    let page = hub.page(filter(&["a/b"]), &Start::Last(1), PageLimit::events(9)).await.unwrap();
    let event = &page.events[0];
    let with = event.bytes(Form { topic_line: true, json: false });
    let without = event.bytes(Form::default());
    assert_eq!(with, [b"topic: a/b\n", &without[..]].concat());
    assert_eq!(with[11..].as_ptr(), without.as_ptr(), "the same memory");
}

#[tokio::test]
async fn a_closed_log_is_reported() {
    let hub = hub();
    assert_eq!(hub.health(), Ok(()));
    hub.log().close().await;
    assert!(hub.health().is_err());
}

/// Everything a stream sends until it ends.
async fn all_of(mut subscription: Subscription) -> String {
    let mut text = String::new();
    while let Some(frames) = subscription.next().await.unwrap() {
        frames.iter().for_each(|frame| text += std::str::from_utf8(frame).unwrap());
    }
    text
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_gets_the_first_events_and_an_end() {
    let hub = hub();
    let wait = Some(std::time::Duration::from_secs(20));
    let options = FollowOptions { wait, ..FollowOptions::default() };
    let start = hub.log().epochs().id(eventwall_log::Position::START);
    let quiet = hub.subscribe(filter(&["a"]), &Start::After(start.clone()), options).await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(
        all_of(quiet.into_stream()).await,
        format!("id: {start}\nevent: eventwall:tick\ndata: \n\n")
    );
    assert_eq!(began.elapsed().as_secs(), 20);
    let waiting = hub.subscribe(filter(&["a"]), &Start::Now, options).await.unwrap().into_stream();
    let id = publish(&hub, "a", "x").await;
    let text = all_of(waiting).await;
    assert_eq!(text, format!("id: {id}\ndata: x\n\n"), "no tick before the events");
    publish(&hub, "a", "y").await;
    hub.shared.caught_up_with(hub.log().end()).await;
    let replayed =
        hub.subscribe(filter(&["a"]), &Start::After(start), options).await.unwrap().into_stream();
    assert!(all_of(replayed).await.ends_with("data: y\n\n"), "all that is there, and no live");
}

#[tokio::test(start_paused = true)]
async fn comment_ticks_leave_the_cursor_alone() {
    let hub = hub();
    let options = FollowOptions { comment_ticks: true, ..FollowOptions::default() };
    let mut stream =
        hub.subscribe(filter(&["a"]), &Start::Now, options).await.unwrap().into_stream();
    for _ in 0..3 {
        assert_eq!(stream.next().await.unwrap().unwrap(), [": tick\n\n"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_by_time_is_no_gap() {
    let hub = hub_with(3000, 1000);
    for n in 0..50 {
        publish(&hub, "a", &n.to_string()).await;
    }
    let mut all = subscribe(&hub, &["a"], Start::Since(0)).await;
    let events = until(&mut all, "eventwall:live").await;
    assert!(!told(&events).contains(&"gap") && events.len() > 3);
    let mut none = subscribe(&hub, &["a"], Start::Since(u64::MAX)).await;
    assert_eq!(told(&until(&mut none, "eventwall:live").await), ["tick", "live"]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_waits_for_events() {
    let hub = Arc::new(hub());
    let wait = std::time::Duration::from_secs(60);
    let page =
        hub.page_waiting(filter(&["a"]), &Start::Now, PageLimit::events(9), wait).await.unwrap();
    assert!(page.events.is_empty());
    let waiting = {
        let hub = hub.clone();
        tokio::spawn(async move {
            hub.page_waiting(filter(&["a"]), &Start::Now, PageLimit::events(9), wait).await
        })
    };
    tokio::task::yield_now().await;
    publish(&hub, "b", "elsewhere").await;
    publish(&hub, "a", "x").await;
    let page = waiting.await.unwrap().unwrap();
    assert_eq!(&*page.events[0].record().data, "x");
}

#[tokio::test(start_paused = true)]
async fn patterns_are_followed_like_topics() {
    let hub = hub_with(1 << 30, 2000);
    for n in 0..12 {
        publish(&hub, &format!("room/{}", n % 3), &n.to_string()).await;
        publish(&hub, "elsewhere", "x").await;
    }
    let filter = Filter::select([], vec!["room/*".parse().unwrap()]);
    let mut stream = hub
        .subscribe(filter.clone(), &Start::Last(2), FollowOptions::default())
        .await
        .unwrap()
        .into_stream();
    let events = until(&mut stream, "eventwall:live").await;
    assert_eq!(told(&events), ["tick", "6", "7", "8", "9", "10", "11", "live"]);
    publish(&hub, "room/new", "new").await;
    assert_eq!(told(&until(&mut stream, "new").await), ["new"]);
    let page = hub.page(filter, &Start::Last(1), PageLimit::events(100)).await.unwrap();
    assert_eq!(
        page.events.iter().map(|e| &*e.record().data).collect::<Vec<_>>(),
        ["9", "10", "11", "new"]
    );
}

#[tokio::test(start_paused = true)]
async fn ephemeral_events_reach_who_is_live_and_leave_no_trace() {
    let hub = hub();
    let cursor = publish(&hub, "a", "stored").await;
    let mut live = subscribe(&hub, &["a"], Start::Now).await;
    let mut elsewhere = subscribe(&hub, &["b"], Start::Now).await;
    until(&mut live, "eventwall:tick").await;
    until(&mut elsewhere, "eventwall:tick").await;
    let waiting = tokio::spawn(async move { (until(&mut live, "typing…").await, live) });
    tokio::task::yield_now().await;
    hub.publish_ephemeral(Ephemeral {
        topic: topic("a"),
        event: Some("typing".into()),
        data: "typing…".into(),
    });
    let (events, mut live) = waiting.await.unwrap();
    assert_eq!((told(&events), events[0].event.as_str()), (vec!["typing…"], "typing"));
    assert_eq!(events[0].last_event_id, "", "it has no id, and so no say over the cursor");
    let mut late = subscribe(&hub, &["a"], Start::Resume(cursor.to_string())).await;
    assert_eq!(told(&until(&mut late, "eventwall:live").await), ["tick", "live"]);
    let tick = until(&mut live, "eventwall:tick").await.remove(0);
    assert_eq!(tick.last_event_id, cursor.to_string());
    assert_eq!(told(&until(&mut elsewhere, "eventwall:tick").await), ["tick"]);
}

#[tokio::test(start_paused = true)]
async fn a_resume_after_a_start_by_time_is_no_gap_either() {
    let hub = hub_with(3000, 1000);
    for n in 0..50 {
        publish(&hub, "a", &n.to_string()).await;
    }
    let mut stream = subscribe(&hub, &["a"], Start::Since(0)).await;
    // The line breaks after the first tick.
    let tick = until(&mut stream, "eventwall:tick").await.remove(0);
    let mut again = subscribe(&hub, &["a"], Start::Resume(tick.last_event_id)).await;
    let events = until(&mut again, "eventwall:live").await;
    assert!(!told(&events).contains(&"gap"), "{:?}", told(&events));
}

#[tokio::test(start_paused = true)]
async fn who_has_caught_up_holds_nothing_but_a_cursor() {
    let hub = hub_with(1 << 30, 3000);
    for _ in 0..40 {
        publish(&hub, "a", &"x".repeat(1000)).await;
    }
    let mut stream = subscribe(&hub, &["a"], Start::Last(30)).await;
    until(&mut stream, "eventwall:live").await;
    publish(&hub, "a", "end").await;
    until(&mut stream, "end").await;
    assert_eq!(stream.follower().holds(), 0);
}

#[tokio::test(start_paused = true)]
async fn live_is_said_at_once_also_when_the_window_is_a_moment_behind() {
    let hub = hub();
    let id = publish(&hub, "a", "1").await;
    // On this one thread the tail task runs only once this one waits.
    publish(&hub, "b", "elsewhere").await;
    let began = tokio::time::Instant::now();
    let mut stream = subscribe(&hub, &["a"], Start::After(id)).await;
    until(&mut stream, "eventwall:live").await;
    assert_eq!(began.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn pages_keep_their_bytes_and_go_on() {
    let hub = hub();
    for n in 0..20 {
        publish(&hub, "a", &format!("{n}:{}", "x".repeat(500_000))).await;
    }
    let page = hub.page(filter(&["a"]), &Start::Last(20), PageLimit::events(1000)).await.unwrap();
    assert!(page.more && page.events.len() < 10, "{} events", page.events.len());
    assert!(page.events.last().unwrap().record().data.starts_with("19:"));
    let mut stream = subscribe(&hub, &["a"], Start::Last(20)).await;
    assert_eq!(until(&mut stream, "eventwall:live").await.len(), 22, "a stream brings them all");
}

/// One of each topic fits, whatever it costs; but not if that is much more than a page.
#[tokio::test(start_paused = true)]
async fn the_last_events_of_many_topics_have_a_bound() {
    let hub = hub();
    for n in 0..10 {
        publish(&hub, &format!("large/{n}"), &"x".repeat(1000)).await;
    }
    let limit = |bytes| PageLimit { events: 100, bytes };
    let filter = Filter::select([], vec!["large/*".parse().unwrap()]);
    let page = hub.page(filter.clone(), &Start::Last(1), limit(20_000)).await.unwrap();
    assert_eq!(page.events.len(), 10);
    let refused = hub.page(filter.clone(), &Start::Last(1), limit(3000)).await.unwrap_err();
    assert!(matches!(refused, StartError::TooLarge { .. }), "{refused}");
    let one = Filter::topics([topic("large/1")]);
    let page = hub.page(one, &Start::Last(1), limit(1)).await.unwrap();
    assert_eq!(page.events.len(), 1, "one always fits");
}

/// At the end of the log, with nothing to be told.
async fn waiting(hub: &Hub, names: &[&str], desk: &mut Desk) -> Subscriber {
    let options = FollowOptions::default();
    let mut subscriber = hub.subscribe(filter(names), &Start::Now, options).await.unwrap();
    while !matches!(subscriber.step(desk), Step::Wait(_)) {}
    subscriber
}

#[tokio::test]
async fn what_follows_a_place_is_looked_up_once_and_not_shown_once_it_is_erased() {
    let hub = hub();
    let mut desk = Desk::new(&hub, tokio::time::Instant::now());
    let mut all = Vec::new();
    for names in [&["a"][..], &["a"], &["a"], &["a", "b"]] {
        all.push(waiting(&hub, names, &mut desk).await);
        // They came at different moments: what lies between is of no interest to them.
        publish(&hub, "other", "x").await;
    }
    let first = publish(&hub, "a", "1").await;
    let last = publish(&hub, "a", "2").await;
    hub.shared.caught_up_with(last.position).await;
    let mut stretches = Vec::new();
    for subscriber in &mut all {
        let Step::Events(stretch) = subscriber.step(&mut desk) else { panic!("no events") };
        stretches.push(stretch);
    }
    assert!(Arc::ptr_eq(&stretches[0], &stretches[1]) && Arc::ptr_eq(&stretches[0], &stretches[2]));
    assert!(!Arc::ptr_eq(&stretches[0], &stretches[3]), "who follows more has a place of its own");
    // One of two is on its way: the other comes again, and is not the end.
    all[0].sent(&stretches[0], (1, 10), &mut desk);
    assert!(!all[0].is_up_to_date(&stretches[0]));
    let Step::Events(rest) = all[0].step(&mut desk) else { panic!("the rest comes again") };
    assert_eq!((rest.events().len(), rest.events()[0].id()), (1, &last));
    all[0].sent(&rest, (1, 10), &mut desk);
    assert!(all[0].is_up_to_date(&rest));
    hub.erase(vec![first.position, last.position]).await.unwrap();
    for subscriber in &mut all[1..] {
        assert!(matches!(subscriber.step(&mut desk), Step::Wait(_)), "it is erased");
    }
}
