//! What can be seen of the server from outside: probes and metrics.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;

use eventwall_testkit::{Connection, Follower, Server, Setup, get, post, until};

#[test]
fn probes_answer() {
    let server = Server::start();
    assert_eq!(get(server.addr, "/healthz", &[]).text(), "ok\n");
    assert_eq!(get(server.addr, "/readyz", &[]).text(), "ready\n");
}

/// The value of a metric, labels included in its name; 0 if it is not there yet.
fn metric(server: &Server, name: &str) -> f64 {
    let text = get(server.addr, "/metrics", &[]).text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or(0.0)
}

#[test]
fn metrics_count_what_happens() {
    let server = Server::start();
    let followers: Vec<_> =
        (0..3).map(|_| Follower::start(server.addr, "/topics/a", &[])).collect();
    for follower in &followers {
        follower.wait("the first tick", |seen| !seen.events.is_empty());
    }
    assert!(
        metric(&server, "eventwall_subscribers ") >= 3.0
            && metric(&server, "eventwall_connections ") >= 4.0
    );
    let id = post(server.addr, "/topics/a", "x");
    followers.iter().for_each(|follower| drop(follower.wait_for("x")));
    assert_eq!(metric(&server, "eventwall_published_events_total "), 1.0);
    assert_eq!(metric(&server, "eventwall_delivered_events_total "), 3.0);
    assert!(metric(&server, "eventwall_delivered_bytes_total ") > 3.0 * 20.0);
    assert_eq!(metric(&server, "eventwall_delivery_lag_seconds_count "), 3.0);
    assert!(metric(&server, "eventwall_log_bytes ") > 64.0);
    assert_eq!(
        metric(&server, "eventwall_log_end_position ").to_string(),
        id.split('-').nth(1).unwrap()
    );
    let gap = Follower::start(server.addr, "/topics/a?lastEventId=rubbish", &[]);
    gap.wait("a gap", |seen| seen.told().contains(&"gap"));
    assert_eq!(metric(&server, "eventwall_gaps_total{reason=\"unknown\"} "), 1.0);
    assert_eq!(get(server.addr, "/nowhere", &[]).status, 404);
    assert_eq!(
        metric(&server, "eventwall_refusals_total{status=\"404\",reason=\"not_found\"} "),
        1.0
    );
    drop((followers, gap));
    until("the subscribers are gone", || metric(&server, "eventwall_subscribers ") == 0.0);
}

#[test]
fn who_is_turned_away_is_counted_streams_too() {
    let server = Setup::default().arg("--max-connections").arg("2").start();
    let follower = Follower::start(server.addr, "/topics/a", &[]);
    follower.wait("the first tick", |seen| !seen.events.is_empty());
    let held = Connection::open(server.addr).unwrap();
    let full = |headers: &[&str]| get(server.addr, "/topics/a", headers).text();
    until("the server is full", || full(&[]).contains("the server is full"));
    assert!(full(&["Accept: text/event-stream"]).starts_with("retry: "));
    drop(held);
    let counted = |status: u16| {
        let name = format!("eventwall_refusals_total{{status=\"{status}\",reason=\"full\"}} ");
        metric(&server, &name)
    };
    // Each of these is one more connection, for which there may be no room yet.
    until("there is room to ask", || counted(200) == 1.0 && counted(503) >= 1.0);
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    let server = Server::start();
    let follower = Follower::start(server.addr, "/topics/a?lastEventId=rubbish", &[]);
    follower.wait("a gap", |seen| seen.told().contains(&"gap"));
    assert_eq!(get(server.addr, "/nowhere", &[]).status, 404);
    let text = get(server.addr, "/metrics", &[]).text();
    let family = |name: &str| name.split('{').next().unwrap().trim_end_matches("_total").to_owned();
    let served: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| family(line.split(' ').next().unwrap()))
        .collect();
    let document = include_str!("../../docs/metrics.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<_> = rows.map(|row| family(row.split('`').next().unwrap())).collect();
    assert_eq!(served, documented);
    assert!(text.ends_with("# EOF\n"));
}
