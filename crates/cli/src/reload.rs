//! SIGHUP: reads the settings again and applies what can change while the server runs. What is
//! wrong in them is said, and nothing changes.

use std::sync::Arc;

use eventwall_log::State;
use eventwall_server::{App, Tls};
use tokio::signal::unix::Signal;

use crate::{
    args::{Cli, Command, ServeArgs},
    config::{Parsed, parse_again, retention::retention, units::millis},
    failure::Failure,
    files::{check_limit, raise_limit},
    limits::{self, Noted},
    serve::{access, check_sizes, settings, warn_of_risks},
};

/// What is changed.
pub(crate) struct Reloads {
    pub(crate) app: Arc<App>,
    pub(crate) state: Arc<dyn State>,
    pub(crate) tls: Option<Arc<Tls>>,
}

impl Reloads {
    /// Never resolves; its owner ends it.
    pub(crate) async fn on_hangup(self, mut hangups: Signal, began_with: ServeArgs) {
        while hangups.recv().await.is_some() {
            self.renew();
            let reloaded = reload(&self.app, &began_with);
            let window = millis(began_with.kept.idempotency_window);
            let noted = Noted::new(&self.app.hub.log().retention(), window);
            if let Err(error) = limits::note(&*self.state, &noted).await {
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

    /// The certificate's files are looked at every few seconds anyway, but now is sooner.
    fn renew(&self) {
        let Some(tls) = &self.tls else { return };
        match tokio::task::block_in_place(|| tls.reload()) {
            Ok(true) => tracing::info!("the certificate was replaced"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the certificate stays as it is"),
        }
    }
}

/// Answers which settings changed that cannot be applied.
fn reload(app: &App, began_with: &ServeArgs) -> Result<Vec<&'static str>, Failure> {
    let Parsed { cli, rules } = parse_again()?;
    let args = server_of(cli);
    // Who may connect was decided for the address that is listened on.
    let access = access(&args.access, began_with.listen)?;
    check_sizes(&args.limits)?;
    warn_of_risks(&args, &access);
    let mut new = settings(&args, access);
    new.loopback_only = began_with.listen.ip().is_loopback();
    app.hub.log().set_retention(retention(&args.kept, rules)).map_err(Failure::usage)?;
    check_limit(raise_limit(), args.limits.max_connections);
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
        ("max_start_events", old.limits.max_start_events != new.limits.max_start_events),
        ("max_all_bodies", old.limits.max_all_bodies != new.limits.max_all_bodies),
        ("max_all_pages", old.limits.max_all_pages != new.limits.max_all_pages),
        ("log_format", old.log_format != new.log_format),
        ("tls_cert", old.access.tls_cert != new.access.tls_cert),
        ("tls_key", old.access.tls_key != new.access.tls_key),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}
