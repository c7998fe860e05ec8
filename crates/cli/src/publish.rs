//! `eventwall publish`: one event, or one for every line that comes in.

use std::io::{IsTerminal as _, Write as _};

use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{args::PublishArgs, failure::Failure, remote::Remote};

pub(crate) async fn publish(args: PublishArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.server.server)?;
    match args.data {
        Some(data) if data != "-" => {
            let id = remote.publish(&args.topic, &args.event, data).await?;
            print(&id)
        }
        _ => lines(&remote, &args.topic, &args.event).await,
    }
}

async fn lines(remote: &Remote, topic: &str, event: &str) -> Result<(), Failure> {
    if std::io::stdin().is_terminal() {
        eprintln!("eventwall: every line that you type is an event on {topic}; Ctrl-D ends it");
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut number = 0;
    loop {
        number += 1;
        let line = lines.next_line().await;
        match line.map_err(|error| Failure::general(format!("line {number}: {error}")))? {
            Some(line) => print(&remote.publish(topic, event, line).await?)?,
            None => return Ok(()),
        }
    }
}

fn print(id: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{id}")?;
    Ok(out.flush()?)
}
