//! Ephemeral events and presence between the nodes of a hub: what is said here goes to the others, and
//! what they say is shown and counted here.

use std::{collections::HashMap, sync::Arc, time::Duration};

use eventwall_hub::{Ephemeral, PRESENCE_LEASE, Relay};
use eventwall_jetstream::{Heard, JetStreamLog, Voice, Whisper};
use eventwall_server::App;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{interval, timeout},
};

use crate::failure::Failure;

/// Topics that the others hear of.
const MOST_TOPICS: usize = 10_000;
const FAREWELL: Duration = Duration::from_secs(1);
/// Events on their way out; beyond, they are lost, as ephemeral events may be.
const WAITING: usize = 1024;

/// Ends with its owner.
pub(crate) struct Whispering {
    tasks: [JoinHandle<()>; 3],
    voice: Voice,
}

impl Whispering {
    pub(crate) async fn start(log: &JetStreamLog, app: &Arc<App>) -> Result<Self, Failure> {
        let mut heard = log.whispers().await?;
        let (said, outgoing) = mpsc::channel(WAITING);
        app.hub.relay_ephemera(Relay::new(move |event| {
            let _ = said.try_send(event.clone());
        }));
        let voice = heard.voice();
        let speaking = tokio::spawn(speak(outgoing, voice.clone()));
        let telling = tokio::spawn(tell(app.clone(), voice.clone()));
        let app = app.clone();
        let hearing = tokio::spawn(async move {
            while let Some(said) = heard.next().await {
                match said {
                    Heard::Whisper(Whisper { topic, event, data }) => {
                        app.hub.show_ephemeral(Ephemeral { topic, event, data });
                    }
                    Heard::Presence { node, counts } => app.hub.heard_presence(node, counts),
                }
            }
        });
        Ok(Self { tasks: [speaking, hearing, telling], voice })
    }
}

impl Whispering {
    /// Nobody is here any more.
    pub(crate) async fn farewell(self) {
        let _ = timeout(FAREWELL, self.voice.tell(&HashMap::new())).await;
    }
}

/// Who is here, again and again: whoever does not hear it any more takes them for gone.
async fn tell(app: Arc<App>, voice: Voice) {
    let mut ticks = interval(PRESENCE_LEASE / 5);
    let mut told = false;
    loop {
        ticks.tick().await;
        let present = app.hub.present(MOST_TOPICS);
        // Once more when the last one has gone.
        if !present.is_empty() || told {
            voice.tell(&present).await;
        }
        told = !present.is_empty();
    }
}

async fn speak(mut outgoing: mpsc::Receiver<Ephemeral>, voice: Voice) {
    while let Some(Ephemeral { topic, event, data }) = outgoing.recv().await {
        voice.say(Whisper { topic, event, data }).await;
    }
}

impl Drop for Whispering {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
