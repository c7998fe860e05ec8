//! A disk that is really full: publishers are told, followers keep following, and when there is
//! room again the server goes on without a restart.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Stdio},
};

use eventwall_testkit::{Follower, eventwall, get, get_json, post, request, until};

/// A server on a disk of 4 MiB that is all its own, with a file of 1 MiB to make room by.
struct Small {
    child: Child,
    addr: SocketAddr,
    ballast: PathBuf,
    _mount: tempfile::TempDir,
}

impl Small {
    fn start() -> Self {
        let mount = tempfile::tempdir().unwrap();
        let folder = mount.path().display();
        // In a mount namespace of its own, so that no rights are needed and nothing is left.
        let script = format!(
            "mount -t tmpfs -o size=4m tmpfs {folder} && head -c 1048576 /dev/zero > {folder}/ballast && exec \"$0\" --listen 127.0.0.1:0 --data {folder}/data"
        );
        let binary = eventwall().get_program().to_owned();
        let mut command = std::process::Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-ec", &script]).arg(binary);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let greeting =
            out.lines().map_while(Result::ok).find(|line| line.contains("wall  http://"));
        let greeting = greeting.expect("the server starts (unshare and tmpfs are needed)");
        let addr = greeting.split("http://").nth(1).unwrap().trim_end_matches('/').parse().unwrap();
        let inside = PathBuf::from(format!("/proc/{}/root", child.id()));
        let ballast = inside.join(mount.path().strip_prefix("/").unwrap()).join("ballast");
        Self { child, addr, ballast, _mount: mount }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_full_disk_is_told_and_got_over_without_a_restart() {
    let server = Small::start();
    let follower = Follower::start(server.addr, "/topics/a", &[]);
    follower.wait("the first tick", |seen| !seen.events.is_empty());
    let large = "x".repeat(100_000);
    let mut stored = Vec::new();
    let refused = loop {
        let answer = request(server.addr, "POST", "/topics/a", &[], large.as_bytes());
        if answer.status != 201 {
            break answer;
        }
        stored.push(answer.json()["id"].as_str().unwrap().to_owned());
        assert!(stored.len() < 100, "the disk never fills");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("No space left") && detail.contains("not kept"), "{detail}");
    assert!(refused.json().get("outcome").is_none(), "it is known: {}", refused.text());
    let ready = get(server.addr, "/readyz", &[]);
    assert!(ready.status == 503 && ready.text().contains("No space left"), "{}", ready.text());
    let page = get_json(server.addr, "/topics/a?last=100");
    assert_eq!(page["events"].as_array().unwrap().len(), stored.len(), "readers go on");

    fs::remove_file(&server.ballast).unwrap();
    until("there is room again", || get(server.addr, "/readyz", &[]).status == 200);
    stored.push(post(server.addr, "/topics/a", "after"));
    let seen = follower.wait_for("after");
    let ids: Vec<_> = seen.messages().map(|event| event.last_event_id.clone()).collect();
    assert_eq!(ids, stored, "each stored event once, and no other");
    assert_eq!(seen.connections, 1, "on one line all the time");
}
