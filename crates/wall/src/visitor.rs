//! Who looks at a wall: an id and a name in a signed cookie. The server keeps no list of
//! visitors, and nobody can post under an id that is not theirs.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use eventwall_log::{State, StateError};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, header};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const COOKIE: &str = "eventwall_visitor";
const STATE_KEY: &str = "visitor-key";
const KEY_BYTES: usize = 32;

/// A visitor of the walls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Visitor {
    /// `visitor:` and a random word: what the log keeps as the publisher.
    pub(crate) id: String,
    /// What they call themselves.
    pub(crate) name: String,
}

impl Visitor {
    pub(crate) fn new_guest() -> Self {
        let mut rng = rand::rng();
        let id: u64 = rng.random();
        Self {
            id: format!("visitor:{id:016x}"),
            name: format!("Guest {}", rng.random_range(1000..10_000)),
        }
    }
}

/// Signs cookies and checks them.
pub(crate) struct Signer(Hmac<Sha256>);

impl std::fmt::Debug for Signer {
    /// The key is nobody's to read.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(…)")
    }
}

/// The key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The state store failed.
    #[error("the key that signs visitors' cookies: {0}")]
    State(#[from] StateError),
    /// What is stored is no key.
    #[error(
        "the stored key that signs visitors' cookies is damaged: remove state/{STATE_KEY}, and every visitor becomes a new guest"
    )]
    Damaged,
}

impl Signer {
    /// The key in `state`, made if there is none yet.
    pub(crate) async fn load(state: &dyn State) -> Result<Self, SignerError> {
        if let Some((key, _)) = state.get(STATE_KEY).await? {
            return Self::new(&key);
        }
        let key: [u8; KEY_BYTES] = rand::random();
        match state.put(STATE_KEY, key.to_vec(), 0).await {
            Ok(_) => Self::new(&key),
            // Another node was first: its key is everybody's.
            Err(StateError::Conflict(_)) => {
                let stored = state.get(STATE_KEY).await?.ok_or(SignerError::Damaged)?;
                Self::new(&stored.0)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn new(key: &[u8]) -> Result<Self, SignerError> {
        if key.len() != KEY_BYTES {
            return Err(SignerError::Damaged);
        }
        Hmac::new_from_slice(key).map(Self).map_err(|_| SignerError::Damaged)
    }

    /// The visitor that a request's cookie names, if its signature is ours.
    pub(crate) fn visitor(&self, headers: &HeaderMap) -> Option<Visitor> {
        let cookies =
            headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(name, value)| (name == COOKIE).then(|| self.verify(value)).flatten())
    }

    /// The header that gives a visitor their cookie, for a year; a `secure` one goes over TLS only.
    pub(crate) fn cookie(&self, visitor: &Visitor, secure: bool) -> HeaderValue {
        let payload =
            BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(visitor).unwrap_or_default());
        let signature = self.0.clone().chain_update(payload.as_bytes()).finalize().into_bytes();
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
        let secure = if secure { "; Secure" } else { "" };
        let cookie = format!(
            "{COOKIE}={payload}.{signature}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}"
        );
        HeaderValue::try_from(cookie).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    fn verify(&self, value: &str) -> Option<Visitor> {
        let (payload, signature) = value.split_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.0.clone().chain_update(payload.as_bytes()).verify_slice(&signature).ok()?;
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use eventwall_log::MemoryState;

    use super::*;

    fn request(signer: &Signer, visitor: &Visitor) -> String {
        let cookie = signer.cookie(visitor, false);
        cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    fn with_cookie(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("a=b; {cookie}").parse().unwrap());
        headers
    }

    #[tokio::test]
    async fn a_cookie_survives_a_restart_and_no_forgery() {
        let state = MemoryState::default();
        let signer = Signer::load(&state).await.unwrap();
        let visitor = Visitor { name: "Gäst; = 😀".into(), ..Visitor::new_guest() };
        let cookie = request(&signer, &visitor);
        let restarted = Signer::load(&state).await.unwrap();
        assert_eq!(restarted.visitor(&with_cookie(&cookie)), Some(visitor));
        let other = Signer::load(&MemoryState::default()).await.unwrap();
        assert_eq!(other.visitor(&with_cookie(&cookie)), None);
        for i in COOKIE.len() + 1..cookie.len() {
            let mut forged = cookie.clone().into_bytes();
            forged[i] = if forged[i] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(signer.visitor(&with_cookie(&forged)), None, "at {i}");
        }
    }
}
