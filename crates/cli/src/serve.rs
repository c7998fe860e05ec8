//! `eventwall serve`: opens the log, serves the hub and the wall, and goes down in order.

use std::{io, io::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use eventwall_hub::{Hub, HubConfig};
use eventwall_log::{Rule, Topic};
use eventwall_server::{
    Access, App, ForwardedHeader, Limits, Listener, Public, Settings, Tls, Trust,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};

use crate::{
    args::{AccessArgs, ForwardedArg, LimitArgs, ServeArgs},
    config::retention::retention,
    control::Control,
    failure::Failure,
    files::{check_limit, raise_limit},
    reload::Reloads,
    signals::{hangups, stop_signal},
    storage::Storage,
    whispering::Whispering,
};

/// Connections that wait to be accepted: when many come back at once, those beyond are turned away by the
/// system, with a reset.
const BACKLOG: u32 = 4096;
const DEMO_PACE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(2)..=Duration::from_secs(7);

pub(crate) async fn serve(args: ServeArgs, rules: Vec<Rule>) -> Result<(), Failure> {
    let access = access(&args.access, args.listen)?;
    let tls = tls(&args.access)?;
    check_sizes(&args.limits)?;
    warn_of_risks(&args, &access);
    let (stop, signals) = stop_signal()?;
    let hangups = hangups()?;
    let listener = listen(args.listen)?;
    let address = listener.local_addr().map_err(|error| Failure::listen(error.to_string()))?;
    // A log of thousands of segments needs some, too.
    let files = raise_limit();
    let storage = Storage::open(&args, retention(&args.kept, rules)).await?;
    let control = storage.disk.clone().and_then(|(log, folder)| Control::start(log, &folder));
    let hub = Hub::new(storage.log.clone(), &hub_config(&args));
    let app = Arc::new(App::new(hub, settings(&args, access)));
    let whispers = match &storage.shared {
        Some(log) => Some(Whispering::start(log, &app).await?),
        None => None,
    };
    let wall = eventwall_wall::routes(&app, storage.state.clone()).await;
    let wall = wall.map_err(|error| Failure::data(error.to_string()))?;
    let router = eventwall_server::finish(eventwall_server::routes(&app).merge(wall), &app);
    check_limit(files, args.limits.max_connections);
    greet(address, (tls.is_some(), &app.settings().access), &storage.described)?;
    let demo = args.demo.then(|| play_samples(app.clone()));
    let renewals = tls.clone().map(|tls| tokio::spawn(tls.watch()));
    let reloads = Reloads { app: app.clone(), state: storage.state.clone(), tls: tls.clone() };
    let reloads = tokio::spawn(reloads.on_hangup(hangups, args));
    let begun = app.begun.clone();
    let served = eventwall_server::serve(Listener { tcp: listener, tls }, router, app, stop).await;
    reloads.abort();
    if let Some(renewals) = renewals {
        renewals.abort();
    }
    if let Some(demo) = demo {
        demo.abort();
    }
    drop(control);
    if let Some(whispers) = whispers {
        whispers.farewell().await;
    }
    begun.ended(LAST_WORK).await;
    storage.log.close().await;
    signals.abort();
    served.map_err(|error| Failure::general(format!("no threads to deliver with: {error}")))
}

/// So long the log is kept open for what was begun.
const LAST_WORK: Duration = Duration::from_secs(5);
const DECIDE: &str = "--public-walls lobby opens a wall, --public-read TOPICS and --public-write TOPICS open topics, and --allow-anyone opens everything";

/// What is public. Off the machine that is decided by whoever starts the server, not by default.
pub(crate) fn access(args: &AccessArgs, listen: SocketAddr) -> Result<Access, Failure> {
    let AccessArgs {
        public_walls,
        public_read,
        public_write,
        allow_anyone,
        trusted_proxy,
        proxy_protocol,
        ..
    } = args;
    if *proxy_protocol && trusted_proxy.is_empty() {
        return Err(Failure::usage(
            "--proxy-protocol is of trusted proxies: name them with --trusted-proxy",
        ));
    }
    let nothing_public =
        [public_walls, public_read, public_write].iter().all(|list| list.is_empty());
    if *allow_anyone && !nothing_public {
        return Err(Failure::usage(
            "--allow-anyone opens everything, and --public-… opens some of it: leave one of the two out",
        ));
    }
    if !nothing_public {
        let read = [&public_read[..], public_walls].concat();
        let (write, post) = (public_write.clone(), public_walls.clone());
        return Ok(Access::only(Public { read, write, post }));
    }
    if *allow_anyone || (listen.ip().is_loopback() && trusted_proxy.is_empty()) {
        return Ok(Access::everything());
    }
    if listen.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "behind a proxy {listen} is reached from other machines, too, so say what everyone there may do: {DECIDE}"
        )));
    }
    Err(Failure::usage(format!(
        "{listen} can be reached from other machines, so say what everyone there may do: {DECIDE}; or listen on 127.0.0.1"
    )))
}

/// A body that is allowed must find room, or it would be asked to try again for ever.
pub(crate) fn check_sizes(limits: &LimitArgs) -> Result<(), Failure> {
    if limits.max_all_bodies >= limits.max_body.saturating_add(1024) {
        return Ok(());
    }
    Err(Failure::usage(
        "max_all_bodies has no room for one body of max_body and a KiB: raise it, or lower max_body",
    ))
}

/// What is allowed, and perhaps not meant.
pub(crate) fn warn_of_risks(args: &ServeArgs, access: &Access) {
    if !access.is_everything() && lobby().is_some_and(|lobby| access.writes(&lobby)) {
        tracing::warn!(
            "public_write covers walls, so everyone may post there in anybody's name: public_walls lets visitors post"
        );
    }
    let near = args.listen.ip().is_loopback() || !args.access.trusted_proxy.is_empty();
    if args.access.tls_cert.is_none() && !near {
        tracing::warn!(
            "without TLS all that is sent can be read and changed on its way: see --tls-cert"
        );
    }
    if near && access.is_everything() && !args.access.allow_host.is_empty() {
        tracing::warn!(
            "everything is open to whoever reaches this server by the names of allow_host: see --public-walls"
        );
    }
}

fn tls(args: &AccessArgs) -> Result<Option<Arc<Tls>>, Failure> {
    let (certificate, key) = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(None),
        _ => {
            return Err(Failure::usage(
                "TLS needs both files: the certificate with --tls-cert and its key with --tls-key",
            ));
        }
    };
    let tls = Tls::load(certificate, key)
        .map_err(|error| Failure::usage(format!("cannot speak TLS: {error}")))?;
    Ok(Some(Arc::new(tls)))
}

/// What of the settings can change while the server runs.
pub(crate) fn settings(args: &ServeArgs, access: Access) -> Settings {
    let limits = &args.limits;
    Settings {
        loopback_only: args.listen.ip().is_loopback(),
        allowed_hosts: args.access.allow_host.iter().map(ToString::to_string).collect(),
        cors_origins: args.access.cors_origin.iter().map(ToString::to_string).collect(),
        access,
        trust: Trust {
            proxies: args.access.trusted_proxy.clone(),
            header: match args.access.forwarded_header {
                ForwardedArg::XForwarded => ForwardedHeader::XForwarded,
                ForwardedArg::Forwarded => ForwardedHeader::Forwarded,
            },
            proxy_protocol: args.access.proxy_protocol,
        },
        limits: Limits {
            connections: limits.max_connections,
            address_connections: limits.max_address_connections,
            subscriptions: limits.max_subscriptions,
            topics: limits.max_topics,
            connection_topics: limits.max_connection_topics,
            all_patterns: limits.max_all_patterns,
            publish_rate: limits.max_publish_rate,
            topic_rate: limits.max_topic_rate,
            all_topics: limits.max_all_topics,
            body_bytes: size(limits.max_body),
            all_bodies_bytes: size(limits.max_all_bodies),
            all_pages_bytes: size(limits.max_all_pages),
            head_bytes: size(limits.max_head),
            url_bytes: size(limits.max_url),
            batch_events: limits.max_batch,
            page_events: limits.max_page,
            handshake_deadline: limits.handshake_deadline,
            header_deadline: limits.header_deadline,
            idle_deadline: limits.idle_deadline,
            body_deadline: limits.body_deadline,
            stream_deadline: limits.stream_deadline,
            write_deadline: limits.write_deadline,
            max_lag: limits.max_lag,
            drain_window: limits.drain_window,
            drain_deadline: limits.drain_deadline,
            ..Limits::default()
        },
    }
}

fn hub_config(args: &ServeArgs) -> HubConfig {
    HubConfig {
        window_bytes: size(args.window_bytes),
        heartbeat: args.heartbeat,
        max_start_events: args.limits.max_start_events,
        ..HubConfig::default()
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A socket that listens, with as long a queue as the system allows.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that is started again finds its port free.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    bind(address).map_err(|error| {
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

/// The topic of the wall at `/`.
fn lobby() -> Option<Topic> {
    format!("walls/{}", eventwall_wall::LOBBY).parse().ok()
}

/// The wall that is opened first: the lobby, if it may be.
fn first_wall(access: &Access) -> Option<String> {
    if lobby().is_some_and(|lobby| access.reads(&lobby)) {
        return Some(eventwall_wall::LOBBY.into());
    }
    let mut walls = access.posted().iter().map(ToString::to_string);
    let wall = walls.find(|wall| !wall.contains('*'))?;
    wall.strip_prefix("walls/").map(Into::into)
}

/// Printed once the address answers, in one piece.
fn greet(address: SocketAddr, (tls, access): (bool, &Access), log: &str) -> Result<(), Failure> {
    let address = reachable(address);
    let base = format!("{}://{address}", if tls { "https" } else { "http" });
    let version = env!("CARGO_PKG_VERSION");
    let wall = first_wall(access).map(|wall| (eventwall_wall::path_of(&wall), wall));
    let none = || (String::from("/"), String::new());
    let (page, screen) = wall.map_or_else(none, |(path, wall)| {
        let page = if wall == eventwall_wall::LOBBY { "/".into() } else { path.clone() };
        (page, format!("  show  {base}{path}/screen (on a projector)\n"))
    });
    let post = lobby()
        .filter(|lobby| access.writes(lobby))
        .map_or_else(String::new, |lobby| format!("  post  curl -d hello {base}/topics/{lobby}\n"));
    let open = access.told().map_or_else(String::new, |open| format!("  open  {open}\n"));
    let greeting = format!(
        "Eventwall {version}\n  wall  {base}{page}\n{screen}  log   {log}\n{open}{post}Ctrl-C stops it.\n"
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

/// An address that others can use: of a server that listens on all, that of the way out of this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    // Nothing is sent: the system only says from where it would be (RFC 5737: nobody is there).
    let outside: SocketAddr = ([192, 0, 2, 1], 9).into();
    let own = std::net::UdpSocket::bind(("0.0.0.0", 0))
        .and_then(|socket| socket.connect(outside).and_then(|()| socket.local_addr()));
    own.map_or(address, |own| SocketAddr::new(own.ip(), address.port()))
}

fn play_samples(app: Arc<App>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(lobby) = lobby() else { return };
        let endless = eventwall_wall::sample_posts();
        let endless = endless.into_iter().cycle();
        if let Err(error) = eventwall_wall::play(&app.hub, &lobby, endless, DEMO_PACE).await {
            tracing::warn!(%error, "the sample posts stopped");
        }
    })
}
