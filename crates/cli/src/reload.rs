//! SIGHUP: reads the settings again and applies what can change while the server runs. What is
//! wrong in them is said, and nothing changes.

use std::sync::Arc;

use eventwall_log::State;
use eventwall_server::App;
use tokio::signal::unix::Signal;

use crate::{
    args::{Cli, Command, ServeArgs},
    config::{Parsed, parse_again, retention::retention, units::millis},
    failure::Failure,
    limits::{self, Noted},
    serve::settings,
};

/// Never resolves; its owner ends it.
pub(crate) async fn reload_on_hangup(
    mut hangups: Signal,
    app: Arc<App>,
    state: Arc<dyn State>,
    began_with: ServeArgs,
) {
    while hangups.recv().await.is_some() {
        let reloaded = reload(&app, &began_with);
        let window = millis(began_with.kept.idempotency_window);
        let noted = Noted::new(&app.hub.log().retention(), window);
        if let Err(error) = limits::note(&*state, &noted).await {
            tracing::warn!(%error, "the limits that hold now are not noted beside the log");
        }
        match reloaded {
            Ok(waiting) if waiting.is_empty() => tracing::info!("the settings were read again"),
            Ok(waiting) => {
                let waiting = waiting.join(", ");
                tracing::info!(waiting, "the settings were read again; these need a restart");
            }
            Err(failure) => {
                tracing::error!(%failure, "the settings stay as they are");
            }
        }
    }
}

/// Answers which settings changed that cannot be applied.
fn reload(app: &App, began_with: &ServeArgs) -> Result<Vec<&'static str>, Failure> {
    let Parsed { cli, rules } = parse_again()?;
    let args = server_of(cli);
    let mut new = settings(&args);
    // Who may connect was decided for the address that is listened on.
    new.loopback_only = began_with.listen.ip().is_loopback();
    app.hub.log().set_retention(retention(&args.kept, rules)).map_err(Failure::usage)?;
    app.set_settings(new);
    Ok(need_restart(began_with, &args))
}

fn server_of(cli: Cli) -> ServeArgs {
    match cli.command {
        Some(Command::Serve(args)) => *args,
        _ => cli.serve,
    }
}

fn need_restart(old: &ServeArgs, new: &ServeArgs) -> Vec<&'static str> {
    let changed = [
        ("listen", old.listen != new.listen),
        ("data", old.data != new.data),
        ("store", old.store != new.store),
        ("demo", old.demo != new.demo),
        ("durability", old.durability != new.durability),
        ("idempotency_window", old.kept.idempotency_window != new.kept.idempotency_window),
        ("window_bytes", old.window_bytes != new.window_bytes),
        ("heartbeat", old.heartbeat != new.heartbeat),
        ("max_start_events", old.max_start_events != new.max_start_events),
        ("log_format", old.log_format != new.log_format),
        ("allow_anyone", old.allow_anyone != new.allow_anyone),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}
