//! Real nats-servers in processes of their own, alone or as a cluster, on loopback. They can be
//! killed, stopped and started again on the same ports with the same data, or with data put back
//! from a copy.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::DEADLINE;

/// Which nats-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatsVersion {
    /// Debian's: the oldest that is supported.
    Oldest,
    /// One that knows all that Eventwall makes use of; see `cargo xtask test`.
    Newest,
}

impl NatsVersion {
    fn binary(self) -> PathBuf {
        match self {
            Self::Oldest => "nats-server".into(),
            Self::Newest => {
                std::env::var_os("EVENTWALL_NATS_NEWEST").map_or_else(newest, PathBuf::from)
            }
        }
    }
}

/// Where `cargo xtask test` puts it.
fn newest() -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or(target, PathBuf::from).join("nats/nats-server")
}

/// Runs a server, and ends it with the test: servers that many tests share are never dropped.
const GUARD: &str = r#""$@" & echo $!; read _; kill -9 $! 2>/dev/null; wait"#;

/// One server.
#[derive(Debug)]
pub struct Nats {
    /// Its guard, and its own process id.
    process: Option<(Child, String)>,
    version: NatsVersion,
    pub addr: SocketAddr,
    config: PathBuf,
    store: PathBuf,
}

/// Servers that know each other.
#[derive(Debug)]
pub struct NatsCluster {
    pub servers: Vec<Nats>,
    _temp: TempDir,
}

/// How a server is to be.
#[derive(Debug, Clone, Default)]
pub struct NatsSetup {
    /// Lines of its settings file.
    pub settings: String,
    /// Every write is synced before it is acknowledged.
    pub sync_always: bool,
    pub no_jetstream: bool,
}

impl NatsCluster {
    /// So many servers that store on disk.
    #[must_use]
    pub fn start(version: NatsVersion, count: usize, setup: &NatsSetup) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let ports = free_ports(2 * count);
        let (clients, routes) = ports.split_at(count);
        let servers = clients.iter().enumerate().map(|(n, client)| {
            let folder = temp.path().join(format!("n{n}"));
            std::fs::create_dir_all(&folder).unwrap();
            let config = folder.join("nats.conf");
            let store = folder.join("store");
            std::fs::write(&config, settings(n, *client, (routes, count), (&store, setup)))
                .unwrap();
            Nats { process: None, version, addr: *client, config, store }
        });
        let mut cluster = Self { servers: servers.collect(), _temp: temp };
        cluster.servers.iter_mut().for_each(Nats::spawn);
        if !setup.no_jetstream {
            cluster.servers.iter().for_each(Nats::wait);
        }
        cluster
    }

    /// For `--store`.
    #[must_use]
    pub fn url(&self, hub: &str) -> String {
        let hosts: Vec<String> = self.servers.iter().map(|s| s.addr.to_string()).collect();
        format!("nats://{}/{hub}", hosts.join(","))
    }
}

impl Nats {
    fn spawn(&mut self) {
        let binary = self.version.binary();
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(&binary).arg("-c").arg(&self.config);
        command.arg("-l").arg(self.config.with_extension("log"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut guard = command.spawn().unwrap();
        let mut pid = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        self.process = Some((guard, pid.trim().to_owned()));
    }

    /// Until its JetStream answers.
    ///
    /// # Panics
    /// With what it says, if it does not.
    pub fn wait(&self) {
        let end = Instant::now() + DEADLINE;
        while !self.answers() {
            assert!(
                Instant::now() < end,
                "{:?} does not answer (`cargo xtask test` installs it): {}",
                self.version.binary(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.addr) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let ask = "CONNECT {\"verbose\":false}\r\nSUB probe 1\r\nPUB $JS.API.INFO probe 0\r\n\r\n";
        if stream.write_all(ask.as_bytes()).is_err() {
            return false;
        }
        let mut lines = BufReader::new(stream).lines();
        let answer = lines.find(|line| {
            line.as_ref().map_or(true, |l| l.starts_with('{') || l.starts_with("-ERR"))
        });
        // Who has to log in is told so, by a server that is there.
        answer.is_some_and(|line| {
            line.is_ok_and(|l| l.starts_with("-ERR") || !l.contains("\"error\""))
        })
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some((mut guard, _)) = self.process.take() {
            drop(guard.stdin.take());
            guard.wait().unwrap();
        }
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Sends a signal by name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let (_, pid) = self.process.as_ref().unwrap();
        assert!(Command::new("kill").arg(format!("-{name}")).arg(pid).status().unwrap().success());
    }

    /// Starts it again, with what it had stored.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
    }

    /// What it stored, put aside. It must not be running.
    pub fn copy_store(&self, to: &Path) {
        copy(&self.store, to);
    }

    /// What was put aside takes the place of what it stored.
    pub fn restore_store(&self, from: &Path) {
        let _ = std::fs::remove_dir_all(&self.store);
        copy(from, &self.store);
    }

    /// What it says.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.config.with_extension("log")).unwrap_or_default()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success(), "{} is copied", from.display());
}

fn settings(
    n: usize,
    client: SocketAddr,
    (routes, count): (&[SocketAddr], usize),
    (store, setup): (&Path, &NatsSetup),
) -> String {
    let mut text = format!("server_name: n{n}\nlisten: {client}\n");
    if !setup.no_jetstream {
        let sync = if setup.sync_always { "sync_interval: always" } else { "" };
        let _ = writeln!(text, "jetstream {{ store_dir: \"{}\"\n {sync} }}", store.display());
    }
    if count > 1 {
        let others: Vec<_> = routes.iter().map(|route| format!("nats://{route}")).collect();
        let _ = writeln!(
            text,
            "cluster {{ name: test, listen: {}, routes: [{}] }}",
            routes[n],
            others.join(", ")
        );
    }
    text + &setup.settings
}

/// Ports that nobody has now.
pub(crate) fn free_ports(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<_> =
        (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
}
