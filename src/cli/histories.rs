//! Reading the histories of a database's tenants, again where somebody stands in the way.

use std::collections::HashMap;

use tokio_postgres::error::SqlState;

use super::fleet::OpenDatabase;
use crate::history;
use crate::pg;
use crate::plan::HistorySnapshot;
use crate::rollout::RetryPolicy;
use crate::run::FailureClass;
use crate::tenant::SchemaName;

/// The histories of one database's tenants. Those that somebody had locked are read again, as often as an
/// attempt at a tenant would be made again.
pub(super) async fn histories_of(
    open: &OpenDatabase,
    schemas: &[SchemaName],
    table: &str,
    retry: RetryPolicy,
) -> anyhow::Result<HashMap<SchemaName, HistorySnapshot>> {
    let mut histories = history::read(&open.pool, &open.name, schemas, table).await?;
    for attempt in 1.. {
        let locked: Vec<SchemaName> = histories
            .iter()
            .filter(|(_, history)| is_locked(history))
            .map(|(schema, _)| schema.clone())
            .collect();
        let pause = retry.pause_after(attempt, fastrand::f64());
        let (Some(pause), false) = (pause, locked.is_empty()) else {
            break;
        };
        tokio::time::sleep(pause).await;
        histories.extend(history::read(&open.pool, &open.name, &locked, table).await?);
    }
    Ok(histories)
}

/// Whether somebody stood in the way of reading a history who may be gone by now.
fn is_locked(history: &HistorySnapshot) -> bool {
    let HistorySnapshot::Unreadable {
        sqlstate: Some(code),
        ..
    } = history
    else {
        return false;
    };
    pg::sqlstate_class(&SqlState::from_code(code)) == FailureClass::Transient
}
