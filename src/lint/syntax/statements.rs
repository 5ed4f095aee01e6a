//! Statements that are about more than one tenant, or about the session.

use squawk_syntax::SyntaxKind::{
    self, ALL, ALTER_DATABASE, ALTER_DEFAULT_PRIVILEGES, ALTER_EVENT_TRIGGER, ALTER_EXTENSION,
    ALTER_FOREIGN_DATA_WRAPPER, ALTER_FUNCTION, ALTER_GROUP, ALTER_LANGUAGE, ALTER_PROCEDURE,
    ALTER_PUBLICATION, ALTER_ROLE, ALTER_ROUTINE, ALTER_SCHEMA, ALTER_SERVER, ALTER_SUBSCRIPTION,
    ALTER_SYSTEM, ALTER_TABLESPACE, ALTER_USER, ALTER_USER_MAPPING, CONFIG_PARAMETER_REF,
    CREATE_ACCESS_METHOD, CREATE_CAST, CREATE_DATABASE, CREATE_EVENT_TRIGGER, CREATE_EXTENSION,
    CREATE_FOREIGN_DATA_WRAPPER, CREATE_GROUP, CREATE_LANGUAGE, CREATE_PUBLICATION, CREATE_ROLE,
    CREATE_SCHEMA, CREATE_SERVER, CREATE_SUBSCRIPTION, CREATE_TABLESPACE, CREATE_TRANSFORM,
    CREATE_USER, CREATE_USER_MAPPING, DEPENDS_ON_EXTENSION, DISCARD, DISCARD_ALL,
    DROP_ACCESS_METHOD, DROP_CAST, DROP_DATABASE, DROP_EVENT_TRIGGER, DROP_EXTENSION,
    DROP_FOREIGN_DATA_WRAPPER, DROP_GROUP, DROP_LANGUAGE, DROP_OWNED, DROP_PUBLICATION, DROP_ROLE,
    DROP_SCHEMA, DROP_SERVER, DROP_SUBSCRIPTION, DROP_TABLESPACE, DROP_TRANSFORM, DROP_USER,
    DROP_USER_MAPPING, GRANT, IMPORT_FOREIGN_SCHEMA, IN_SCHEMAS, LOAD, OBJECT_ACCESS_METHOD,
    OBJECT_DATABASE, OBJECT_EVENT_TRIGGER, OBJECT_EXTENSION, OBJECT_FOREIGN_DATA_WRAPPER,
    OBJECT_LANGUAGE, OBJECT_PUBLICATION, OBJECT_ROLE, OBJECT_SERVER, OBJECT_SUBSCRIPTION,
    OBJECT_TABLESPACE, ON_PRIVILEGE_OBJECTS_CLAUSE, PLPGSQL_COMMIT_STMT, PLPGSQL_DYN_EXECUTE_STMT,
    PLPGSQL_EXPR, PLPGSQL_FOR_DYN_STMT, PLPGSQL_OPEN_EXECUTE, PLPGSQL_RETURN_QUERY_EXECUTE_STMT,
    PLPGSQL_ROLLBACK_STMT, PRIVILEGE_DATABASE, PRIVILEGE_FOREIGN_DATA_WRAPPER,
    PRIVILEGE_FOREIGN_SERVER, PRIVILEGE_LANGUAGE, PRIVILEGE_TABLESPACE, REASSIGN, RESET,
    RESET_ROLE, RESET_SESSION_AUTH, REVOKE, SET_CONFIG, SET_CONFIG_PARAM, SET_FUNC_OPTION,
    SET_ROLE, SET_SCHEMA, SET_SCHEMA_VALUE, SET_SESSION_AUTH, TARGET, TARGET_LIST, TO_CONFIG_VALUE,
};
use squawk_syntax::SyntaxNode;

use super::super::finding::Found;
use super::text::{child, first, identifier, range, segments};
use super::{Home, Scope, Walk};

pub(super) fn look(walk: &mut Walk<'_>, node: &SyntaxNode, scope: Scope) {
    if let Some((rule, what)) = about_more(node) {
        walk.add(Found::new(rule, range(node), what));
        return;
    }
    match node.kind() {
        SET_CONFIG => setting(walk, node),
        SET_FUNC_OPTION | SET_CONFIG_PARAM => function_setting(walk, node),
        RESET => reset(walk, node),
        PLPGSQL_COMMIT_STMT | PLPGSQL_ROLLBACK_STMT if scope == Scope::Block => {
            let what = "the block ends the transaction that fleet has opened".to_owned();
            walk.add(Found::new("transaction-control", range(node), what));
        }
        PLPGSQL_DYN_EXECUTE_STMT
        | PLPGSQL_FOR_DYN_STMT
        | PLPGSQL_OPEN_EXECUTE
        | PLPGSQL_RETURN_QUERY_EXECUTE_STMT => dynamic(walk, node),
        _ => {}
    }
}

/// The rule that a statement breaks by being what it is.
#[expect(clippy::too_many_lines, reason = "a line or two for each kind")]
fn about_more(node: &SyntaxNode) -> Option<(&'static str, String)> {
    let said = |rule, what: &str| Some((rule, what.to_owned()));
    match node.kind() {
        CREATE_EXTENSION | ALTER_EXTENSION | DROP_EXTENSION | OBJECT_EXTENSION
        | DEPENDS_ON_EXTENSION => said("extension", "an extension belongs to the database"),
        CREATE_SCHEMA | ALTER_SCHEMA | DROP_SCHEMA => {
            said("schema", "a schema is made, changed or dropped")
        }
        SET_SCHEMA => said("move-schema", "the object is moved to another schema"),
        CREATE_ROLE | ALTER_ROLE | DROP_ROLE | CREATE_USER | ALTER_USER | DROP_USER
        | CREATE_GROUP | ALTER_GROUP | DROP_GROUP | REASSIGN | DROP_OWNED | OBJECT_ROLE => {
            said("role", "roles belong to the whole server")
        }
        GRANT | REVOKE if child(node, ON_PRIVILEGE_OBJECTS_CLAUSE).is_none() => said(
            "role",
            "membership in a role is a matter of the whole server",
        ),
        CREATE_DATABASE | ALTER_DATABASE | DROP_DATABASE | OBJECT_DATABASE | PRIVILEGE_DATABASE => {
            said("database", "a statement about a whole database")
        }
        CREATE_TABLESPACE | ALTER_TABLESPACE | DROP_TABLESPACE | OBJECT_TABLESPACE
        | PRIVILEGE_TABLESPACE | ALTER_SYSTEM => {
            said("database", "a statement about the whole server")
        }
        CREATE_PUBLICATION | ALTER_PUBLICATION | DROP_PUBLICATION | OBJECT_PUBLICATION => {
            said("replication", "a publication belongs to the database")
        }
        CREATE_SUBSCRIPTION | ALTER_SUBSCRIPTION | DROP_SUBSCRIPTION | OBJECT_SUBSCRIPTION => {
            said("replication", "a subscription belongs to the database")
        }
        CREATE_EVENT_TRIGGER | ALTER_EVENT_TRIGGER | DROP_EVENT_TRIGGER | OBJECT_EVENT_TRIGGER => {
            said("event-trigger", "an event trigger belongs to the database")
        }
        CREATE_SERVER
        | ALTER_SERVER
        | DROP_SERVER
        | OBJECT_SERVER
        | PRIVILEGE_FOREIGN_SERVER
        | CREATE_FOREIGN_DATA_WRAPPER
        | ALTER_FOREIGN_DATA_WRAPPER
        | DROP_FOREIGN_DATA_WRAPPER
        | OBJECT_FOREIGN_DATA_WRAPPER
        | PRIVILEGE_FOREIGN_DATA_WRAPPER
        | CREATE_USER_MAPPING
        | ALTER_USER_MAPPING
        | DROP_USER_MAPPING
        | IMPORT_FOREIGN_SCHEMA => {
            said("foreign-server", "a foreign server belongs to the database")
        }
        CREATE_LANGUAGE | ALTER_LANGUAGE | DROP_LANGUAGE | OBJECT_LANGUAGE | PRIVILEGE_LANGUAGE
        | CREATE_ACCESS_METHOD | DROP_ACCESS_METHOD | OBJECT_ACCESS_METHOD | CREATE_TRANSFORM
        | DROP_TRANSFORM | LOAD => said("database-object", "this belongs to the database"),
        CREATE_CAST | DROP_CAST => said("cast", "a cast is found in every schema"),
        ALTER_DEFAULT_PRIVILEGES if child(node, IN_SCHEMAS).is_none() => said(
            "default-privileges",
            "default privileges without IN SCHEMA hold in every schema",
        ),
        SET_ROLE | RESET_ROLE | SET_SESSION_AUTH | RESET_SESSION_AUTH => {
            said("set-role", "the session goes on as somebody else")
        }
        SET_SCHEMA_VALUE => said("set-search-path", "SET SCHEMA changes the search_path"),
        DISCARD if child(node, DISCARD_ALL).is_some() => said(
            "set-search-path",
            "DISCARD ALL takes the search_path back to the server's",
        ),
        _ => None,
    }
}

/// The rule about a setting that a file must not change.
pub(super) fn rule_of_setting(name: &str) -> Option<&'static str> {
    Some(match name {
        "search_path" => "set-search-path",
        "role" | "session_authorization" => "set-role",
        _ => return None,
    })
}

fn setting(walk: &mut Walk<'_>, node: &SyntaxNode) {
    let name = parameter(node);
    if let Some(rule) = rule_of_setting(&name) {
        let statement = node.parent().unwrap_or_else(|| node.clone());
        walk.add(Found::new(
            rule,
            range(&statement),
            format!("the file changes {name}"),
        ));
    }
}

fn reset(walk: &mut Walk<'_>, node: &SyntaxNode) {
    let name = parameter(node);
    let takes_all =
        child(node, ALL).is_some() || node.text().to_string().to_lowercase().contains(" all");
    let rule = if takes_all {
        Some("set-search-path")
    } else {
        rule_of_setting(&name)
    };
    if let Some(rule) = rule {
        let what = if takes_all { "every setting" } else { &name };
        walk.add(Found::new(
            rule,
            range(node),
            format!("the file takes {what} back to the session's default"),
        ));
    }
}

fn parameter(node: &SyntaxNode) -> String {
    first(node, CONFIG_PARAMETER_REF)
        .map(|name| segments(&name).join("."))
        .unwrap_or_default()
}

/// `SET search_path = …` of a function: fine where it names no schema of anybody's, as hardening does.
fn function_setting(walk: &mut Walk<'_>, node: &SyntaxNode) {
    // the option holds the parameter; once is enough
    let is_inner = node.kind() == SET_CONFIG_PARAM
        && node
            .parent()
            .is_some_and(|parent| parent.kind() == SET_FUNC_OPTION);
    let is_of_function = node.kind() == SET_FUNC_OPTION
        || node.ancestors().any(|outer| {
            matches!(
                outer.kind(),
                ALTER_FUNCTION | ALTER_PROCEDURE | ALTER_ROUTINE
            )
        });
    if is_inner || !is_of_function || parameter(node) != "search_path" {
        return;
    }
    let foreign = values(node).into_iter().find(|schema| {
        !schema.is_empty() && schema != "$user" && walk.home(schema) == Home::Elsewhere
    });
    if let Some(schema) = foreign {
        walk.add(Found::new(
            "function-search-path",
            range(node),
            format!("the function looks for its names in the schema {schema}"),
        ));
    }
}

/// The schemas of a search path.
fn values(node: &SyntaxNode) -> Vec<String> {
    let Some(list) = first(node, TO_CONFIG_VALUE) else {
        return Vec::new();
    };
    list.children()
        .map(|value| {
            let text = value.text().to_string();
            let text = text.trim();
            match text
                .strip_prefix('\'')
                .and_then(|rest| rest.strip_suffix('\''))
            {
                Some(literal) => identifier(literal),
                None => identifier(text),
            }
        })
        .collect()
}

/// `EXECUTE` of a text that is put together.
fn dynamic(walk: &mut Walk<'_>, node: &SyntaxNode) {
    let Some(query) = child(node, PLPGSQL_EXPR) else {
        return;
    };
    let is_constant = query
        .descendants()
        .filter(|inner| !matches!(inner.kind(), PLPGSQL_EXPR | TARGET_LIST | TARGET))
        .all(|inner| inner.kind() == SyntaxKind::LITERAL);
    if !is_constant {
        let what = "the statement is put together when it runs".to_owned();
        walk.add(Found::new("dynamic-sql", range(&query), what));
    }
}
