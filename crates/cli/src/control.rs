//! The socket in a data directory by which `eventwall log compact` asks the server that uses it. Who
//! may read the directory's files may ask. A request is a line, and so is each answer: `at DONE OF`
//! while it is done, then `done`, or `failed` and why.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use eventwall_log::DiskLog;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::{interval, timeout},
};

/// What is asked.
pub(crate) const COMPACT: &str = "compact";
/// How often it is told how far it is.
const EVERY: Duration = Duration::from_millis(100);
/// For a request to arrive, and for an answer to be taken.
const DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of a request.
const MAX_REQUEST: u64 = 64;
/// Requests at once.
const MAX_REQUESTS: usize = 8;

/// The socket of a data directory.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join("control")
}

/// Listens, and answers until it is dropped; then the socket is gone.
pub(crate) struct Control {
    task: tokio::task::JoinHandle<()>,
    path: PathBuf,
}

impl Control {
    /// `None` if the system does not allow it: then the server goes on without.
    pub(crate) fn start(log: Arc<DiskLog>, folder: &Path) -> Option<Self> {
        let path = socket(folder);
        match listen(&path) {
            Ok(listener) => Some(Self { task: tokio::spawn(answer_all(listener, log)), path }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "`eventwall log compact` cannot reach this server");
                None
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    // Of a server that was killed: the directory is ours, so nobody listens there.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn answer_all(listener: UnixListener, log: Arc<DiskLog>) {
    let mut answering = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = answering.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) if answering.len() < MAX_REQUESTS => {
                answering.spawn(answer(stream, log.clone()));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the control socket does not answer any more");
                return;
            }
        }
    }
}

/// Whoever goes away is not answered; what was begun is finished.
async fn answer(mut stream: UnixStream, log: Arc<DiskLog>) {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader).take(MAX_REQUEST);
    let read = timeout(DEADLINE, reader.read_line(&mut line)).await;
    if !matches!(read, Ok(Ok(_))) || line.trim_end() != COMPACT {
        let _ = writer.write_all(b"unknown\n").await;
        return;
    }
    let compacting = log.compact();
    tokio::pin!(compacting);
    let mut ticks = interval(EVERY);
    loop {
        let (told, done) = tokio::select! {
            done = &mut compacting => {
                (done.map_or_else(|why| format!("failed {why}\n"), |()| "done\n".into()), true)
            }
            _ = ticks.tick() => {
                let (done, of) = log.compacted();
                (format!("at {done} {of}\n"), false)
            }
        };
        let written = timeout(DEADLINE, writer.write_all(told.as_bytes())).await;
        if done || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}
