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

use crate::{DEADLINE, Proxy, until};

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
    /// From each server to each other, by which they reach each other.
    routes: Vec<Vec<Option<Proxy>>>,
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
    /// Not everyone is let in: nobody asks it whether it is ready.
    pub guarded: bool,
}

impl NatsCluster {
    /// So many servers that store on disk.
    #[must_use]
    pub fn start(version: NatsVersion, count: usize, setup: &NatsSetup) -> Self {
        let temp = tempfile::tempdir().unwrap();
        // Held until everything else that takes ports has its own.
        let held = listeners(2 * count);
        let ports: Vec<SocketAddr> = held.iter().map(|held| held.local_addr().unwrap()).collect();
        let (clients, listens) = ports.split_at(count);
        let routes: Vec<Vec<Option<Proxy>>> = (0..count)
            .map(|n| {
                let to = |(other, addr)| (other != n).then(|| Proxy::to(addr));
                listens.iter().copied().enumerate().map(to).collect()
            })
            .collect();
        let servers = clients.iter().enumerate().map(|(n, client)| {
            let folder = temp.path().join(format!("n{n}"));
            std::fs::create_dir_all(&folder).unwrap();
            let config = folder.join("nats.conf");
            let store = folder.join("store");
            std::fs::write(&config, settings(n, *client, (listens, &routes[n]), (&store, setup)))
                .unwrap();
            Nats { process: None, version, addr: *client, config, store }
        });
        let servers = servers.collect();
        let mut cluster = Self { servers, routes, _temp: temp };
        drop(held);
        cluster.servers.iter_mut().for_each(Nats::spawn);
        if !setup.no_jetstream && !setup.guarded {
            cluster.servers.iter().for_each(Nats::wait);
            cluster.wait_for_each_other();
        }
        cluster
    }

    /// One server that lets in whom these settings let in; it listens once this returns.
    #[must_use]
    pub fn start_guarded(version: NatsVersion, settings: &str) -> Self {
        let setup = NatsSetup { settings: settings.into(), guarded: true, ..NatsSetup::default() };
        let cluster = Self::start(version, 1, &setup);
        until("it listens", || TcpStream::connect(cluster.servers[0].addr).is_ok());
        cluster
    }

    /// Until they can store something together.
    fn wait_for_each_other(&self) {
        let count = self.servers.len();
        let stream = format!(
            "{{\"name\":\"probe\",\"subjects\":[\"probe\"],\"retention\":\"limits\",\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,\"storage\":\"memory\",\"discard\":\"old\",\"num_replicas\":{count}}}"
        );
        let first = &self.servers[0];
        until("the servers know each other", || {
            let made = first.ask_with("$JS.API.STREAM.CREATE.probe", &stream);
            made.is_some_and(|made| made["error"].is_null())
        });
        let _ = first.ask("$JS.API.STREAM.DELETE.probe");
    }

    /// Cuts one server off from the others, or holds what it and they say to each other.
    pub fn isolate(&self, n: usize, hold: bool) {
        self.routes_of(n).for_each(|route| if hold { route.hold() } else { route.cut() });
    }

    /// It may talk to the others again.
    pub fn rejoin(&self, n: usize) {
        self.routes_of(n).for_each(Proxy::heal);
    }

    fn routes_of(&self, n: usize) -> impl Iterator<Item = &Proxy> {
        let all = self.routes.iter().enumerate();
        let pairs =
            all.flat_map(|(from, to)| to.iter().enumerate().map(move |(to, p)| (from, to, p)));
        pairs.filter(move |(from, to, _)| *from == n || *to == n).filter_map(|(_, _, p)| p.as_ref())
    }

    /// Which server leads a stream, as one of those that run says.
    #[must_use]
    pub fn leader(&self, stream: &str) -> Option<usize> {
        let running = self.servers.iter().filter(|server| server.is_running());
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        let mut answers = running.filter_map(|server| server.ask(&subject));
        answers.find_map(|info| info["cluster"]["leader"].as_str()?.strip_prefix('n')?.parse().ok())
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

    /// Asks it something without a body.
    #[must_use]
    pub fn ask(&self, subject: &str) -> Option<serde_json::Value> {
        self.ask_with(subject, "")
    }

    /// Asks it something, or publishes and asks for the acknowledgement.
    #[must_use]
    pub fn ask_with(&self, subject: &str, body: &str) -> Option<serde_json::Value> {
        let mut stream = TcpStream::connect(self.addr).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let ask = format!(
            "CONNECT {{\"verbose\":false}}\r\nSUB probe 1\r\nPUB {subject} probe {}\r\n{body}\r\n",
            body.len()
        );
        stream.write_all(ask.as_bytes()).ok()?;
        let mut lines = BufReader::new(stream).lines();
        let answer = lines.find(|line| line.as_ref().map_or(true, |l| l.starts_with('{')))?.ok()?;
        serde_json::from_str(&answer).ok()
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
    (listens, others): (&[SocketAddr], &[Option<Proxy>]),
    (store, setup): (&Path, &NatsSetup),
) -> String {
    let mut text = format!("server_name: n{n}\nlisten: {client}\n");
    if !setup.no_jetstream {
        let sync = if setup.sync_always { "sync_interval: always" } else { "" };
        let _ = writeln!(text, "jetstream {{ store_dir: \"{}\"\n {sync} }}", store.display());
    }
    if listens.len() > 1 {
        let others: Vec<_> =
            others.iter().flatten().map(|proxy| format!("nats://{}", proxy.addr)).collect();
        // Or they would tell each other, and their clients, of ways past the proxies.
        let _ = writeln!(
            text,
            "cluster {{ name: test, listen: {}, no_advertise: true, routes: [{}] }}",
            listens[n],
            others.join(", ")
        );
    }
    text + &setup.settings
}

fn listeners(count: usize) -> Vec<TcpListener> {
    (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect()
}

/// Ports that nobody has now.
pub(crate) fn free_ports(count: usize) -> Vec<SocketAddr> {
    listeners(count).iter().map(|listener| listener.local_addr().unwrap()).collect()
}

/// The first of so many ports in a row that nobody has now.
#[must_use]
pub fn port_range(count: u16) -> u16 {
    loop {
        let first = free_ports(1)[0].port();
        let bind = |port: u16| TcpListener::bind(("127.0.0.1", port)).ok();
        let taken: Option<Vec<_>> = (first..first.saturating_add(count)).map(bind).collect();
        if taken.is_some_and(|ports| ports.len() == usize::from(count)) {
            return first;
        }
    }
}
