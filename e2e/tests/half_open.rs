//! A peer that is gone without a word: no FIN, no reset, no answer. The server finds out by what
//! is not acknowledged in time, though the socket would take bytes for much longer.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
};

use eventwall_testkit::{DEADLINE, eventwall};

/// Lines of a process, as they come.
fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    lines
}

fn wait_for(lines: &Receiver<String>, text: &str) {
    loop {
        let line = lines.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no line with {text:?}"));
        if line.contains(text) {
            return;
        }
    }
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command in the server's network namespace.
fn inside(server: &Ended, words: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    let target = server.0.id().to_string();
    command.args(["--target", &target, "--user", "--net", "--preserve-credentials"]).args(words);
    command
}

#[test]
fn a_peer_that_is_gone_without_a_word_is_found() {
    // A network of its own, whose only link can be taken down.
    let script = "ip link set lo up && exec \"$0\" --listen 127.0.0.1:8080 --store memory --heartbeat 500ms --write-deadline 2s";
    let binary = eventwall().get_program().to_owned();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "sh", "-ec", script]).arg(binary);
    command.env("RUST_LOG", "debug").env("XDG_CONFIG_HOME", "/nonexistent");
    let mut server = Ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let log = lines(server.0.stderr.take().unwrap());
    wait_for(&lines(server.0.stdout.take().unwrap()), "Ctrl-C stops it");

    let mut curl = inside(&server, &["curl", "-sN", "http://127.0.0.1:8080/topics/a"]);
    let mut follower = Ended(curl.stdout(Stdio::piped()).spawn().unwrap());
    wait_for(&lines(follower.0.stdout.take().unwrap()), "eventwall:tick");

    assert!(inside(&server, &["ip", "link", "set", "lo", "down"]).status().unwrap().success());
    wait_for(&log, "cut a connection whose peer is gone without a word");
    assert!(inside(&server, &["ip", "link", "set", "lo", "up"]).status().unwrap().success());
    let metrics =
        inside(&server, &["curl", "-s", "http://127.0.0.1:8080/metrics"]).output().unwrap();
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    assert!(metrics.contains("eventwall_subscribers 0"), "{metrics}");
}
