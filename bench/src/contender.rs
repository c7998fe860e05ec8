//! Who is measured: each starts as a process of its own, on a free port of this machine, and ends when it is
//! dropped.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use eventwall_testkit::Certificate;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);
/// And to end.
const STOP: Duration = Duration::from_secs(60);

/// A server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// One write an event and socket.
    Floor,
    /// All that a subscriber is behind in one write.
    BatchingFloor,
    /// The floor, with a sync before each event is shown.
    SyncedFloor,
    /// axum and a broadcast channel.
    ByHand,
    /// nchan in nginx, one worker.
    Nchan,
    /// Eventwall, with its log in memory.
    Memory,
    /// Eventwall as it comes: a log on disk, synced.
    Disk,
    /// … synced every 100 ms.
    DiskInterval,
    /// … never synced.
    DiskUnsynced,
    /// Eventwall over TLS.
    Tls,
}

/// A server that runs.
pub(crate) struct Running {
    pub(crate) contender: Contender,
    pub(crate) at: SocketAddr,
    child: Child,
    folder: TempDir,
    certificate: Option<Certificate>,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::BatchingFloor => "floor, batching",
            Self::SyncedFloor => "floor, synced",
            Self::ByHand => "axum by hand",
            Self::Nchan => "nchan",
            Self::Memory => "**Eventwall**, memory",
            Self::Disk => "**Eventwall**, disk",
            Self::DiskInterval => "**Eventwall**, disk, interval",
            Self::DiskUnsynced => "**Eventwall**, disk, unsynced",
            Self::Tls => "**Eventwall**, TLS",
        }
    }

    /// Its name where Eventwall is meant anyway.
    pub(crate) fn short_name(self) -> &'static str {
        self.name().trim_start_matches("**Eventwall**, ")
    }

    /// Starts it, with further settings if it is Eventwall.
    pub(crate) fn start(self, settings: &[&str]) -> anyhow::Result<Running> {
        self.start_by(|command| command, settings)
    }

    /// Starts it by a command that `wrap` makes of its own.
    pub(crate) fn start_by(
        self,
        wrap: impl FnOnce(Command) -> Command,
        settings: &[&str],
    ) -> anyhow::Result<Running> {
        let folder = tempfile::tempdir_in(data_folder()?)?;
        let at = free_address()?;
        let certificate = (self == Self::Tls).then(Certificate::new);
        let mut command = self.command(at, &folder, certificate.as_ref())?;
        if self.is_eventwall() {
            command.args(settings);
        }
        let mut command = wrap(command);
        let log = fs::File::create(folder.path().join("log"))?;
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let child =
            command.spawn().with_context(|| format!("{} cannot be started", self.name()))?;
        let mut running = Running { contender: self, at, child, folder, certificate };
        running.wait()?;
        Ok(running)
    }

    pub(crate) fn is_eventwall(self) -> bool {
        use Contender::{Disk, DiskInterval, DiskUnsynced, Memory, Tls};
        matches!(self, Memory | Disk | DiskInterval | DiskUnsynced | Tls)
    }

    fn command(
        self,
        at: SocketAddr,
        folder: &TempDir,
        certificate: Option<&Certificate>,
    ) -> anyhow::Result<Command> {
        let mut command = match self {
            Self::Floor | Self::BatchingFloor | Self::SyncedFloor | Self::ByHand => {
                Command::new(std::env::current_exe()?)
            }
            Self::Nchan => Command::new("nginx"),
            _ => Command::new(eventwall()?),
        };
        let listen = at.to_string();
        match self {
            Self::Floor => command.args(["floor", &listen]),
            Self::BatchingFloor => command.args(["floor", &listen, "--batching"]),
            Self::SyncedFloor => command.args(["floor", &listen, "--sync"]),
            Self::ByHand => command.args(["by-hand", &listen]),
            Self::Nchan => {
                let file = folder.path().join("nginx.conf");
                fs::write(&file, nchan(at))?;
                command.arg("-p").arg(folder.path()).arg("-c").arg(file).args(["-e", "error.log"])
            }
            _ => {
                if !matches!(self, Self::Memory | Self::Tls) {
                    command.arg("--data").arg(folder.path().join("data"));
                }
                command.args(["--listen", &listen]);
                command.args(["--max-subscriptions", "128"]).env("RUST_LOG", "warn")
            }
        };
        match self {
            Self::Memory | Self::Tls => command.args(["--store", "memory"]),
            Self::DiskInterval => command.args(["--durability", "interval"]),
            Self::DiskUnsynced => command.args(["--durability", "none"]),
            _ => &mut command,
        };
        if let Some(certificate) = certificate {
            command
                .arg("--tls-cert")
                .arg(certificate.file())
                .arg("--tls-key")
                .arg(certificate.key());
        }
        Ok(command)
    }
}

impl Running {
    fn wait(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while TcpStream::connect(self.at).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}: {}", self.contender.name(), self.log());
            }
            if began.elapsed() > START {
                bail!("{} does not answer: {}", self.contender.name(), self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(began.elapsed() < STOP, "{} does not end", self.contender.name());
            std::thread::sleep(Duration::from_millis(10));
        };
        ensure!(status.success(), "{} ended with {status}: {}", self.contender.name(), self.log());
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its own certificate, if it speaks TLS.
    pub(crate) fn certificate(&self) -> Option<Vec<u8>> {
        self.certificate.as_ref().map(Certificate::der)
    }

    /// Where a topic is followed.
    pub(crate) fn follow(&self, topic: &str) -> String {
        match self.contender {
            Contender::Nchan => format!("/sub/{topic}"),
            _ => format!("/topics/{topic}"),
        }
    }

    /// Where it is published to.
    pub(crate) fn publish(&self, topic: &str) -> String {
        match self.contender {
            Contender::Nchan => format!("/pub/{topic}"),
            _ => format!("/topics/{topic}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program that is measured: of the same build, unless told otherwise.
fn eventwall() -> anyhow::Result<PathBuf> {
    let told = std::env::var_os("EVENTWALL_BIN").map(PathBuf::from);
    told.map_or_else(|| Ok(std::env::current_exe()?.with_file_name("eventwall")), Ok)
}

/// On a disk: the system's temporary folder may be memory.
fn data_folder() -> anyhow::Result<PathBuf> {
    let folder = std::env::current_exe()?.parent().map(|folder| folder.join("bench-data"));
    let folder = folder.context("this program lies in no folder")?;
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn nchan(at: SocketAddr) -> String {
    format!(
        "load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
# A process of its own would outlive one that is killed.
master_process off;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 19000; multi_accept on; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  nchan_shared_memory_size 512M;
  server {{
    listen {at} backlog=4096;
    tcp_nodelay on;
    location ~ ^/pub/(.+)$ {{
      nchan_publisher; nchan_channel_id $1;
      nchan_message_buffer_length 10000; nchan_message_timeout 1h;
    }}
    location ~ ^/sub/(.+)$ {{
      nchan_subscriber eventsource; nchan_channel_id $1;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"
    )
}
