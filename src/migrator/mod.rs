//! Applies pending migrations to one tenant.

/// How much goes into one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionScope {
    /// One transaction a migration.
    Migration,
    /// All pending migrations of a tenant in one.
    Tenant,
}
