//! A server in the test's own process, with whatever settings a test wants.
#![allow(dead_code, missing_docs, clippy::unwrap_used, reason = "shared by tests, which may panic")]

pub mod http2;

use std::{net::SocketAddr, sync::Arc};

use eventwall_hub::{Hub, HubConfig};
use eventwall_log::{AppendOptions, MemoryLog, NewEvent};
use eventwall_server::{App, Limits, Listener, Settings, Tls, finish, routes, serve};
use eventwall_testkit::{Connection, get, until};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, task::JoinHandle};

/// A server in this process, on a runtime of its own.
pub struct Running {
    pub addr: SocketAddr,
    pub app: Arc<App>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
    pub runtime: Runtime,
}

/// A page of this origin may use every server here.
pub const ORIGIN: &str = "Origin: https://app.example";

pub fn start(change: impl FnOnce(&mut Limits)) -> Running {
    let mut settings = Settings {
        loopback_only: true,
        cors_origins: vec!["https://app.example".into()],
        ..Settings::default()
    };
    change(&mut settings.limits);
    start_with(settings, None)
}

pub fn start_with(settings: Settings, tls: Option<Arc<Tls>>) -> Running {
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let hub = Hub::new(Arc::new(MemoryLog::default()), &HubConfig::default());
    let app = Arc::new(App::new(hub, settings));
    let tcp = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = tcp.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let (router, listener) = (finish(routes(&app), &app), Listener { tcp, tls });
    let serving =
        runtime.spawn(serve(listener, router, app.clone(), async { drop(stopped.await) }));
    Running { addr, app, stop: Some(stop), serving: Some(serving), runtime }
}

impl Running {
    /// Waits until a line of the metrics is as expected.
    pub fn until_metric(&self, line: &str) {
        until(line, || {
            let text = get(self.addr, "/metrics", &[]).text();
            text.lines().any(|found| found == line)
        });
    }

    pub fn publish(&self, data: &str) {
        let event = NewEvent::new("a".parse().unwrap(), data);
        self.runtime
            .block_on(self.app.hub.publish(event.into(), AppendOptions::default()))
            .unwrap();
    }

    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub fn ended(&mut self) {
        self.runtime.block_on(self.serving.take().unwrap()).unwrap().unwrap();
    }

    /// A publish whose handler waits for the rest of its body: `100 Continue` says so.
    pub fn half_a_publish(&self) -> Connection {
        let mut connection = Connection::open(self.addr).unwrap();
        let host = self.addr;
        connection
            .send(format!(
                "POST /topics/a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
            ))
            .unwrap();
        assert_eq!(connection.head().unwrap().status, 100);
        connection.send("ab").unwrap();
        connection
    }

    /// A stream that has had its first tick.
    pub fn stream(&self) -> Connection {
        let mut connection = Connection::open(self.addr).unwrap();
        let request = format!(
            "GET /topics/a HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
            self.addr
        );
        connection.send(request).unwrap();
        assert_eq!(connection.head().unwrap().status, 200);
        connection.chunk().unwrap();
        connection
    }
}
