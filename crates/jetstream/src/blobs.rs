//! The [`Blobs`] of a hub: a bucket of objects in the cluster.

use async_nats::jetstream::object_store::{GetErrorKind, ObjectStore};
use eventwall_log::{BlobError, Blobs};
use futures_core::future::BoxFuture;
use tokio::io::AsyncReadExt as _;

use crate::nats::in_full;

/// Large values by name, shared by all nodes of a hub.
#[derive(Clone)]
pub struct JetStreamBlobs(pub(crate) ObjectStore);

impl std::fmt::Debug for JetStreamBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JetStreamBlobs")
    }
}

impl Blobs for JetStreamBlobs {
    fn get(&self, name: &str, max: usize) -> BoxFuture<'_, Result<Option<Vec<u8>>, BlobError>> {
        let name = name.to_owned();
        Box::pin(async move {
            let object = match self.0.get(&*name).await {
                Ok(object) => object,
                Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(BlobError::Io(in_full(&error))),
            };
            if object.info().size > max {
                return Err(BlobError::TooLarge { bytes: object.info().size, max });
            }
            let mut bytes = Vec::with_capacity(object.info().size);
            let read = object.take(max as u64 + 1).read_to_end(&mut bytes).await;
            read.map_err(|error| BlobError::Io(error.to_string()))?;
            Ok(Some(bytes))
        })
    }

    fn put(&self, name: &str, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), BlobError>> {
        let name = name.to_owned();
        Box::pin(async move {
            let put = self.0.put(&*name, &mut &bytes[..]).await;
            put.map(drop).map_err(|error| BlobError::Io(in_full(&error)))
        })
    }

    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), BlobError>> {
        let name = name.to_owned();
        Box::pin(async move {
            use async_nats::jetstream::object_store::DeleteErrorKind;
            match self.0.delete(&*name).await {
                Err(error) if error.kind() == DeleteErrorKind::NotFound => Ok(()),
                removed => removed.map_err(|error| BlobError::Io(in_full(&error))),
            }
        })
    }
}
