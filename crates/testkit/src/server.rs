//! A real server in a process of its own. It can be killed, stopped and started again on the
//! same port with the same data.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{DEADLINE, eventwall};

/// Bytes of a server's log that are kept.
const MAX_LOG: usize = 1 << 20;

/// How to start a server.
#[derive(Debug, Default, Clone)]
pub struct Setup {
    args: Vec<String>,
    data: Option<PathBuf>,
    everywhere: bool,
    max_file: Option<u32>,
    env: Vec<(String, String)>,
    store: Option<String>,
}

impl Setup {
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    #[must_use]
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.args.extend(args.into_iter().map(str::to_owned));
        self
    }

    /// On this data directory, instead of a temporary one.
    #[must_use]
    pub fn data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// With its log elsewhere, such as in NATS.
    #[must_use]
    pub fn store(mut self, url: &str) -> Self {
        self.store = Some(url.into());
        self
    }

    /// On every address of this machine, instead of a loopback address.
    #[must_use]
    pub fn everywhere(mut self) -> Self {
        self.everywhere = true;
        self.arg("--allow-anyone")
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// On a disk that fails once a file has so many KiB.
    #[must_use]
    pub fn failing_beyond(mut self, kib: u32) -> Self {
        self.max_file = Some(kib);
        self
    }

    /// Starts it on a free port.
    #[must_use]
    pub fn start(self) -> Server {
        let temp = tempfile::tempdir().unwrap();
        let data = self.data.unwrap_or_else(|| temp.path().join("data"));
        let host = if self.everywhere { [0, 0, 0, 0] } else { [127, 0, 0, 1] };
        let place = match self.store {
            Some(url) => ["--store".into(), url],
            None => ["--data".into(), data.display().to_string()],
        };
        let args: Vec<String> = place.into_iter().chain(self.args).collect();
        let (child, greeting, log) = spawn((host, 0).into(), (&args, &self.env), self.max_file);
        let addr = address(&greeting);
        Server { child, addr, args, env: self.env, data, greeting, log, _temp: temp }
    }
}

#[derive(Debug)]
pub struct Server {
    child: Child,
    pub addr: SocketAddr,
    args: Vec<String>,
    env: Vec<(String, String)>,
    data: PathBuf,
    /// What it printed when it was ready.
    pub greeting: String,
    log: Arc<Mutex<String>>,
    _temp: TempDir,
}

impl Server {
    #[must_use]
    pub fn start() -> Self {
        Setup::default().start()
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What it logged since it was started, the first part of it.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no handler, no flush, no farewell.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the server does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts it again on the same port with the same data, once the old process is gone. The
    /// disk is whole again.
    pub fn restart(&mut self) {
        (self.child, self.greeting, self.log) = spawn(self.addr, (&self.args, &self.env), None);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(
    listen: SocketAddr,
    (args, env): (&[String], &[(String, String)]),
    max_file: Option<u32>,
) -> (Child, String, Arc<Mutex<String>>) {
    let mut command = max_file.map_or_else(eventwall, limited);
    command.arg("--listen").arg(listen.to_string()).args(args);
    command.envs(env.iter().map(|(name, value)| (name, value)));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut greeting = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    while !greeting.ends_with("stops it.\n") {
        if lines.read_line(&mut greeting).unwrap() == 0 {
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            panic!("the server did not start: {error}");
        }
    }
    let log = keep_log(child.stderr.take().unwrap());
    (child, greeting, log)
}

/// Its log must not fill a pipe that nobody reads.
fn keep_log(stderr: ChildStderr) -> Arc<Mutex<String>> {
    let kept = Arc::new(Mutex::new(String::new()));
    let (to, shows) = (kept.clone(), std::env::var_os("EVENTWALL_TEST_LOG").is_some());
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if shows {
                eprintln!("{line}");
            }
            let mut kept = to.lock().unwrap();
            if kept.len() < MAX_LOG {
                *kept += &format!("{line}\n");
            }
        }
    });
    kept
}

/// The command with a limit on the size of files, beyond which writes fail.
fn limited(kib: u32) -> Command {
    let command = eventwall();
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", 2 * kib);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(command.get_program()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

fn address(greeting: &str) -> SocketAddr {
    let after = greeting.split_once("://").unwrap().1;
    after.split('/').next().unwrap().parse().unwrap()
}
