//! `eventwall log …`: looks at a log, checks it, compacts it, copies it. One file a verb.

mod backup;
mod compact;
pub(crate) mod copy;
mod inspect;
mod progress;
mod restore;
mod verify;

use std::sync::Arc;

use eventwall_log::{FsMedium, Rule, Survey, survey};

use self::progress::Progress;
use crate::{args::LogCommand, failure::Failure, storage::data_folder};

/// `rules`: the settings file's retention by topic.
pub(crate) async fn log(command: LogCommand, rules: Vec<Rule>) -> Result<(), Failure> {
    match command {
        LogCommand::Compact { data, kept, .. } => {
            compact::compact(&data_folder(data.data)?, &kept, rules).await
        }
        LogCommand::Copy { from, to, kept, .. } => copy::copy(&from, &to, &kept, rules).await,
        LogCommand::Inspect { data } => inspect::inspect(&data_folder(data.data)?),
        LogCommand::Verify { data } => verify::verify(&data_folder(data.data)?),
        LogCommand::Backup { to, data } => backup::backup(&data_folder(data.data)?, &to),
        LogCommand::Restore { from, data } => restore::restore(&from, &data_folder(data.data)?),
    }
}

/// Reads the whole log of a folder, whoever else uses it.
fn look(folder: &std::path::Path) -> Result<Survey, Failure> {
    if folder.to_string_lossy().contains("://") {
        return Err(Failure::usage(
            "this looks at folders only: for a hub in NATS there are `eventwall log copy` and the tools of NATS",
        ));
    }
    if !folder.join("log").is_dir() {
        return Err(Failure::data(format!(
            "there is no log in {}, or it may not be read: name a data directory",
            folder.display()
        )));
    }
    let medium = FsMedium::look(folder);
    let bar = Progress::new("reading");
    let seen = survey(&(medium as Arc<_>), &mut |done, total| bar.at(done, total));
    bar.finish();
    seen.map_err(|error| Failure::data(format!("{}: {error}", folder.display())))
}

/// "1 event", "2 events".
fn some(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// 12.3 MiB.
fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
