//! `eventwall subscribe`: follows topics and prints what comes.

use std::io::Write as _;

use eventwall_client::{EventSource, Gap, Signal};
use serde_json::Value;

use crate::{args::SubscribeArgs, failure::Failure, remote::Remote};

pub(crate) async fn subscribe(args: SubscribeArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.server.server)?;
    let last = args.last.map(|last| last.to_string());
    let mut query: Vec<(&str, &str)> =
        args.topics.iter().map(|topic| ("topic", &**topic)).collect();
    query.push(("as", "json"));
    query.extend(args.after.as_deref().map(|after| ("after", after)));
    query.extend(args.since.as_deref().map(|since| ("since", since)));
    query.extend(last.as_deref().map(|last| ("last", last)));
    let url = remote.url("/events", &query);
    let mut source = EventSource::new(remote.client.clone(), url, "");
    loop {
        let next = tokio::select! {
            next = source.next() => next,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match next.map_err(|closed| Failure::server(closed.to_string()))? {
            Signal::Event(event) => print(&event.data, &args)?,
            Signal::Gap(Gap { after, resumed, through, reason }) => eprintln!(
                "eventwall: events between {after} and {} are gone ({reason})",
                through.unwrap_or(resumed)
            ),
            Signal::Reconnecting { after, why } => {
                let server = &args.server.server;
                eprintln!(
                    "eventwall: {server}: {why}; trying again in {:.1} s",
                    after.as_secs_f64()
                );
            }
            Signal::Open | Signal::Live => {}
        }
    }
}

/// `json` is the event as the server's JSON object.
fn print(json: &str, args: &SubscribeArgs) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{json}")?;
    } else {
        let event: Value = serde_json::from_str(json).unwrap_or_default();
        let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default();
        if args.topics.len() > 1 || args.topics[0].contains('*') {
            write!(out, "{}\t", text("topic"))?;
        }
        writeln!(out, "{}", text("data"))?;
    }
    Ok(out.flush()?)
}
