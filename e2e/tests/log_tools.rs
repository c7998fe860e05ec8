//! `eventwall log`: looking at a log, checking it, backing it up and restoring it, while a server
//! uses it or not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use eventwall_testkit::{
    Follower, Server, Setup, eventwall, get, get_json, post, run, stream, until,
};

fn log(words: &[&str], data: &Path) -> (i32, String, String) {
    run(eventwall().arg("log").args(words).arg("--data").arg(data))
}

fn segments(data: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(data.join("log")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().unwrap() == "seg").collect();
    paths.sort();
    paths
}

#[test]
fn a_log_is_looked_at_while_it_is_in_use() {
    let server = Server::start();
    let id = post(server.addr, "/topics/a", "one");
    post(server.addr, "/topics/b", "two");
    let erased = format!("/events/{id}");
    eventwall_testkit::request(server.addr, "DELETE", &erased, &[], b"");
    let (code, out, _) = log(&["inspect"], server.data());
    assert_eq!(code, 0);
    assert!(out.contains("1 segment, ") && out.contains("2 events on 1 topic, 1 erased"), "{out}");
    assert!(out.contains("log/00000000000000000001.seg") && out.contains("1..3"), "{out}");
    let (code, out, _) = log(&["verify"], server.data());
    assert_eq!((code, &*out), (0, "2 events in 1 segment, all as they were written\n"));
    let (code, _, error) = log(&["verify"], Path::new("/nonexistent"));
    assert!(code == 4 && error.contains("there is no log in /nonexistent"), "{error}");
}

#[test]
fn every_damaged_place_is_named() {
    let mut server = Server::start();
    for n in 0..50 {
        post(server.addr, "/topics/a", format!("{n}-{}", "x".repeat(100)));
    }
    server.signal("TERM");
    server.wait();
    let file = segments(server.data()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    for at in [1_000, 5_000] {
        bytes[at] ^= 4;
    }
    fs::write(&file, &bytes).unwrap();
    let (code, out, error) = log(&["verify"], server.data());
    assert_eq!(code, 5, "{out}{error}");
    assert_eq!(out.lines().count(), 2, "{out}");
    assert!(
        out.lines().all(|line| line.starts_with("log/0000") && line.contains(" at byte ")),
        "{out}"
    );
    assert!(error.contains("2 damaged places") && error.contains("restore"), "{error}");
    let (code, out, _) = log(&["inspect"], server.data());
    assert!(code == 0 && out.contains("2 damaged places"), "{out}");
    // A write that a crash cut short is no damage.
    bytes[1_000] ^= 4;
    bytes[5_000] ^= 4;
    bytes.truncate(bytes.len() - 7);
    fs::write(&file, &bytes).unwrap();
    let (code, out, _) = log(&["verify"], server.data());
    assert!(code == 0 && out.contains("a crash cut short") && out.contains("49 events"), "{out}");
}

fn bytes(data: &Path) -> u64 {
    segments(data).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

/// Events of which a limit hides most, though not enough for the server to find it worth its while.
fn hide_a_little(server: &Server) {
    for n in 0..40 {
        post(server.addr, "/topics/few", format!("{n} {}", "x".repeat(10_000)));
        post(server.addr, "/topics/all", format!("{n} {}", "y".repeat(15_000)));
    }
}

#[test]
fn a_log_is_compacted_by_its_server_and_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wall.toml");
    fs::write(&file, "[[retention]]\ntopics = \"few\"\nmax_events = 2\n").unwrap();
    let config = file.to_str().unwrap();
    let mut server = Setup::default().arg("--config").arg(config).start();
    hide_a_little(&server);
    let before = bytes(server.data());
    let (code, out, error) = log(&["compact"], server.data());
    assert_eq!(code, 0, "{error}");
    assert!(out.contains(" before, ") && out.contains(" now\n"), "{out}");
    let after = bytes(server.data());
    assert!(after < before - 350_000, "{before} bytes, then {after}");
    hide_a_little(&server);
    let page = get_json(server.addr, "/topics/all?last=90");
    assert_eq!(page["events"].as_array().unwrap().len(), 80, "it goes on serving");

    // Killed, so that its socket is still there.
    server.kill();
    let before = bytes(server.data());
    let (code, _, error) = log(&["compact"], server.data());
    assert!(code == 2 && error.contains("other limits"), "{error}");
    assert_eq!(bytes(server.data()), before, "nothing is lost by a flag that was forgotten");
    let (code, _, error) = log(&["compact", "--config", config], server.data());
    assert_eq!(code, 0, "{error}");
    let after = bytes(server.data());
    assert!(after < before - 350_000, "{before} bytes, then {after}");
    // Nobody knows by which limits: not even the right ones will do.
    let (noted, aside) = (server.data().join("state/limits"), folder.path().join("limits"));
    fs::rename(&noted, &aside).unwrap();
    let (code, _, error) = log(&["compact", "--config", config], server.data());
    assert!(code == 2 && error.contains("nothing says"), "{error}");
    fs::rename(&aside, &noted).unwrap();
    server.restart();
    let count = |topic: &str| {
        let page = get_json(server.addr, &format!("/topics/{topic}?last=90"));
        page["events"].as_array().unwrap().len()
    };
    assert_eq!((count("all"), count("few")), (80, 2));
    let (code, _, error) = log(&["compact"], Path::new("/nonexistent"));
    assert!(code == 4 && error.contains("there is no log in /nonexistent"), "{error}");
}

/// Opening does not read what has an index file: whoever reads it is told, and so is the operator.
#[test]
fn damage_that_a_reader_meets_is_told_to_all() {
    let mut server = Setup::default().arg("--max-bytes").arg("1MiB").start();
    let first = post(server.addr, "/topics/a", "first");
    for n in 0..40 {
        post(server.addr, "/topics/a", format!("{n} {}", "x".repeat(10_000)));
    }
    let indexed = |data: &Path| {
        let names = fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".idx")).count()
    };
    until("segments have index files", || indexed(server.data()) >= 4);
    server.signal("TERM");
    server.wait();
    let file = segments(server.data()).remove(1);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&file, &bytes).unwrap();
    let (code, out, _) = log(&["verify"], server.data());
    assert!(code == 5 && out.lines().count() == 1, "{out}");
    server.restart();
    let (_, mut following) = stream(
        server.addr,
        "/topics/a",
        &["Accept: text/event-stream", &format!("Last-Event-ID: {first}")],
    );
    let seen = following.text_until("retry: 60000").unwrap();
    assert!(seen.contains(": the log is damaged in log/0000"), "the stream says why it ends");
    assert!(seen.contains("data: 0 x") && !seen.contains("data: 39 x"), "it is not passed over");
    let metrics = get(server.addr, "/metrics", &[]).text();
    assert!(metrics.contains("eventwall_log_damaged_places 1\n"), "{metrics}");
    assert!(!post(server.addr, "/topics/b", "x").is_empty(), "others go on");
}

#[test]
fn a_damaged_state_is_named_before_it_is_backed_up() {
    let mut server = Server::start();
    post(server.addr, "/topics/a", "one");
    server.signal("TERM");
    server.wait();
    let file = server.data().join("state/epochs");
    let mut bytes = fs::read(&file).unwrap();
    bytes[25] ^= 4;
    fs::write(&file, &bytes).unwrap();
    let (code, out, _) = log(&["verify"], server.data());
    assert!(code == 5 && out.contains("state/epochs at byte 0"), "{out}");
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    let (code, _, error) = log(&["backup", to.to_str().unwrap()], server.data());
    assert!(code == 5 && error.contains("1 damaged place"), "{error}");
    let (code, _, error) = log(&["backup", to.to_str().unwrap()], server.data());
    assert!(code == 4 && error.contains("already there"), "{error}");
    let inside = server.data().join("backup");
    let (code, _, error) = log(&["backup", inside.to_str().unwrap()], server.data());
    assert!(code == 4 && error.contains("itself") && !inside.exists(), "{error}");
}

#[test]
fn a_backup_of_a_busy_log_is_restored_and_resumes_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wall.toml");
    let limits = "max_bytes = \"2MiB\"\n[[retention]]\ntopics = \"busy\"\nmax_events = 50\n";
    fs::write(&file, limits).unwrap();
    let server = Setup::default().arg("--config").arg(file.to_str().unwrap()).start();
    let before = post(server.addr, "/topics/quiet", "before");
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = {
        let (addr, stop) = (server.addr, stop.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                post(addr, "/topics/busy", "x".repeat(5_000));
            }
        })
    };
    let backup = folder.path().join("backup");
    let mut copied = 0;
    // Some are taken while segments are being compacted.
    for n in 0..5 {
        let to = folder.path().join(format!("backup-{n}"));
        let (code, out, error) = log(&["backup", to.to_str().unwrap()], server.data());
        assert_eq!(code, 0, "{error}");
        assert!(out.contains(" events, "), "{out}");
        copied += 1;
        fs::rename(&to, &backup).unwrap();
        if n < 4 {
            fs::remove_dir_all(&backup).unwrap();
        }
    }
    assert_eq!(copied, 5);
    stop.store(true, Ordering::SeqCst);
    publisher.join().unwrap();
    let after = post(server.addr, "/topics/quiet", "after");

    let restored = folder.path().join("restored");
    let (code, out, error) = log(&["restore", backup.to_str().unwrap()], &restored);
    assert!(code == 0 && out.contains(" events, "), "{out}{error}");
    let (code, _, error) = log(&["restore", backup.to_str().unwrap()], &restored);
    assert!(code == 4 && error.contains("is not empty"), "{error}");
    let second = Setup::default().data(&restored).start();
    assert_eq!(get_json(second.addr, "/topics/quiet?last=9")["events"][0]["id"], before.as_str());
    let resumed = |id: &str| {
        let header = format!("Last-Event-ID: {id}");
        let follower = Follower::start(second.addr, "/topics/quiet", &[&header]);
        let seen = follower.wait("live", |seen| seen.told().contains(&"live"));
        seen.told().join(" ")
    };
    post(second.addr, "/topics/quiet", "new");
    assert_eq!(resumed(&before), "tick new live", "exactly");
    assert_eq!(resumed(&after), "gap tick new live", "what came after the backup is not there");
}
