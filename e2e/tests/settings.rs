//! The settings file: where a value comes from, what is wrong with one, and what SIGHUP changes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{fs, path::Path};

use eventwall_testkit::{Server, Setup, eventwall, get, get_json, post, request, run, until};

fn with_file(file: &Path, text: &str) -> Setup {
    fs::write(file, text).unwrap();
    Setup::default().arg("--config").arg(file.to_str().unwrap())
}

fn heartbeat(server: &Server) -> String {
    let head = request(server.addr, "HEAD", "/topics/a", &[], b"");
    head.header("eventwall-heartbeat").unwrap().to_owned()
}

fn failing(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wall.toml");
    fs::write(&file, text).unwrap();
    let (code, _, error) = run(eventwall().arg("serve").arg("--config").arg(&file));
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("wall.toml: "), "{error}");
    error
}

#[test]
fn flags_come_before_the_file_and_the_file_before_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wall.toml");
    let server = with_file(&file, "heartbeat = \"7s\"\nmax_page = 3\n").start();
    assert_eq!(heartbeat(&server), "7");
    let (limit, query) =
        (|server: &Server, query: &str| get(server.addr, query, JSON).status, "/topics/a?limit=4");
    assert_eq!((limit(&server, query), limit(&server, "/topics/a?limit=3")), (400, 200));
    let flagged = with_file(&file, "heartbeat = \"7s\"\n").arg("--heartbeat").arg("9s").start();
    assert_eq!(heartbeat(&flagged), "9");
    assert_eq!(limit(&flagged, query), 200);
}

const JSON: &[&str] = &["Accept: application/json"];

#[test]
fn the_environment_comes_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wall.toml");
    fs::write(&file, "store = \"memory\"\nlisten = \"nonsense\"\n").unwrap();
    let serve = |listen: &str| {
        let mut command = eventwall();
        command.env("EVENTWALL_CONFIG", &file).env("EVENTWALL_LISTEN", listen);
        run(&mut command)
    };
    // What is wrong in the file is told even where something else overrides it.
    let (code, _, error) = serve("127.0.0.1:0");
    assert!(code == 2 && error.contains("`listen`"), "{error}");
    fs::write(&file, "listen = \"127.0.0.1:0\"\nstore = \"memory\"\ndata = \"x\"\n").unwrap();
    let (code, _, error) = serve("192.0.2.1:0");
    assert!(code == 2 && error.contains("192.0.2.1:0"), "the environment wins: {error}");
    let (code, _, error) = serve("127.0.0.1:0");
    assert!(
        code == 2 && error.contains("--store memory keeps nothing"),
        "the file counts: {error}"
    );
}

#[test]
fn what_is_wrong_in_the_file_is_named() {
    for (text, expected) in [
        ("heartbeet = \"7s\"", "did you mean `heartbeat`?"),
        ("colour = \"red\"", "there is no setting `colour`; `eventwall config` prints them all"),
        ("heartbeat = \"soon\"", "`heartbeat`: "),
        ("heartbeat = 1.5", "`heartbeat` must be"),
        ("max_bytes = [\"1GiB\", \"2GiB\"]", "takes one value"),
        ("durability = \"maybe\"", "interval"),
        ("demo = \"yes please\"", "`demo` is true or false"),
        ("max_bytes = \"1GB\"", "write it like"),
        ("= 7", "line 1"),
        ("config = \"other.toml\"", "there is no setting `config`"),
        ("[[retention]]\ntopics = \"a/**/b\"", "[[retention]] number 1: `topics`"),
        ("[retention]\ntopics = \"a\"", "write [[retention]]"),
    ] {
        let error = failing(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
    let missing = run(eventwall().args(["--config", "/nonexistent/wall.toml"]));
    assert!(missing.0 == 2 && missing.2.contains("/nonexistent/wall.toml"), "{}", missing.2);
}

#[test]
fn a_hangup_reads_the_settings_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wall.toml");
    let server = with_file(&file, "max_page = 5\nheartbeat = \"7s\"\n").start();
    let pages_of = |limit: u32| get(server.addr, &format!("/topics/a?limit={limit}"), JSON).status;
    let told = |origin: &str| {
        let origin = format!("Origin: {origin}");
        let response = get(server.addr, "/topics/a?limit=1", &[JSON[0], &origin]);
        response.header("access-control-allow-origin").map(str::to_owned)
    };
    for n in 0..20 {
        post(server.addr, "/topics/short/a", n.to_string());
    }
    let count =
        || get_json(server.addr, "/topics/short/a?last=5")["events"].as_array().unwrap().len();
    assert_eq!((pages_of(6), count(), told("https://a.example")), (400, 5, None));

    let changed = "max_page = 50\nheartbeat = \"8s\"\ncors_origin = [\"https://a.example\"]\n\
                   [[retention]]\ntopics = \"short/*\"\nkeep = \"latest\"\n";
    fs::write(&file, changed).unwrap();
    server.signal("HUP");
    until("the settings are read again", || pages_of(6) == 200);
    assert_eq!(count(), 1, "retention too");
    assert_eq!(told("https://a.example").as_deref(), Some("https://a.example"));
    assert_eq!(heartbeat(&server), "7", "this one needs a restart");

    fs::write(&file, "max_page = \"many\"\n").unwrap();
    server.signal("HUP");
    fs::write(&file, "max_page = 60\n").unwrap();
    server.signal("HUP");
    until("what was wrong changed nothing, what is right does", || pages_of(55) == 200);
    assert_eq!(told("https://a.example"), None);
}

/// The file in the docs is the one that the command prints.
#[test]
fn the_printed_file_is_the_documented_one_and_works() {
    let (code, printed, _) = run(eventwall().arg("config"));
    assert_eq!(code, 0);
    let documented = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/eventwall.toml");
    if std::env::var_os("EVENTWALL_BLESS").is_some() {
        fs::write(&documented, &printed).unwrap();
    }
    assert_eq!(
        printed,
        fs::read_to_string(documented).unwrap(),
        "EVENTWALL_BLESS=1 writes it anew"
    );
    let folder = tempfile::tempdir().unwrap();
    let server = with_file(&folder.path().join("wall.toml"), &printed).start();
    assert_eq!(heartbeat(&server), "15");
}
