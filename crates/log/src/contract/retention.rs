//! What every log must do that keeps other limits for other topics.

use super::{
    DEADLINE, PLENTY, Tested, all, event, expect_last, fill, maintain, publish, read, texts, topic,
};
use crate::{
    AppendOptions, Batch, Budget, Entry, ExpectedLast, Filter, Keep, Limits, Position, Retention,
    Rule,
};

/// Sets limits; `false` if this log cannot hold those of a pattern, so that there is nothing to
/// check.
fn limit(log: &Tested, change: impl FnOnce(&mut Retention)) -> bool {
    if !log.capabilities().retention_by_pattern {
        return false;
    }
    let mut retention = Retention::clone(&log.retention());
    change(&mut retention);
    log.set_retention(retention).expect("a log with the capability holds them");
    true
}

fn rule(topics: &str, limits: Limits) -> Rule {
    let mut rule = Rule::of(topics.parse().expect("a topic or pattern"));
    rule.max_age = Some(limits.max_age);
    rule.max_events = Some(limits.max_events);
    rule.max_bytes = Some(limits.max_bytes);
    rule.keep = Some(limits.keep);
    rule
}

fn latest(topics: &str) -> Rule {
    rule(topics, Limits { keep: Keep::Latest, ..Limits::default() })
}

fn newest(topics: &str, count: u64) -> Rule {
    rule(topics, Limits { max_events: Some(count), ..Limits::default() })
}

async fn left(log: &Tested, name: &str) -> Vec<String> {
    let events = all(log, &Filter::topics([topic(name)])).await;
    texts(&events).into_iter().map(str::to_owned).collect()
}

async fn gap(log: &Tested, names: &[&str], after: Position) -> Option<Position> {
    let filter = Filter::topics(names.iter().map(|name| topic(name)));
    read(log, after, &filter, PLENTY).await.removed
}

pub async fn a_state_is_its_latest_event_and_no_gap(log: Tested) {
    if !limit(&log, |retention| retention.rules.push(latest("state/*"))) {
        return;
    }
    let mut last = Vec::new();
    for n in 0..40 {
        publish(&log, "other", format!("{n}")).await;
        last.push(publish(&log, &format!("state/{}", n % 4), format!("{n}")).await);
    }
    maintain(&log).await;
    for n in 0..4 {
        let name = format!("state/{n}");
        assert_eq!(left(&log, &name).await, [(36 + n).to_string()]);
        assert_eq!(gap(&log, &[&name], Position::START).await, None, "superseded is not lost");
        let back = log.read_back(&topic(&name), None, Budget::events(9)).await.expect("readable");
        assert_eq!((texts(&back.events), back.more), (vec![&*(36 + n).to_string()], false));
    }
    assert_eq!(left(&log, "other").await.len(), 40);
    assert_eq!(log.last(&topic("state/3")).await, Ok(last.pop()));
    let matching = Filter::select([], vec!["state/*".parse().expect("a pattern")]);
    assert_eq!(texts(&all(&log, &matching).await), ["36", "37", "38", "39"]);
}

pub async fn states_survive_the_limit_on_bytes(log: Tested) {
    if !log.capabilities().states_outlive_bytes {
        return;
    }
    if !limit(&log, |retention| retention.rules.push(latest("state/*"))) {
        return;
    }
    for n in 0..20 {
        publish(&log, &format!("state/{n}"), format!("first {n}")).await;
    }
    fill(&log).await;
    for n in 0..10 {
        publish(&log, &format!("state/{n}"), format!("second {n}")).await;
    }
    fill(&log).await;
    for n in 0..20 {
        let (which, name) = (if n < 10 { "second" } else { "first" }, format!("state/{n}"));
        assert_eq!(left(&log, &name).await, [format!("{which} {n}")]);
        assert_eq!(gap(&log, &[&name], Position::START).await, None);
    }
    assert!(gap(&log, &["busy"], Position::START).await.is_some());
    assert!(log.bytes() <= log.retention().max_bytes, "{} bytes", log.bytes());
}

pub async fn the_newest_events_of_a_topic_stay(log: Tested) {
    if !limit(&log, |retention| retention.rules.push(newest("short/**", 5))) {
        return;
    }
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(publish(&log, "short/a", format!("{n}")).await.position);
        publish(&log, "long", format!("{n}")).await;
    }
    assert_eq!(left(&log, "short/a").await, ["25", "26", "27", "28", "29"]);
    assert_eq!(left(&log, "long").await.len(), 30);
    assert_eq!(gap(&log, &["short/a"], ids[23]).await, Some(ids[24]));
    assert_eq!(gap(&log, &["short/a"], ids[24]).await, None, "nothing was missed");
    assert_eq!(gap(&log, &["long"], Position::START).await, None);
    let back = log.read_back(&topic("short/a"), None, Budget::events(9)).await.expect("readable");
    assert_eq!((back.events.len(), back.more), (5, false));
    if !log.capabilities().atomic_batches {
        return;
    }
    let batch = Batch::new((0..12).map(|n| event("short/b", n.to_string())).collect());
    log.append(batch.expect("not empty"), AppendOptions::default()).await.expect("acknowledged");
    assert_eq!(left(&log, "short/b").await, ["7", "8", "9", "10", "11"], "of a batch too");
}

pub async fn a_topic_has_bytes_of_its_own(log: Tested) {
    let own = Limits { max_bytes: Some(50_000), ..Limits::default() };
    if !limit(&log, |retention| retention.rules.push(rule("heavy", own))) {
        return;
    }
    for n in 0..90 {
        publish(&log, "heavy", format!("{n}-{}", "x".repeat(1000))).await;
        publish(&log, "light", format!("{n}")).await;
    }
    let heavy = left(&log, "heavy").await;
    let bytes: usize = heavy.iter().map(String::len).sum();
    assert!((40_000..56_000).contains(&bytes), "{bytes} bytes are left");
    assert!(heavy.last().is_some_and(|last| last.starts_with("89-")));
    assert_eq!(left(&log, "light").await.len(), 90);
}

pub async fn old_events_go_and_young_ones_stay(log: Tested) {
    let young = Limits { max_age: Some(1), ..Limits::default() };
    for n in 0..5 {
        publish(&log, "brief", format!("{n}")).await;
        publish(&log, "lasting", format!("{n}")).await;
    }
    let last = log.end();
    if !limit(&log, |retention| retention.rules.push(rule("brief", young))) {
        return;
    }
    let gone = async {
        while !left(&log, "brief").await.is_empty() {
            maintain(&log).await;
        }
    };
    tokio::time::timeout(DEADLINE, gone).await.expect("a millisecond passes");
    assert_eq!(left(&log, "lasting").await.len(), 5);
    assert!(gap(&log, &["brief"], Position::START).await.is_some());
    assert_eq!(gap(&log, &["brief"], last).await, None);
    assert_eq!(gap(&log, &["lasting"], Position::START).await, None);
    assert_eq!(log.last(&topic("brief")).await, Ok(None));
    let empty = expect_last(ExpectedLast::None);
    log.append(event("brief", "new").into(), empty).await.expect("the topic is empty");
    limit(&log, |retention| retention.rules[0].max_age = Some(Some(3_600_000)));
    publish(&log, "brief", "newer").await;
    maintain(&log).await;
    assert!(left(&log, "brief").await.contains(&"newer".into()));
}

/// What is left of one topic is not skipped because a later event of another was removed.
pub async fn a_gap_skips_nothing_that_is_left(log: Tested) {
    if !limit(&log, |retention| retention.rules.push(newest("short", 1))) {
        return;
    }
    for n in 0..10 {
        publish(&log, "long", format!("long {n}")).await;
        publish(&log, "short", format!("short {n}")).await;
    }
    let both = Filter::topics([topic("long"), topic("short")]);
    let page = read(&log, Position::START, &both, PLENTY).await;
    assert!(page.removed.is_some());
    let mut expected: Vec<_> = (0..10).map(|n| format!("long {n}")).collect();
    expected.push("short 9".into());
    assert_eq!(texts(&all(&log, &both).await), expected);
}

pub async fn other_limits_may_come_later(log: Tested) {
    for n in 0..30 {
        publish(&log, "a", format!("{n}")).await;
        publish(&log, "state", format!("{n}")).await;
    }
    let change = |retention: &mut Retention| {
        retention.rules.extend([newest("a", 3), latest("state")]);
    };
    if !limit(&log, change) {
        return;
    }
    assert_eq!(left(&log, "state").await, ["29"]);
    // Older events may go in larger steps than newer ones, but never too early.
    let now = left(&log, "a").await;
    assert!(now.len() >= 3 && now.ends_with(&["27".into(), "28".into(), "29".into()]));
    for n in 30..40 {
        publish(&log, "a", format!("{n}")).await;
    }
    assert_eq!(left(&log, "a").await, ["37", "38", "39"]);
    assert!(limit(&log, |retention| retention.rules.clear()));
    publish(&log, "a", "40").await;
    assert_eq!(left(&log, "a").await, ["37", "38", "39", "40"], "what is gone stays gone");
}

pub async fn space_is_given_back(log: Tested) {
    if !limit(&log, |retention| retention.rules.push(newest("short", 2))) {
        return;
    }
    for n in 0..2000 {
        publish(&log, "short", format!("{n}-{}", "x".repeat(90))).await;
        if n % 100 == 0 {
            publish(&log, "long", format!("{n}")).await;
        }
    }
    let before = log.bytes();
    maintain(&log).await;
    assert!(log.bytes() * 2 < before.max(200_000), "{before} became {} bytes", log.bytes());
    assert_eq!(left(&log, "long").await.len(), 20);
    assert_eq!(left(&log, "short").await.len(), 2);
}

pub async fn a_tail_sees_what_is_hidden_at_once(log: Tested) {
    if !limit(&log, |retention| retention.rules.push(latest("state"))) {
        return;
    }
    let mut tail = log.tail(log.end());
    for n in 0..3 {
        publish(&log, "state", n.to_string()).await;
    }
    let mut seen = 0;
    while seen < 3 {
        let page = tokio::time::timeout(DEADLINE, tail.next()).await.expect("in time");
        let page = page.expect("readable").expect("open");
        seen += page.entries.iter().filter(|entry| matches!(entry, Entry::Event(_))).count();
        assert_eq!(page.removed, None);
    }
    assert_eq!(left(&log, "state").await, ["2"]);
}
