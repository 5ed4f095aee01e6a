//! What the ledger remembers of how long tenants took: read once, when a run is opened.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::queries::tenant_id;
use super::records::Past;
use crate::tenant::TenantId;

/// The past of those tenants of a run that are to be migrated, as far as they have one.
pub(super) async fn of_run(
    tx: &Transaction<'_>,
    run: &str,
) -> Result<HashMap<TenantId, Past>, tokio_postgres::Error> {
    let rows = tx
        .query_typed(
            "SELECT t.database, t.schema, t.last_duration_ms, t.last_migrations \
             FROM tenants t JOIN run_tenants r USING (database, schema) \
             WHERE r.run_id = $1 AND r.state = 'pending' AND t.last_duration_ms >= 0 AND t.last_migrations > 0",
            &[(&run, Type::TEXT)],
        )
        .await?;
    let pasts = rows.iter().filter_map(|row| {
        let duration_ms = u64::try_from(row.get::<_, i64>(2)).ok()?;
        let migrations = u32::try_from(row.get::<_, i32>(3)).ok()?;
        let past = Past {
            duration: Duration::from_millis(duration_ms),
            migrations: NonZeroU32::new(migrations)?,
        };
        Some((tenant_id(row, 0)?, past))
    });
    Ok(pasts.collect())
}
