//! Gives back space: by the server that uses the log, if there is one; else it opens the log itself,
//! with the limits that a server would have.

use std::{path::Path, time::Duration};

use eventwall_log::{DiskConfig, DiskLog, FileState, FsMedium, Log as _, OpenError, Rule};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::UnixStream,
    time::{interval, timeout},
};

use super::{progress::Progress, size, some};
use crate::{
    args::KeptArgs,
    config::{retention::retention, units::millis},
    control::{COMPACT, socket},
    failure::Failure,
    limits::{self, Kept, Noted},
};

/// A server that says nothing for so long is not waited for.
const DEADLINE: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_millis(100);

pub(super) async fn compact(
    folder: &Path,
    kept: &KeptArgs,
    rules: Vec<Rule>,
) -> Result<(), Failure> {
    if !folder.join("log").is_dir() {
        return Err(Failure::data(format!("there is no log in {}", folder.display())));
    }
    let before = Files::of(folder)?;
    match UnixStream::connect(socket(folder)).await {
        Ok(server) => {
            by_server(server).await?;
            let state = FileState::new(FsMedium::look(folder));
            let these = Noted::new(&retention(kept, rules), millis(kept.idempotency_window));
            if let Ok(Kept::Otherwise(..)) = limits::compare(&state, &these).await {
                eprintln!("eventwall: done by the limits of the server that uses the log");
            }
        }
        Err(_) => here(folder, kept, rules).await?,
    }
    let after = Files::of(folder)?;
    println!("{before} before, {after} now");
    Ok(())
}

/// Segments, as they lie in the folder.
struct Files {
    count: u64,
    bytes: u64,
}

impl Files {
    fn of(folder: &Path) -> Result<Self, Failure> {
        let mut files = Self { count: 0, bytes: 0 };
        for file in std::fs::read_dir(folder.join("log"))? {
            let file = file?;
            let is_segment = file.path().extension().is_some_and(|extension| extension == "seg");
            // It may be gone by now.
            if let Some(meta) = file.metadata().ok().filter(|_| is_segment) {
                files.count += 1;
                files.bytes += meta.len();
            }
        }
        Ok(files)
    }
}

impl std::fmt::Display for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}", size(self.bytes), some(self.count, "segment"))
    }
}

async fn by_server(mut server: UnixStream) -> Result<(), Failure> {
    let failed = |why: &str| {
        Failure::server(format!("the server that uses the log {why}: its own log says more"))
    };
    let sent = server.write_all(format!("{COMPACT}\n").as_bytes()).await;
    sent.map_err(|_| failed("does not listen"))?;
    let bar = Progress::new("compacting");
    let mut lines = BufReader::new(server).lines();
    loop {
        let line = next(&mut lines).await.ok_or_else(|| failed("went away or says nothing"))?;
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["done"] => break,
            ["failed", ..] => {
                let why = line.trim_start_matches("failed ");
                return Err(Failure::data(format!("not all could be compacted: {why}")));
            }
            ["at", done, of] => bar.at(done.parse().unwrap_or(0), of.parse().unwrap_or(0)),
            _ => return Err(failed("does not know how to compact")),
        }
    }
    bar.finish();
    Ok(())
}

async fn next(lines: &mut Lines<BufReader<UnixStream>>) -> Option<String> {
    timeout(DEADLINE, lines.next_line()).await.ok()?.ok()?
}

async fn here(folder: &Path, kept: &KeptArgs, rules: Vec<Rule>) -> Result<(), Failure> {
    let config = DiskConfig {
        retention: retention(kept, rules),
        idempotency_window: millis(kept.idempotency_window),
        keep_every: None,
        ..DiskConfig::default()
    };
    let log = open(folder, config).await?;
    let bar = Progress::new("compacting");
    let mut ticks = interval(EVERY);
    let compacting = log.compact();
    tokio::pin!(compacting);
    let done = loop {
        tokio::select! {
            done = &mut compacting => break done,
            _ = ticks.tick() => {
                let (done, of) = log.compacted();
                bar.at(done, of);
            }
        }
    };
    bar.finish();
    let damage = log.damage();
    log.close().await;
    done.map_err(|why| Failure::data(format!("not all could be compacted: {why}")))?;
    match damage.first() {
        None => Ok(()),
        Some(_) => Err(Failure::damaged(
            "a part of the log is damaged and was left as it is: `eventwall log verify` says where",
        )),
    }
}

async fn open(folder: &Path, config: DiskConfig) -> Result<DiskLog, Failure> {
    let medium = FsMedium::open(folder).map_err(|error| match error {
        OpenError::Locked { folder } => Failure::data(format!(
            "{folder} is in use by another Eventwall that does not answer at {}: wait if that is a `log compact`, or stop the server first",
            socket(Path::new(&folder)).display()
        )),
        other => other.into(),
    })?;
    let state = FileState::new(medium.clone());
    let these = Noted::new(&config.retention, config.idempotency_window);
    let kept = limits::compare(&state, &these).await;
    match kept.map_err(|error| Failure::data(error.to_string()))? {
        Kept::Same => {}
        Kept::Otherwise(was, is) => {
            return Err(Failure::usage(format!(
                "the server that last used this log kept it by other limits ({was}) than these ({is}): name its settings file with --config, or give the same flags; or start it, and compact then"
            )));
        }
        Kept::Unknown => {
            return Err(Failure::usage(
                "nothing says by which limits this log was kept: start its server once, which notes them, and compact then",
            ));
        }
    }
    let opening = tokio::task::spawn_blocking(move || DiskLog::open(medium, config));
    let opened = opening.await.map_err(|error| Failure::general(error.to_string()))?;
    Ok(opened?.0)
}
