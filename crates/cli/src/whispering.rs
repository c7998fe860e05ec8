//! Ephemeral events between the nodes of a hub: what is said here goes to the others, and what they say
//! is shown here.

use std::sync::Arc;

use eventwall_hub::{Ephemeral, Relay};
use eventwall_jetstream::{JetStreamLog, Voice, Whisper};
use eventwall_server::App;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::failure::Failure;

/// Events on their way out; beyond, they are lost, as ephemeral events may be.
const WAITING: usize = 1024;

/// Ends with its owner.
pub(crate) struct Whispering {
    tasks: [JoinHandle<()>; 2],
}

impl Whispering {
    pub(crate) async fn start(log: &JetStreamLog, app: &Arc<App>) -> Result<Self, Failure> {
        let mut heard = log.whispers().await?;
        let (said, outgoing) = mpsc::channel(WAITING);
        app.hub.relay_ephemera(Relay::new(move |event| {
            let _ = said.try_send(event.clone());
        }));
        let speaking = tokio::spawn(speak(outgoing, heard.voice()));
        let app = app.clone();
        let hearing = tokio::spawn(async move {
            while let Some(Whisper { topic, event, data }) = heard.next().await {
                app.hub.show_ephemeral(Ephemeral { topic, event, data });
            }
        });
        Ok(Self { tasks: [speaking, hearing] })
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
