//! `eventwall replay`: posts the events of a file, one at a time.

use tokio::time::sleep;

use crate::{args::ReplayArgs, failure::Failure, remote::Remote};

pub(crate) async fn replay(args: ReplayArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.server.server)?;
    let name = args.file.display();
    let file = std::fs::read(&args.file)
        .map_err(|error| Failure::general(format!("cannot read {name}: {error}")))?;
    let samples = eventwall_wall::parse_samples(&file)
        .map_err(|error| Failure::general(format!("{name}: {error}")))?;
    let count = samples.len();
    for (i, sample) in samples.into_iter().enumerate() {
        if i > 0 {
            sleep(args.every.draw()).await;
        }
        let event = sample.event.as_deref().unwrap_or_default();
        let id = remote.publish(&args.topic, event, sample.data).await?;
        eprintln!("{} of {count}: {id}", i + 1);
    }
    Ok(())
}
