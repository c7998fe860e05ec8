//! What every [`State`](crate::State) and every [`Blobs`](crate::Blobs) must do.

use crate::{BlobError, Blobs, State, StateError};

/// Runs every case of a state that is empty.
///
/// # Panics
/// If it does not do as it must.
pub async fn a_state_keeps_the_contract(state: &dyn State) {
    assert_eq!(state.get("a").await, Ok(None));
    let first = state.put("a", b"1".to_vec(), 0).await.expect("it is absent");
    assert_eq!(state.put("a", b"2".to_vec(), 0).await, Err(StateError::Conflict(first)));
    assert_eq!(state.get("a").await, Ok(Some((b"1".to_vec(), first))));
    let second = state.put("a", b"2".to_vec(), first).await.expect("it is unchanged");
    assert!(second > first, "revisions grow");
    assert_eq!(state.put("a", b"3".to_vec(), first).await, Err(StateError::Conflict(second)));
    assert_eq!(state.put("b", b"3".to_vec(), 7).await, Err(StateError::Conflict(0)));
    assert_eq!(state.get("a").await, Ok(Some((b"2".to_vec(), second))));
    let binary: Vec<u8> = (0..=255).collect();
    state.put("binary-1", binary.clone(), 0).await.expect("it is absent");
    assert_eq!(
        state.get("binary-1").await.expect("readable").map(|(value, _)| value),
        Some(binary)
    );
}

/// Runs every case of blobs that are empty.
///
/// # Panics
/// If they do not do as they must.
pub async fn blobs_keep_the_contract(blobs: &dyn Blobs) {
    const MAX: usize = 1 << 22;
    assert_eq!(blobs.get("a", MAX).await, Ok(None));
    blobs.remove("a").await.expect("what is not there can be removed");
    for (name, bytes) in [("a", 0), ("b_2-x", 1), ("c", 3 << 20)] {
        let value: Vec<u8> = (0..bytes).map(|n: usize| n.to_le_bytes()[0]).collect();
        blobs.put(name, value.clone()).await.expect("it is put");
        assert_eq!(blobs.get(name, MAX).await, Ok(Some(value)), "{name}");
    }
    let too_large = BlobError::TooLarge { bytes: 3 << 20, max: 100 };
    assert_eq!(blobs.get("c", 100).await, Err(too_large));
    blobs.put("c", b"other".to_vec()).await.expect("it takes the place");
    assert_eq!(blobs.get("c", MAX).await, Ok(Some(b"other".to_vec())));
    blobs.remove("c").await.expect("it is removed");
    assert_eq!(blobs.get("c", MAX).await, Ok(None));
    assert_eq!(blobs.get("a", MAX).await, Ok(Some(Vec::new())));
}
