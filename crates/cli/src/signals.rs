//! What the system tells a server: to stop, or to read its settings again.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    task::JoinHandle,
};

use crate::failure::Failure;

/// SIGHUP, from now on no longer the end of the process.
pub(crate) fn hangups() -> Result<Signal, Failure> {
    hook(SignalKind::hangup())
}

fn hook(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::general(error.to_string()))
}

/// Resolves at the first Ctrl-C or SIGTERM; a second one ends the process at once.
pub(crate) fn stop_signal() -> Result<(impl Future<Output = ()>, JoinHandle<()>), Failure> {
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
