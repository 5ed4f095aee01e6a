//! Tenants: one schema and its labels is the unit of work; roles belong to them. Names are valid and quotable by construction.

mod role;
mod word;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

pub use role::{ApplicationRole, InvalidRoleName, InvalidRoleTemplate, RoleName, RoleTemplate};
pub use word::InvalidTenantWord;

/// The longest identifier PostgreSQL keeps, in bytes; a longer one is silently cut
/// (`NAMEDATALEN - 1`, <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>),
/// so that two tenants could become one.
pub const MAX_IDENTIFIER_BYTES: usize = 63;

/// How the names of schemas begin that hold no tenant but what a migration set makes, for as long as it is compared.
pub const REFERENCE_PREFIX: &str = "fleet_reference_";

/// The name of a schema that may hold a tenant.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaName(Arc<str>);

/// Why a text cannot be the name of a tenant's schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchemaName {
    /// The empty string, or a NULL from a registry query.
    #[error("a schema name is empty")]
    Empty,
    /// PostgreSQL would cut the name.
    #[error(
        "schema name {name:?} is {bytes} bytes long; PostgreSQL cuts names after {MAX_IDENTIFIER_BYTES}, so two tenants could become one"
    )]
    TooLong {
        /// The name as given.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// `pg_*` and `information_schema` belong to the server.
    #[error("schema name {0:?} is reserved by PostgreSQL")]
    Reserved(String),
    /// In a search path `$user` means the role's own schema, quoted or not.
    #[error(
        "schema name \"$user\" has a meaning of its own in a search_path and cannot be a tenant"
    )]
    DollarUser,
    /// A NUL byte cannot be stored in a PostgreSQL name.
    #[error("schema name {0:?} holds a NUL byte")]
    Nul(String),
}

impl SchemaName {
    /// Checks a name against what PostgreSQL can hold and a search path can reach.
    ///
    /// # Errors
    /// Says which rule the name breaks.
    pub fn parse(name: &str) -> Result<Self, InvalidSchemaName> {
        if name.is_empty() {
            return Err(InvalidSchemaName::Empty);
        }
        if name.len() > MAX_IDENTIFIER_BYTES {
            return Err(InvalidSchemaName::TooLong {
                name: name.to_owned(),
                bytes: name.len(),
            });
        }
        if name.starts_with("pg_") || name == "information_schema" {
            return Err(InvalidSchemaName::Reserved(name.to_owned()));
        }
        if name == "$user" {
            return Err(InvalidSchemaName::DollarUser);
        }
        if name.contains('\0') {
            return Err(InvalidSchemaName::Nul(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The bare name, for bound parameters and JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a quoted identifier, safe to paste into SQL.
    pub fn quoted(&self) -> String {
        quote_identifier(&self.0)
    }
}

/// Shows control characters escaped, so that a hostile name cannot move a terminal's cursor.
impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.0)
    }
}

impl fmt::Debug for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A PostgreSQL identifier in double quotes, inner quotes doubled.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A PostgreSQL string literal; an `E''` string only where a backslash asks for it, so that
/// `standard_conforming_strings` does not matter.
pub fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!(" E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if c.is_control() {
            write!(f, "{}", c.escape_default())?;
        } else {
            write!(f, "{c}")?;
        }
    }
    Ok(())
}

/// The name that the config gives to one PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatabaseName(Arc<str>);

impl DatabaseName {
    /// Wraps a name; the config has checked it.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.0)
    }
}

/// Which tenant: a schema in a database.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId {
    /// The database's name in the config.
    pub database: DatabaseName,
    /// The schema's name.
    pub schema: SchemaName,
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.database, self.schema)
    }
}

/// Facts that a registry query gave about a tenant, by column name.
pub type Labels = BTreeMap<String, String>;

/// One tenant of the fleet, as the inventory found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Which tenant.
    pub id: TenantId,
    /// Further columns of the registry query.
    pub labels: Arc<Labels>,
    /// Whether the schema exists now.
    pub presence: Presence,
}

/// Whether a tenant that the config names has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The schema exists.
    Present,
    /// It does not, and `create_missing` asks to create it.
    ToCreate,
    /// It does not, and the tenant fails for it.
    Absent,
}

/// A pattern over tenants: `acme`, `tenant_*`, or with the database in front, `main/tenant_*`.
#[derive(Clone, Debug)]
pub struct TenantPattern {
    text: String,
    glob: GlobMatcher,
}

impl TenantPattern {
    /// Compiles a glob: `*`, `?`, `[abc]`; a backslash takes the meaning of the next character.
    ///
    /// # Errors
    /// A glob that does not parse, with the reason.
    pub fn parse(text: &str) -> Result<Self, globset::Error> {
        let glob = GlobBuilder::new(text)
            .literal_separator(false)
            .backslash_escape(true)
            .build()?
            .compile_matcher();
        Ok(Self {
            text: text.to_owned(),
            glob,
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a schema's name is meant. A name that is written out always matches itself, also
    /// where it holds characters that mean something in a pattern.
    pub fn matches_schema(&self, schema: &str) -> bool {
        self.text == schema || self.glob.is_match(schema)
    }

    /// Whether a tenant is meant, by its schema or by `database/schema` as reports print it.
    pub fn matches(&self, id: &TenantId) -> bool {
        self.matches_schema(id.schema.as_str())
            || self.matches_schema(&format!("{}/{}", id.database.as_str(), id.schema.as_str()))
    }
}

/// What `--tenant`, `--only`, `--database` and `--label` select: every kind that is given must match,
/// within a kind of name any one does; all labels must match.
#[derive(Clone, Debug, Default)]
pub struct TenantFilter {
    /// Patterns over names.
    pub tenants: Vec<TenantPattern>,
    /// Tenants that are named one by one; none means that they are not.
    pub exactly: BTreeSet<TenantId>,
    /// Databases by their name in the config.
    pub databases: Vec<DatabaseName>,
    /// Labels that a tenant must have.
    pub labels: Vec<(String, String)>,
}

impl TenantFilter {
    /// Whether a tenant is selected.
    pub fn matches(&self, tenant: &Tenant) -> bool {
        let by_name = self.tenants.is_empty() || self.tenants.iter().any(|p| p.matches(&tenant.id));
        let by_list = self.exactly.is_empty() || self.exactly.contains(&tenant.id);
        let by_database = self.databases.is_empty() || self.databases.contains(&tenant.id.database);
        let by_label = self
            .labels
            .iter()
            .all(|(key, value)| tenant.labels.get(key) == Some(value));
        by_name && by_list && by_database && by_label
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_names_that_postgresql_would_change_or_reserve() {
        use InvalidSchemaName as Why;
        assert_eq!(SchemaName::parse(""), Err(Why::Empty));
        assert_eq!(SchemaName::parse("$user"), Err(Why::DollarUser));
        assert!(matches!(
            SchemaName::parse("pg_temp"),
            Err(Why::Reserved(_))
        ));
        assert!(matches!(
            SchemaName::parse("information_schema"),
            Err(Why::Reserved(_))
        ));
        assert!(matches!(
            SchemaName::parse(&"é".repeat(32)),
            Err(Why::TooLong { bytes: 64, .. })
        ));
        assert!(SchemaName::parse(&"x".repeat(63)).is_ok());
    }

    #[test]
    fn a_terminal_never_sees_control_characters() {
        let name = SchemaName::parse("a\u{1b}[2Jb\n").unwrap();
        assert_eq!(name.to_string(), "a\\u{1b}[2Jb\\n");
    }

    #[test]
    fn a_name_written_out_matches_itself_though_it_holds_pattern_characters() {
        let pattern = TenantPattern::parse("we[i]rd*").unwrap();
        assert!(pattern.matches_schema("we[i]rd*"));
        assert!(pattern.matches_schema("weird and more"));
        assert!(!pattern.matches_schema("we[i]rd"));
    }

    #[test]
    fn a_pattern_may_carry_the_database() {
        let id = TenantId {
            database: DatabaseName::new("eu"),
            schema: SchemaName::parse("acme").unwrap(),
        };
        assert!(TenantPattern::parse("eu/ac*").unwrap().matches(&id));
        assert!(!TenantPattern::parse("us/ac*").unwrap().matches(&id));
    }

    proptest! {
        #[test]
        fn quoting_an_identifier_can_be_undone(name in "\\PC{1,20}") {
            let quoted = quote_identifier(&name);
            prop_assert!(quoted.starts_with('"') && quoted.ends_with('"'));
            prop_assert_eq!(quoted[1..quoted.len() - 1].replace("\"\"", "\""), name);
        }

        #[test]
        fn a_valid_name_is_kept_to_the_letter(name in "[a-zA-Z\" '\u{e4}-\u{ff}]{1,20}") {
            let parsed = SchemaName::parse(&name).unwrap();
            prop_assert_eq!(parsed.as_str(), name.as_str());
        }

        #[test]
        fn every_literal_pattern_selects_its_own_tenant(name in "\\PC{1,20}") {
            if let (Ok(pattern), Ok(schema)) = (TenantPattern::parse(&name), SchemaName::parse(&name)) {
                prop_assert!(pattern.matches_schema(schema.as_str()));
            }
        }
    }
}
