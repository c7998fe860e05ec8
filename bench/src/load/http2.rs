//! Subscribers on HTTP/2: many streams on one connection. Only their number and what they get is of
//! interest, not their speed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use h2::client;
use http::Request;
use tokio::{net::TcpStream, runtime::Runtime, time::sleep};

use super::Payload;

/// Streams that are open.
pub(crate) struct Streams {
    runtime: Runtime,
    events: Arc<AtomicU64>,
}

impl Streams {
    pub(crate) fn new() -> anyhow::Result<Self> {
        // On a thread of its own: they read while others publish.
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        Ok(Self { runtime, events: Arc::default() })
    }

    /// Opens connections with so many streams each.
    pub(crate) fn open(
        &mut self,
        at: SocketAddr,
        (connections, each): (usize, usize),
        path: &str,
    ) -> anyhow::Result<()> {
        let uri = format!("http://{at}{path}");
        for _ in 0..connections {
            let (uri, events) = (uri.clone(), self.events.clone());
            self.runtime.block_on(async move {
                let io = TcpStream::connect(at).await?;
                let mut builder = client::Builder::new();
                builder.initial_connection_window_size(16 << 20);
                let (mut send, connection) = builder.handshake::<_, bytes::Bytes>(io).await?;
                tokio::spawn(connection);
                for _ in 0..each {
                    send = send.ready().await?;
                    let request = Request::get(&uri).header("accept", "text/event-stream");
                    let (response, _) = send.send_request(request.body(())?, true)?;
                    let response = response.await?;
                    if response.status() != 200 {
                        bail!("a stream was answered {}", response.status());
                    }
                    tokio::spawn(read(response.into_body(), events.clone()));
                }
                // It ends with its last stream.
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Waits until all of them together have got so many events.
    pub(crate) fn until(&mut self, wanted: u64) -> anyhow::Result<()> {
        let (events, began) = (self.events.clone(), Instant::now());
        self.runtime.block_on(async move {
            while events.load(Ordering::Relaxed) < wanted {
                sleep(Duration::from_millis(20)).await;
                if began.elapsed() > Duration::from_secs(120) {
                    bail!("{} of {wanted} events came", events.load(Ordering::Relaxed));
                }
            }
            Ok(())
        })
    }
}

async fn read(mut body: h2::RecvStream, events: Arc<AtomicU64>) -> anyhow::Result<()> {
    let mut cut = Vec::new();
    loop {
        let data = body.data().await.context("a stream ended")??;
        body.flow_control().release_capacity(data.len())?;
        cut.extend_from_slice(&data);
        let kept = Payload::all_of(&cut, |_| {
            events.fetch_add(1, Ordering::Relaxed);
        });
        cut.drain(..cut.len() - kept);
    }
}
