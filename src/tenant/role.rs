//! Roles: PostgreSQL's names for them, and templates that give each tenant its own.

use std::fmt;
use std::sync::Arc;

use super::{MAX_IDENTIFIER_BYTES, TenantId, quote_identifier, write_escaped};

/// The name of a role, as `CREATE ROLE` takes it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleName(Arc<str>);

/// Why a text cannot be the name of a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoleName {
    /// The empty string.
    #[error("a role name is empty")]
    Empty,
    /// PostgreSQL would cut the name, so that two tenants could share a role.
    #[error(
        "role name {name:?} is {bytes} bytes long; PostgreSQL cuts names after {MAX_IDENTIFIER_BYTES}, so two tenants could share a role"
    )]
    TooLong {
        /// The name as given.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// `pg_*`, and the words that GRANT and SET ROLE read as something else, quoted or not.
    #[error("role name {0:?} is reserved by PostgreSQL")]
    Reserved(String),
    /// A NUL byte cannot be stored in a PostgreSQL name.
    #[error("role name {0:?} holds a NUL byte")]
    Nul(String),
}

impl RoleName {
    /// Checks a name against what PostgreSQL can hold.
    ///
    /// # Errors
    /// Says which rule the name breaks.
    pub fn parse(name: &str) -> Result<Self, InvalidRoleName> {
        if name.is_empty() {
            return Err(InvalidRoleName::Empty);
        }
        if name.len() > MAX_IDENTIFIER_BYTES {
            return Err(InvalidRoleName::TooLong {
                name: name.to_owned(),
                bytes: name.len(),
            });
        }
        if name.starts_with("pg_") || name == "public" || name == "none" {
            return Err(InvalidRoleName::Reserved(name.to_owned()));
        }
        if name.contains('\0') {
            return Err(InvalidRoleName::Nul(name.to_owned()));
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

/// Shows control characters escaped, as the names of schemas do.
impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.0)
    }
}

impl fmt::Debug for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A pattern that gives each tenant a role of its own, such as `{schema}_owner`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleTemplate(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Schema,
    Database,
}

/// Why a text is no template for tenants' roles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoleTemplate {
    /// All tenants would share one role.
    #[error("must hold {{schema}}, so that each tenant has a role of its own")]
    OneForAll,
    /// Only the schema and the database of a tenant can be filled in.
    #[error("holds {{{0}}}; only {{schema}} and {{database}} can be filled in")]
    Placeholder(String),
    /// A brace stands for a placeholder and nothing else.
    #[error("holds a brace that is not closed, or not opened")]
    Brace,
    /// What is around the placeholders leaves them no room, or breaks a rule by itself.
    #[error(transparent)]
    Name(#[from] InvalidRoleName),
}

impl RoleTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidRoleTemplate> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            if at > 0 {
                pieces.push(Piece::Text(rest[..at].to_owned()));
            }
            let inside = rest[at..].strip_prefix('{').and_then(|r| r.split_once('}'));
            let (placeholder, after) = inside.ok_or(InvalidRoleTemplate::Brace)?;
            pieces.push(match placeholder {
                "schema" => Piece::Schema,
                "database" => Piece::Database,
                other => return Err(InvalidRoleTemplate::Placeholder(other.to_owned())),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        if !pieces.contains(&Piece::Schema) {
            return Err(InvalidRoleTemplate::OneForAll);
        }
        let template = Self(pieces);
        // the shortest names show what no tenant could have
        RoleName::parse(&template.filled("x", "x"))?;
        Ok(template)
    }

    /// The role of a tenant.
    ///
    /// # Errors
    /// A tenant whose names give no name that PostgreSQL would keep.
    pub fn role_of(&self, tenant: &TenantId) -> Result<RoleName, InvalidRoleName> {
        RoleName::parse(&self.filled(tenant.schema.as_str(), tenant.database.as_str()))
    }

    fn filled(&self, schema: &str, database: &str) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Schema => schema,
                Piece::Database => database,
            })
            .collect()
    }
}

/// The template as it is written in the config.
impl fmt::Display for RoleTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.filled("{schema}", "{database}"))
    }
}

/// A role that the application connects with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplicationRole {
    /// One for all tenants, which reaches all of them on purpose.
    Shared(RoleName),
    /// One for each tenant.
    OfTenant(RoleTemplate),
}

impl ApplicationRole {
    /// Reads a name, or a template where it holds a brace.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidRoleTemplate> {
        if text.contains(['{', '}']) {
            RoleTemplate::parse(text).map(Self::OfTenant)
        } else {
            Ok(Self::Shared(RoleName::parse(text)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tenant::{DatabaseName, SchemaName};

    fn tenant(schema: &str) -> TenantId {
        TenantId {
            database: DatabaseName::new("eu-1"),
            schema: SchemaName::parse(schema).unwrap(),
        }
    }

    fn role(template: &str, schema: &str) -> Result<String, InvalidRoleName> {
        let template = RoleTemplate::parse(template).unwrap();
        template
            .role_of(&tenant(schema))
            .map(|role| role.as_str().to_owned())
    }

    #[test]
    fn each_tenant_has_a_role_of_its_own() {
        assert_eq!(role("{schema}_owner", "acme"), Ok("acme_owner".to_owned()));
        assert_eq!(role("{schema}", "Od\"d"), Ok("Od\"d".to_owned()));
        assert_eq!(
            role("t/{database}/{schema}", "acme"),
            Ok("t/eu-1/acme".to_owned())
        );
        // what is filled in is not read again
        assert_eq!(
            role("{schema}_x", "{database}"),
            Ok("{database}_x".to_owned())
        );
    }

    #[test]
    fn a_role_whose_name_would_be_cut_is_refused_for_its_tenant() {
        assert!(role("{schema}_owner", &"x".repeat(57)).is_ok());
        assert!(matches!(
            role("{schema}_owner", &"x".repeat(58)),
            Err(InvalidRoleName::TooLong { bytes: 64, .. })
        ));
        assert!(matches!(
            role("{schema}", "public"),
            Err(InvalidRoleName::Reserved(_))
        ));
    }

    #[test]
    fn what_is_no_template_says_why() {
        use InvalidRoleTemplate as Why;
        let why = |text: &str| RoleTemplate::parse(text).unwrap_err();
        for text in ["", "owner", "{database}_owner"] {
            assert_eq!(why(text), Why::OneForAll, "{text}");
        }
        assert_eq!(why("{tenant}_x"), Why::Placeholder("tenant".to_owned()));
        assert_eq!(why("{schema}{}"), Why::Placeholder(String::new()));
        for text in ["{schema", "schema}", "{schema}}", "{{schema}}"] {
            assert!(
                matches!(why(text), Why::Brace | Why::Placeholder(_)),
                "{text}"
            );
        }
        assert!(matches!(
            why("pg_{schema}"),
            Why::Name(InvalidRoleName::Reserved(_))
        ));
        assert!(matches!(
            why(&format!("{{schema}}{}", "x".repeat(63))),
            Why::Name(InvalidRoleName::TooLong { .. })
        ));
    }

    #[test]
    fn an_application_s_role_is_shared_or_a_tenant_s() {
        assert!(matches!(
            ApplicationRole::parse("web"),
            Ok(ApplicationRole::Shared(_))
        ));
        assert!(matches!(
            ApplicationRole::parse("web_{schema}"),
            Ok(ApplicationRole::OfTenant(_))
        ));
        for text in ["", "none", "pg_monitor", "web_{database}"] {
            assert!(ApplicationRole::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn two_tenants_of_a_database_never_share_a_role(a in "[^\\x00]{1,20}", b in "[^\\x00]{1,20}") {
            let template = RoleTemplate::parse("{schema}_{database}_{schema}").unwrap();
            if let (Ok(a), Ok(b)) = (SchemaName::parse(&a), SchemaName::parse(&b)) {
                let role = |schema: &SchemaName| template.role_of(&tenant(schema.as_str()));
                if let (Ok(first), Ok(second)) = (role(&a), role(&b)) {
                    prop_assert_eq!(a == b, first == second);
                }
            }
        }
    }
}
