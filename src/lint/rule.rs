//! The rules: their names, how bad a finding is, why it hurts in a fleet, how to write it instead.

use std::fmt;

use super::level::Level;

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Whether the file can be run and read at all. No config turns these off.
    Set,
    /// What leaves the tenant's schema.
    Isolation,
    /// What the application waits for, or breaks on while versions are mixed.
    Locks,
    /// Row security of tables that tenants share; on where the config names a tenant column.
    Rows,
}

impl Group {
    /// As in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Isolation => "isolation",
            Self::Locks => "lock_safety",
            Self::Rows => "row_security",
        }
    }
}

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, in kebab-case.
    pub name: &'static str,
    /// What it is about.
    pub group: Group,
    /// How bad a finding is where the config says nothing.
    pub level: Level,
    /// Why it hurts in a fleet.
    pub why: &'static str,
    /// How to write it instead. Empty: each finding says it.
    pub how: &'static str,
}

const fn set(name: &'static str, level: Level, why: &'static str, how: &'static str) -> Rule {
    Rule {
        name,
        group: Group::Set,
        level,
        why,
        how,
    }
}

const fn deny(name: &'static str, why: &'static str, how: &'static str) -> Rule {
    Rule {
        name,
        group: Group::Isolation,
        level: Level::Deny,
        why,
        how,
    }
}

const fn warn(name: &'static str, why: &'static str, how: &'static str) -> Rule {
    Rule {
        level: Level::Warn,
        ..deny(name, why, how)
    }
}

const fn lock(name: &'static str, why: &'static str, how: &'static str) -> Rule {
    Rule {
        group: Group::Locks,
        level: Level::Warn,
        ..deny(name, why, how)
    }
}

const fn row(name: &'static str, why: &'static str, how: &'static str) -> Rule {
    Rule {
        group: Group::Rows,
        ..deny(name, why, how)
    }
}

const QUEUE: &str =
    "the application's queries on the table wait for as long as it takes, once in every tenant";
const MIXED: &str = "while the fleet is migrated, and behind a canary for days, the application serves tenants with and without it";
const SHARED_BY_ALL: &str = "it belongs to the whole database: the first tenant makes it, every other one fails or changes it again";
const ROWS: &str = "one query that forgets its condition reads or writes the rows of every tenant";

/// All rules, by group.
pub const RULES: &[Rule] = &[
    set(
        "refused",
        Level::Deny,
        "fleet does not run the file, in any tenant",
        "",
    ),
    set(
        "unparsed",
        Level::Note,
        "what the linter cannot read, it cannot judge; PostgreSQL may still take it",
        "check the statement by hand; fleet rehearse runs it and rolls it back",
    ),
    set(
        "allow-unknown-rule",
        Level::Warn,
        "a typo allows nothing",
        "fleet lint --rules lists the names",
    ),
    set(
        "allow-without-reason",
        Level::Warn,
        "whoever reads it next cannot know whether it still holds, so it allows nothing",
        "write the reason behind the rule: -- fleet: allow RULE reason",
    ),
    set(
        "allow-unused",
        Level::Note,
        "it would silently allow what somebody adds later",
        "take the mark off",
    ),
    deny(
        "qualified-name",
        "every tenant's migration would reach into that one schema instead of its own",
        "leave the schema off: the search_path begins with the tenant's own",
    ),
    deny(
        "shared-schema",
        "the schema is shared by all tenants, so the first tenant's migration changes it for all, and the second one runs it again",
        "change shared schemas in a migration set of their own, once, outside of the tenants'",
    ),
    warn(
        "shared-foreign-key",
        "it locks the shared table against writes while each tenant is migrated, and ties its rows to every tenant",
        "keep the key without the constraint, or make it NOT VALID first and validate it in a later file",
    ),
    deny(
        "set-search-path",
        "the statements behind it run in another schema than the tenant's, and so might the history row",
        "leave it off: fleet sets the search_path for each tenant and refuses a file that changes it",
    ),
    deny(
        "set-role",
        "what follows runs with other rights and makes objects with another owner than the rest of the tenant",
        "leave it off; execution.isolation: role gives each tenant a role of its own",
    ),
    deny(
        "function-search-path",
        "the function, called in any tenant, works in that one schema",
        "SET search_path FROM CURRENT keeps the path of the tenant in which it is created",
    ),
    deny(
        "extension",
        "an extension belongs to the database, and its objects to the schema of the tenant that comes first: the second tenant does not find them, and dropping the first tenant takes columns of others with it",
        "create it once when the database is set up, in a schema of its own, and name that schema in the database's search_path in fleet.yaml",
    ),
    deny(
        "schema",
        "a migration runs once in every tenant, and a schema is no part of one: DROP SCHEMA … CASCADE takes along what others use in it",
        "make and drop schemas where tenants are made and dropped",
    ),
    deny(
        "role",
        "roles belong to the whole server: the second tenant finds it there already, or gone",
        "make roles when the server is set up; fleet roles makes those of tenants",
    ),
    deny(
        "database",
        "it is about the whole database or server, not about a tenant",
        "do it once, when the server is set up",
    ),
    deny(
        "replication",
        SHARED_BY_ALL,
        "do it once, when the database is set up",
    ),
    deny(
        "event-trigger",
        "it fires for the statements of every tenant and of fleet itself",
        "do it once, when the database is set up",
    ),
    deny(
        "foreign-server",
        SHARED_BY_ALL,
        "do it once, when the database is set up",
    ),
    deny(
        "database-object",
        SHARED_BY_ALL,
        "do it once, when the database is set up",
    ),
    warn(
        "cast",
        "a cast belongs to the database, unless one of its types is the tenant's own",
        "do it once, when the database is set up, if both types are PostgreSQL's or shared",
    ),
    deny(
        "default-privileges",
        "without IN SCHEMA it applies to what the role makes in any schema, in every tenant again",
        "grant on the tenant's objects as they are made",
    ),
    deny(
        "move-schema",
        "the object leaves the tenant for a schema that all of them share, where the second one finds it there already",
        "make it where it belongs",
    ),
    deny(
        "catalog-lookup",
        "it sees the objects of all tenants: once the first has it, the block does nothing in all others, and exits with success",
        "add a condition: conrelid = 'orders'::regclass, table_schema = current_schema(), to_regclass('orders') IS NULL; or write IF NOT EXISTS",
    ),
    warn(
        "function-catalog-lookup",
        "when it is called, it sees the objects of all tenants",
        "add a condition on the schema, such as table_schema = current_schema()",
    ),
    deny(
        "transaction-control",
        "fleet commits a migration together with its history row; ended before, the rest runs outside of the tenant's guard",
        "split the file where it should commit, or mark it -- fleet: no-transaction",
    ),
    warn(
        "dynamic-sql",
        "what it runs is made when it runs: nobody can tell beforehand whether it stays in the tenant",
        "write the statement out where that is possible; else allow it with a reason",
    ),
    lock(
        "require-concurrent-index-creation",
        "writes to the table wait until the index is built, once in every tenant",
        "write CREATE INDEX CONCURRENTLY in a file that holds nothing else: fleet runs such a file without a transaction, and finishes it after an interruption",
    ),
    lock(
        "require-concurrent-index-deletion",
        QUEUE,
        "write DROP INDEX CONCURRENTLY in a file that holds nothing else: fleet runs such a file without a transaction",
    ),
    lock(
        "require-concurrent-reindex",
        QUEUE,
        "write REINDEX … CONCURRENTLY in a file that holds nothing else",
    ),
    lock(
        "require-concurrent-partition-detach",
        QUEUE,
        "write DETACH PARTITION … CONCURRENTLY in a file that holds nothing else",
    ),
    lock(
        "constraint-missing-not-valid",
        QUEUE,
        "add it NOT VALID, and VALIDATE CONSTRAINT in the next file",
    ),
    lock(
        "adding-foreign-key-constraint",
        "writes to both tables wait while all rows are checked",
        "add it NOT VALID, and VALIDATE CONSTRAINT in the next file",
    ),
    lock(
        "disallowed-unique-constraint",
        QUEUE,
        "CREATE UNIQUE INDEX CONCURRENTLY in a file of its own, then ADD CONSTRAINT … UNIQUE USING INDEX in the next",
    ),
    lock(
        "adding-serial-primary-key-field",
        QUEUE,
        "CREATE UNIQUE INDEX CONCURRENTLY in a file of its own, then ADD CONSTRAINT … PRIMARY KEY USING INDEX in the next",
    ),
    lock("adding-field-with-default", QUEUE, ""),
    lock(
        "adding-required-field",
        "it fails in every tenant that has rows",
        "add the column nullable or with a default, fill it, then SET NOT NULL in a later file",
    ),
    lock(
        "adding-not-nullable-field",
        QUEUE,
        "add CHECK (… IS NOT NULL) NOT VALID, validate it in the next file, then SET NOT NULL",
    ),
    lock(
        "changing-column-type",
        QUEUE,
        "add a column of the new type, fill it, switch, drop the old one later",
    ),
    lock(
        "renaming-column",
        MIXED,
        "add a column, write both, switch, drop the old one later",
    ),
    lock(
        "renaming-table",
        MIXED,
        "rename it and make a view with the old name in the same file",
    ),
    lock(
        "renaming-object",
        MIXED,
        "make the new one beside it, switch, drop the old one later",
    ),
    lock(
        "ban-drop-column",
        MIXED,
        "drop it in a later release than the last one that reads it",
    ),
    lock(
        "ban-drop-table",
        MIXED,
        "drop it in a later release than the last one that reads it",
    ),
    lock(
        "ban-drop-view",
        MIXED,
        "drop it in a later release than the last one that reads it",
    ),
    lock(
        "ban-drop-function",
        MIXED,
        "drop it in a later release than the last one that calls it",
    ),
    lock(
        "ban-drop-type",
        MIXED,
        "drop it in a later release than the last one that uses it",
    ),
    lock(
        "ban-drop-sequence",
        MIXED,
        "drop it in a later release than the last one that uses it",
    ),
    lock(
        "ban-drop-domain",
        MIXED,
        "drop it in a later release than the last one that uses it",
    ),
    lock(
        "ban-drop-default",
        MIXED,
        "drop it in a later release than the last one that relies on it",
    ),
    lock(
        "ban-drop-constraint",
        MIXED,
        "drop it in a later release than the last one that relies on it",
    ),
    lock(
        "ban-drop-not-null",
        MIXED,
        "do it in a later release than the last one that cannot read a null",
    ),
    lock(
        "ban-drop-generated-expression",
        MIXED,
        "do it in a later release than the last one that relies on it",
    ),
    lock(
        "ban-alter-identity",
        MIXED,
        "do it in a later release than the last one that relies on it",
    ),
    lock("ban-create-domain-with-constraint", QUEUE, ""),
    lock("ban-alter-domain-with-add-constraint", QUEUE, ""),
    lock(
        "ban-truncate-cascade",
        "it empties tables that nobody named, in every tenant",
        "name the tables",
    ),
    lock(
        "identifier-too-long",
        "PostgreSQL cuts the name, and who looks for it does not find it",
        "",
    ),
    lock(
        "ban-duplicate-column-assignments",
        "PostgreSQL refuses it",
        "",
    ),
    row(
        "row-security-missing",
        ROWS,
        "ALTER TABLE … ENABLE ROW LEVEL SECURITY, and a policy",
    ),
    row(
        "row-security-not-forced",
        "policies do not apply to the table's owner, which the application often is",
        "ALTER TABLE … FORCE ROW LEVEL SECURITY",
    ),
    row(
        "policy-missing",
        ROWS,
        "CREATE POLICY … USING (tenant_id = current_setting('app.tenant_id')::…)",
    ),
    row(
        "tenant-index-missing",
        "every query of a tenant reads the rows of all of them",
        "CREATE INDEX … ON … (the tenant column, …)",
    ),
    row(
        "unique-not-per-tenant",
        "a value that one tenant has is refused to all others, who learn from the error that it exists",
        "put the tenant column in front of the others",
    ),
    Rule {
        level: Level::Warn,
        ..row(
            "reference-not-per-tenant",
            "a foreign key does not look at policies: a row of one tenant may point to one of another",
            "FOREIGN KEY (tenant column, …) REFERENCES … (tenant column, …)",
        )
    },
];

/// A name that no rule has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownRule {
    name: String,
    nearest: Option<&'static str>,
}

impl fmt::Display for UnknownRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            return f.write_str("no rule is named");
        }
        write!(f, "there is no rule {}", self.name)?;
        match self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => f.write_str("; fleet lint --rules lists them"),
        }
    }
}

/// The rule with a name.
///
/// # Errors
/// A name that no rule has, with the nearest one that is near.
pub fn rule(name: &str) -> Result<&'static Rule, UnknownRule> {
    if let Some(rule) = RULES.iter().find(|rule| rule.name == name) {
        return Ok(rule);
    }
    let likeness = |rule: &Rule| strsim::jaro_winkler(name, rule.name);
    let nearest = RULES
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    Err(UnknownRule {
        name: name.to_owned(),
        nearest: nearest
            .filter(|rule| likeness(rule) > 0.8)
            .map(|rule| rule.name),
    })
}

/// A rule of ours by its name.
pub(super) fn known(name: &'static str) -> &'static Rule {
    // the tests know every name; a typo would be a note instead of a panic
    RULES
        .iter()
        .find(|rule| rule.name == name)
        .unwrap_or(&RULES[1])
}
