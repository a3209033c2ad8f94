//! Beginning where the program's own database says.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Offset,
    rebalance::{Listener, Rebalance, RebalanceKind},
};
use crate::{
    error::Error,
    store::{Starts, StoreError, StoredPartition},
};

/// A listener that claims what comes, and then tells the program's own.
pub(super) fn listener(starts: Arc<dyn Starts>, program: Option<Listener>) -> Listener {
    let program = program.map(Arc::new);
    Listener::new(move |event| {
        let (starts, program) = (Arc::clone(&starts), program.clone());
        async move {
            if event.kind() == RebalanceKind::Assigned {
                begin(&event, &*starts).await;
            }
            if let Some(program) = program {
                program.tell(event).await;
            }
        }
    })
}

/// Claims partitions until that succeeds, is refused, or they are not ours any more.
async fn begin(event: &Rebalance, starts: &dyn Starts) {
    let group = event.group();
    let backoff = group.cluster.config().retry_backoff;
    let mut failures = 0;
    loop {
        let ours: Vec<_> = event.partitions().iter().filter(|partition| group.has(partition)).collect();
        if ours.is_empty() || group.shared.is_closed() {
            return;
        }
        // A topic may have been created anew since it was looked up.
        let topics: BTreeSet<_> = ours.iter().map(|partition| (Arc::clone(&partition.topic), false)).collect();
        let refreshed = group.cluster.refresh(topics).await;
        let id = |topic: &str| group.cluster.metadata().topic(topic).map(|topic| topic.topic_id).unwrap_or_default();
        let claims: Vec<_> =
            ours.iter().map(|partition| StoredPartition::new((*partition).clone(), id(&partition.topic))).collect();
        let claimed = match refreshed {
            Ok(()) => starts.claim(&group.metadata(), &claims).await,
            Err(error) => Err(StoreError::Database(Box::new(error))),
        };
        let error = match claimed {
            Ok(offsets) => {
                for (partition, offset) in ours.iter().zip(offsets) {
                    if let Some(offset) = offset {
                        // It may have gone meanwhile, and then nothing is to be done for it.
                        let _ = event.seek(partition, Offset::At(offset));
                    }
                }
                return;
            }
            Err(error) => error,
        };
        failures += 1;
        tracing::warn!(%error, failures, "the store of offsets did not take the partitions");
        if !matches!(error, StoreError::Database(_)) {
            let reason: Arc<str> = error.to_string().into();
            let mut positions = group.shared.positions();
            for partition in ours {
                if let Some(slot) = positions.slot(&partition.topic, partition.partition) {
                    positions.report(slot, Error::OffsetStore { reason: Arc::clone(&reason) });
                }
            }
            return;
        }
        tokio::time::sleep(backoff.wait(failures)).await;
    }
}
