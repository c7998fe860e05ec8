//! Copies a log from disk to NATS JetStream or back: every event at its place, so that ids of before go on
//! to resolve; what comes after is of a new epoch. Both ends must be at rest.

use std::{path::PathBuf, str::FromStr, sync::Arc};

use eventwall_jetstream::{
    JetStreamConfig, JetStreamImport, JetStreamLog, StoreUrl, StoreUrlError,
};
use eventwall_log::{
    Budget, DiskConfig, DiskImport, DiskLog, Entry, FileState, Filter, FsMedium, Log, OWN_KEYS,
    Position, ReadRange, Record, Retention, Rule, State, kit::Origin,
};

use super::{progress::Progress, some};
use crate::{
    args::KeptArgs,
    config::{retention::retention, units::millis},
    failure::Failure,
    limits::{self, Noted},
};

const STEP: Budget = Budget { events: 4096, bytes: 4 << 20 };
/// By which limits the copy is kept is noted anew.
const LIMITS: &str = "limits";

/// Where a log is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Folder(PathBuf),
    Nats(Box<StoreUrl>),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            let url = text.parse().map_err(|error: StoreUrlError| error.to_string())?;
            return Ok(Self::Nats(Box::new(url)));
        }
        Ok(Self::Folder(text.into()))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Nats(url) => url.fmt(f),
        }
    }
}

pub(super) async fn copy(
    from: &Place,
    to: &Place,
    kept: &KeptArgs,
    rules: Vec<Rule>,
) -> Result<(), Failure> {
    let settings =
        Settings { retention: retention(kept, rules), keys: millis(kept.idempotency_window) };
    let source = Source::open(from, &settings).await?;
    let mut target = Target::begin(to, &settings, source.origin.clone()).await?;
    let count = pour(&*source.log, &mut target).await?;
    target.finish(to, &settings, &source.state).await?;
    source.log.close().await;
    println!("{} copied from {from} to {to}; serve it with {}", some(count, "event"), served(to));
    Ok(())
}

fn served(place: &Place) -> String {
    match place {
        Place::Folder(folder) => format!("--data {}", folder.display()),
        Place::Nats(url) => format!("--store {url}"),
    }
}

struct Settings {
    retention: Retention,
    /// How long keys are remembered.
    keys: u64,
}

impl Settings {
    fn disk(&self, retention: Retention) -> DiskConfig {
        DiskConfig {
            retention,
            idempotency_window: self.keys,
            keep_every: None,
            ..DiskConfig::default()
        }
    }

    fn nats(&self, url: &StoreUrl) -> JetStreamConfig {
        let config = JetStreamConfig::new(url.clone(), self.retention.clone());
        JetStreamConfig { idempotency_window: self.keys, ..config }
    }
}

/// A log that is copied, and the few values beside it.
struct Source {
    log: Arc<dyn Log>,
    origin: Origin,
    state: Vec<(String, Vec<u8>)>,
}

impl Source {
    async fn open(place: &Place, settings: &Settings) -> Result<Self, Failure> {
        match place {
            Place::Folder(folder) => {
                if !folder.join("log").is_dir() {
                    return Err(Failure::data(format!("there is no log in {}", folder.display())));
                }
                let medium = FsMedium::open(folder)?;
                // Nothing goes because it is copied.
                let config = settings.disk(Retention::bytes(u64::MAX));
                let (log, origin) = {
                    let medium = medium.clone();
                    let opening =
                        tokio::task::spawn_blocking(move || DiskLog::open(medium, config));
                    let (log, _) =
                        opening.await.map_err(|error| Failure::general(error.to_string()))??;
                    let origin = log.origin();
                    (log, origin)
                };
                let names = std::fs::read_dir(folder.join("state"))
                    .map(|files| files.filter_map(|file| file.ok()?.file_name().into_string().ok()))
                    .map_err(|error| Failure::data(error.to_string()))?;
                let state = values(&FileState::new(medium), names.collect()).await?;
                Ok(Self { log: Arc::new(log), origin, state })
            }
            Place::Nats(url) => {
                let config = JetStreamConfig { make: false, ..settings.nats(url) };
                let log = JetStreamLog::open(config).await?;
                if log.has_others().await.map_err(Failure::server)? {
                    log.close().await;
                    return Err(Failure::data(format!(
                        "nodes use the hub {url}, or did ten seconds ago: stop them first, or what they take meanwhile would be missing"
                    )));
                }
                let names = log.state().keys().await.map_err(Failure::server)?;
                let (origin, state) = (log.origin(), values(&log.state(), names).await?);
                Ok(Self { log: Arc::new(log), origin, state })
            }
        }
    }
}

async fn values(state: &dyn State, names: Vec<String>) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut values = Vec::new();
    let copied =
        |name: &String| !OWN_KEYS.contains(&&**name) && name != LIMITS && !name.contains('.');
    for name in names.into_iter().filter(copied) {
        let value = state.get(&name).await.map_err(|error| Failure::data(error.to_string()))?;
        values.extend(value.map(|(value, _)| (name, value)));
    }
    Ok(values)
}

/// A log that is made.
enum Target {
    Disk(Box<DiskImport>, Arc<FsMedium>),
    Nats(Box<JetStreamImport>),
}

impl Target {
    async fn begin(place: &Place, settings: &Settings, origin: Origin) -> Result<Self, Failure> {
        match place {
            Place::Folder(folder) => {
                let used = folder.read_dir().is_ok_and(|mut files| files.next().is_some());
                if used {
                    return Err(Failure::data(format!(
                        "{} is not empty: name a folder that is to be made",
                        folder.display()
                    )));
                }
                let medium = FsMedium::open(folder)?;
                let config = settings.disk(Retention::bytes(u64::MAX));
                let opened = medium.clone();
                let begun = move || DiskImport::begin(opened, config, origin);
                let begun = tokio::task::spawn_blocking(begun).await;
                let import = begun.map_err(|error| Failure::general(error.to_string()))??;
                Ok(Self::Disk(Box::new(import), medium))
            }
            Place::Nats(url) => {
                let import = JetStreamImport::begin(settings.nats(url), origin).await?;
                Ok(Self::Nats(Box::new(import)))
            }
        }
    }

    async fn place(&mut self, records: Vec<Arc<Record>>) -> Result<(), Failure> {
        match self {
            Self::Disk(import, _) => {
                import.place(records).await.map_err(|error| Failure::data(error.to_string()))
            }
            Self::Nats(import) => import.place(records).await.map_err(Failure::server),
        }
    }

    async fn finish(
        self,
        place: &Place,
        settings: &Settings,
        values: &[(String, Vec<u8>)],
    ) -> Result<(), Failure> {
        let data = |error: eventwall_log::StateError| Failure::data(error.to_string());
        match (self, place) {
            (Self::Disk(import, medium), _) => {
                import.finish().await.map_err(data)?;
                let state = FileState::new(medium);
                put_all(&state, values).await?;
                let noted = Noted::new(&settings.retention, settings.keys);
                limits::note(&state, &noted).await.map_err(data)
            }
            (Self::Nats(import), Place::Nats(_)) => {
                let state = import.state();
                import.finish().await.map_err(Failure::server)?;
                put_all(&state, values).await
            }
            (Self::Nats(_), Place::Folder(_)) => Ok(()),
        }
    }
}

async fn put_all(state: &dyn State, values: &[(String, Vec<u8>)]) -> Result<(), Failure> {
    for (name, value) in values {
        let put = state.put(name, value.clone(), 0).await;
        put.map_err(|error| Failure::data(error.to_string()))?;
    }
    Ok(())
}

/// Everything that the log shows, in order.
async fn pour(log: &dyn Log, target: &mut Target) -> Result<u64, Failure> {
    let (end, bar) = (log.end(), Progress::events("copying"));
    let (mut after, mut count) = (Position::START, 0);
    while after < end {
        let page = log.read(ReadRange::after(after), &Filter::All, STEP).await;
        let page = page.map_err(|error| Failure::data(error.to_string()))?;
        let records = page.entries.into_iter().filter_map(|entry| match entry {
            Entry::Event(record) => Some(record),
            Entry::Erasure { .. } => None,
        });
        let records: Vec<_> = records.collect();
        count += records.len() as u64;
        if !records.is_empty() {
            target.place(records).await?;
        }
        after = page.examined;
        bar.at(after.0, end.0);
    }
    bar.finish();
    Ok(count)
}
