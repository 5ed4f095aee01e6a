//! The statements that give a tenant a role of its own, and leave everybody else what they live on.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{DefaultPrivilege, Facts, MEMBERSHIP_HAS_OPTIONS, Object, Owner};
use crate::tenant::quote_identifier;

/// One statement, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is for: several have the same.
    pub purpose: &'static str,
    /// The statement, without a semicolon.
    pub sql: String,
}

/// Collects statements.
struct Changes {
    role: String,
    schema: String,
    all: Vec<Change>,
}

impl Changes {
    fn push(&mut self, purpose: &'static str, sql: String) {
        self.all.push(Change { purpose, sql });
    }
}

/// What is to be done for one tenant, in order; nothing where all is well. `tenant_roles` are those of all tenants:
/// none of them is left anything of another one's.
pub fn changes(facts: &Facts, tenant_roles: &BTreeSet<String>) -> Vec<Change> {
    let mut changes = Changes {
        role: facts.wanted.role.quoted(),
        schema: facts.wanted.schema.quoted(),
        all: Vec::new(),
    };
    changes.make_role(facts);
    changes.hand_over(facts);
    changes.let_reach(facts);
    let heirs = heirs(facts, tenant_roles);
    changes.keep_rights(facts, &heirs);
    changes.keep_defaults(facts, &heirs);
    changes.all
}

/// Roles that lose what they own, and would lose what the application does as them.
fn heirs(facts: &Facts, tenant_roles: &BTreeSet<String>) -> BTreeSet<String> {
    let of_objects = facts.objects.iter().map(|object| &object.owner);
    let owners = facts.schema_owner.iter().chain(of_objects);
    let loses = |owner: &&Owner| !owner.keeps_all && !tenant_roles.contains(&owner.name);
    owners
        .filter(loses)
        .map(|owner| owner.name.clone())
        .collect()
}

impl Changes {
    fn make_role(&mut self, facts: &Facts) {
        const PURPOSE: &str = "the role, for fleet's own to take on";
        if !facts.has_role {
            let sql = format!("CREATE ROLE {} NOLOGIN", self.role);
            self.push(PURPOSE, sql);
        }
        for member in &facts.members {
            let options = if facts.version >= MEMBERSHIP_HAS_OPTIONS {
                " WITH INHERIT TRUE, SET TRUE"
            } else {
                ""
            };
            let member = quote_identifier(member);
            let sql = format!("GRANT {} TO {member}{options}", self.role);
            self.push(PURPOSE, sql);
        }
    }

    fn hand_over(&mut self, facts: &Facts) {
        const PURPOSE: &str = "the schema and what is in it become the role's";
        if facts.schema_owner.is_some() {
            let sql = format!("ALTER SCHEMA {} OWNER TO {}", self.schema, self.role);
            self.push(PURPOSE, sql);
        }
        for object in facts.objects.iter().filter(|object| !object.follows) {
            let Object { kind, identity, .. } = object;
            let sql = format!("ALTER {kind} {identity} OWNER TO {}", self.role);
            self.push(PURPOSE, sql);
        }
        if facts.is_open {
            let sql = format!("REVOKE CREATE ON SCHEMA {} FROM PUBLIC", self.schema);
            self.push("nobody else makes anything in it", sql);
        }
    }

    /// What the role needs of shared schemas.
    fn let_reach(&mut self, facts: &Facts) {
        const PURPOSE: &str = "what the tenant uses of shared schemas";
        let of_tables = facts.lacks.iter().map(|(_, schema, _)| schema);
        let schemas: BTreeSet<&String> = facts.hidden.iter().chain(of_tables).collect();
        for schema in schemas {
            let schema = quote_identifier(schema);
            let sql = format!("GRANT USAGE ON SCHEMA {schema} TO {}", self.role);
            self.push(PURPOSE, sql);
        }
        for (privilege, _, table) in &facts.lacks {
            let sql = format!("GRANT {privilege} ON TABLE {table} TO {}", self.role);
            self.push(PURPOSE, sql);
        }
    }

    /// An owner has all rights without a grant: what it goes on using, it needs one for.
    fn keep_rights(&mut self, facts: &Facts, heirs: &BTreeSet<String>) {
        const PURPOSE: &str = "the owners so far keep what they could do";
        for heir in heirs {
            let name = quote_identifier(heir);
            let sql = format!("GRANT USAGE ON SCHEMA {} TO {name}", self.schema);
            self.push(PURPOSE, sql);
            let own = facts.objects.iter().filter(|o| o.owner.name == *heir);
            let own: Vec<&Object> = own.collect();
            for object in &own {
                if let Some(kind) = object.grant_kind {
                    let sql = format!("GRANT ALL ON {kind} {} TO {name}", object.identity);
                    self.push(PURPOSE, sql);
                }
            }
            if own.iter().any(|object| object.needs_owner) {
                let options = if facts.version >= MEMBERSHIP_HAS_OPTIONS {
                    " WITH INHERIT TRUE, SET FALSE"
                } else {
                    ""
                };
                self.push(
                    "an owner passes row security, and refreshes its materialized views: so do members",
                    format!("GRANT {} TO {name}{options}", self.role),
                );
            }
        }
    }

    /// What later migrations make is the role's: what others were to get of it they get from it.
    fn keep_defaults(&mut self, facts: &Facts, heirs: &BTreeSet<String>) {
        const PURPOSE: &str = "and what later migrations make is as usable as what was made before";
        let is_taken_over = facts.schema_owner.is_some() || !facts.objects.is_empty();
        for heir in heirs {
            let name = quote_identifier(heir);
            for kind in ["TABLES", "SEQUENCES", "ROUTINES"] {
                let sql = format!(
                    "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT ALL ON {kind} TO {name}",
                    self.role, self.schema
                );
                self.push(PURPOSE, sql);
            }
        }
        if !is_taken_over && facts.has_role {
            return;
        }
        let mut givers = facts.owners();
        givers.insert(facts.fleet.clone());
        let of_givers = facts.defaults.iter();
        let of_givers = of_givers.filter(|one| givers.contains(&one.owner));
        let of_givers: Vec<&DefaultPrivilege> = of_givers.collect();
        for sql in defaults(&of_givers, &self.role, facts.wanted.role.as_str()) {
            self.push(PURPOSE, sql);
        }
    }
}

/// The same default privileges for another role.
fn defaults(of_givers: &[&DefaultPrivilege], role: &str, bare_role: &str) -> Vec<String> {
    type Key<'a> = (Option<&'a str>, &'static str, Option<&'a str>, bool);
    let mut grants: BTreeMap<Key<'_>, BTreeSet<&str>> = BTreeMap::new();
    for one in of_givers {
        let Some(kind) = kind_of_default(one.kind) else {
            continue;
        };
        let is_own = one.grantee.as_deref() == Some(&one.owner);
        if is_own || one.grantee.as_deref() == Some(bare_role) {
            continue;
        }
        let key = (
            one.schema.as_deref(),
            kind,
            one.grantee.as_deref(),
            one.is_grantable,
        );
        grants.entry(key).or_default().insert(&one.privilege);
    }
    let begin = |schema: Option<&str>| {
        let place = schema.map_or_else(String::new, |schema| {
            format!(" IN SCHEMA {}", quote_identifier(schema))
        });
        format!("ALTER DEFAULT PRIVILEGES FOR ROLE {role}{place}")
    };
    let mut statements = Vec::new();
    // what everybody has without being asked, where a giver has taken it away
    for (kind, privilege) in [('f', "EXECUTE"), ('T', "USAGE")] {
        let mut of_kind = of_givers
            .iter()
            .filter(|d| d.schema.is_none() && d.kind == kind)
            .peekable();
        let is_closed = of_kind.peek().is_some() && of_kind.all(|d| d.grantee.is_some());
        if let (true, Some(word)) = (is_closed, kind_of_default(kind)) {
            statements.push(format!(
                "{} REVOKE {privilege} ON {word} FROM PUBLIC",
                begin(None)
            ));
        }
    }
    for ((schema, kind, grantee, is_grantable), privileges) in grants {
        let grantee = grantee.map_or_else(|| "PUBLIC".to_owned(), quote_identifier);
        let privileges: Vec<&str> = privileges.into_iter().collect();
        let option = if is_grantable {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        statements.push(format!(
            "{} GRANT {} ON {kind} TO {grantee}{option}",
            begin(schema),
            privileges.join(", ")
        ));
    }
    statements
}

fn kind_of_default(kind: char) -> Option<&'static str> {
    match kind {
        'r' => Some("TABLES"),
        'S' => Some("SEQUENCES"),
        'f' => Some("ROUTINES"),
        'T' => Some("TYPES"),
        'n' => Some("SCHEMAS"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Wanted;
    use crate::tenant::{RoleName, SchemaName};

    fn facts() -> Facts {
        Facts {
            wanted: Wanted {
                schema: SchemaName::parse("acme").unwrap(),
                role: RoleName::parse("acme_owner").unwrap(),
            },
            has_role: true,
            schema_owner: None,
            members: BTreeSet::new(),
            fleet: "fleet".to_owned(),
            is_open: false,
            hidden: Vec::new(),
            objects: Vec::new(),
            lacks: Vec::new(),
            defaults: Vec::new(),
            version: 150_000,
        }
    }

    fn table(owner: &str, keeps_all: bool) -> Object {
        Object {
            kind: "TABLE".to_owned(),
            identity: "acme.t".to_owned(),
            owner: Owner {
                name: owner.to_owned(),
                keeps_all,
            },
            grant_kind: Some("TABLE"),
            follows: false,
            needs_owner: false,
            is_definer: false,
        }
    }

    fn sql(facts: &Facts) -> Vec<String> {
        let others = BTreeSet::from(["other_owner".to_owned()]);
        changes(facts, &others)
            .into_iter()
            .map(|change| change.sql)
            .collect()
    }

    #[test]
    fn where_all_is_well_nothing_is_to_be_done() {
        assert_eq!(sql(&facts()), Vec::<String>::new());
    }

    #[test]
    fn the_application_keeps_what_it_had_as_the_owner() {
        let mut before = facts();
        before.objects = vec![table("app", false)];
        let done = sql(&before);
        assert_eq!(done[0], r#"ALTER TABLE acme.t OWNER TO "acme_owner""#);
        assert!(done.contains(&r#"GRANT USAGE ON SCHEMA "acme" TO "app""#.to_owned()));
        assert!(done.contains(&r#"GRANT ALL ON TABLE acme.t TO "app""#.to_owned()));
        assert_eq!(
            done.iter()
                .filter(|sql| sql.starts_with("ALTER DEFAULT"))
                .count(),
            3
        );
        assert!(
            !done
                .iter()
                .any(|sql| sql.starts_with("GRANT \"acme_owner\""))
        );
    }

    #[test]
    fn another_tenant_s_role_keeps_nothing() {
        let mut before = facts();
        before.objects = vec![table("other_owner", false)];
        assert_eq!(sql(&before).len(), 1);
    }

    #[test]
    fn an_owner_that_passes_row_security_goes_on_passing_it() {
        let mut before = facts();
        before.objects = vec![Object {
            needs_owner: true,
            ..table("app", false)
        }];
        assert!(sql(&before).contains(&r#"GRANT "acme_owner" TO "app""#.to_owned()));
    }

    #[test]
    fn from_16_on_a_member_is_told_what_it_may() {
        let mut before = facts();
        before.members.insert("fleet".to_owned());
        assert_eq!(sql(&before), [r#"GRANT "acme_owner" TO "fleet""#]);
        before.version = 160_000;
        assert_eq!(
            sql(&before),
            [r#"GRANT "acme_owner" TO "fleet" WITH INHERIT TRUE, SET TRUE"#]
        );
    }

    #[test]
    fn default_privileges_are_carried_over() {
        let given =
            |kind, grantee: Option<&str>, privilege: &str, schema: Option<&str>| DefaultPrivilege {
                owner: "fleet".to_owned(),
                schema: schema.map(str::to_owned),
                kind,
                grantee: grantee.map(str::to_owned),
                privilege: privilege.to_owned(),
                is_grantable: false,
            };
        let mut before = facts();
        before.has_role = false;
        before.defaults = vec![
            given('r', Some("app"), "SELECT", Some("acme")),
            given('r', Some("app"), "INSERT", Some("acme")),
            given('r', Some("fleet"), "SELECT", None),
            given('f', Some("fleet"), "EXECUTE", None),
        ];
        assert_eq!(
            sql(&before)[1..],
            [
                r#"ALTER DEFAULT PRIVILEGES FOR ROLE "acme_owner" REVOKE EXECUTE ON ROUTINES FROM PUBLIC"#,
                r#"ALTER DEFAULT PRIVILEGES FOR ROLE "acme_owner" IN SCHEMA "acme" GRANT INSERT, SELECT ON TABLES TO "app""#,
            ]
        );
    }
}
