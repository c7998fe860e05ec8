//! `eventwall serve`: opens the log, serves the hub and the wall, and goes down in order.

use std::{io::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use eventwall_hub::{Hub, HubConfig};
use eventwall_log::Rule;
use eventwall_server::{App, Limits, Settings};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    args::ServeArgs,
    config::retention::retention,
    control::Control,
    failure::Failure,
    files::{check_limit, raise_limit},
    reload::reload_on_hangup,
    signals::{hangups, stop_signal},
    storage::Storage,
    whispering::Whispering,
};

const DEMO_PACE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(2)..=Duration::from_secs(7);

pub(crate) async fn serve(args: ServeArgs, rules: Vec<Rule>) -> Result<(), Failure> {
    refuse_open_doors(&args)?;
    let (stop, signals) = stop_signal()?;
    let hangups = hangups()?;
    let listener = listen(args.listen).await?;
    let address = listener.local_addr().map_err(|error| Failure::listen(error.to_string()))?;
    // A log of thousands of segments needs some, too.
    let files = raise_limit();
    let storage = Storage::open(&args, retention(&args.kept, rules)).await?;
    let control = storage.disk.clone().and_then(|(log, folder)| Control::start(log, &folder));
    let hub = Hub::new(storage.log.clone(), &hub_config(&args));
    let app = Arc::new(App::new(hub, settings(&args)));
    let whispers = match &storage.shared {
        Some(log) => Some(Whispering::start(log, &app).await?),
        None => None,
    };
    let wall = eventwall_wall::routes(&app, &*storage.state).await;
    let wall = wall.map_err(|error| Failure::data(error.to_string()))?;
    let router = eventwall_server::finish(eventwall_server::routes(&app).merge(wall), &app);
    check_limit(files, args.max_connections);
    greet(address, &storage.described)?;
    let demo = args.demo.then(|| play_samples(app.clone()));
    let reloads = tokio::spawn(reload_on_hangup(hangups, app.clone(), storage.state.clone(), args));
    eventwall_server::serve(listener, router, app, stop).await;
    reloads.abort();
    if let Some(demo) = demo {
        demo.abort();
    }
    drop(control);
    if let Some(whispers) = whispers {
        whispers.farewell().await;
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

/// What of the settings can change while the server runs.
pub(crate) fn settings(args: &ServeArgs) -> Settings {
    Settings {
        loopback_only: args.listen.ip().is_loopback(),
        allowed_hosts: args.allow_host.iter().map(ToString::to_string).collect(),
        cors_origins: args.cors_origin.iter().map(ToString::to_string).collect(),
        limits: Limits {
            connections: args.max_connections,
            body_bytes: size(args.max_body),
            batch_events: args.max_batch,
            page_events: args.max_page,
            topics: args.max_topics,
            write_deadline: args.write_deadline,
            max_lag: args.max_lag,
            drain_window: args.drain_window,
            drain_deadline: args.drain_deadline,
            ..Limits::default()
        },
    }
}

fn hub_config(args: &ServeArgs) -> HubConfig {
    HubConfig {
        window_bytes: size(args.window_bytes),
        heartbeat: args.heartbeat,
        max_start_events: args.max_start_events,
        ..HubConfig::default()
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
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
