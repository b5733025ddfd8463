//! Lists the channels of the stream.

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use skytale_core::ChannelName;

use crate::contract::store::Head;
use crate::error::{Result, StoreError};
use crate::nats::stream::Log;

/// How many channels are asked about at once.
const AT_ONCE: usize = 32;

impl Log {
    /// Streams the components of all channels.
    pub fn all_components(&self) -> BoxStream<'static, Result<[u64; 3]>> {
        let log = self.clone();
        let listing = async move {
            let logs = log.subjects.logs();
            let info = log.stream.info_with_subjects(logs).await.map_err(StoreError::unavailable)?;
            let components = move |subject: String| log.subjects.channel(&subject);
            let listed = info.map_err(StoreError::unavailable);
            Ok(listed.try_filter_map(move |(subject, _)| std::future::ready(Ok(components(subject)))))
        };
        stream::once(listing).try_flatten().boxed()
    }

    /// Streams all channels and where they stand.
    pub fn all_heads(&self) -> BoxStream<'static, Result<(ChannelName, Head)>> {
        let log = self.clone();
        let head = move |components| {
            let log = log.clone();
            async move {
                let tail = log.head(&log.subjects.log(components)).await?;
                let named = tail.filter(|tail| tail.block.state.last.0 > 0).map(|tail| {
                    let name = ChannelName::from_parts(components, tail.block.state.text.as_deref());
                    (name, tail.head())
                });
                Ok(named)
            }
        };
        let heads = self.all_components().map_ok(head).try_buffer_unordered(AT_ONCE);
        heads.try_filter_map(|named| std::future::ready(Ok(named))).boxed()
    }
}
