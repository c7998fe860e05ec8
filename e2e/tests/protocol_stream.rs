//! The bytes of a stream: frames, ticks, gaps, what comes when and with which id.
//! docs/protocol.md names each of these tests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::thread;

use eventwall_testkit::{Follower, Server, Setup, get, get_json, post, request, stream, until};

/// An event of the server's own, with empty data.
fn own(name: &str, id: &str) -> String {
    format!("id: {id}\nevent: eventwall:{name}\ndata: \n\n")
}

/// A stream that ends after its first events.
fn poll(server: &Server, target: &str, headers: &[&str]) -> String {
    get(server.addr, target, headers).text()
}

/// The id that stands `by` positions before another.
fn before(id: &str, by: u64) -> String {
    let (epoch, position) = id.split_once('-').unwrap();
    format!("{epoch}-{}", position.parse::<u64>().unwrap() - by)
}

#[test]
fn frames_are_laid_out_line_by_line() {
    let server = Server::start();
    let mut frames = Vec::new();
    for (query, data, lines) in [
        ("", "hello", "data: hello\n"),
        ("?event=ping", "a\n\nb\n", "event: ping\ndata: a\ndata: \ndata: b\ndata: \n"),
        ("", "", "data: \n"),
        ("", " \u{feff}x\0: y", "data:  \u{feff}x\0: y\n"),
        ("?event=+a:b", "x\r\ny\rz", "event:  a:b\ndata: x\ndata: y\ndata: z\n"),
    ] {
        let id = post(server.addr, &format!("/topics/t/1{query}"), data);
        frames.push(format!("id: {id}\n{lines}\n"));
    }
    assert_eq!(poll(&server, "/topics/t/1?last=9&wait=0", &[]), frames.concat());
    let with_topic: String = frames.iter().map(|frame| format!("topic: t/1\n{frame}")).collect();
    for query in ["topic=t/1", "topic=t/*", "topic=t/1&topic=t/2"] {
        let target = format!("/events?{query}&last=9&wait=0");
        assert_eq!(poll(&server, &target, &[]), with_topic, "{query}");
    }
}

#[test]
fn json_is_one_line_of_data() {
    let server = Server::start();
    let ids =
        [post(server.addr, "/topics/a", "1\n\"2\""), post(server.addr, "/topics/a?event=e", "")];
    let page = get_json(server.addr, "/topics/a?last=9");
    let time = |n: usize| page["events"][n]["time"].as_str().unwrap();
    let expected = format!(
        "id: {0}\ndata: {{\"id\":\"{0}\",\"topic\":\"a\",\"event\":\"message\",\"time\":\"{1}\",\"data\":\"1\\n\\\"2\\\"\"}}\n\n\
         id: {2}\nevent: e\ndata: {{\"id\":\"{2}\",\"topic\":\"a\",\"event\":\"e\",\"time\":\"{3}\",\"data\":\"\"}}\n\n",
        ids[0],
        time(0),
        ids[1],
        time(1)
    );
    assert_eq!(poll(&server, "/topics/a?last=9&wait=0&as=json", &[]), expected);
    assert!(poll(&server, "/topics/a?last=1&wait=0&as=JSON", &[]).ends_with("data: \n\n"));
}

#[test]
fn a_start_is_replayed_between_a_tick_and_live() {
    let server = Server::start();
    let ids: Vec<_> = (0..3).map(|n| post(server.addr, "/topics/a", n.to_string())).collect();
    let first = own("tick", &before(&ids[1], 1));
    let replay = format!("id: {}\ndata: 1\n\nid: {}\ndata: 2\n\n", ids[1], ids[2]);
    let (_, mut connection) = stream(server.addr, "/topics/a?last=2", &[]);
    let text = connection.text_until("eventwall:live").unwrap();
    assert_eq!(text, format!("{first}{replay}{}", own("live", &ids[2])));
    let id = post(server.addr, "/topics/a", "3");
    assert_eq!(connection.text_until("data: 3").unwrap(), format!("id: {id}\ndata: 3\n\n"));
    // Whoever heard only the first tick misses nothing.
    let resume = format!("Last-Event-ID: {}", before(&ids[1], 1));
    assert!(poll(&server, "/topics/a?wait=0", &[&resume]).starts_with(&replay));
    let (_, mut none) = stream(server.addr, "/topics/a?last=0", &[]);
    let expected = own("tick", &id) + &own("live", &id);
    assert_eq!(none.text_until("eventwall:live").unwrap(), expected);
    let (_, mut now) = stream(server.addr, "/topics/a", &["Last-Event-ID:"]);
    let began = now.text_until("eventwall:tick").unwrap();
    let next = post(server.addr, "/topics/a", "4");
    let text = began + &now.text_until("data: 4").unwrap();
    assert_eq!(text, own("tick", &id) + &format!("id: {next}\ndata: 4\n\n"), "now has no replay");
}

#[test]
fn ticks_move_the_cursor_of_a_quiet_stream() {
    let server = Setup::default().arg("--heartbeat").arg("100ms").start();
    let (head, mut quiet) = stream(server.addr, "/topics/quiet", &[]);
    assert_eq!(head.header("eventwall-heartbeat"), Some("1"), "whole seconds, rounded up");
    quiet.text_until("eventwall:tick").unwrap();
    let id = post(server.addr, "/topics/busy", "x");
    let text = quiet.text_until(&format!("id: {id}\n")).unwrap();
    assert!(text.ends_with(&own("tick", &id)), "{text}");
    let resume = format!("Last-Event-ID: {id}");
    let next = post(server.addr, "/topics/quiet", "y");
    let text = poll(&server, "/topics/quiet?wait=0", &[&resume]);
    assert_eq!(text, format!("id: {next}\ndata: y\n\n"));
}

#[test]
fn comments_take_the_place_of_every_tick() {
    let server = Setup::default().arg("--heartbeat").arg("100ms").start();
    let (_, mut connection) = stream(server.addr, "/topics/a?tick=comment", &[]);
    assert_eq!(
        connection.text_until(": tick\n\n: tick\n\n: tick").unwrap(),
        ": tick\n\n".repeat(3)
    );
    assert_eq!(poll(&server, "/topics/a?tick=comment&wait=0", &[]), ": tick\n\n");
    assert!(poll(&server, "/topics/a?tick=Comment&wait=0", &[]).starts_with("id: "));
}

#[test]
fn a_gap_comes_before_all_else_when_the_start_is_of_no_place_here() {
    let server = Server::start();
    let id = post(server.addr, "/topics/a", "1");
    let gap = |after: &str, resumed: &str, reason: &str| {
        format!(
            "id: {resumed}\nevent: eventwall:gap\ndata: {{\"after\":\"{after}\",\"resumed\":\"{resumed}\",\"reason\":\"{reason}\"}}\n\n"
        )
    };
    let start = before(&id, 1);
    let frame = format!("id: {id}\ndata: 1\n\n");
    let beyond = format!("{}-999999999", id.split_once('-').unwrap().0);
    for (after, resumed, reason, rest) in [
        ("k3x9v0qa-7", &*start, "replaced", &*frame),
        (&beyond, &id, "replaced", ""),
        ("no id", &start, "unknown", &frame),
    ] {
        let header = format!("Last-Event-ID: {after}");
        let (_, mut connection) = stream(server.addr, "/topics/a", &[&header]);
        let text = connection.text_until("eventwall:live").unwrap();
        let expected = gap(after, resumed, reason) + &own("tick", resumed) + rest;
        assert_eq!(text, expected + &own("live", &id), "{after}");
        let polled = poll(&server, "/topics/a?wait=0", &[&header]);
        let nothing = own("tick", &id);
        let then = if rest.is_empty() { &nothing } else { rest };
        assert_eq!(polled, gap(after, resumed, reason) + then, "{after}");
    }
    // Where an error is no end for ever, an id in `after` gets the same answer.
    let (_, mut after) = stream(server.addr, "/topics/a?after=k3x9v0qa-7", &[]);
    assert!(after.text_until("live").unwrap().starts_with(&gap("k3x9v0qa-7", &start, "replaced")));
}

#[test]
fn a_stream_that_waits_ends_with_its_first_events() {
    let server = Server::start();
    let ids: Vec<_> = (0..2).map(|n| post(server.addr, "/topics/a", n.to_string())).collect();
    let both = format!("id: {}\ndata: 0\n\nid: {}\ndata: 1\n\n", ids[0], ids[1]);
    let polyfill = "X-Requested-With: XMLHttpRequest";
    assert_eq!(poll(&server, "/topics/a?last=9&wait=300", &[]), both, "no tick, no live");
    assert_eq!(poll(&server, "/topics/a?last=9", &[polyfill]), both);
    assert_eq!(poll(&server, "/topics/a?wait=0", &[]), own("tick", &ids[1]), "nothing came");
    assert_eq!(poll(&server, "/topics/a?wait=0", &[polyfill]), own("tick", &ids[1]), "wait wins");
    let (_, mut other) =
        stream(server.addr, "/topics/a?last=9", &["X-Requested-With: xmlhttprequest"]);
    assert!(other.text_until("live").unwrap().starts_with(&own("tick", &before(&ids[0], 1))));
}

#[test]
fn padding_is_a_comment_of_so_many_bytes() {
    let server = Server::start();
    for (padding, bytes) in [(0, 0), (1, 3), (3, 3), (4, 4), (2048, 2048), (65_536, 65_536)] {
        let target = format!("/topics/a?padding={padding}&lastEventId=x&wait=0");
        let text = poll(&server, &target, &[]);
        let (comment, rest) = text.split_at(bytes);
        assert!(rest.starts_with("id: ") && rest.contains("eventwall:gap"), "{padding}: {rest}");
        assert!(bytes == 0 || comment == format!(":{}\n\n", " ".repeat(bytes - 3)), "{padding}");
    }
    let polyfill = poll(&server, "/topics/a?padding=true&lastEventId=x&wait=0", &[]);
    assert_eq!(polyfill.find("id: "), Some(2048));
    let (_, mut open) = stream(server.addr, "/topics/a?padding=9", &[]);
    assert!(open.text_until("tick").unwrap().starts_with(":      \n\nid: "));
}

#[test]
fn a_poll_that_is_cut_short_by_a_stop_tells_its_cursor() {
    let mut server = Server::start();
    let id = post(server.addr, "/topics/a", "before");
    let (_, mut open) = stream(server.addr, "/topics/a?wait=20", &[]);
    until_followed(&server);
    server.signal("TERM");
    let text = open.text_until("retry: ").unwrap();
    let (tick, retry) = text.split_once("retry: ").unwrap();
    assert_eq!(tick, format!("id: {id}\nevent: eventwall:tick\ndata: \n\n"));
    assert!(retry.trim().parse::<u64>().is_ok(), "{text}");
    server.wait();
    server.restart();
    post(server.addr, "/topics/a", "missed");
    let next = poll(&server, &format!("/topics/a?lastEventId={id}&wait=5"), &[]);
    assert!(next.contains("data: missed"), "{next}");
}

/// A stream that waits shows nothing by itself that it has begun.
fn until_followed(server: &Server) {
    until("the stream is followed", || {
        get(server.addr, "/metrics", &[]).text().contains("eventwall_subscribers 1")
    });
}

#[test]
fn an_ephemeral_frame_has_no_id() {
    let server = Setup::default().arg("--heartbeat").arg("100ms").start();
    let targets = ["/topics/a", "/events?topic=*", "/topics/a?as=json", "/topics/a?wait=20"];
    let mut streams: Vec<_> = targets.map(|target| stream(server.addr, target, &[]).1).into();
    // The second tick says that it is live.
    for stream in &mut streams[..3] {
        for _ in 0..2 {
            stream.text_until("tick").unwrap();
        }
    }
    let (lines, json) = (
        "event: typing\ndata: x\ndata: y\n\n",
        "{\"data\":\"x\\ny\",\"event\":\"typing\",\"topic\":\"a\"}",
    );
    let send = || request(server.addr, "POST", "/topics/a?ephemeral&event=typing", &[], b"x\ny");
    assert_eq!(send().status, 202);
    for (n, expected) in [
        (0, lines.to_owned()),
        (1, format!("topic: a\n{lines}")),
        (2, format!("event: typing\ndata: {json}\n\n")),
    ] {
        let text = streams[n].text_until("typing\n").unwrap();
        assert!(text.ends_with(&expected), "{text}");
    }
}

#[test]
fn everyone_gets_every_event_once_in_the_order_of_the_log() {
    let server = Server::start();
    let addr = server.addr;
    let follow = || Follower::start(addr, "/events?topic=a&topic=b/*&since=1h", &[]);
    let early = follow();
    let publish = |topic: &'static str| {
        thread::spawn(move || {
            (0..40).for_each(|n| drop(post(addr, &format!("/topics/{topic}"), n.to_string())));
        })
    };
    let publishers = ["a", "b/1", "b/2", "c"].map(publish);
    let mid = follow();
    for publisher in publishers {
        publisher.join().unwrap();
    }
    let late = follow();
    let ids = |follower: &Follower| -> Vec<String> {
        let seen = follower.wait("all events", |seen| seen.messages().count() >= 120);
        seen.messages().map(|event| event.last_event_id.clone()).collect()
    };
    let expected: Vec<_> = {
        let page = get_json(addr, "/events?topic=a&topic=b/*&since=1h&limit=1000");
        let events = page["events"].as_array().unwrap().iter();
        events.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    let position = |id: &String| id.split_once('-').unwrap().1.parse::<u64>().unwrap();
    assert!(expected.len() == 120 && expected.is_sorted_by_key(position));
    for follower in [&early, &mid, &late] {
        assert_eq!(ids(follower), expected);
    }
    let page = get_json(addr, "/events?topic=**&since=1h&limit=1000");
    let times = page["events"].as_array().unwrap().iter().map(|event| event["time"].as_str());
    assert!(times.is_sorted(), "times never fall");
}

#[test]
fn who_falls_behind_what_is_kept_is_told() {
    let setup = Setup::default().arg("--max-bytes").arg("4MiB").arg("--window-bytes").arg("1MiB");
    let server = setup.arg("--durability").arg("none").start();
    let (_, mut slow) = stream(server.addr, "/topics/a", &[]);
    let mut ids = vec![get_json(server.addr, "/topics/a")["cursor"].as_str().unwrap().to_owned()];
    // More than sockets buffer, so that the server cannot send on.
    let large = "x".repeat(900_000);
    ids.extend((0..40).map(|_| post(server.addr, "/topics/a", &large)));
    ids.push(post(server.addr, "/topics/a", "end"));
    let text = slow.text_until("data: end").unwrap();
    let blocks = text.trim_end().split("\n\n").map(|block| block.strip_prefix("id: ").unwrap());
    let got: Vec<_> = blocks.map(|block| block.split_once('\n').unwrap()).collect();
    let place = |id: &str| ids.iter().position(|known| known == id).unwrap();
    let (mut at, mut gaps) = (0, 0);
    // What is removed while it reads makes another gap.
    for (id, rest) in &got[1..] {
        let Some(gap) = rest.strip_prefix("event: eventwall:gap\ndata: ") else {
            assert_eq!(place(id), at + 1, "nothing is passed over in silence");
            at += 1;
            continue;
        };
        let gap: serde_json::Value = serde_json::from_str(gap).unwrap();
        let told = [&gap["after"], &gap["resumed"], &gap["reason"]].map(|v| v.as_str().unwrap());
        assert_eq!(told, [&*ids[at], id, "expired"]);
        assert!(place(id) > at, "the gap stands where reading goes on");
        at = place(id);
        gaps += 1;
    }
    assert!(gaps > 0 && at + 1 == ids.len(), "{gaps} gaps, up to {at}");
}

#[test]
fn a_stopped_server_gives_each_stream_a_time_of_its_own() {
    let mut server = Server::start();
    let mut streams: Vec<_> = (0..5)
        .map(|_| {
            let (_, mut stream) = stream(server.addr, "/topics/a", &[]);
            stream.text_until("tick").unwrap();
            stream
        })
        .collect();
    server.signal("TERM");
    let mut times: Vec<u64> = Vec::new();
    for stream in &mut streams {
        let text = stream.text_until("retry").unwrap();
        let time = text.strip_prefix("retry: ").unwrap().strip_suffix("\n\n").unwrap();
        times.push(time.parse().unwrap());
        assert_eq!(stream.chunk().unwrap(), None, "a clean end");
    }
    assert!(times.iter().all(|time| (500..3500).contains(time)), "{times:?}");
    assert!(times.iter().any(|time| *time != times[0]), "{times:?}");
    assert_eq!(server.wait().code(), Some(0));
}
