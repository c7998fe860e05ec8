//! The data directory from outside: restarts, copies, restores, damage, locks. An old cursor
//! never skips an event in silence.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{fs, path::Path};

use eventwall_testkit::{Follower, Server, Setup, eventwall, get_json, post, request, run};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn segment(data: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().unwrap() == "seg").max().unwrap()
}

/// What a client with an old cursor is told.
fn resume(server: &Server, cursor: &str) -> Vec<String> {
    let header = format!("Last-Event-ID: {cursor}");
    let follower = Follower::start(server.addr, "/topics/a", &[&header]);
    let seen = follower.wait("live", |seen| seen.told().contains(&"live"));
    seen.told().into_iter().map(str::to_owned).collect()
}

#[test]
fn a_restart_keeps_events_ids_and_cursors() {
    let mut server = Server::start();
    let ids: Vec<_> = (0..3).map(|n| post(server.addr, "/topics/a", n.to_string())).collect();
    let before = get_json(server.addr, "/topics/a?last=9")["events"].clone();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    server.restart();
    assert!(server.greeting.contains("3 events"), "{}", server.greeting);
    assert_eq!(get_json(server.addr, "/topics/a?last=9")["events"], before);
    post(server.addr, "/topics/a", "new");
    assert_eq!(resume(&server, &ids[1]), ["tick", "2", "new", "live"]);
}

#[test]
fn two_restores_of_one_copy_never_share_an_id() {
    let mut origin = Server::start();
    let common = post(origin.addr, "/topics/a", "common");
    origin.signal("TERM");
    origin.wait();
    let temp = tempfile::tempdir().unwrap();
    let (one, two) = (temp.path().join("one"), temp.path().join("two"));
    copy(origin.data(), &one);
    copy(origin.data(), &two);
    origin.restart();
    let later = post(origin.addr, "/topics/a", "only in the original");
    let one = Setup::default().data(&one).start();
    let two = Setup::default().data(&two).start();
    let in_one = post(one.addr, "/topics/a", "one");
    let in_two = post(two.addr, "/topics/a", "two");
    assert_ne!(in_one, in_two);
    assert_eq!(resume(&one, &common), ["tick", "one", "live"], "what is common resolves exactly");
    for foreign in [&in_one, &later] {
        let told = resume(&two, foreign);
        assert_eq!(told[0], "gap", "{told:?}");
        assert!(told.contains(&"two".into()), "{told:?}");
    }
}

#[test]
fn a_log_made_anew_within_a_second_is_told_apart() {
    let mut server = Server::start();
    let old: Vec<_> = (0..3).map(|n| post(server.addr, "/topics/a", n.to_string())).collect();
    server.kill();
    fs::remove_dir_all(server.data()).unwrap();
    server.restart();
    for n in 0..3 {
        post(server.addr, "/topics/a", format!("new {n}"));
    }
    for cursor in &old {
        assert_eq!(resume(&server, cursor), ["gap", "tick", "new 0", "new 1", "new 2", "live"]);
    }
}

#[test]
fn a_restored_older_copy_tells_those_who_know_more() {
    let mut server = Server::start();
    let kept = post(server.addr, "/topics/a", "kept");
    server.kill();
    let temp = tempfile::tempdir().unwrap();
    copy(server.data(), temp.path());
    server.restart();
    let lost = post(server.addr, "/topics/a", "lost by the restore");
    server.kill();
    fs::remove_dir_all(server.data()).unwrap();
    copy(temp.path(), server.data());
    server.restart();
    post(server.addr, "/topics/a", "after the restore");
    assert_eq!(resume(&server, &kept), ["tick", "after the restore", "live"]);
    assert_eq!(resume(&server, &lost)[0], "gap");
}

#[test]
fn retention_tells_a_gap_to_whom_it_took_something() {
    let server = Setup::default().arg("--max-bytes").arg("1000000").start();
    let early = post(server.addr, "/topics/a", "early");
    post(server.addr, "/topics/a", "lost");
    let quiet = post(server.addr, "/topics/quiet", "seen");
    for n in 0..40 {
        post(server.addr, "/topics/a", format!("{n}:{}", "x".repeat(100_000)));
    }
    // Past the window, so that it is the log that answers.
    let mut server = server;
    server.kill();
    server.restart();
    let told = resume(&server, &early);
    assert_eq!(&told[..2], ["tick", "gap"]);
    assert!(told[2].len() > 100_000 && told.last().unwrap() == "live");
    let header = format!("Last-Event-ID: {quiet}");
    let follower = Follower::start(server.addr, "/topics/quiet", &[&header]);
    let seen = follower.wait("live", |seen| seen.told().contains(&"live"));
    assert_eq!(seen.told(), ["tick", "live"], "nothing of that topic was missed");
}

/// Starts a server that should fail; answers its exit code and what it says.
fn failing(args: &[&str]) -> (i32, String) {
    let (code, out, error) = run(eventwall().args(args));
    assert_eq!(out, "", "nothing but the error is said");
    assert_eq!(error.lines().count(), 1, "one sentence: {error}");
    (code, error)
}

#[test]
fn what_cannot_start_says_why_and_what_to_do() {
    let server = Server::start();
    let data = server.data().to_str().unwrap();
    let temp = tempfile::tempdir().unwrap();
    let free = temp.path().join("free");
    let addr = server.addr.to_string();

    let (code, error) = failing(&["--listen", &addr, "--data", free.to_str().unwrap()]);
    assert!(
        code == 3 && error.contains("another program uses that port") && error.contains("--listen"),
        "{error}"
    );

    let (code, error) = failing(&["--listen", "127.0.0.1:0", "--data", data]);
    assert!(
        code == 4 && error.contains("in use by another Eventwall") && error.contains("--data"),
        "{error}"
    );

    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    let (code, error) = failing(&["--listen", "127.0.0.1:0", "--data", file.to_str().unwrap()]);
    assert!(code == 4 && error.contains("cannot write to") && error.contains("--data"), "{error}");

    let (code, error) = failing(&["--listen", "0.0.0.0:0", "--data", free.to_str().unwrap()]);
    assert!(code == 2 && error.contains("--allow-anyone"), "{error}");
}

#[test]
fn a_damaged_log_is_refused_with_the_place_and_the_way_out() {
    let mut server = Server::start();
    for n in 0..10 {
        post(server.addr, "/topics/a", n.to_string());
    }
    server.kill();
    let file = segment(server.data());
    let mut bytes = fs::read(&file).unwrap();
    bytes[200] ^= 1;
    fs::write(&file, bytes).unwrap();
    let data = server.data().to_str().unwrap();
    let (code, error) = failing(&["--listen", "127.0.0.1:0", "--data", data]);
    assert!(code == 5 && error.contains("damaged in log/") && error.contains("restore"), "{error}");
}

#[test]
fn the_greeting_counts_what_is_in_the_log() {
    let mut server = Server::start();
    assert!(server.greeting.contains("(0 events, 0 KiB)"), "{}", server.greeting);
    let ids: Vec<_> = (0..3).map(|_| post(server.addr, "/topics/a", "x".repeat(5_000))).collect();
    request(server.addr, "DELETE", &format!("/events/{}", ids[1]), &[], b"");
    server.signal("TERM");
    server.wait();
    server.restart();
    assert!(server.greeting.contains("(2 events, 15 KiB)"), "{}", server.greeting);
}

#[test]
fn a_log_without_events_opens_again_and_again() {
    let mut server = Server::start();
    for _ in 0..4 {
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
        server.restart();
    }
    post(server.addr, "/topics/a", "the first");
}

#[test]
fn a_torn_tail_is_cut_and_everything_before_it_kept() {
    let mut server = Server::start();
    for n in 0..3 {
        post(server.addr, "/topics/a", n.to_string());
    }
    server.kill();
    let file = segment(server.data());
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 5]).unwrap();
    server.restart();
    assert!(server.greeting.contains("2 events"), "{}", server.greeting);
    let events = get_json(server.addr, "/topics/a?last=9")["events"].clone();
    assert_eq!(events.as_array().unwrap().len(), 2);
}
