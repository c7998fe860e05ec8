//! Where a server keeps its events and its few other values: opens what the settings name, and
//! says for the greeting what that is.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use etcetera::app_strategy::{AppStrategy, AppStrategyArgs, choose_native_strategy};
use eventwall_jetstream::{JetStreamConfig, JetStreamLog, StoreUrl};
use eventwall_log::{
    DiskConfig, DiskLog, Durability, FileState, FsMedium, Log, MemoryLog, MemoryState, Millis,
    OpenReport, Retention, State, system_clock,
};

use crate::{
    args::{DurabilityArg, ServeArgs, Store},
    config::units::millis,
    failure::Failure,
    limits::{self, Noted},
};

const SYNC_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) struct Storage {
    pub(crate) log: Arc<dyn Log>,
    /// The same, with its folder, if it is on disk.
    pub(crate) disk: Option<(Arc<DiskLog>, PathBuf)>,
    /// The same, if it is shared with other nodes.
    pub(crate) shared: Option<Arc<JetStreamLog>>,
    pub(crate) state: Arc<dyn State>,
    /// For the greeting.
    pub(crate) described: String,
}

impl Storage {
    pub(crate) async fn open(args: &ServeArgs, retention: Retention) -> Result<Self, Failure> {
        let in_memory = args.demo && args.data.is_none();
        match args.store.clone().unwrap_or(if in_memory { Store::Memory } else { Store::Disk }) {
            Store::Memory if args.data.is_some() => Err(Failure::usage(
                "--store memory keeps nothing in the --data directory: leave one of the two out",
            )),
            Store::Memory => Ok(Self::memory(retention)),
            Store::Nats(_) if args.data.is_some() => Err(Failure::usage(
                "with --store nats://… everything is kept in NATS, and nothing in the --data directory: leave one of the two out",
            )),
            Store::Nats(_) if args.demo => Err(Failure::usage(
                "--demo plays sample posts, which --store nats://… would keep for everybody: leave one of the two out",
            )),
            Store::Nats(_) if args.durability != DurabilityArg::Sync => Err(Failure::usage(
                "with --store nats://… a publish is acknowledged when a quorum of the servers has stored it: leave --durability out, and see sync_interval in their settings",
            )),
            Store::Nats(url) => {
                let window = millis(args.kept.idempotency_window);
                Self::nats(*url, retention, window).await
            }
            Store::Disk => {
                let (folder, config) =
                    (data_folder(args.data.clone())?, disk_config(args, retention));
                let noted = Noted::new(&config.retention, config.idempotency_window);
                let opening = tokio::task::spawn_blocking(move || Self::disk(&folder, config));
                let storage =
                    opening.await.map_err(|error| Failure::general(error.to_string()))??;
                let noted = limits::note(&*storage.state, &noted).await;
                noted.map_err(|error| Failure::data(error.to_string()))?;
                Ok(storage)
            }
        }
    }

    fn memory(retention: Retention) -> Self {
        Self {
            log: Arc::new(MemoryLog::new(retention, system_clock())),
            disk: None,
            shared: None,
            state: Arc::new(MemoryState::default()),
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
        let (described, log) = (describe(folder, &report), Arc::new(log));
        let disk = Some((log.clone(), folder.to_owned()));
        Ok(Self { log, disk, shared: None, state: Arc::new(FileState::new(medium)), described })
    }

    async fn nats(url: StoreUrl, retention: Retention, window: Millis) -> Result<Self, Failure> {
        let config = JetStreamConfig {
            idempotency_window: window,
            ..JetStreamConfig::new(url.clone(), retention)
        };
        let log = Arc::new(JetStreamLog::open(config).await?);
        let (events, replicas) = log.extent().await.map_err(Failure::server)?;
        let state = Arc::new(log.state());
        let events_are = if events == 1 { "event" } else { "events" };
        let times = if replicas == 1 { "once".into() } else { format!("{replicas} times") };
        let described = format!("{url} ({events} {events_are}, each stored {times})");
        Ok(Self { log: log.clone(), disk: None, shared: Some(log), state, described })
    }
}

fn describe(folder: &Path, report: &OpenReport) -> String {
    let events = if report.events == 1 { "event" } else { "events" };
    format!(
        "{} ({} {events}, {} KiB)",
        folder.display(),
        report.events,
        report.bytes.div_ceil(1024)
    )
}

/// The folder that is named, or where this platform keeps a program's data; `XDG_DATA_HOME` has
/// its say.
pub(crate) fn data_folder(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let platforms = || platform().map(|folders| folders.data_dir());
    named.or_else(platforms).ok_or_else(|| {
        Failure::usage("there is no home directory to keep the log in: name a folder with --data")
    })
}

/// This platform's folders for a program of this name.
pub(crate) fn platform() -> Option<impl AppStrategy> {
    let app = AppStrategyArgs { app_name: "eventwall".into(), ..AppStrategyArgs::default() };
    choose_native_strategy(app).ok()
}

fn disk_config(args: &ServeArgs, retention: Retention) -> DiskConfig {
    DiskConfig {
        durability: match args.durability {
            DurabilityArg::Sync => Durability::Sync,
            DurabilityArg::Interval => Durability::Interval(SYNC_INTERVAL),
            DurabilityArg::None => Durability::None,
        },
        retention,
        idempotency_window: millis(args.kept.idempotency_window),
        ..DiskConfig::default()
    }
}
