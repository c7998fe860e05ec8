//! `eventwall serve`: opens the log, serves the hub and the wall, and goes down in order.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use etcetera::app_strategy::{AppStrategy as _, AppStrategyArgs, choose_native_strategy};
use eventwall_hub::{Hub, HubConfig};
use eventwall_log::{
    DiskConfig, DiskLog, Durability, FileState, FsMedium, Log, MemoryLog, MemoryState, OpenReport,
    Retention, State, system_clock,
};
use eventwall_server::{App, Limits, Settings};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    task::JoinHandle,
};

use crate::{
    args::{DurabilityArg, ServeArgs, Store},
    failure::Failure,
};

const DEMO_PACE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(2)..=Duration::from_secs(7);
const SYNC_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) async fn serve(args: ServeArgs) -> Result<(), Failure> {
    refuse_open_doors(&args)?;
    let (stop, signals) = stop_signal()?;
    let listener = listen(args.listen).await?;
    let address = listener.local_addr().map_err(|error| Failure::listen(error.to_string()))?;
    let storage = Storage::open(&args).await?;
    let hub = Hub::new(storage.log.clone(), &HubConfig::default());
    let app = Arc::new(App::new(hub, settings(&args)));
    let wall = eventwall_wall::routes(&app, &*storage.state).await;
    let wall = wall.map_err(|error| Failure::data(error.to_string()))?;
    let router = eventwall_server::finish(eventwall_server::routes(&app).merge(wall), &app);
    greet(address, &storage.described)?;
    let demo = args.demo.then(|| play_samples(app.clone()));
    eventwall_server::serve(listener, router, app, stop).await;
    if let Some(demo) = demo {
        demo.abort();
    }
    storage.log.close().await;
    signals.abort();
    Ok(())
}

/// Off the machine, access is decided by whoever starts the server, not by default.
fn refuse_open_doors(args: &ServeArgs) -> Result<(), Failure> {
    if args.listen.ip().is_loopback() || args.allow_anyone {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} can be reached from other machines, and everyone there could read and publish everything: add --allow-anyone if that is what you want, or listen on 127.0.0.1",
        args.listen
    )))
}

fn settings(args: &ServeArgs) -> Settings {
    Settings {
        loopback_only: args.listen.ip().is_loopback(),
        allowed_hosts: args.allow_host.iter().map(ToString::to_string).collect(),
        cors_origins: args.cors_origin.iter().map(ToString::to_string).collect(),
        limits: Limits {
            connections: args.max_connections,
            body_bytes: args.max_body,
            ..Limits::default()
        },
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let any = SocketAddr::new(address.ip(), 0);
        let why = match error.kind() {
            std::io::ErrorKind::AddrInUse => format!(
                "another program uses that port: stop it, or choose another with --listen ({any} takes a free one)"
            ),
            std::io::ErrorKind::PermissionDenied => {
                format!("that port needs more rights: choose one above 1023 with --listen, or {any} for a free one")
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address: choose one of its own with --listen, such as 127.0.0.1:8080".into()
            }
            _ => format!("{error}: choose another address with --listen"),
        };
        Failure::listen(format!("cannot listen on {address}: {why}"))
    })
}

struct Storage {
    log: Arc<dyn Log>,
    state: Box<dyn State>,
    /// For the greeting.
    described: String,
}

impl Storage {
    async fn open(args: &ServeArgs) -> Result<Self, Failure> {
        let in_memory = args.demo && args.data.is_none();
        match args.store.unwrap_or(if in_memory { Store::Memory } else { Store::Disk }) {
            Store::Memory if args.data.is_some() => Err(Failure::usage(
                "--store memory keeps nothing in the --data directory: leave one of the two out",
            )),
            Store::Memory => Ok(Self::memory(args)),
            Store::Disk => {
                let (folder, config) = (data_folder(args)?, disk_config(args));
                let opening = tokio::task::spawn_blocking(move || Self::disk(&folder, config));
                opening.await.map_err(|error| Failure::general(error.to_string()))?
            }
        }
    }

    fn memory(args: &ServeArgs) -> Self {
        let retention = Retention::bytes(args.max_bytes);
        Self {
            log: Arc::new(MemoryLog::new(retention, system_clock())),
            state: Box::new(MemoryState::default()),
            described: "in memory: gone when the server stops".into(),
        }
    }

    fn disk(folder: &Path, config: DiskConfig) -> Result<Self, Failure> {
        let medium = FsMedium::open(folder)?;
        let (log, report) = DiskLog::open(medium.clone(), config)?;
        if let Some(torn) = &report.torn {
            tracing::warn!(
                file = torn.file,
                offset = torn.offset,
                bytes = torn.bytes,
                "cut the end of a write that a crash had left unfinished; it was never acknowledged"
            );
        }
        let described = describe(folder, &report);
        Ok(Self { log: Arc::new(log), state: Box::new(FileState::new(medium)), described })
    }
}

fn describe(folder: &Path, report: &OpenReport) -> String {
    let events = if report.entries == 1 { "event" } else { "events" };
    format!(
        "{} ({} {events}, {} KiB)",
        folder.display(),
        report.entries,
        report.bytes.div_ceil(1024)
    )
}

fn data_folder(args: &ServeArgs) -> Result<PathBuf, Failure> {
    args.data.clone().or_else(platform_folder).ok_or_else(|| {
        Failure::usage("there is no home directory to keep the log in: name a folder with --data")
    })
}

/// Where this platform keeps a program's data; `XDG_DATA_HOME` has its say.
fn platform_folder() -> Option<PathBuf> {
    let app = AppStrategyArgs { app_name: "eventwall".into(), ..AppStrategyArgs::default() };
    choose_native_strategy(app).ok().map(|folders| folders.data_dir())
}

fn disk_config(args: &ServeArgs) -> DiskConfig {
    DiskConfig {
        durability: match args.durability {
            DurabilityArg::Sync => Durability::Sync,
            DurabilityArg::Interval => Durability::Interval(SYNC_INTERVAL),
            DurabilityArg::None => Durability::None,
        },
        retention: Retention::bytes(args.max_bytes),
        ..DiskConfig::default()
    }
}

/// Printed once the address answers, in one piece.
fn greet(address: SocketAddr, log: &str) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let lobby = eventwall_wall::LOBBY;
    let greeting = format!(
        "Eventwall {version}\n  wall  http://{address}/\n  log   {log}\n  post  curl -d hello http://{address}/topics/walls/{lobby}\nCtrl-C stops it.\n"
    );
    let mut out = std::io::stdout().lock();
    match out.write_all(greeting.as_bytes()).and_then(|()| out.flush()) {
        // Nobody reads the greeting: serve all the same.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::general(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn play_samples(app: Arc<App>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Ok(lobby) = format!("walls/{}", eventwall_wall::LOBBY).parse() else { return };
        let endless = eventwall_wall::sample_posts();
        let endless = endless.into_iter().cycle();
        if let Err(error) = eventwall_wall::play(&app.hub, &lobby, endless, DEMO_PACE).await {
            tracing::warn!(%error, "the sample posts stopped");
        }
    })
}

/// Resolves at the first Ctrl-C or SIGTERM; a second one ends the process at once.
fn stop_signal() -> Result<(impl Future<Output = ()>, JoinHandle<()>), Failure> {
    let hook = |kind| signal(kind).map_err(|error| Failure::general(error.to_string()));
    let (mut interrupt, mut terminate) =
        (hook(SignalKind::interrupt())?, hook(SignalKind::terminate())?);
    let (tell, told) = oneshot::channel();
    let watching = tokio::spawn(async move {
        let mut either = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        either().await;
        tracing::info!("stopping: streams are told to come back; a second signal stops at once");
        let _ = tell.send(());
        either().await;
        tracing::warn!("stopped at once: what was under way may or may not be in the log");
        std::process::exit(1);
    });
    Ok((async { drop(told.await) }, watching))
}
