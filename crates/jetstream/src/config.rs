//! What a node must know to join a hub: where the servers are, the hub's name, and how much is kept.

use std::{path::PathBuf, str::FromStr, sync::Arc};

use async_nats::ServerAddr;
use eventwall_log::{Clock, Millis, Retention, system_clock, system_uptime};
use percent_encoding::percent_decode_str;

/// The longest name of a hub.
const MAX_HUB_BYTES: usize = 32;
const DEFAULT_HUB: &str = "eventwall";

/// `nats://[USER:PASSWORD@]HOST[:PORT][,HOST…][/HUB][?replicas=N&creds=FILE&nkey=FILE&ca=FILE&cert=FILE&key=FILE&update=true]`;
/// with `tls://` the connection must be encrypted.
#[derive(Clone)]
pub struct StoreUrl {
    pub(crate) servers: Vec<ServerAddr>,
    /// User and password; without a password it is a token.
    pub(crate) user: Option<(String, Option<String>)>,
    /// The hub's name: of its stream, and in front of its subjects and buckets.
    pub(crate) hub: String,
    /// Servers that store each event, if this node makes the stream.
    pub(crate) replicas: Option<usize>,
    pub(crate) creds: Option<PathBuf>,
    pub(crate) nkey: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) tls: bool,
    /// Settings of the stream that differ from this node's are changed to those.
    pub(crate) update: bool,
    shown: String,
    text: String,
}

/// It may contain a password.
impl std::fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoreUrl").field(&self.shown).finish()
    }
}

impl PartialEq for StoreUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for StoreUrl {}

/// Why a text names no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// Another scheme.
    #[error("it must begin with nats:// or tls://, as in nats://localhost:4222")]
    Scheme,
    /// A server's address.
    #[error("{0:?} is no address of a NATS server: write HOST or HOST:PORT")]
    Server(String),
    /// The hub's name.
    #[error("{0:?} cannot be the name of a hub: use 1 to {MAX_HUB_BYTES} letters, digits, - and _")]
    Hub(String),
    /// An option.
    #[error(
        "{0:?} makes no sense as an option of a store: there are replicas=1…5, creds=FILE, nkey=FILE, ca=FILE, cert=FILE, key=FILE and update=true"
    )]
    Option(String),
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(StoreUrlError::Scheme)?;
        let tls = match scheme {
            "nats" => false,
            "tls" => true,
            _ => return Err(StoreUrlError::Scheme),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, hub) = rest.split_once('/').unwrap_or((rest, ""));
        let hub = if hub.is_empty() { DEFAULT_HUB } else { hub };
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if hub.len() > MAX_HUB_BYTES || !hub.bytes().all(legal) {
            return Err(StoreUrlError::Hub(hub.into()));
        }
        let (user, named) = match hosts.rsplit_once('@') {
            Some((user, hosts)) => (Some(login(user)), hosts),
            None => (None, hosts),
        };
        let servers = servers(scheme, named)?;
        let mut url = Self {
            servers,
            user,
            hub: hub.into(),
            replicas: None,
            creds: None,
            nkey: None,
            ca: None,
            cert: None,
            key: None,
            tls,
            update: false,
            shown: format!("{scheme}://{named}/{hub}"),
            text: text.into(),
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            url.set(option).ok_or_else(|| StoreUrlError::Option(option.into()))?;
        }
        Ok(url)
    }
}

/// Who is named before the first host is so for all.
fn login(text: &str) -> (String, Option<String>) {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match text.split_once(':') {
        Some((user, password)) => (decode(user), Some(decode(password))),
        None => (decode(text), None),
    }
}

fn servers(scheme: &str, hosts: &str) -> Result<Vec<ServerAddr>, StoreUrlError> {
    let parse = |host: &str| {
        let refused = || StoreUrlError::Server(host.into());
        if host.is_empty() {
            return Err(refused());
        }
        format!("{scheme}://{host}").parse().map_err(|_| refused())
    };
    hosts.split(',').map(parse).collect()
}

impl StoreUrl {
    fn set(&mut self, option: &str) -> Option<()> {
        let (name, value) = option.split_once('=')?;
        let file = || (!value.is_empty()).then(|| PathBuf::from(value));
        match name {
            "replicas" => {
                let replicas = value.parse().ok().filter(|n| (1..=5).contains(n))?;
                self.replicas = Some(replicas);
            }
            "creds" => self.creds = Some(file()?),
            "nkey" => self.nkey = Some(file()?),
            "ca" => self.ca = Some(file()?),
            "cert" => self.cert = Some(file()?),
            "key" => self.key = Some(file()?),
            "update" => self.update = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }

    /// The name of the hub.
    #[must_use]
    pub fn hub(&self) -> &str {
        &self.hub
    }
}

/// Without user and password.
impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

/// How a node keeps the log.
#[derive(Clone)]
pub struct JetStreamConfig {
    /// Where.
    pub url: StoreUrl,
    /// What is kept. The same on every node.
    pub retention: Retention,
    /// How long keys are remembered, in milliseconds.
    pub idempotency_window: Millis,
    /// The time by which ages are counted; events have that of the servers.
    pub clock: Clock,
    /// A clock that nobody sets.
    pub uptime: Clock,
    /// What is not there yet is made.
    pub make: bool,
}

impl JetStreamConfig {
    /// With this retention, keys for a day, and the system's clocks.
    #[must_use]
    pub fn new(url: StoreUrl, retention: Retention) -> Self {
        let (clock, uptime) = (system_clock(), system_uptime());
        let idempotency_window = 24 * 60 * 60 * 1000;
        Self { url, retention, idempotency_window, clock, uptime, make: true }
    }

    pub(crate) fn clocks(&self) -> (Clock, Clock) {
        (Arc::clone(&self.clock), Arc::clone(&self.uptime))
    }
}

impl std::fmt::Debug for JetStreamConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JetStreamConfig").field("url", &self.url.shown).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_servers_hub_and_options() {
        let url: StoreUrl =
            "nats://me:secret@a:1,b/main?replicas=3&creds=/x&update=true".parse().unwrap();
        assert_eq!((&*url.hub, url.replicas, url.update), ("main", Some(3), true));
        let hosts: Vec<_> = url.servers.iter().map(|s| (s.host().to_owned(), s.port())).collect();
        assert_eq!(hosts, [("a".to_owned(), 1), ("b".to_owned(), 4222)]);
        assert_eq!(url.user, Some(("me".into(), Some("secret".into()))));
        assert_eq!(url.to_string(), "nats://a:1,b/main", "it tells no password");
        let plain: StoreUrl = "tls://localhost".parse().unwrap();
        assert_eq!((&*plain.hub, plain.tls), (DEFAULT_HUB, true));
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        for (text, words) in [
            ("redis://x", "nats://"),
            ("nats://", "address"),
            ("nats://a,,b", "address"),
            ("nats://a/b c", "name of a hub"),
            ("nats://a/x/y", "name of a hub"),
            ("nats://a?replicas=9", "replicas=1…5"),
            ("nats://a?colour=red", "colour=red"),
            ("nats://a?creds=", "creds="),
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
