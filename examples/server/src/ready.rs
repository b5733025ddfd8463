//! Whether what the server keeps things in can be reached.

use std::sync::Arc;
use std::time::Duration;

use skytale_core::ChannelName;
use skytale_store::{KeyPackageDirectory, Store};
use tokio::sync::watch;

/// How long the storage may take to show that it can be used, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_secs(2);

/// Asks the archive, and the database beside it, for what is nobody's.
#[derive(Clone)]
pub struct Probe {
    pub store: Arc<dyn Store>,
    pub directory: Arc<dyn KeyPackageDirectory>,
}

impl Probe {
    /// Tells whether both answer in time.
    pub async fn is_ready(&self) -> bool {
        let nobody = ChannelName::from_components([0; 3]);
        let both = async {
            let (head, left) =
                tokio::join!(self.store.head(&nobody), self.directory.count_key_packages(&nobody));
            head.is_ok() && left.is_ok()
        };
        tokio::time::timeout(PATIENCE, both).await.unwrap_or(false)
    }

    /// Asks again and again, as long as somebody wants to know.
    pub fn watch(self) -> watch::Receiver<bool> {
        let (sender, receiver) = watch::channel(true);
        tokio::spawn(async move {
            while !sender.is_closed() {
                let is_ready = self.is_ready().await;
                let changed = sender.send_if_modified(|was| std::mem::replace(was, is_ready) != is_ready);
                if changed {
                    tracing::warn!(ready = is_ready, "readiness changed with the storage");
                }
                tokio::time::sleep(INTERVAL).await;
            }
        });
        receiver
    }
}
