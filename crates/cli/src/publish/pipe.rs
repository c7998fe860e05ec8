//! Events from standard input: a line each, batches of JSON lines, or an event stream.

use std::io::IsTerminal as _;

use futures_util::stream;
use reqwest::Body;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines, Stdin};

use super::{Target, print};
use crate::failure::Failure;

/// Lines of JSON that go together, at most.
const BATCH_LINES: usize = 1000;
/// Bytes of them.
const BATCH_BYTES: usize = 1 << 20;

pub(super) async fn lines(target: &Target) -> Result<(), Failure> {
    if std::io::stdin().is_terminal() {
        eprintln!(
            "eventwall: every line that you type is an event on {}; Ctrl-D ends it",
            target.topic
        );
    }
    let mut input = Input::new();
    while let Some(line) = input.next().await? {
        let published = target.publish(line).await;
        let number = input.number;
        published.map_err(|failure| {
            failure.in_front(&format!(
                "what follows line {number} is not published, nor that line unless it got through: "
            ))
        })?;
    }
    Ok(())
}

/// JSON lines, as many together as there are: a batch is written whole or not at all.
pub(super) async fn batches(target: &Target) -> Result<(), Failure> {
    let mut input = Input::new();
    while let Some(first) = input.next().await? {
        let (mut batch, mut lines, begins) = (first + "\n", 1, input.number);
        while lines < BATCH_LINES && batch.len() < BATCH_BYTES && input.has_more_at_hand() {
            let Some(line) = input.next().await? else { break };
            batch += &line;
            batch.push('\n');
            lines += 1;
        }
        let published = target.remote.publish_batch(&target.topic, batch).await;
        let ids = published
            .map_err(|failure| failure.in_front(&format!("the batch from line {begins} on: ")))?;
        ids.iter().try_for_each(|id| print(id))?;
    }
    Ok(())
}

/// An event stream goes as it comes, in one request.
pub(super) async fn stream(target: &Target) -> Result<(), Failure> {
    let chunks = stream::unfold(tokio::io::stdin(), |mut stdin| async {
        let mut chunk = vec![0; 16 * 1024];
        let read = stdin.read(&mut chunk).await;
        match read {
            Ok(0) => None,
            read => Some((read.map(|n| chunk[..n].to_vec()), stdin)),
        }
    });
    let done = target.remote.publish_stream(&target.topic, Body::wrap_stream(chunks)).await?;
    eprintln!("eventwall: {} events", done.count);
    done.last.as_deref().map_or(Ok(()), print)
}

struct Input {
    lines: Lines<BufReader<Stdin>>,
    number: usize,
}

impl Input {
    fn new() -> Self {
        Self { lines: BufReader::new(tokio::io::stdin()).lines(), number: 0 }
    }

    async fn next(&mut self) -> Result<Option<String>, Failure> {
        self.number += 1;
        let line = self.lines.next_line().await;
        line.map_err(|error| Failure::general(format!("line {}: {error}", self.number)))
    }

    /// A whole line has been read already: taking it waits for nobody.
    fn has_more_at_hand(&mut self) -> bool {
        self.lines.get_ref().buffer().contains(&b'\n')
    }
}
