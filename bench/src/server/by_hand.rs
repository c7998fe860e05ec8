//! What everybody writes: axum, a broadcast channel a topic, and a stream over it. It forgets everything,
//! and a subscriber that is too slow loses events without a word; but it is short.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::sse::{Event, KeepAlive, Sse},
    routing::get,
    serve::ListenerExt as _,
};
use futures_util::Stream;
use tokio::sync::broadcast::{Sender, channel, error::RecvError};

type Topics = Arc<Mutex<HashMap<String, Sender<Arc<str>>>>>;

fn sender(topics: &Topics, name: String) -> Sender<Arc<str>> {
    let mut topics = topics.lock().unwrap_or_else(PoisonError::into_inner);
    topics.entry(name).or_insert_with(|| channel(1024).0).clone()
}

async fn follow(
    State(topics): State<Topics>,
    Path(name): Path<String>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut events = sender(&topics, name).subscribe();
    let stream = async_stream::stream! {
        loop {
            match events.recv().await {
                Ok(data) => yield Ok(Event::default().data(&*data)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
    };
    Sse::new(stream).keep_alive(KeepAlive::default())
}

async fn publish(
    State(topics): State<Topics>,
    Path(name): Path<String>,
    body: String,
) -> StatusCode {
    let _ = sender(&topics, name).send(body.into());
    StatusCode::CREATED
}

/// Serves until it is killed.
#[tokio::main]
pub(crate) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let app = Router::new()
        .route("/topics/{*topic}", get(follow).post(publish))
        .with_state(Topics::default());
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}
