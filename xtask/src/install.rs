//! What the tests need beyond cargo: says what is missing and the exact command that gets it,
//! and runs that command only with consent.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
};

use crate::run::{cargo, command, exists, root, run};

/// A program, and Debian's package that has it.
const PROGRAMS: [(&str, &str); 18] = [
    // The fuzz targets' engine is C++.
    ("c++", "g++"),
    ("chromium", "chromium"),
    ("firefox-esr", "firefox-esr"),
    ("curl", "curl"),
    ("kill", "procps"),
    ("ip", "iproute2"),
    ("prlimit", "util-linux"),
    ("strace", "strace"),
    ("faketime", "faketime"),
    ("nats-server", "nats-server"),
    ("haproxy", "haproxy"),
    ("nginx", "nginx"),
    ("caddy", "caddy"),
    ("apache2", "apache2"),
    ("openssl", "openssl"),
    ("go", "golang-go"),
    ("node", "nodejs"),
    ("npm", "npm"),
];
const OLDEST_NODE: u32 = 20;

/// Installs what is missing.
pub(crate) fn install() -> Result<(), String> {
    packages()?;
    components()?;
    node_version()?;
    newest_nats()?;
    node_modules()
}

/// Debian's nats-server is the oldest that is supported; what newer ones can do beyond is tested, too.
const NEWEST_NATS: &str = "github.com/nats-io/nats-server/v2@v2.14.9";

fn newest_nats() -> Result<(), String> {
    let folder = root().join("target/nats");
    if folder.join("nats-server").exists() {
        return Ok(());
    }
    let words = ["go", "install", NEWEST_NATS];
    consent("A newer nats-server, beside Debian's, is missing", &[&words])?;
    let built = run(command(&words).env("GOBIN", &folder).env("GOFLAGS", "-mod=mod"));
    built.map_err(|why| {
        format!(
            "{why}; it needs Go 1.21 or newer, or put a nats-server 2.12 or newer into {}",
            folder.display()
        )
    })
}

/// What Eventwall is measured beside.
pub(crate) fn nchan() -> Result<(), String> {
    let there = Path::new("/usr/lib/nginx/modules/ngx_nchan_module.so").exists();
    debian_packages(if there { &[] } else { &["nginx", "libnginx-mod-nchan"] })
}

/// What counts instructions.
pub(crate) fn valgrind() -> Result<(), String> {
    debian_packages(if exists("valgrind") { &[] } else { &["valgrind"] })
}

/// What records stacks and draws them.
pub(crate) fn flame_tools() -> Result<(), String> {
    debian_packages(if exists("perf") { &[] } else { &["linux-perf"] })?;
    if exists("inferno-flamegraph") {
        return Ok(());
    }
    let words = ["install", "--locked", "inferno"];
    consent("What draws flame graphs is missing", &[&[&["cargo"][..], &words].concat()])?;
    run(&mut cargo(&words))
}

fn packages() -> Result<(), String> {
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !exists(program))
        .map(|(_, package)| *package)
        .collect();
    debian_packages(&missing)
}

fn debian_packages(missing: &[&str]) -> Result<(), String> {
    if missing.is_empty() {
        return Ok(());
    }
    if !exists("apt-get") {
        return Err(format!(
            "install {} first: only Debian's packages are installed from here",
            missing.join(", ")
        ));
    }
    let sudo: &[&str] = if exists("sudo") && std::env::var("USER").as_deref() != Ok("root") {
        &["sudo"]
    } else {
        &[]
    };
    let update = [sudo, &["apt-get", "update", "-qq"]].concat();
    let install =
        [sudo, &["apt-get", "install", "-y", "-qq", "--no-install-recommends"], missing].concat();
    consent("These Debian packages are missing", &[&update, &install])?;
    run(&mut command(&update))?;
    run(command(&install).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn components() -> Result<(), String> {
    // Rustup puts the commands there whether or not the components are.
    let works = |name: &str| {
        let output = cargo(&[name, "--version"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let parts = [("fmt", "rustfmt"), ("clippy", "clippy")];
    let missing: Vec<&str> =
        parts.into_iter().filter(|(command, _)| !works(command)).map(|(_, part)| part).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let add = [&["rustup", "component", "add"][..], &missing].concat();
    consent("These parts of the Rust toolchain are missing", &[&add])?;
    run(&mut command(&add))
}

fn node_version() -> Result<(), String> {
    let output = command(&["node", "--version"]).output().map_err(|error| error.to_string())?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major =
        version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major >= OLDEST_NODE) {
        return Ok(());
    }
    Err(format!(
        "node is {version}, and the browser tests need {OLDEST_NODE} or newer: install a newer one"
    ))
}

/// The browser tests' libraries, exactly as locked; again when the lock has changed.
fn node_modules() -> Result<(), String> {
    let modified = |path: &str| root().join(path).metadata().and_then(|file| file.modified()).ok();
    if modified("node_modules/.package-lock.json") >= modified("package-lock.json") {
        return Ok(());
    }
    let ci = ["npm", "ci", "--no-audit", "--no-fund"];
    consent("The browser tests' libraries are missing or old", &[&ci])?;
    run(&mut command(&ci))
}

fn consent(what: &str, commands: &[&[&str]]) -> Result<(), String> {
    println!("{what}. To install them:");
    for words in commands {
        println!("  {}", words.join(" "));
    }
    if std::env::var_os("CI").is_some() {
        return Ok(());
    }
    let by_hand = "install them by hand with the commands above, or set CI=true to let this do it";
    if !std::io::stdin().is_terminal() {
        return Err(by_hand.into());
    }
    print!("Run that now? [y/N] ");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|error| error.to_string())?;
    if answer.trim().eq_ignore_ascii_case("y") { Ok(()) } else { Err(by_hand.into()) }
}
