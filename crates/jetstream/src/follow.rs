//! The one tail of a node: a consumer that brings every message of the stream in order, into the
//! index. Whatever breaks it (the connection, a server, a message that did not come), it begins anew
//! where it was, once it is sure that the stream is still the same.

use std::{sync::Arc, time::Duration};

use async_nats::{
    Message, Subscriber,
    jetstream::{
        self,
        consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, push},
    },
};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use crate::{
    keeper,
    nats::{Nats, REQUEST, in_full},
    nodes,
    runs::Mark,
    shared::Shared,
    source::stored,
    verify::{Known, verify},
};

/// In quiet times the servers say that they are there.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Silence for so long means that they are not.
const SILENCE: Duration = Duration::from_millis(2500);
/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(200);
/// The servers drop the consumer of a node that is gone.
const IDLE: Duration = Duration::from_secs(60);
/// Messages taken in before those who wait are told.
const BATCH: usize = 512;

/// Follows the stream until the log is closed.
pub(crate) async fn follow(shared: Arc<Shared>, session: Session) {
    let mut begun = Ok(session);
    while !shared.is_closed() {
        let why = match begun {
            Ok(session) => session.run(&shared).await,
            Err(why) => why,
        };
        shared.progress.send_modify(|now| now.live = false);
        if shared.trouble.send_replace(Some(why.clone())).is_none() {
            tracing::warn!(%why, "cut off from NATS: subscribers stay, publishers are asked to come back");
        }
        shared.source.forget();
        tokio::time::sleep(AGAIN).await;
        begun = begin(&shared, false).await;
    }
}

/// A consumer at work.
pub(crate) struct Session {
    messages: Subscriber,
    /// The number of the next message that the consumer sends.
    next: u64,
    /// The stream had so many when it was looked at.
    target: u64,
    /// By which the stream was made sure of.
    connection: u64,
    announced: bool,
}

/// Makes sure of the stream, and begins to follow it where the index is.
pub(crate) async fn begin(shared: &Shared, first: bool) -> Result<Session, String> {
    let nats = &shared.nats;
    if !nats.is_connected() {
        return Err("the connection to NATS is lost".into());
    }
    let known = (!first).then(|| Known::of(&shared.index()));
    if first {
        nodes::heartbeat(shared, false).await?;
    }
    let beginning = async {
        let connection = nats.connection();
        nats.restore().await?;
        let verified = verify(shared, known.as_ref()).await?;
        let state = &verified.info.state;
        {
            let mut index = shared.index();
            if verified.broken {
                index.restart(verified.runs);
            } else {
                index.adopt(verified.runs);
            }
        }
        keeper::learn(shared).await;
        {
            let mut index = shared.index();
            index.left(state.first_sequence, state.bytes);
            let copied = index.runs.copied;
            if index.taken == 0 && !index.is_copy {
                index.topics.unsure_up_to(copied);
            }
        }
        let from = shared.index().taken + 1;
        shared.announce();
        let messages = consume(nats, from).await?;
        let target = state.last_sequence;
        Ok(Session { messages, next: 1, target, connection, announced: false })
    };
    let deadline = 20 * REQUEST;
    match tokio::time::timeout(deadline, beginning).await {
        Ok(begun) => begun,
        Err(_) => Err("NATS does not answer".into()),
    }
    .inspect_err(|_| leave(nats))
}

/// A server that does not answer is left for another.
pub(crate) fn leave(nats: &Nats) {
    let client = nats.client.clone();
    tokio::spawn(async move {
        let leaving = client.force_reconnect();
        let _ = tokio::time::timeout(REQUEST, leaving).await;
    });
}

async fn consume(nats: &Nats, from: u64) -> Result<Subscriber, String> {
    let inbox = nats.client.new_inbox();
    let messages = nats.client.subscribe(inbox.clone()).await.map_err(|error| in_full(&error))?;
    let config = push::Config {
        deliver_subject: inbox,
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from.max(1) },
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        flow_control: true,
        idle_heartbeat: HEARTBEAT,
        inactive_threshold: IDLE,
        memory_storage: true,
        num_replicas: 1,
        ..push::Config::default()
    };
    let made = nats.context.create_consumer_on_stream(config, &*nats.hub).await;
    made.map_err(|error| in_full(&error))?;
    Ok(messages)
}

impl Session {
    /// Until something breaks; answers what.
    pub(crate) async fn run(mut self, shared: &Shared) -> String {
        loop {
            let step = tokio::select! {
                step = self.step(shared) => step,
                () = shared.anew.notified() => Err("the stream is looked at anew".into()),
                () = shared.nats.turns.notified() => self.check(shared),
            };
            if let Err(why) = step {
                return why;
            }
        }
    }

    /// Until the index has everything that the stream had when it was looked at.
    pub(crate) async fn catch_up(&mut self, shared: &Shared) -> Result<(), String> {
        let mut told = Instant::now();
        while shared.index().taken < self.target && !self.announced {
            self.step(shared).await?;
            if told.elapsed() > Duration::from_secs(2) {
                told = Instant::now();
                let (at, of) = (shared.index().taken, self.target);
                tracing::info!(at, of, "reading the stream to know its topics");
            }
        }
        self.live(shared);
        Ok(())
    }

    /// Takes in what has come.
    async fn step(&mut self, shared: &Shared) -> Result<(), String> {
        let next = tokio::time::timeout(SILENCE, self.messages.next()).await;
        let message =
            next.map_err(|_| "NATS is silent")?.ok_or("the connection to NATS is closed")?;
        let mut caught_up = self.take(shared, message).await?;
        for _ in 0..BATCH {
            let Some(message) = now_or_never(&mut self.messages) else { break };
            caught_up = self.take(shared, message).await?;
        }
        if caught_up {
            self.pass(shared).await?;
        }
        shared.announce();
        if shared.index().taken >= self.target {
            self.live(shared);
        }
        self.check(shared)
    }

    fn check(&self, shared: &Shared) -> Result<(), String> {
        let nats = &shared.nats;
        if !nats.is_connected() || nats.connection() != self.connection {
            return Err("the connection to NATS is lost".into());
        }
        Ok(())
    }

    /// There may be nothing left of the stream's last messages.
    async fn pass(&self, shared: &Shared) -> Result<(), String> {
        let taken = shared.index().taken;
        // Not what the consumer says: its server may be behind the others.
        if taken < self.target && taken >= shared.nats.last_message().await? {
            shared.index().passed(self.target);
        }
        Ok(())
    }

    /// From now on this node may be believed.
    fn live(&mut self, shared: &Shared) {
        if std::mem::replace(&mut self.announced, true) {
            return;
        }
        {
            let mut index = shared.index();
            index.count_ages_from_the_last();
            index.is_whole = true;
        }
        shared.progress.send_modify(|now| {
            now.generation += 1;
            now.connection = self.connection;
            now.live = true;
        });
        if shared.trouble.send_replace(None).is_some_and(|why| why != "it is starting") {
            tracing::info!("caught up with NATS");
        }
    }

    /// Takes in a message; whether there is none after it in the stream.
    async fn take(&mut self, shared: &Shared, message: Message) -> Result<bool, String> {
        if message.status.is_some() {
            return self.control(shared, &message).await;
        }
        let message = jetstream::Message { message, context: shared.nats.context.clone() };
        let (mark, number, pending) = {
            let info = message.info().map_err(|error| error.to_string())?;
            let time = info.published.unix_timestamp_nanos();
            (Mark { seq: info.stream_sequence, time }, info.consumer_sequence, info.pending)
        };
        if number != self.next {
            return Err("a message of NATS did not arrive".into());
        }
        self.next += 1;
        let stored = stored(&shared.nats.subjects, mark, &message.message);
        shared.index().take_in(stored, pending);
        Ok(pending == 0)
    }

    /// A heartbeat, or a question whether this node keeps up.
    async fn control(&self, shared: &Shared, message: &Message) -> Result<bool, String> {
        let header =
            |name: &str| message.headers.as_ref()?.get(name).map(|v| v.as_str().to_owned());
        let answer = |to: String| async {
            let answered = shared.nats.client.publish(to, bytes::Bytes::new()).await;
            answered.map_err(|error| error.to_string())
        };
        if let Some(reply) = &message.reply {
            answer(reply.to_string()).await?;
        } else if let Some(stalled) = header("Nats-Consumer-Stalled") {
            answer(stalled).await?;
        }
        let last = header("Nats-Last-Consumer").and_then(|last| last.parse::<u64>().ok());
        if last.is_some_and(|last| last >= self.next) {
            return Err("a message of NATS did not arrive".into());
        }
        // A heartbeat comes when there is nothing else to send.
        Ok(last.is_some())
    }
}

fn now_or_never(messages: &mut Subscriber) -> Option<Message> {
    futures_util::FutureExt::now_or_never(messages.next()).flatten()
}
