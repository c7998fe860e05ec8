//! The README's commands, run as they stand there, against a server on another port.
//! (Its three lines of JavaScript run in the browsers' suite.)
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
};

use eventwall_log::EventId;
use eventwall_testkit::{DEADLINE, Server, Setup, eventwall, get_json, post};

const README: &str = include_str!("../../README.md");

fn commands() -> Vec<&'static str> {
    let blocks = README.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).filter(|line| !line.trim().is_empty()).collect()
}

/// A shell in which `eventwall` is the binary under test, and the server another one.
fn shell(line: &str, server: &Server) -> Command {
    let line = line.replace("http://127.0.0.1:8080", &server.url(""));
    let binary = PathBuf::from(eventwall().get_program());
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-ec", &line])
        .env("PATH", format!("{}:{path}", binary.parent().unwrap().display()));
    shell.env("EVENTWALL_SERVER", server.url("")).stdin(Stdio::null());
    shell
}

/// A command that never ends: it is good once it has printed an event, or the id of one.
fn goes_on(line: &str, server: &Server) {
    // `exec`, so that the child to be stopped is the command and no shell around it.
    let mut child = shell(&format!("exec {line}"), server).stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (found, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let is_event = |line: &String| {
            line.contains("hello") || line.contains("red") || line.parse::<EventId>().is_ok()
        };
        let _ = found.send(out.lines().map_while(Result::ok).find(is_event));
    });
    let event = wait.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("`{line}` printed no event"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(event.is_some(), "`{line}` ended without an event");
}

#[test]
fn the_commands_work_as_they_stand() {
    let server = Server::start();
    let (mut ran, mut followed) = (0, 0);
    for line in commands() {
        if line.starts_with("cargo ") {
            continue;
        }
        if line.starts_with("curl -N")
            || line.starts_with("eventwall subscribe")
            || line.contains(" --every ")
        {
            goes_on(line, &server);
            followed += 1;
        } else {
            let output = shell(line, &server).output().unwrap();
            assert!(output.status.success() && !output.stdout.is_empty(), "`{line}`: {output:?}");
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(!printed.contains("\"status\":"), "`{line}` was refused: {printed}");
            ran += 1;
        }
    }
    assert!(ran >= 4 && followed >= 4, "the README lost its commands: {ran}, {followed}");
}

/// The settings that are shown there.
#[test]
fn the_settings_work_as_they_stand() {
    let shown = README.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("eventwall.toml");
    std::fs::write(&file, shown).unwrap();
    let server = Setup::default().arg("--config").arg(file.to_str().unwrap()).start();
    for state in ["on", "off"] {
        post(server.addr, "/topics/lamps/1", state);
    }
    let page = get_json(server.addr, "/events?topic=lamps/*&last=9");
    let events = page["events"].as_array().unwrap();
    assert_eq!((events.len(), &events[0]["data"]), (1, &"off".into()));
}

/// The two commands that need no running: one runs this test, the other is run by hand.
#[test]
fn the_two_commands_are_there_and_exist() {
    let two: Vec<_> = commands().into_iter().filter(|line| line.starts_with("cargo ")).collect();
    assert!(two[0].starts_with("cargo run --release") && two[1].starts_with("cargo xtask test"));
    assert!(include_str!("../../.cargo/config.toml").contains("xtask = "));
    assert!(README.contains(&format!("Rust {}", env!("CARGO_PKG_RUST_VERSION"))));
    assert!(!README.contains("_BUILD") && !README.contains("_TEST"), "a placeholder was left");
}

/// A bare `cargo run` finds one program to run, the README's: with two it would run none.
#[test]
fn cargo_run_is_the_server() {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap());
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().unwrap();
    let workspace: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = |value: &serde_json::Value| value.as_array().unwrap().clone();
    let default = list(&workspace["workspace_default_members"]);
    let packages = list(&workspace["packages"]).into_iter();
    let targets = packages.filter(|p| default.contains(&p["id"])).flat_map(|p| list(&p["targets"]));
    let programs: Vec<_> = targets
        .filter(|target| list(&target["kind"]).contains(&"bin".into()))
        .map(|target| target["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(programs, ["eventwall"]);
}

/// Every file that the documents point to is there.
#[test]
fn links_lead_somewhere() {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        let links = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.starts_with("http")) {
            assert!(root.join(link).exists(), "{document} points to {link}");
        }
    }
}
